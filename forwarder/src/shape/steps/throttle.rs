//! So many records a second of each origin, by the records' own times, and a report of what was discarded.
//!
//! Limits: [`MOST_ORIGINS`] origins are told apart; when there are more, those that are silent are forgotten, with a report.

use std::collections::HashMap;

use super::{Context, Report, Verdict, time_text};
use crate::record::{Flags, Level, OriginHandle, OriginId, RecordMeta};
use crate::shape::draft::Draft;
use crate::shape::spec::Throttle;

const MOST_ORIGINS: usize = 4096;
const SECOND_NS: i64 = 1_000_000_000;

pub(super) struct Throttling {
    throttle: Throttle,
    buckets: HashMap<OriginId, Bucket>,
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
        Self { throttle: throttle.clone(), buckets: HashMap::new() }
    }

    pub(super) fn run(&mut self, draft: &Draft, context: &mut Context<'_>) -> Verdict {
        let cost = SECOND_NS / i64::try_from(self.throttle.rate).unwrap_or(SECOND_NS).clamp(1, SECOND_NS);
        let most = cost.saturating_mul(i64::try_from(self.throttle.burst).unwrap_or(i64::MAX).max(1));
        let (now, origin) = (draft.meta().time_ns, &context.whose.handle);
        if self.buckets.len() >= MOST_ORIGINS && !self.buckets.contains_key(&origin.id()) {
            self.flush(context.reports);
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
        bucket.credit_ns = bucket.credit_ns.saturating_add(now.saturating_sub(bucket.last_ns).max(0)).min(most);
        bucket.last_ns = now;
        let late = i64::try_from(self.throttle.report.as_nanos()).unwrap_or(i64::MAX);
        if bucket.discarded > 0 && now.saturating_sub(bucket.from_ns) >= late {
            context.reports.push(bucket.report());
        }
        if bucket.credit_ns >= cost {
            bucket.credit_ns -= cost;
            return Verdict::Goes;
        }
        if bucket.discarded == 0 {
            bucket.from_ns = now;
        }
        bucket.discarded += 1;
        bucket.to_ns = now;
        Verdict::Discarded
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.buckets.values().any(|bucket| bucket.discarded > 0)
    }

    pub(super) fn flush(&mut self, reports: &mut Vec<Report>) {
        reports.extend(self.buckets.values_mut().filter(|bucket| bucket.discarded > 0).map(Bucket::report));
        if self.buckets.len() >= MOST_ORIGINS {
            self.buckets.clear();
        }
    }
}

impl Bucket {
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
