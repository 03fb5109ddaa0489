//! Fields that journald has compressed: long ones, each on its own.
//!
//! ```text
//!  LZ4   length of the field u64 · one LZ4 block
//!  zstd  one frame
//!  XZ    one stream
//! ```

use std::io::Read;

use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

use super::{LONGEST_FIELD, u64_at};

const XZ: u8 = 1;
const LZ4: u8 = 1 << 1;
const ZSTD: u8 = 1 << 2;
/// Of XZ's dictionary: journald's are of 1 MiB.
const MOST_MEMORY_KIB: u32 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Xz,
    Lz4,
    Zstd,
}

impl Compression {
    /// By the flags of a data object; `None` where they say what can't be.
    pub(super) fn of(flags: u8) -> Option<Option<Self>> {
        match flags {
            0 => Some(None),
            XZ => Some(Some(Self::Xz)),
            LZ4 => Some(Some(Self::Lz4)),
            ZSTD => Some(Some(Self::Zstd)),
            _ => None,
        }
    }
}

/// Adds what `input` holds to `out`, up to [`LONGEST_FIELD`]; returns how long it is, as far as that is known.
pub(super) fn decompress(compression: Compression, input: &[u8], out: &mut Vec<u8>) -> Result<u64, &'static str> {
    match compression {
        Compression::Lz4 => lz4(input, out),
        Compression::Zstd => {
            let frame = StreamingDecoder::new(input).map_err(|_| "no frame of zstd")?;
            read(frame, out).ok_or("a damaged frame of zstd")
        }
        Compression::Xz => {
            read(XzReader::new_mem_limit(input, false, MOST_MEMORY_KIB), out).ok_or("a damaged stream of XZ")
        }
    }
}

fn lz4(input: &[u8], out: &mut Vec<u8>) -> Result<u64, &'static str> {
    let (len, block) = input.split_at_checked(8).ok_or("a block of LZ4 without its length")?;
    let len = u64_at(len, 0);
    let room =
        usize::try_from(len).ok().filter(|len| *len <= LONGEST_FIELD).ok_or("a block of LZ4 that is too long")?;
    // A byte of a block stands for at most 255: what claims more must not have memory for it.
    if room > block.len().saturating_mul(255) {
        return Err("a block of LZ4 that is shorter than it says");
    }
    let start = out.len();
    out.resize(start + room, 0);
    match lz4_flex::block::decompress_into(block, &mut out[start..]) {
        Ok(read) if read == room => Ok(len),
        _ => Err("a damaged block of LZ4"),
    }
}

/// Reads one byte more than is wanted, to see that there is more.
fn read(input: impl Read, out: &mut Vec<u8>) -> Option<u64> {
    let start = out.len();
    let read = input.take(LONGEST_FIELD as u64 + 1).read_to_end(out).ok()?;
    out.truncate(start + read.min(LONGEST_FIELD));
    Some(read as u64)
}
