//! Lines as services write them, and such as nobody would: text, objects with the members that mean something, and damage.

/// Pseudo-random numbers, the same in each run.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// See above. The same lines in each run.
pub struct ServiceLines {
    random: Random,
    line: Vec<u8>,
}

impl ServiceLines {
    pub fn new() -> Self {
        Self { random: Random(0x2545_f491_4f6c_dd1d), line: Vec::new() }
    }

    pub fn next(&mut self) -> &[u8] {
        self.line.clear();
        match self.random.below(8) {
            0 => self.text(40),
            1 => self.pick(&["2025/08/27 12:01:03.645887 ", "\u{a0}", "t{", "[1] ", "null", "\u{feff}"]),
            2 => self.text(12),
            _ => {}
        }
        if self.random.below(12) > 0 {
            self.object(0);
        }
        if self.random.below(12) == 0 {
            self.pick(&[" ", "\r", "}", "x", " {}", "\u{85}", "\u{2003}", ","]);
        }
        while self.random.below(4) == 0 && !self.line.is_empty() {
            let at = self.random.below(self.line.len());
            let byte = b"\"\\{}[],:u0-.eE+\xff\xe2\x80\xa8 tn\x01"[self.random.below(23)];
            match self.random.below(3) {
                0 => self.line[at] = byte,
                1 => self.line.insert(at, byte),
                _ => drop(self.line.remove(at)),
            }
        }
        if String::from_utf8_lossy(&self.line).trim().is_empty() {
            self.line.push(b'.');
        }
        &self.line
    }

    fn pick(&mut self, texts: &[&str]) {
        let text = texts[self.random.below(texts.len())];
        self.line.extend_from_slice(text.as_bytes());
    }

    fn text(&mut self, most: usize) {
        for _ in 0..self.random.below(most) {
            self.pick(&["a", "Z", " ", "word", ": ", "=", "<", "é", "\u{2028}", "😀", "\u{1b}[34m", "\u{7f}", "\\x"]);
        }
    }

    fn space(&mut self) {
        if self.random.below(8) == 0 {
            self.pick(&[" ", "\t", "  ", "\r", " \r "]);
        }
    }

    fn object(&mut self, depth: usize) {
        self.line.push(b'{');
        for number in 0..self.random.below(7) {
            self.line.extend((number > 0).then_some(b','));
            self.space();
            let named = self.random.below(2) == 0;
            let before = self.line.len();
            if named {
                self.pick(&[
                    "\"time\"",
                    "\"ts\"",
                    "\"level\"",
                    "\"msg\"",
                    "\"err\"",
                    "\"error\"",
                    "\"message\"",
                    "\"talos-level\"",
                    "\"talos-time\"",
                    "\"talos-service\"",
                    "\"\\u006dsg\"",
                    "\"l\\u0065vel\"",
                    "\"Msg\"",
                    "\"t\\u0073\"",
                ]);
            } else {
                self.string();
            }
            let key = String::from_utf8_lossy(&self.line[before..]).into_owned();
            self.space();
            self.line.push(b':');
            self.space();
            match key.as_str() {
                "\"time\"" | "\"ts\"" | "\"t\\u0073\"" if self.random.below(4) > 0 => self.time(),
                "\"level\"" | "\"l\\u0065vel\"" if self.random.below(4) > 0 => self.level(),
                "\"msg\"" | "\"err\"" if self.random.below(4) > 0 => self.string(),
                _ => self.value(depth),
            }
            self.space();
        }
        self.line.push(b'}');
    }

    fn value(&mut self, depth: usize) {
        match self.random.below(if depth < 3 { 8 } else { 6 }) {
            0 => self.pick(&[
                "null",
                "true",
                "false",
                "\"\"",
                "[]",
                "{}",
                "-0",
                "1.0",
                "1e400",
                "01",
                "12345678901234567890",
            ]),
            1 | 2 => self.number(),
            3..=5 => self.string(),
            6 => self.object(depth + 1),
            _ => {
                self.line.push(b'[');
                for number in 0..self.random.below(4) {
                    self.line.extend((number > 0).then_some(b','));
                    self.value(depth + 1);
                }
                self.line.push(b']');
            }
        }
    }

