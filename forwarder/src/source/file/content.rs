//! What was read of a file, by its sum: so that it is known again when it was compressed, and is another file by all its
//! numbers.
//!
//! Generations of one log may begin alike for long. So the sum (CRC-32) is of everything that was read, and of what had
//! been read when the file was renamed last: what a writer adds after that may not be in the compressed file.

use crc32fast::Hasher;

use crate::state::{ContentMark, ContentSum};

impl ContentMark {
    /// Nothing was read yet, and reading begins at `from`.
    pub(super) fn new(from: u64) -> Self {
        Self { from, read: ContentSum { to: from, crc: 0 }, renamed: None }
    }

    /// `data`, at `offset`, was read. What was read before may come again.
    pub(super) fn add(&mut self, data: &[u8], offset: u64) {
        if offset > self.read.to {
            // Something between was not seen: what is known begins anew.
            *self = Self::new(offset);
        }
        let known = usize::try_from(self.read.to - offset).unwrap_or(usize::MAX);
        if let Some(new) = data.get(known..) {
            self.read = ContentSum { to: self.read.to + new.len() as u64, crc: more(self.read.crc, new) };
        }
    }

    /// The file has another name.
    pub(super) fn rename(&mut self) {
        self.renamed = Some(self.read);
    }

    /// Where reading began behind the beginning, that the content is so long is something.
    fn sums(&self) -> impl Iterator<Item = ContentSum> {
        self.renamed.into_iter().chain([self.read]).filter(|sum| sum.to > 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sums().next().is_none()
    }
}

fn more(crc: u32, data: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(crc);
    hasher.update(data);
    hasher.finalize()
}

/// A content is looked at, from its beginning on, for which of several files it is.
pub(super) struct Comparison {
    at: u64,
    /// Sums of what was seen from an offset on.
    running: Vec<(u64, u32)>,
    /// By where they end.
    checks: Vec<Check>,
    next: usize,
    /// For each file, the end of the longest sum that was come to, where that held.
    found: Vec<Option<u64>>,
}

struct Check {
    file: usize,
    from: u64,
    sum: ContentSum,
}

impl Comparison {
    pub(super) fn new<'a>(files: impl Iterator<Item = &'a ContentMark>) -> Self {
        let (mut running, mut checks, mut count) = (Vec::new(), Vec::new(), 0);
        for (file, mark) in files.enumerate() {
            count = file + 1;
            if !running.iter().any(|(from, _)| *from == mark.from) {
                running.push((mark.from, 0));
            }
            checks.extend(mark.sums().map(|sum| Check { file, from: mark.from, sum }));
        }
        checks.sort_by_key(|check| check.sum.to);
        Self { at: 0, running, checks, next: 0, found: vec![None; count] }
    }

    /// The content goes on with `data`.
    pub(super) fn add(&mut self, mut data: &[u8]) {
        while let Some(check) = self.checks.get(self.next) {
            let len = usize::try_from(check.sum.to - self.at).unwrap_or(usize::MAX).min(data.len());
            let (now, later) = data.split_at(len);
            for (from, crc) in &mut self.running {
                let before = usize::try_from(from.saturating_sub(self.at)).unwrap_or(usize::MAX);
                *crc = now.get(before..).map_or(*crc, |now| more(*crc, now));
            }
            self.at += len as u64;
            data = later;
            if self.at < check.sum.to {
                return;
            }
            let crc = self.running.iter().find(|(from, _)| *from == check.from).map(|(_, crc)| *crc);
            self.found[check.file] = (crc == Some(check.sum.crc)).then_some(check.sum.to);
            self.next += 1;
        }
    }

    /// Nothing that follows would say more.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.checks.len()
    }

    /// The file that most of it was read of.
    pub(super) fn best(&self) -> Option<usize> {
        let found = self.found.iter().enumerate().filter_map(|(file, to)| Some(((*to)?, file)));
        found.max_by_key(|(to, _)| *to).map(|(_, file)| file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(content: &[u8], from: u64) -> ContentMark {
        let mut mark = ContentMark::new(from);
        mark.add(&content[from as usize..], from);
        mark
    }

    fn best(files: &[ContentMark], content: &[u8], piece: usize) -> Option<usize> {
        let mut comparison = Comparison::new(files.iter());
        content.chunks(piece).for_each(|piece| comparison.add(piece));
        comparison.best()
    }

    #[test]
    fn of_generations_that_begin_alike_the_one_that_was_read_farthest() {
        let content = b"start\n1\n2\n3\n";
        let files =
            [read(b"start\n", 0), read(b"start\n1\n", 0), read(b"start\n2\n", 0), read(b"start\n1\n2\n3\n4\n", 0)];
        assert_eq!(best(&files, content, 3), Some(1));
        assert_eq!(best(&files[2..], content, 3), None);
        assert_eq!(best(&[], content, 3), None);
        assert!(ContentMark::new(0).is_empty() && !files[0].is_empty());
        assert_eq!(best(&[ContentMark::new(content.len() as u64 + 1), ContentMark::new(7)], content, 3), Some(1));
    }

    #[test]
    fn what_was_written_after_the_renaming_need_not_be_in_it() {
        let mut file = read(b"1\n2\n", 0);
        file.rename();
        file.add(b"late\n", 4);
        assert_eq!(best(std::slice::from_ref(&file), b"1\n2\n", 3), Some(0));
        assert_eq!(best(std::slice::from_ref(&file), b"1\n2\nlate\n", 3), Some(0));
        assert_eq!(best(&[file], b"1\n2\nother\n", 3), None);
    }

    proptest! {
        #[test]
        fn known_again_however_it_was_read_and_comes(
            content in proptest::collection::vec(any::<u8>(), 1..3000),
            from: proptest::sample::Index,
            to: proptest::sample::Index,
            change: proptest::sample::Index,
            step in 1..500usize,
            back in 0..400usize,
            piece in 1..700usize,
        ) {
            let from = from.index(content.len());
            let to = from + 1 + to.index(content.len() - from);
            let mut mark = ContentMark::new(from as u64);
            // Each step begins in what the one before has read.
            for at in (from..to).step_by(step) {
                let begin = at.saturating_sub(back).max(from);
                mark.add(&content[begin..(at + step).min(to)], begin as u64);
            }
            prop_assert_eq!(mark, read(&content[..to], from as u64));
            prop_assert_eq!(best(std::slice::from_ref(&mark), &content, piece), Some(0));
            let mut other = content;
            other[from + change.index(to - from)] ^= 1;
            prop_assert_eq!(best(&[mark], &other, piece), None);
        }
    }
}
