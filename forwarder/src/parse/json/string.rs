//! Strings: what they mean, and how Go writes that again.

use super::scan::Scanner;

/// Appends what a string means, whose opening quote is behind the scanner; it is then behind the closing one.
/// Always valid UTF-8.
pub(super) fn decode(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Option<()> {
    loop {
        let run = scanner.run();
        put_valid(run, out);
        scanner.at += run.len();
        let end = scanner.peek()?;
        scanner.at += 1;
        match end {
            b'"' => return Some(()),
            b'\\' => escape_sequence(scanner, out)?,
            _ => return None,
        }
    }
}

/// Appends `text`, each byte that is no part of valid UTF-8 as U+FFFD.
pub(in crate::parse) fn put_valid(mut text: &[u8], out: &mut Vec<u8>) {
    while let Err(error) = std::str::from_utf8(text) {
        let (valid, rest) = text.split_at(error.valid_up_to());
        out.extend_from_slice(valid);
        out.extend_from_slice("\u{fffd}".as_bytes());
        text = &rest[1..];
    }
    out.extend_from_slice(text);
}

/// What follows a backslash.
fn escape_sequence(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Option<()> {
    let byte = scanner.peek()?;
    scanner.at += 1;
    let meant = match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let char = code_point(scanner)?;
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    out.push(meant);
    Some(())
}

/// The character of `\u` sequences, the first of which is read up to its digits. A surrogate without its other half is
/// U+FFFD, and what follows stands for itself.
fn code_point(scanner: &mut Scanner<'_>) -> Option<char> {
    let first = hex(scanner.text, scanner.at)?;
    scanner.at += 4;
    if let Some(char) = char::from_u32(first) {
        return Some(char);
    }
    let second = if scanner.text[scanner.at..].starts_with(b"\\u") { hex(scanner.text, scanner.at + 2) } else { None };
    let pair = second.filter(|second| first < 0xdc00 && (0xdc00..0xe000).contains(second));
    let Some(second) = pair else { return Some(char::REPLACEMENT_CHARACTER) };
    scanner.at += 6;
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
}

fn hex(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

/// Appends `text`, which is valid UTF-8, in quotes and escaped as Go does for HTML.
pub(in crate::parse) fn put_quoted(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => *byte,
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 | b'<' | b'>' | b'&' => b'u',
            // U+2028 and U+2029.
            0xe2 if matches!(text[at + 1..], [0x80, 0xa8 | 0xa9, ..]) => b'u',
            _ => continue,
        };
        out.extend_from_slice(&text[from..at]);
        out.extend_from_slice(&[b'\\', short]);
        from = at + 1;
        if short != b'u' {
            continue;
        }
        if *byte == 0xe2 {
            out.extend_from_slice(&[b'2', b'0', b'2', HEX[usize::from(text[at + 2] & 15)]]);
            from = at + 3;
        } else {
            out.extend_from_slice(&[b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    out.extend_from_slice(&text[from..]);
    out.push(b'"');
}