    fn digits(&mut self, most: usize) {
        for _ in 0..=self.random.below(most) {
            let digit = b'0' + self.random.below(10) as u8;
            self.line.push(digit);
        }
    }

    fn number(&mut self) {
        self.pick(&["", "", "-"]);
        let first = b'1' + self.random.below(9) as u8;
        self.line.push(first);
        self.digits(18);
        if self.random.below(2) == 0 {
            self.line.push(b'.');
            self.digits(18);
        }
        if self.random.below(4) == 0 {
            self.pick(&["e", "E", "e-", "E+", "e0"]);
            self.digits(if self.random.0 & 1 == 0 { 2 } else { 3 });
        }
    }

    fn string(&mut self) {
        self.line.push(b'"');
        for _ in 0..self.random.below(10) {
            match self.random.below(16) {
                0 => self.pick(&["\\n", "\\t", "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\r", "\\u0000", "\\u001F"]),
                1 => self.pick(&[
                    "\\ud83d\\ude00",
                    "\\ud800",
                    "\\udc00",
                    "\\ud800\\u0041",
                    "\\u2028",
                    "\\u00e9",
                    "\\u003c",
                ]),
                2 => self.pick(&["<", ">", "&", "\u{2028}", "\u{2029}", "é", "😀", "\u{85}", "\u{a0}", "\u{7f}"]),
                3 => {
                    let bytes: [&[u8]; 6] =
                        [b"\xff", b"\xe2\x80", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf0\x9f\x98", b"\x80"];
                    self.line.extend_from_slice(bytes[self.random.below(6)]);
                }
                4 => self.pick(&["a long piece of plain text that has more than thirty-two bytes"]),
                _ => self.pick(&["a", "b", "Z", "0", " ", "-", "key", "_"]),
            }
        }
        self.line.push(b'"');
    }

    fn time(&mut self) {
        match self.random.below(4) {
            0 => self.number(),
            1 => {
                // Seconds or milliseconds of these years.
                let long = self.random.below(2) * 3;
                let mut number = (1_500_000_000 + self.random.below(400_000_000)).to_string();
                (0..long).for_each(|_| number.push('7'));
                self.line.extend_from_slice(number.as_bytes());
                if self.random.below(2) == 0 {
                    self.line.push(b'.');
                    self.digits(9);
                }
            }
            _ => {
                let mut part = |most: usize| self.random.below(most);
                let text = format!("\"{:04}-{:02}-{:02}", part(10_000), part(14), part(33));
                let clock = format!("{:02}:{:02}:{:02}", part(25), part(61), part(61));
                self.line.extend_from_slice(text.as_bytes());
                self.pick(&["T", "T", "T", "T", "t", " "]);
                self.line.extend_from_slice(clock.as_bytes());
                if self.random.below(2) == 0 {
                    self.pick(&[".", ".", ".", ","]);
                    self.digits(12);
                }
                self.pick(&["Z", "Z", "Z", "z", "+01:00", "-23:59", "+24:00", "+01:60", "+0100", ""]);
                self.line.push(b'"');
            }
        }
    }

    fn level(&mut self) {
        self.pick(&[
            "\"info\"",
            "\"INFO\"",
            "\"warning\"",
            "\"Warn\"",
            "\"error\"",
            "\"DEBUG\"",
            "\"dpanic\"",
            "\"Panic\"",
            "\"fatal\"",
            "\"\"",
            "\"trace\"",
            "\"ERRO\"",
            "\"\\u0069nfo\"",
            "\"\u{130}nfo\"",
            "\" info\"",
            "5",
            "\"informational\"",
            "\"warn\\n\"",
        ]);
    }
}
