//! Numbered lines: what `emit lines` writes (xtask/guest) and how a test checks that each arrived once and in order.
//!
//! A line is nine digits, a space, and a filler that follows from the number, so that a byte lost, doubled or moved
//! anywhere is seen. Also compiled into the VM's test runner.

/// The line with this number, without its newline; `length` is at least 11.
pub fn line(number: u64, length: usize) -> Vec<u8> {
    let mut line = format!("{number:09} ").into_bytes();
    while line.len() < length {
        let at = line.len() as u64;
        line.push(b'a' + ((number.wrapping_mul(31) + at) % 26) as u8);
    }
    line.truncate(length);
    line
}

/// What has been seen of one stream of numbered lines.
#[derive(Clone, Debug, Default)]
pub struct Numbered {
    /// The number that should come next.
    pub next: u64,
    /// The first thing that was wrong.
    pub wrong: Option<String>,
}

impl Numbered {
    pub fn see(&mut self, message: &[u8], length: usize) {
        let expected = line(self.next, length);
        if self.wrong.is_none() && message != expected {
            self.wrong = Some(format!(
                "after {} right lines of {length} bytes came {} bytes: {}",
                self.next,
                message.len(),
                String::from_utf8_lossy(&message[..message.len().min(80)])
            ));
        }
        self.next += 1;
    }

    /// All `count` lines once and in order?
    pub fn check(&self, count: u64) -> Result<(), String> {
        match &self.wrong {
            Some(wrong) => Err(wrong.clone()),
            None if self.next != count => Err(format!("{} of {count} lines came", self.next)),
            None => Ok(()),
        }
    }
}
