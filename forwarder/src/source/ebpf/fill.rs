//! Fills the gaps of a captured stream from its container's log file.
//!
//! ```text
//!  captured   … recent │ gap of n bytes │ head …
//!  log file   … recent │ n bytes        │ head …      taken only where both ends and the length fit
//! ```
//!
//! A gap that is not in the file yet is asked for again. A long one comes in parts of [`MAX_PART`] bytes. Where the one
//! gap ended in the file is remembered, so that the next one is found by counting, and compared with what was captured
//! before it: of many gaps in a flood each byte of the file is read once.
//!
//! Not filled, and reported as lost: gaps of terminals (the terminal changes what is written), of Docker's log where it
//! has replaced invalid UTF-8 (the length says nothing then), and what the runtime has rotated away or compressed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::record::Stream;
use crate::source::container::{LogFile, LogFormat};
use crate::source::logfile::overlap::{docker_view, find_overlap};
use crate::source::logfile::{Anchor, Pieces, ReadError, Recent, Series};

/// Bytes of a gap that are handed over at once, and about as many are held for each place that is remembered.
const MAX_PART: usize = 256 << 10;
/// Bytes behind a gap that are compared.
pub(super) const HEAD_BYTES: usize = 4 << 10;
/// Bytes behind a gap without which nothing is believed about its end.
const MIN_HEAD_BYTES: usize = 16;
/// Payload in which the end of what was captured is looked for, and how much of it at once.
const MAX_WINDOW: usize = 16 << 20;
const WINDOW: usize = 64 << 10;
/// A runtime may stamp the parts of a long line with the time of the first one.
const STAMP_SLACK_NS: i64 = 1_000_000_000;
/// Places in files that are remembered, and for how long: with [`MAX_PART`] the memory that filling takes, 8 MiB.
const MAX_PLACES: usize = 32;
const FORGET: Duration = Duration::from_secs(60);
/// Pause after the first look that found nothing; it doubles, up to 64 times as much.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(4);
/// How long a gap of which nothing is found is looked for: runtimes write a line when it has ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// U+FFFD, which Docker puts in place of each invalid byte.
const REPLACED: &[u8] = "\u{fffd}".as_bytes();

/// Where the runtime keeps what a container prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerLog {
    /// The container's id.
    pub container: String,
    pub file: LogFile,
}

/// A gap in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Its offset in the stream, and its length.
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// What was handed on last before it.
    pub(super) before: Anchor,
    /// The first bytes behind it, as far as there is no other gap.
    pub(super) head: Vec<u8>,
}

pub(super) struct FillQuestion {
    /// See [`super::backlog::Pending::open`].
    pub(super) open: Weak<()>,
    pub(super) target: u32,
    pub(super) file: LogFile,
    pub(super) stream: Stream,
    pub(super) gap: Gap,
    /// What is not in the file by now will not come.
    pub(super) is_last_attempt: bool,
}

/// The gap of a stream while it is filled.
#[derive(Default)]
pub(super) struct Filling {
    /// As [`super::backlog::Pending::open`].
    open: Option<Arc<()>>,
    /// When nothing more of it was found, and how often since.
    since: Option<Instant>,
    looks: u32,
    ask_at: Option<Instant>,
}

impl Filling {
    /// Whether it is time for a question; if so, what it is told by and whether it is the last one.
    pub(super) fn ask(&mut self) -> Option<(Weak<()>, bool)> {
        if self.open.is_some() || self.ask_at.is_some_and(|at| at > Instant::now()) {
            return None;
        }
        let open = Arc::new(());
        let asked = Arc::downgrade(&open);
        self.open = Some(open);
        Some((asked, self.since.get_or_insert_with(Instant::now).elapsed() > PATIENCE))
    }

