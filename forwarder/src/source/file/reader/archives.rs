//! Compressed files among the others: which of them have a decoder, and what becomes of those that are examined.

use std::path::Path;
use std::time::Instant;

use super::Reader;
use crate::record::Lost;
use crate::source::clock::realtime_ns;
use crate::source::file::follow::{Examined, Followed, QUIET};
use crate::source::file::known::Candidate;
use crate::source::file::names::is_beside;
use crate::source::file::position::Restart;

/// Compressed files that are unpacked at a time: each takes some 150 KiB.
const MOST_UNPACKED: usize = 4;

impl Reader {
    /// Compressed files are not asked for, and this is one. It is said, once for all.
    pub(super) fn say_left_out(&mut self, number: u64) {
        let Some(file) = self.files.get(&number) else { return };
        if !std::mem::replace(&mut self.said_gzip, true) {
            let (path, advice) =
                (file.path.display(), "`gzip: true` reads what such files hold, and `exclude` leaves them out");
            tracing::warn!("{path} is compressed, and not read; this is said of the first one only; {advice}");
        }
    }

    /// Whether the file may have its turn: a compressed one needs a decoder, and waits for one.
    pub(super) fn may_unpack(&mut self, number: u64) -> bool {
        let is_unpacked = |file: &Followed| file.archive.as_ref().is_some_and(|archive| archive.is_unpacked());
        if self.unpacked.contains(&number) || !self.files.get(&number).is_some_and(is_unpacked) {
            return true;
        }
        if self.unpacked.len() >= MOST_UNPACKED {
            // One that waits for the rest of its file can begin again when that comes.
            let waits = |number: &u64| self.files.get(number).is_none_or(|file| !file.queued);
            let Some(at) = self.unpacked.iter().position(waits) else {
                self.packed.push_back(number);
                return false;
            };
            let parked = self.unpacked.swap_remove(at);
            self.park(parked);
        }
        self.unpacked.push(number);
        true
    }

    /// After a turn: a decoder that is not needed, or by others more, goes to the next one.
    pub(super) fn give_place(&mut self, number: u64) {
        let Some(at) = self.unpacked.iter().position(|unpacked| *unpacked == number) else { return };
        let file = self.files.get(&number);
        let has_decoder = file.and_then(|file| file.archive.as_ref()).is_some_and(|archive| archive.has_decoder());
        let waits = file.is_none_or(|file| !file.queued);
        let is_wanted = waits && !self.packed.is_empty();
        if has_decoder && !is_wanted {
            return;
        }
        self.unpacked.swap_remove(at);
        self.park(number);
        while let Some(next) = self.packed.pop_front() {
            if let Some(file) = self.files.get_mut(&next) {
                // It has been taken out of the queue, but for this.
                file.queued = true;
                self.ready.push_back(next);
                return;
            }
        }
    }

    fn park(&mut self, number: u64) {
        if let Some(archive) = self.files.get_mut(&number).and_then(|file| file.archive.as_mut()) {
            archive.park();
        }
    }

    /// So many bytes of a compressed file can't be used. What comes after them may be.
    pub(super) fn lose_damaged(&mut self, number: u64, lost: u64) {
        let Some(file) = self.files.get_mut(&number) else { return };
        let (path, now_ns) = (file.path.display(), realtime_ns());
        if self.said.insert(file.path.clone()) {
            tracing::error!("{path} is damaged, or goes on with what is not gzip: {lost} bytes of it are lost");
        }
        self.counters.lost_bytes.add(lost);
        let place = format!("in {path}, which is damaged");
        self.lines.output.push_loss(file.origin(), Lost::Bytes(lost), &place, now_ns, now_ns);
        self.rest(number, true);
    }

    /// Looks for whether what a compressed file holds was read under another name.
    pub(super) fn examine(&mut self, number: u64) {
        let Some(mut file) = self.files.remove(&number) else { return };
        let candidates = if file.asks_for_candidates() { self.candidates(&file) } else { Vec::new() };
        let examined = file.examine(candidates, &mut self.buffer);
        let now = Instant::now();
        let file = self.files.entry(number).insert_entry(file).into_mut();
        match examined {
            Ok(Examined::More) => self.make_ready(number),
            Ok(Examined::Wait) => self.set_deadline(number, now + QUIET),
            Ok(Examined::Known(candidate)) => {
                let (path, was) = (file.path.display(), candidate.path.display());
                tracing::info!("{path} is what {was} was: read on where that was left");
                self.known.take(&candidate.key);
                file.go_on_as(candidate);
                self.known.save(file);
                self.make_ready(number);
            }
            Ok(Examined::New) => {
                if file.go_on_as_new() {
                    self.known.save(file);
                }
                self.make_ready(number);
            }
            Err(error) => {
                if self.said.insert(file.path.clone()) {
                    tracing::error!("can't read {}: {error}", file.path.display());
                }
                self.failed.push(number);
                self.retry_later();
            }
        }
    }

    /// A file is gone: that may be what those wait for that are examined.
    pub(super) fn examine_again(&mut self) {
        let waits = |file: &Followed| file.archive.as_ref().is_some_and(|archive| archive.is_examined());
        let waiting: Vec<u64> = self.files.iter().filter(|(_, file)| waits(file)).map(|(number, _)| *number).collect();
        waiting.into_iter().for_each(|number| self.wake(number));
    }

    /// Lets the file have its turn, also where it is a compressed one that waits.
    pub(super) fn wake(&mut self, number: u64) {
        if let Some(archive) = self.files.get_mut(&number).and_then(|file| file.archive.as_mut()) {
            archive.wake();
        }
        self.make_ready(number);
    }

    /// What `packed` may be.
    fn candidates(&self, packed: &Followed) -> Vec<Candidate> {
        let beside = |plain: &Path| packed.names.iter().chain([&packed.path]).any(|name| is_beside(name, plain));
        let mut candidates = self.known.candidates(beside);
        for file in self.files.values().filter(|file| file.archive.is_none()) {
            let Some(content) = file.sums.filter(|sums| !sums.is_empty()) else { continue };
            if file.names.iter().chain([&file.path]).chain(&file.left).any(|name| beside(name)) {
                candidates.push(Candidate {
                    key: file.key.clone(),
                    path: file.path.clone(),
                    fingerprint: file.fingerprint,
                    content,
                    restart: Restart { offset: file.offset(), from: file.offset() },
                    start: file.start,
                    is_open: true,
                    is_named: file.is_named(),
                });
            }
        }
        candidates
    }
}
