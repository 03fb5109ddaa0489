//! Of records that are the same and come again within a window, the first goes on, and one that says how often they came.
//!
//! The same are records of one origin and severity whose text is the same; or, where fields are named, these fields. The
//! window begins with the first one, by the records' own times. When it has ended, a record with the same text says how
//! often it came again: `"repeated":41`, and between which times.
//!
//! Limits: [`MOST_TEXTS`] texts are remembered, of [`MOST_BYTES`] in all; the oldest window ends where there are more. A
//! text longer than [`LONGEST`] always goes on.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Context, Report, Verdict, time_text};
use crate::record::{Flags, OriginHandle, RecordMeta};
use crate::shape::draft::Draft;
use crate::shape::spec::Deduplicate;
use crate::shape::subject::{OfDraft, Subject};

const MOST_TEXTS: usize = 2048;
const MOST_BYTES: usize = 1 << 20;
const LONGEST: usize = 16 << 10;

pub(super) struct Deduplicating {
    by: Vec<String>,
    window_ns: i64,
    known: HashMap<Arc<[u8]>, Known>,
    /// In the order in which their windows began.
    order: VecDeque<Arc<[u8]>>,
    bytes: usize,
    /// Of how many texts repeats were discarded, and not reported.
    waiting: usize,
    /// Of the last record.
    last_ns: i64,
}

/// A record that went on.
struct Known {
    origin: OriginHandle,
    meta: RecordMeta,
    body: Vec<u8>,
    until_ns: i64,
    repeated: u64,
    from_ns: i64,
    to_ns: i64,
}

impl Deduplicating {
    pub(super) fn new(deduplicate: &Deduplicate) -> Self {
        Self {
            by: deduplicate.by.clone(),
            window_ns: i64::try_from(deduplicate.window.as_nanos()).unwrap_or(i64::MAX),
            known: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            waiting: 0,
            last_ns: 0,
        }
    }

    pub(super) fn run(&mut self, draft: &Draft, context: &mut Context<'_>) -> Verdict {
        let now = draft.meta().time_ns;
        self.last_ns = now;
        while let Some(first) = self.order.front()
            && self.known.get(first).is_none_or(|known| known.until_ns <= now)
        {
            self.end_first(context.reports);
        }
        if draft.body.len as usize > LONGEST {
            return Verdict::Goes;
        }
        self.put_key(draft, context);
        if context.scratch.len() > 2 * LONGEST {
            return Verdict::Goes;
        }
        if let Some(known) = self.known.get_mut(context.scratch.as_slice()) {
            if known.repeated == 0 {
                known.from_ns = now;
                self.waiting += 1;
            }
            known.repeated += 1;
            known.to_ns = now;
            return Verdict::Discarded;
        }
        let key: Arc<[u8]> = context.scratch.as_slice().into();
        let body = draft.bytes(draft.body).to_vec();
        self.bytes += key.len() + body.len();
        while self.order.len() >= MOST_TEXTS || (self.bytes > MOST_BYTES && !self.order.is_empty()) {
            self.end_first(context.reports);
        }
        let known = Known {
            origin: context.whose.handle.clone(),
            // It can't be read again: what it reports is.
            meta: RecordMeta { position: 0, flags: draft.meta().flags.without(Flags::CUT), ..draft.meta() },
            body,
            until_ns: now.saturating_add(self.window_ns),
            repeated: 0,
            from_ns: now,
            to_ns: now,
        };
        self.known.insert(Arc::clone(&key), known);
        self.order.push_back(key);
        Verdict::Goes
    }

    /// What makes a record the same as another one.
    fn put_key(&self, draft: &Draft, context: &mut Context<'_>) {
        let key = &mut *context.scratch;
        key.clear();
        key.extend_from_slice(&context.whose.handle.id().0.to_le_bytes());
        key.push(draft.meta().level as u8);
        if self.by.is_empty() {
            key.extend_from_slice(draft.bytes(draft.body));
        }
        let subject = OfDraft { draft, whose: context.whose };
        for name in &self.by {
            match subject.value(name) {
                Some(value) => {
                    let text = value.to_text();
                    key.extend_from_slice(&(text.len() as u64).to_le_bytes());
                    key.extend_from_slice(text);
                }
                None => key.extend_from_slice(&u64::MAX.to_le_bytes()),
            }
        }
    }

    fn end_first(&mut self, reports: &mut Vec<Report>) {
        let Some(key) = self.order.pop_front() else { return };
        let Some(known) = self.known.remove(&key) else { return };
        self.bytes = self.bytes.saturating_sub(key.len() + known.body.len());
        if known.repeated == 0 {
            return;
        }
        self.waiting -= 1;
        let fields = vec![
            ("repeated", known.repeated.to_string().into_bytes(), true),
            ("repeated-from", time_text(known.from_ns), false),
            ("repeated-to", time_text(known.to_ns), false),
        ];
        let meta = RecordMeta { time_ns: known.to_ns, ..known.meta };
        reports.push(Report { origin: known.origin, meta, body: known.body, fields });
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// How long after the last record the next report is due, where records go on at the pace of time.
    pub(super) fn due_in(&self) -> Option<Duration> {
        if !self.is_waiting() {
            return None;
        }
        // Windows end in their order.
        let mut longest = Duration::ZERO;
        for known in self.order.iter().filter_map(|key| self.known.get(key)) {
            longest = longest.max(self.left(known));
            if known.repeated > 0 {
                break;
            }
        }
        Some(longest)
    }

    /// Of a window after the last record: never more than all of it, though times may go back.
    fn left(&self, known: &Known) -> Duration {
        let left = known.until_ns.saturating_sub(self.last_ns).clamp(0, self.window_ns);
        Duration::from_nanos(u64::try_from(left).unwrap_or_default())
    }

    /// Ends the windows that are over when nothing has come for so long; all, where that is not said.
    pub(super) fn flush(&mut self, silent: Option<Duration>, reports: &mut Vec<Report>) {
        while let Some(known) = self.order.front().and_then(|key| self.known.get(key))
            && silent.is_none_or(|silent| self.left(known) <= silent)
        {
            self.end_first(reports);
        }
    }
}
