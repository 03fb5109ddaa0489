//! Files that have no name any more and are not read to their end. They take room on the disk that nobody else can give
//! back: for how long, and how much of it, a selection may bound. What is given up is counted lost, in bytes.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Reader;
use crate::record::Lost;
use crate::source::clock::realtime_ns;

/// Between two looks at what is held.
const LOOK: Duration = Duration::from_secs(1);

/// Those that have a bound.
#[derive(Default)]
pub(super) struct Deleted {
    /// Since when, the oldest first.
    files: Vec<(u64, Instant)>,
    next_look: Option<Instant>,
}

impl Deleted {
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }
}

impl Reader {
    /// The file has lost its last name.
    pub(super) fn bound_deleted(&mut self, number: u64) {
        let Some(file) = self.files.get(&number) else { return };
        if file.selection.deleted_time.is_some() || file.selection.deleted_bytes.is_some() {
            let now = Instant::now();
            self.deleted.files.retain(|(other, _)| *other != number);
            self.deleted.files.push((number, now));
            // Not at once: what can be read is read meanwhile.
            self.deleted.next_look.get_or_insert(now + LOOK);
        }
    }

    /// Gives up what is beyond the bounds: of too many bytes the oldest files, each as a whole.
    pub(super) fn keep_bounds(&mut self, now: Instant) {
        if self.deleted.next_look.is_none_or(|next| next > now) {
            return;
        }
        let mut deleted = std::mem::take(&mut self.deleted.files);
        deleted.retain(|(number, _)| self.files.get(number).is_some_and(|file| !file.is_named()));
        let mut held = HashMap::new();
        let is_beyond = |(number, since): &(u64, Instant)| {
            let Some(file) = self.files.get(number) else { return false };
            let (selection, unread) = (&file.selection, file.unread());
            let held: &mut u64 = held.entry(Rc::as_ptr(selection)).or_default();
            *held += unread;
            let is_late = selection.deleted_time.is_some_and(|limit| now.duration_since(*since) >= limit);
            unread > 0 && (is_late || selection.deleted_bytes.is_some_and(|limit| *held > limit))
        };
        let beyond: Vec<bool> = deleted.iter().rev().map(is_beyond).collect();
        let (given_up, kept) =
            deleted.into_iter().zip(beyond.into_iter().rev()).partition::<Vec<_>, _>(|(_, beyond)| *beyond);
        self.deleted.files = kept.into_iter().map(|(file, _)| file).collect();
        self.deleted.next_look = (!self.deleted.files.is_empty()).then(|| now + LOOK);
        given_up.into_iter().for_each(|((number, _), _)| self.give_up(number));
    }

    fn give_up(&mut self, number: u64) {
        self.clear_deadline(number);
        let Some(mut file) = self.files.remove(&number) else { return };
        file.flush_parts(&mut self.lines);
        let (lost, path, now_ns) = (file.unread(), file.path.display(), realtime_ns());
        tracing::warn!("{path} was deleted and is not waited for any longer: {lost} bytes of it are lost");
        self.counters.lost_bytes.add(lost);
        let place = format!("of {path}, which was deleted before it was read");
        self.lines.output.push_loss(file.origin(), Lost::Bytes(lost), &place, now_ns, now_ns);
        self.by_id.remove(&file.id);
        self.known.add_gone(&file);
        self.retry_later();
        self.give_place(number);
        self.examine_again();
    }
}
