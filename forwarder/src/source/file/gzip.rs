//! Gzip (RFC 1952) of a file that may still grow, piece by piece.
//!
//! In: a file that begins with [`MAGIC`], or a place in it where a member begins. Out: what its members hold, one after
//! the other, in pieces that the caller bounds: however much a few bytes stand for, no more memory is taken. Each
//! member's length and CRC are looked at. Zeros between members and behind the last one are padding.

use std::fs::File;
use std::io;

use flate2::{Decompress, FlushDecompress, Status};

use super::follow::read_at;

/// How every member begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes that are read for a piece.
const INPUT: usize = 16 << 10;
/// Of deflate's window: what gzip always has.
const WINDOW_BITS: u8 = 15;

/// Whether a file that begins so is compressed; `None` where it is too short to say.
pub(super) fn is_gzip(start: &[u8]) -> Option<bool> {
    match start {
        [] | [0x1f] => None,
        _ => Some(start.starts_with(&MAGIC)),
    }
}

/// What a piece came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpacked {
    More,
    /// The file ends within a member: it is not written to its end yet.
    Short,
    /// The file ends where a member does.
    End,
    /// What follows is not gzip, or not what was compressed.
    Damaged,
}

/// Where unpacking is.
pub(super) struct Unpacker {
    /// `None` between members.
    member: Option<Decompress>,
    /// Offset in the file of what is not unpacked yet.
    packed: u64,
    /// Bytes that the file holds before that.
    unpacked: u64,
}

impl Unpacker {
    /// From the member on that begins at `packed` in the file, before which it holds `unpacked` bytes.
    pub(super) fn new(packed: u64, unpacked: u64) -> Self {
        Self { member: None, packed, unpacked }
    }

    pub(super) fn packed(&self) -> u64 {
        self.packed
    }

