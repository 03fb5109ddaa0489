//! So many records a second of each origin, by the records' own times, and a report of what was discarded.
//!
//! Limits: [`MOST_ORIGINS`] origins are told apart. When there are more, those that were silent for so long that they may send
//! as much as one that was never heard of are forgotten; where that is not half of them, all are, with a report.

use std::collections::HashMap;
use std::time::Duration;

use super::{Context, Report, Verdict, time_text};
use crate::record::{Flags, Level, OriginHandle, OriginId, RecordMeta};
use crate::shape::draft::Draft;
use crate::shape::spec::Throttle;

const MOST_ORIGINS: usize = 4096;
const SECOND_NS: i64 = 1_000_000_000;

pub(super) struct Throttling {
    throttle: Throttle,
    buckets: HashMap<OriginId, Bucket>,
    /// Of how many origins records were discarded, and not reported.
    waiting: usize,
}

struct Bucket {
    origin: OriginHandle,
    /// In ns: what a record costs is a second divided by the rate.
    credit_ns: i64,
    last_ns: i64,
    discarded: u64,
    from_ns: i64,
    to_ns: i64,
}

impl Throttling {
    pub(super) fn new(throttle: &Throttle) -> Self {
        Self { throttle: throttle.clone(), buckets: HashMap::new(), waiting: 0 }
    }

    pub(super) fn run(&mut self, draft: &Draft, context: &mut Context<'_>) -> Verdict {
        let cost = SECOND_NS / i64::try_from(self.throttle.rate).unwrap_or(SECOND_NS).clamp(1, SECOND_NS);
        let most = cost.saturating_mul(i64::try_from(self.throttle.burst).unwrap_or(i64::MAX).max(1));
        let (now, origin) = (draft.meta().time_ns, &context.whose.handle);
        if self.buckets.len() >= MOST_ORIGINS && !self.buckets.contains_key(&origin.id()) {
            self.make_room(now, most, context.reports);
        }
        let bucket = self.buckets.entry(origin.id()).or_insert_with(|| Bucket {
            origin: origin.clone(),
            credit_ns: most,
            last_ns: now,
            discarded: 0,
            from_ns: 0,
            to_ns: 0,
        });
        // A clock that was set back gives nothing.
        bucket.credit_ns = bucket.credit_at(now).min(most);
        bucket.last_ns = now;
        let late = i64::try_from(self.throttle.report.as_nanos()).unwrap_or(i64::MAX);
        if bucket.discarded > 0 && now.saturating_sub(bucket.from_ns) >= late {
            context.reports.push(bucket.report());
            self.waiting -= 1;
        }
        if bucket.credit_ns >= cost {
            bucket.credit_ns -= cost;
            return Verdict::Goes;
        }
        if bucket.discarded == 0 {
            bucket.from_ns = now;
            self.waiting += 1;
        }
        bucket.discarded += 1;
        bucket.to_ns = now;
        Verdict::Discarded
    }

    fn make_room(&mut self, now: i64, most: i64, reports: &mut Vec<Report>) {
        self.buckets.retain(|_, bucket| bucket.discarded > 0 || bucket.credit_at(now) < most);
        if self.buckets.len() > MOST_ORIGINS / 2 {
            self.flush(reports);
            self.buckets.clear();
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// How long after the last record the next report is due.
    pub(super) fn due_in(&self) -> Option<Duration> {
        self.is_waiting().then_some(self.throttle.report)
    }

    pub(super) fn flush(&mut self, reports: &mut Vec<Report>) {
        reports.extend(self.buckets.values_mut().filter(|bucket| bucket.discarded > 0).map(Bucket::report));
        self.waiting = 0;
    }
}

impl Bucket {
    fn credit_at(&self, now: i64) -> i64 {
        self.credit_ns.saturating_add(now.saturating_sub(self.last_ns).max(0))
    }

    fn report(&mut self) -> Report {
        let discarded = std::mem::take(&mut self.discarded);
        let body = format!("{discarded} records were discarded: more than are let through").into_bytes();
        let meta = RecordMeta { level: Level::Warning, flags: Flags::NONE, ..RecordMeta::line(self.to_ns, &body) };
        let fields = vec![
            ("discarded-records", discarded.to_string().into_bytes(), true),
            ("discarded-from", time_text(self.from_ns), false),
            ("discarded-to", time_text(self.to_ns), false),
        ];
        Report { origin: self.origin.clone(), meta, body, fields }
    }
}
