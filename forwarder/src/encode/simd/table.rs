//! What each byte becomes that does not stay, as tables that the kernels index.

/// Which characters are escaped besides those that JSON demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscapeStyle {
    /// Also `<`, `>` and `&`: what `json.Marshal` writes, and therefore Talos.
    Html,
    /// `json.Encoder` after `SetEscapeHTML(false)`.
    Plain,
}

/// The replacement of a byte, little-endian: its text in the low bytes, the text's length in the highest, so that a
/// kernel writes eight bytes at once and advances by the length. A number, because arrays are copied in parts.
pub(super) type Escape = u64;

/// The text's length.
#[inline(always)]
pub(super) const fn escape_len(escape: Escape) -> usize {
    (escape >> 56) as usize
}

/// Replacement of each byte that is not part of valid UTF-8.
pub(super) const INVALID: &[u8; 6] = b"\\ufffd";

impl EscapeStyle {
    /// Replacements of the bytes. An ASCII byte that stays has itself as text, of length 1; one that is not ASCII
    /// has what an invalid byte becomes.
    #[inline]
    pub(super) fn table(self) -> &'static [Escape; 256] {
        match self {
            Self::Html => &HTML,
            Self::Plain => &PLAIN,
        }
    }
}

static HTML: [Escape; 256] = build(true);
static PLAIN: [Escape; 256] = build(false);

const fn build(html: bool) -> [Escape; 256] {
    let [a, b, c, d, e, f] = *INVALID;
    let mut table = [Escape::from_le_bytes([a, b, c, d, e, f, 0, 6]); 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = match b {
            b'"' | b'\\' => two(b),
            0x08 => two(b'b'),
            b'\t' => two(b't'),
            b'\n' => two(b'n'),
            0x0c => two(b'f'),
            b'\r' => two(b'r'),
            0..0x20 => six(b),
            b'<' | b'>' | b'&' if html => six(b),
            _ => itself(b),
        };
        byte += 1;
    }
    table
}

/// A byte that stays.
#[inline(always)]
pub(super) const fn itself(byte: u8) -> Escape {
    Escape::from_le_bytes([byte, 0, 0, 0, 0, 0, 0, 1])
}

const fn two(letter: u8) -> Escape {
    Escape::from_le_bytes([b'\\', letter, 0, 0, 0, 0, 0, 2])
}

const fn six(byte: u8) -> Escape {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    Escape::from_le_bytes([b'\\', b'u', b'0', b'0', HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize], 0, 6])
}
