//! Which records a viewer gets.
//!
//! In: batches. Out: whether a record is wanted. Whose records are is decided once for each origin, and kept for at most
//! [`MAX_ORIGINS`] of them. A report of a loss that can't be said to be another's is always wanted.

use std::collections::HashMap;

use memchr::memmem::Finder;

use super::name::{Names, service_of};
use super::request::{Request, Whose};
use crate::record::{Batch, FieldValue, Flags, Origin, OriginId, OriginKind, Record};

const MAX_ORIGINS: usize = 4096;

/// Whether an origin's records are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    No,
    Yes,
    /// Those that say that they are the one's that is asked for.
    WhatSaysSo,
    /// Only reports of losses.
    Losses,
}

pub(super) struct Filter {
    whose: Whose,
    origin: Option<String>,
    since_ns: i64,
    level: u8,
    grep: Option<Finder<'static>>,
    known: HashMap<OriginId, Wanted>,
    /// Of the batch at hand.
    local: Vec<Wanted>,
}

impl Filter {
    pub(super) fn new(request: &Request) -> Self {
        Self {
            whose: request.whose,
            origin: request.origin.clone(),
            since_ns: request.since_ns.unwrap_or(i64::MIN),
            level: request.level.unwrap_or(u8::MAX),
            grep: request.grep.as_deref().map(|text| Finder::new(text).into_owned()),
            known: HashMap::new(),
            local: Vec::new(),
        }
    }

    /// Whether there is nothing that it leaves out.
    pub(super) fn takes_everything(&self) -> bool {
        self.whose == Whose::All
            && self.origin.is_none()
            && self.since_ns == i64::MIN
            && self.level == u8::MAX
            && self.grep.is_none()
    }

    /// The records that follow are of this batch. Returns whether any of them may be wanted.
    pub(super) fn enter(&mut self, batch: &Batch) -> bool {
        if self.known.len() > MAX_ORIGINS {
            self.known.clear();
        }
        self.local.clear();
        for local in 0..batch.origin_count() {
            let id = batch.origin_id(local);
            let wanted = match self.known.get(&id) {
                Some(wanted) => *wanted,
                None => {
                    let wanted = self.decide(batch.origin_bytes(local));
                    self.known.insert(id, wanted);
                    wanted
                }
            };
            self.local.push(wanted);
        }
        self.local.iter().any(|wanted| *wanted != Wanted::No)
    }

    fn decide(&self, origin: &[u8]) -> Wanted {
        // A batch's origins were checked when it was made or parsed; still no reason to hide its records.
        let Ok(origin) = Origin::decode(origin) else { return Wanted::Yes };
        let names = Names::of(&origin);
        let is_whose = match self.whose {
            Whose::All => true,
            Whose::Kernel => origin.kind == OriginKind::Kernel,
            Whose::Pods => names.pod.is_some(),
        };
        let is_named = self.origin.as_deref().is_none_or(|wanted| names.is(wanted));
        match origin.kind {
            _ if is_whose && is_named => Wanted::Yes,
            OriginKind::Peer if is_whose => Wanted::WhatSaysSo,
            OriginKind::Ringward => Wanted::Losses,
            _ => Wanted::No,
        }
    }

    /// Whether a record of the batch at hand is wanted.
    pub(super) fn takes(&self, record: &Record<'_>) -> bool {
        let is_loss = record.flags.contains(Flags::LOSS);
        let is_wanted = match self.local[record.origin as usize] {
            Wanted::No => false,
            Wanted::Yes => true,
            Wanted::Losses => return is_loss && record.time_ns >= self.since_ns,
            Wanted::WhatSaysSo => {
                service_of(record).is_some_and(|service| self.origin.as_deref().map(str::as_bytes) == Some(service))
            }
        };
        is_wanted && record.time_ns >= self.since_ns && (is_loss || self.holds(record))
    }

    fn holds(&self, record: &Record<'_>) -> bool {
        if record.level as u8 > self.level {
            return false;
        }
        let Some(grep) = &self.grep else { return true };
        grep.find(record.body).is_some()
            || record.fields().any(|(_, value)| match value {
                FieldValue::Text(text) | FieldValue::Json(text) => grep.find(text).is_some(),
                FieldValue::Integer(_) => false,
            })
    }