    /// An answer came. `false`: to a stale question.
    pub(super) fn answered(&mut self, open: &Weak<()>, fill: &Fill) -> bool {
        if self.open.as_ref().is_none_or(|current| !std::ptr::eq(Arc::as_ptr(current), open.as_ptr())) {
            return false;
        }
        self.open = None;
        if *fill == Fill::NotYet {
            let pause = FIRST_PAUSE * 2u32.saturating_pow(self.looks.min(6));
            self.looks += 1;
            self.ask_at = Some(Instant::now() + pause);
        } else {
            *self = Self::default();
        }
        true
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// The gap, or its first bytes.
    Found(Pieces),
    NotYet,
    /// The log file can't fill it.
    Never(String),
}

/// A place in a log file.
struct Place {
    series: Series,
    stream: Stream,
    /// Offset in the captured stream of the first byte of `ahead`.
    offset: u64,
    /// What was read and not taken.
    ahead: Pieces,
    /// What was before that.
    passed: Recent,
    used: Instant,
}

enum Arrival {
    Here,
    /// The file is not that far.
    Later,
    /// What was captured before the gap is not here.
    Elsewhere,
}

/// Answers questions, one at a time. Remembers places by their target.
#[derive(Default)]
pub(super) struct Filler {
    places: HashMap<u32, Place>,
}

impl Filler {
    pub(super) fn find(&mut self, question: &FillQuestion) -> Fill {
        if question.open.strong_count() == 0 {
            return Fill::NotYet;
        }
        match self.look(question) {
            Ok(found) => found,
            // A rotation is a moment without a file.
            Err(error) if question.is_last_attempt => Fill::Never(error.to_string()),
            Err(_) => Fill::NotYet,
        }
    }

    fn look(&mut self, question: &FillQuestion) -> Result<Fill, ReadError> {
        self.places.retain(|_, place| place.used.elapsed() < FORGET);
        let known = self.places.remove(&question.target).filter(|place| place.offset <= question.gap.offset);
        if let Some(mut place) = known {
            let found = match place.advance_to(question)? {
                Arrival::Here => Some(place.take(question)?).filter(|found| !matches!(found, Fill::Never(_))),
                Arrival::Later if !question.is_last_attempt => Some(Fill::NotYet),
                Arrival::Later | Arrival::Elsewhere => None,
            };
            if let Some(found) = found {
                self.remember(question.target, place);
                return Ok(found);
            }
            // Something else than what was counted on: it is looked for by content.
        }
        let Some(mut place) = Place::find(question)? else {
            let why = "what was captured before is not in the log file";
            return Ok(if question.is_last_attempt { Fill::Never(why.into()) } else { Fill::NotYet });
        };
        let found = place.take(question)?;
        self.remember(question.target, place);
        Ok(found)
    }

    fn remember(&mut self, target: u32, place: Place) {
        if self.places.len() >= MAX_PLACES
            && let Some(oldest) = self.places.iter().min_by_key(|(_, place)| place.used).map(|(target, _)| *target)
        {
            self.places.remove(&oldest);
        }
        self.places.insert(target, Place { used: Instant::now(), ..place });
    }
}

impl Place {
    /// Where the gap begins in the log file, by content.
    fn find(question: &FillQuestion) -> Result<Option<Self>, ReadError> {
        let Gap { offset, bytes, before, head } = &question.gap;
        let since_ns = before.from_ns - STAMP_SLACK_NS;
        let series = Series::open(&question.file, since_ns, u64::MAX)?;
        let mut place = Self {
            series,
            stream: question.stream,
            offset: *offset,
            ahead: Pieces::default(),
            passed: Recent::default(),
            used: Instant::now(),
        };
        if before.bytes.is_empty() {
            // Nothing was captured before it: its end tells.
            place.read_ahead(MAX_PART)?;
            let end = find_overlap(place.ahead.bytes(), &question.as_logged(head));
            let begins = end.and_then(|end| end.checked_sub(usize::try_from(*bytes).ok()?));
            return Ok(begins.map(|begins| place.skip(begins)));
        }
        let before = Anchor { bytes: question.as_logged(&before.bytes), ..before.clone() };
        let mut looked = 0;
        while looked < MAX_WINDOW {
            let is_end = !place.read_ahead(WINDOW + before.bytes.len())?;
            if let Some(begins) = before.end_in(&place.ahead, question.is_last_attempt) {
                return Ok(Some(place.skip(begins)));
            }
            if is_end {
                break;
            }
            // It may begin at the end of what was looked at.
            let done = place.ahead.bytes().len() - (before.bytes.len() - 1);
            place = place.skip(done);
            looked += done;
        }
        Ok(None)
    }

