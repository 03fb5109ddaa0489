//! What each ASCII byte becomes, as tables that the kernels index.

/// Which characters are escaped besides those that JSON demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscapeStyle {
    /// Also `<`, `>` and `&`: what `json.Marshal` writes, and therefore Talos.
    Html,
    /// `json.Encoder` after `SetEscapeHTML(false)`.
    Plain,
}

/// The replacement of a byte: its text in the first bytes, the text's length in the last, so that a kernel
/// writes eight bytes at once and advances by the length.
pub(super) type Escape = [u8; 8];

/// Replacement of each byte that is not part of valid UTF-8.
pub(super) const INVALID: &[u8; 6] = b"\\ufffd";

impl EscapeStyle {
    /// Replacements of the ASCII bytes. A byte that stays has itself as text, of length 1.
    #[inline]
    pub(super) fn table(self) -> &'static [Escape; 128] {
        match self {
            Self::Html => &HTML,
            Self::Plain => &PLAIN,
        }
    }
}

static HTML: [Escape; 128] = build(true);
static PLAIN: [Escape; 128] = build(false);

const fn build(html: bool) -> [Escape; 128] {
    let mut table = [[0u8; 8]; 128];
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
            _ => [b, 0, 0, 0, 0, 0, 0, 1],
        };
        byte += 1;
    }
    table
}

const fn two(letter: u8) -> Escape {
    [b'\\', letter, 0, 0, 0, 0, 0, 2]
}

const fn six(byte: u8) -> Escape {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    [b'\\', b'u', b'0', b'0', HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize], 0, 6]
}