    /// Whether a record of the batch at hand is of the one that is asked for, whatever else is asked.
    pub(super) fn is_known(&self, batch: &Batch) -> bool {
        let says_so = |record: &Record<'_>| {
            service_of(record).is_some_and(|service| self.origin.as_deref().map(str::as_bytes) == Some(service))
        };
        self.local.contains(&Wanted::Yes)
            || (self.local.contains(&Wanted::WhatSaysSo) && batch.records().any(|record| says_so(&record)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Level, Lost, OriginHandle, RecordMeta};

    fn batch() -> Batch {
        let pod = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let attributes = vec![pod("container", "4f0c1234"), pod("namespace", "default"), pod("pod", "web-0")];
        let web = Origin { attributes, ..Origin::new(OriginKind::Container, "web") };
        let origins = [
            Origin::new(OriginKind::Kernel, "kernel"),
            web,
            Origin::new(OriginKind::Peer, "tcp"),
            Origin::new(OriginKind::Ringward, "ringward"),
        ];
        let [kernel, web, peer, ours] = origins.map(OriginHandle::new);
        let mut builder = BatchBuilder::new(4096);
        let mut push = |origin: &OriginHandle, time_ns, level, body: &str, fields: &[(&str, FieldValue<'_>)]| {
            let meta = RecordMeta { level, ..RecordMeta::line(time_ns, body.as_bytes()) };
            builder.push_with_fields(origin, meta, body.as_bytes(), fields);
        };
        push(&kernel, 1, Level::Err, "panic", &[]);
        push(&web, 2, Level::Info, "started", &[]);
        push(&web, 3, Level::Warning, "slow", &[("path", FieldValue::Text(b"/panic"))]);
        push(&peer, 4, Level::Debug, "compacted", &[("talos-service", FieldValue::Text(b"etcd"))]);
        push(&peer, 5, Level::Info, "text", &[]);
        builder.push_loss(&ours, Lost::Records(7), "before they could be sent to viewer 1", 5, 6);
        builder.seal()
    }

    /// The times of the records that are wanted.
    fn taken(request: &Request) -> Vec<i64> {
        let (batch, mut filter) = (batch(), Filter::new(request));
        assert!(filter.enter(&batch));
        batch.records().filter(|record| filter.takes(record)).map(|record| record.time_ns).collect()
    }

    #[test]
    fn everyone_or_one() {
        let of = |origin: &str| taken(&Request { origin: Some(origin.into()), ..Request::default() });
        assert_eq!(taken(&Request::default()), [1, 2, 3, 4, 5, 6]);
        assert!(Filter::new(&Request::default()).takes_everything());
        assert!(!Filter::new(&Request { whose: Whose::Kernel, ..Request::default() }).takes_everything());
        assert!(!Filter::new(&Request { origin: Some("web".into()), ..Request::default() }).takes_everything());
        assert_eq!(of("kernel"), [1, 6]);
        assert_eq!(of("default/web-0"), [2, 3, 6]);
        assert_eq!(of("tcp"), [4, 5, 6]);
        assert_eq!(of("etcd"), [4, 6]);
        assert_eq!(of("nobody"), [6]);
        assert_eq!(taken(&Request { whose: Whose::Kernel, ..Request::default() }), [1, 6]);
        assert_eq!(taken(&Request { whose: Whose::Pods, ..Request::default() }), [2, 3, 6]);
        let known = |origin: &str| {
            let mut filter = Filter::new(&Request { origin: Some(origin.into()), ..Request::default() });
            filter.enter(&batch()) && filter.is_known(&batch())
        };
        assert!(known("web") && known("etcd") && known("ringward"));
        assert!(!known("nobody") && !known(""));
    }

    /// A loss may be of what is wanted: it is told in any case, but not one that is too old.
    #[test]
    fn what_they_say_and_when() {
        assert_eq!(taken(&Request { level: Some(4), ..Request::default() }), [1, 3, 6]);
        assert_eq!(taken(&Request { grep: Some("panic".into()), ..Request::default() }), [1, 3, 6]);
        assert_eq!(taken(&Request { grep: Some(String::new()), ..Request::default() }), [1, 2, 3, 4, 5, 6]);
        assert_eq!(taken(&Request { since_ns: Some(3), ..Request::default() }), [3, 4, 5, 6]);
        assert_eq!(taken(&Request { since_ns: Some(7), ..Request::default() }), [0i64; 0]);
        for some in [
            Request { since_ns: Some(3), ..Request::default() },
            Request { level: Some(4), ..Request::default() },
            Request { grep: Some(String::new()), ..Request::default() },
        ] {
            assert!(!Filter::new(&some).takes_everything());
        }
    }
}
