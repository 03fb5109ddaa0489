//! Where what was captured becomes records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::echo::EchoWatch;
use super::handle::CaptureCounters;
use crate::parse::line::LineKind;
use crate::record::{Level, Lost, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::ring::Ring;
use crate::source::clock::realtime_ns;
use crate::source::framer::Framed;
use crate::source::lines::Lines;

/// The lines of all streams.
pub(super) struct CapturedLines {
    lines: Lines,
    kind: LineKind,
    echoes: EchoWatch,
    ringward: OriginHandle,
    ring: Arc<Ring>,
    counters: Arc<CaptureCounters>,
}

impl CapturedLines {
    pub(super) fn new(ring: Arc<Ring>, kind: LineKind, counters: Arc<CaptureCounters>) -> Self {
        let ringward = OriginHandle::new(Origin::new(OriginKind::Ringward, "ringward"));
        Self { lines: Lines::new(Arc::clone(&ring)), ring, kind, echoes: EchoWatch::default(), ringward, counters }
    }

    pub(super) fn push(&mut self, origin: &OriginHandle, framed: Framed<'_>) {
        match framed {
            Framed::Line { time_ns, flags, body } => {
                self.counters.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
                // A blank line is one that was written.
                let meta = RecordMeta { flags, ..RecordMeta::line(time_ns, body) };
                self.lines.push(origin, self.kind, meta, body);
                if let Some(report) = self.echoes.look(origin, body) {
                    self.notice(&report);
                }
            }
            Framed::Lost { bytes, from_ns, to_ns } => self.lose(origin, bytes, "from this stream", from_ns, to_ns),
        }
    }

    /// Counts and reports bytes that were written and did not come.
    fn lose(&mut self, origin: &OriginHandle, bytes: u64, place: &str, from_ns: i64, to_ns: i64) {
        self.counters.lost_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.lines.output.push_loss(origin, Lost::Bytes(bytes), place, from_ns, to_ns);
    }

    /// The same for bytes of which nobody knows whose they are.
    pub(super) fn lose_unnamed(&mut self, bytes: u64, from_ns: i64, to_ns: i64) {
        self.lose(&self.ringward.clone(), bytes, "from a container without a name", from_ns, to_ns);
    }

    /// Says something in the log and among the records.
    pub(super) fn notice(&mut self, text: &str) {
        tracing::warn!("{text}");
        let meta = RecordMeta { level: Level::Warning, ..RecordMeta::line(realtime_ns(), text.as_bytes()) };
        self.lines.output.push(&self.ringward, meta, text.as_bytes());
    }

    /// Hands over what there is. Returns the sequence of the ring's next batch.
    pub(super) fn seal(&mut self) -> u64 {
        self.lines.output.seal();
        self.ring.next_sequence()
    }
}
