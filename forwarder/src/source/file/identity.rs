//! Which file it is, whatever it is called: device, inode, time of birth, and how it begins.
//!
//! An inode number is given to another file soon after a file was deleted, and a file that was copied and truncated
//! keeps all its numbers. What tells them apart is how they begin: a [`Fingerprint`] covers the first bytes, as many
//! as there were, up to 1024. It grows with the file, so that a file of one line is known by that line.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, StatxFlags, statx};

use crate::state::FileMark;

/// Bytes that a fingerprint covers at most.
pub(super) const MOST: usize = 1024;

/// The numbers of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::source) struct FileId {
    pub(in crate::source) device: u64,
    pub(in crate::source) inode: u64,
}

/// How a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// Bytes that it covers.
    pub(super) len: usize,
    hash: u64,
}

impl Fingerprint {
    /// Of the first bytes of a file.
    pub(super) fn of(start: &[u8]) -> Self {
        let start = &start[..start.len().min(MOST)];
        let (words, rest) = start.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // FNV-1a by words: it only has to tell files apart that nobody made alike on purpose, and must stay what it is.
        let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        let hash = words.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| step(hash, u64::from_le_bytes(*word)));
        Self { len: start.len(), hash: step(step(hash, u64::from_le_bytes(last)), start.len() as u64) }
    }

    pub(super) fn of_mark(mark: &FileMark) -> Self {
        Self { len: mark.len, hash: mark.hash }
    }

    /// Whether a file that starts with these bytes (the first [`MOST`], or all it has) may be the same.
    pub(super) fn fits(self, start: &[u8]) -> bool {
        start.len() >= self.len && Self::of(&start[..self.len]) == self
    }
}

/// The first bytes of a file, at most [`MOST`].
pub(super) fn start_of<'a>(file: &File, buffer: &'a mut [u8; MOST]) -> io::Result<&'a [u8]> {
    let mut len = 0;
    while len < MOST {
        match file.read_at(&mut buffer[len..], len as u64) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(&buffer[..len])
}

/// When the file was made, ns since the epoch; 0 where its file system does not say.
pub(super) fn born_ns(file: &File) -> i64 {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME) {
        Ok(found) if found.stx_mask & StatxFlags::BTIME.bits() != 0 => {
            found.stx_btime.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(found.stx_btime.tv_nsec))
        }
        _ => 0,
    }
}

/// The mark by which a later run knows the file again.
pub(super) fn mark(id: FileId, born_ns: i64, fingerprint: Fingerprint, path: &std::path::Path, start: u64) -> FileMark {
    FileMark {
        device: id.device,
        inode: id.inode,
        born_ns,
        len: fingerprint.len,
        hash: fingerprint.hash,
        start,
        path: path.to_owned(),
        content: None,
        gzip: None,
        seen_s: crate::source::clock::realtime_ns() / 1_000_000_000,
    }
}

/// Whether `mark` is of the file with these numbers, time of birth and first bytes.
pub(super) fn is_marked(mark: &FileMark, id: FileId, born_ns: i64, start: &[u8]) -> bool {
    let same_birth = mark.born_ns == born_ns || mark.born_ns == 0 || born_ns == 0;
    (mark.device, mark.inode) == (id.device, id.inode) && same_birth && Fingerprint::of_mark(mark).fits(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_file_that_grew_is_the_same_and_one_that_changed_is_not(
            start in proptest::collection::vec(any::<u8>(), 1..2000),
            more in proptest::collection::vec(any::<u8>(), 0..2000),
            at: proptest::sample::Index,
        ) {
            let mark = Fingerprint::of(&start);
            prop_assert_eq!(mark.len, start.len().min(MOST));
            let mut grown = [start.clone(), more].concat();
            prop_assert!(mark.fits(&grown[..grown.len().min(MOST)]));
            grown[at.index(mark.len)] ^= 1;
            prop_assert!(!mark.fits(&grown[..grown.len().min(MOST)]));
            prop_assert!(!mark.fits(&start[..mark.len - 1]));
        }
    }

    #[test]
    fn what_is_stored_means_the_same_in_every_version() {
        assert_eq!(Fingerprint::of(b"the first line\n").hash, 0x9ae8_4789_d35b_5fe8);
        assert_ne!(Fingerprint::of(b"a").hash, Fingerprint::of(b"a\0").hash);
        assert_ne!(Fingerprint::of(b""), Fingerprint::of(b"\0"));
    }
}