    /// Leaves out what is ahead and not part of what is counted.
    fn skip(mut self, bytes: usize) -> Self {
        self.ahead = self.ahead.after(bytes);
        self
    }

    /// Goes on to where the gap begins, by counting, and compares what was captured before it.
    fn advance_to(&mut self, question: &FillQuestion) -> Result<Arrival, ReadError> {
        let gap = &question.gap;
        while self.offset < gap.offset {
            let left = usize::try_from(gap.offset - self.offset).unwrap_or(usize::MAX);
            self.read_ahead(left.min(MAX_PART))?;
            let passed = left.min(self.ahead.bytes().len());
            if passed == 0 {
                return Ok(Arrival::Later);
            }
            self.pass(passed);
        }
        let (here, before) = (self.passed.anchor().bytes, question.as_logged(&gap.before.bytes));
        let is_here = here.ends_with(&before) || before.ends_with(&here);
        Ok(if is_here { Arrival::Here } else { Arrival::Elsewhere })
    }

    fn pass(&mut self, bytes: usize) -> Pieces {
        let passed = self.ahead.take(bytes);
        self.passed.push(passed.bytes(), 0);
        self.offset += bytes as u64;
        passed
    }

    /// Takes the gap, or a part of it, where what follows fits.
    fn take(&mut self, question: &FillQuestion) -> Result<Fill, ReadError> {
        let gap = &question.gap;
        let bytes = usize::try_from(gap.bytes).unwrap_or(usize::MAX);
        let head = question.as_logged(&gap.head);
        let wanted = bytes.min(MAX_PART);
        self.read_ahead(wanted + HEAD_BYTES)?;
        let there = self.ahead.bytes();
        if memchr::memmem::find(&there[..wanted.min(there.len())], REPLACED).is_some()
            && question.file.format == LogFormat::DockerJson
        {
            return Ok(Fill::Never("its log file has replaced what is not UTF-8".into()));
        }
        let part = if there.len() < wanted || wanted < bytes {
            // What comes after it is not there yet, or too far away.
            wanted.min(there.len())
        } else {
            let behind = &there[bytes..];
            let common = behind.len().min(head.len());
            if behind[..common] != head[..common] {
                return Ok(Fill::Never("its log file goes on differently".into()));
            }
            if common < head.len().min(MIN_HEAD_BYTES) && !question.is_last_attempt {
                return Ok(Fill::NotYet);
            }
            bytes
        };
        if part == 0 {
            let why = || "it is not in the log file".to_owned();
            return Ok(if question.is_last_attempt { Fill::Never(why()) } else { Fill::NotYet });
        }
        Ok(Fill::Found(self.pass(part)))
    }

    /// Reads until `wanted` bytes are ahead. `false`: the file has no more.
    fn read_ahead(&mut self, wanted: usize) -> Result<bool, ReadError> {
        while self.ahead.bytes().len() < wanted {
            let Some(chunk) = self.series.next_chunk()? else { return Ok(false) };
            if chunk.stream == self.stream {
                self.ahead.push(chunk.time_ns, &chunk.payload);
            }
        }
        Ok(true)
    }
}

impl FillQuestion {
    /// Captured bytes as the log file has them.
    fn as_logged(&self, captured: &[u8]) -> Vec<u8> {
        match self.file.format {
            LogFormat::DockerJson => docker_view(captured).into_owned(),
            LogFormat::Cri | LogFormat::K8sFile => captured.to_vec(),
        }
    }
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
