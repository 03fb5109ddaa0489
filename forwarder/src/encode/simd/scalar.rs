//! The scalar twin: the same rules, written character by character and without the vector kernel's tricks.

use super::table::{EscapeStyle, INVALID, escape_len, itself};

/// What one step over the input found.
enum Unit {
    Ascii(u8),
    /// Valid and copied as it is: this many bytes.
    Raw(usize),
    /// U+2028 or U+2029, by the last digit of its escape.
    Separator(u8),
    /// One byte.
    Invalid,
}

impl Unit {
    /// The unit that `input` begins with; `None` at the end.
    fn first(input: &[u8]) -> Option<Self> {
        let unit = match *input {
            [] => return None,
            [byte @ 0..0x80, ..] => Self::Ascii(byte),
            [0xe2, 0x80, 0xa8, ..] => Self::Separator(b'8'),
            [0xe2, 0x80, 0xa9, ..] => Self::Separator(b'9'),
            // The ranges of The Unicode Standard, table 3-7, "Well-Formed UTF-8 Byte Sequences".
            [0xc2..=0xdf, 0x80..=0xbf, ..] => Self::Raw(2),
            [0xe0, 0xa0..=0xbf, 0x80..=0xbf, ..]
            | [0xe1..=0xec | 0xee | 0xef, 0x80..=0xbf, 0x80..=0xbf, ..]
            | [0xed, 0x80..=0x9f, 0x80..=0xbf, ..] => Self::Raw(3),
            [0xf0, 0x90..=0xbf, 0x80..=0xbf, 0x80..=0xbf, ..]
            | [0xf1..=0xf3, 0x80..=0xbf, 0x80..=0xbf, 0x80..=0xbf, ..]
            | [0xf4, 0x80..=0x8f, 0x80..=0xbf, 0x80..=0xbf, ..] => Self::Raw(4),
            _ => Self::Invalid,
        };
        Some(unit)
    }

    /// Bytes that it takes of the input.
    fn len(&self) -> usize {
        match self {
            Self::Ascii(_) | Self::Invalid => 1,
            Self::Raw(len) => *len,
            Self::Separator(_) => 3,
        }
    }

    /// Bytes that it makes in the output.
    fn escaped_len(&self, style: EscapeStyle) -> usize {
        match self {
            Self::Ascii(byte) => escape_len(style.table()[usize::from(*byte)]),
            Self::Raw(len) => *len,
            Self::Separator(_) | Self::Invalid => INVALID.len(),
        }
    }
}

pub(super) fn escape(out: &mut Vec<u8>, mut input: &[u8], style: EscapeStyle) {
    let table = style.table();
    out.reserve(input.len());
    while let Some(unit) = Unit::first(input) {
        let (taken, rest) = input.split_at(unit.len());
        match unit {
            Unit::Ascii(byte) if table[usize::from(byte)] == itself(byte) => out.push(byte),
            Unit::Ascii(byte) => {
                let escape = table[usize::from(byte)];
                out.extend_from_slice(&escape.to_le_bytes()[..escape_len(escape)]);
            }
            Unit::Raw(_) => out.extend_from_slice(taken),
            Unit::Separator(digit) => {
                out.extend_from_slice(b"\\u202");
                out.push(digit);
            }
            Unit::Invalid => out.extend_from_slice(INVALID),
        }
        input = rest;
    }
}

/// Length of the longest prefix of `input` that ends between two characters and whose escaped form has at most
/// `room` bytes. Looks at no more of the input than that.
pub fn fitting_prefix(input: &[u8], style: EscapeStyle, room: usize) -> usize {
    let (mut taken, mut made) = (0, 0);
    while let Some(unit) = Unit::first(&input[taken..]) {
        made += unit.escaped_len(style);
        if made > room {
            break;
        }
        taken += unit.len();
    }
    taken
}
