//! Bytes of journal files, by pread(2): a block of a file that was read a moment ago need not be read again.
//!
//! A field that many entries have lies in the file once, so that reading one entry looks at a few places all over the
//! file, mostly the same ones as for the entry before. Files are not mapped: what their owner takes away under a map is
//! a signal, under pread it is an error.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::parse::journal::{Bytes, JournalError};

const BLOCK: usize = 16 << 10;
/// 1 MiB in all.
const BLOCKS: usize = 64;

/// Blocks of all files. Each has one place where it can be.
#[derive(Default)]
pub(super) struct Blocks {
    blocks: Vec<Block>,
    /// What lies in more than one block.
    long: Vec<u8>,
}

#[derive(Default)]
struct Block {
    /// Number of the file and offset.
    of: Option<(u64, u64)>,
    bytes: Vec<u8>,
}

impl Blocks {
    /// The content of a file that is known here by `number`.
    pub(super) fn of<'a>(&'a mut self, file: &'a File, number: u64) -> FileBytes<'a> {
        FileBytes { blocks: self, file, number }
    }

    /// The file has changed.
    pub(super) fn forget(&mut self, number: u64) {
        for block in self.blocks.iter_mut().filter(|block| block.of.is_some_and(|(of, _)| of == number)) {
            block.of = None;
        }
    }

    /// Frees the memory: nothing is read for now.
    pub(super) fn release(&mut self) {
        *self = Self::default();
    }
}

pub(super) struct FileBytes<'a> {
    blocks: &'a mut Blocks,
    file: &'a File,
    number: u64,
}

impl Bytes for FileBytes<'_> {
    fn at(&mut self, offset: u64, len: usize) -> Result<&[u8], JournalError> {
        let ends = JournalError::Damaged { offset, what: "the file ends here" };
        let Blocks { blocks, long } = &mut *self.blocks;
        let (start, within) = (offset - offset % BLOCK as u64, (offset % BLOCK as u64) as usize);
        if within + len > BLOCK {
            // Memory only for what the file has.
            if self.file.metadata()?.len() < offset.saturating_add(len as u64) {
                return Err(ends);
            }
            long.resize(len, 0);
            return if read_at(self.file, long, offset)? == len { Ok(long) } else { Err(ends) };
        }
        if blocks.is_empty() {
            blocks.resize_with(BLOCKS, Block::default);
        }
        let place = (start / BLOCK as u64).wrapping_add(self.number.wrapping_mul(7)) % BLOCKS as u64;
        let block = &mut blocks[place as usize];
        if block.of != Some((self.number, start)) {
            block.of = None;
            block.bytes.resize(BLOCK, 0);
            let read = read_at(self.file, &mut block.bytes, start)?;
            block.bytes.truncate(read);
            block.of = Some((self.number, start));
        }
        block.bytes.get(within..within + len).ok_or(ends)
    }
}

/// As much as there is, up to the length of `buffer`.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(len) => read += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // An offset that no file has.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