    pub(super) fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// Adds at most `most` bytes to `out`. `buffer` is for what is read.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn unpack(
        &mut self,
        file: &File,
        buffer: &mut [u8],
        out: &mut Vec<u8>,
        most: usize,
    ) -> io::Result<Unpacked> {
        let room = buffer.len().min(INPUT);
        let len = read_at(file, &mut buffer[..room], self.packed)?;
        let at_end = len < room;
        let mut input = &buffer[..len];
        let full = out.len() + most;
        out.reserve_exact(most);
        while !input.is_empty() && out.len() < full {
            let Some(member) = &mut self.member else {
                let padding = input.iter().take_while(|byte| **byte == 0).count();
                self.packed += padding as u64;
                input = &input[padding..];
                match is_gzip(input) {
                    Some(true) => self.member = Some(Decompress::new_gzip(WINDOW_BITS)),
                    Some(false) => return Ok(Unpacked::Damaged),
                    None if input.is_empty() => {}
                    None => return Ok(if at_end { Unpacked::Short } else { Unpacked::More }),
                }
                continue;
            };
            let (read, given) = (member.total_in(), member.total_out());
            let status = member.decompress_vec(input, out, FlushDecompress::None);
            let (read, given) = (member.total_in() - read, member.total_out() - given);
            self.packed += read;
            self.unpacked += given;
            input = &input[usize::try_from(read).unwrap_or(input.len()).min(input.len())..];
            match status {
                Ok(Status::StreamEnd) => self.member = None,
                // What it is given next is what it waits for.
                Ok(Status::Ok | Status::BufError) if read > 0 || given > 0 => {}
                _ => return Ok(Unpacked::Damaged),
            }
        }
        // What was read and not used is read again: `out` is full.
        if !at_end || !input.is_empty() {
            return Ok(Unpacked::More);
        }
        match &mut self.member {
            None => Ok(Unpacked::End),
            // The decoder may still hold what had no room.
            Some(_) if out.len() >= full => Ok(Unpacked::More),
            Some(_) => Ok(Unpacked::Short),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    /// All that a file gives in pieces of `most`, and how that ended.
    fn unpack(file: &File, most: usize) -> (Vec<u8>, Unpacked, u64) {
        let (mut unpacker, mut out, mut buffer) = (Unpacker::new(0, 0), Vec::new(), vec![0; 64 << 10]);
        loop {
            let before = out.len();
            let end = unpacker.unpack(file, &mut buffer, &mut out, most).unwrap();
            assert!(out.len() - before <= most.max(out.capacity() - before), "more than there was room for");
            assert_eq!(out.len() as u64, unpacker.unpacked());
            if end != Unpacked::More {
                return (out, end, unpacker.packed());
            }
        }
    }

    proptest! {
        #[test]
        fn members_one_after_the_other_and_cut_anywhere(
            members in proptest::collection::vec(proptest::collection::vec(0..8u8, 0..40_000), 1..5),
            padding in 0..600usize,
            most in 1..70_000usize,
            cut: proptest::sample::Index,
        ) {
            let most = most.max(500);
            let mut content: Vec<u8> = members.iter().flat_map(|member| packed(member)).collect();
            let whole = content.len();
            content.resize(whole + padding, 0);
            let expected = members.concat();
            prop_assert_eq!(unpack(&file(&content), most), (expected.clone(), Unpacked::End, content.len() as u64));
            let cut = cut.index(whole);
            let (begun, end, _) = unpack(&file(&content[..cut]), most);
            prop_assert!(expected.starts_with(&begun) && matches!(end, Unpacked::Short | Unpacked::End), "{end:?}");
        }

        #[test]
        fn damage_is_an_end_and_never_a_panic(
            content in proptest::collection::vec(0..4u8, 1..20_000),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), 1..=255u8), 1..4),
        ) {
            let mut bytes = packed(&content);
            damage.iter().for_each(|(at, xor)| { let at = at.index(bytes.len()); bytes[at] ^= xor });
            let (_, end, used) = unpack(&file(&bytes), 8192);
            prop_assert!(end != Unpacked::More && used <= bytes.len() as u64);
        }
    }

    #[test]
    fn what_grows_is_gone_on_with() {
        let bytes = [packed(b"first\n"), packed(b"second\n")].concat();
        let mut file = tempfile::tempfile().unwrap();
        let (mut unpacker, mut out, mut buffer) = (Unpacker::new(0, 0), Vec::new(), vec![0; 4096]);
        for byte in &bytes {
            file.write_all(&[*byte]).unwrap();
            let end = unpacker.unpack(&file, &mut buffer, &mut out, 100).unwrap();
            assert!(matches!(end, Unpacked::Short | Unpacked::End), "{end:?}");
        }
        assert_eq!((out.as_slice(), unpacker.packed()), (&b"first\nsecond\n"[..], bytes.len() as u64));
    }

    #[test]
    fn what_follows_and_is_none_is_told_by_its_place() {
        let member = packed(b"all\n");
        let (out, end, used) = unpack(&file(&[&member[..], b"\0\0garbage"].concat()), 4096);
        assert_eq!((out.as_slice(), end, used), (&b"all\n"[..], Unpacked::Damaged, member.len() as u64 + 2));
    }

    #[test]
    fn much_out_of_little_comes_in_bounded_pieces() {
        let zeros = packed(&vec![0; 64 << 20]);
        let (file, mut buffer) = (file(&zeros), vec![0; 64 << 10]);
        let (mut unpacker, mut out, mut pieces) = (Unpacker::new(0, 0), Vec::new(), 0);
        while unpacker.unpack(&file, &mut buffer, &mut out, 64 << 10).unwrap() != Unpacked::End {
            assert!(out.capacity() <= 128 << 10, "{}", out.capacity());
            out.clear();
            pieces += 1;
        }
        assert!(unpacker.unpacked() == 64 << 20 && pieces >= 1000, "{pieces}");
    }
}
