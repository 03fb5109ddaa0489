//! What comes from log files: asking for it, where it goes, and what of it is left to the next run.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::{Captured, State, end_of};
use crate::record::OriginHandle;
use crate::source::clock::realtime_ns;
use crate::source::ebpf::backlog::{self, Backlog, BacklogQuestion};
use crate::source::ebpf::fill::{Fill, FillQuestion};
use crate::source::ebpf::handle::StreamEnd;
use crate::source::framer::Framed;

impl State {
    pub(in crate::source::ebpf) fn on_backlog(&mut self, target: u32, open: &Weak<()>, backlog: Backlog) {
        let Some(captured) = self.streams.get_mut(&target) else { return };
        let Some((pending, _)) = &mut captured.backlog else { return };
        // The answer to a stale question leaves the one that is open now as it is.
        if pending.open.as_ref().is_some_and(|current| std::ptr::eq(Arc::as_ptr(current), open.as_ptr())) {
            pending.open = None;
            pending.ask_at = Instant::now() + backlog::INTERVAL;
        }
        let before = match backlog {
            Backlog::NotYet => return,
            Backlog::Found(before) => before,
            Backlog::Silent(length, before) => {
                pending.silent = Some(length);
                // What was captured since the question may be in the file as well, and what was on its way then may
                // not be in it yet.
                match before {
                    Some(before) if captured.stream.first_ns.is_none() => before,
                    _ => return,
                }
            }
        };
        let Some((_, origin)) = captured.backlog.take() else { return };
        let lines = &mut self.lines;
        captured.stream.name_after(origin, &before, &mut |origin, framed| lines.push(origin, framed));
    }

    /// Asks for the backlogs whose time has come, with one open question a stream; for all of them, and for the last
    /// time, where `now`.
    pub(in crate::source::ebpf) fn ask_for_backlogs(&mut self, now: bool) {
        for (target, captured) in &mut self.streams {
            let Some((pending, _)) = &mut captured.backlog else { continue };
            if !now && (pending.open.is_some() || pending.ask_at > Instant::now()) {
                continue;
            }
            let open = Arc::new(());
            pending.attempts = if now { backlog::ATTEMPTS } else { pending.attempts + 1 };
            let question = BacklogQuestion {
                open: Arc::downgrade(&open),
                silent: pending.silent,
                target: *target,
                log: pending.log.clone(),
                first_ns: captured.stream.first_ns,
                head: captured.stream.head(backlog::HEAD_BYTES),
                is_last_attempt: pending.attempts >= backlog::ATTEMPTS,
            };
            // One that is open already is stale from now on.
            pending.open = Some(open);
            let _ = self.questions.backlogs.send(question);
        }
    }

    /// Asks for the gaps whose time has come, with one open question a stream.
    pub(in crate::source::ebpf) fn ask_for_fills(&mut self) {
        for (target, captured) in self.streams.iter_mut().chain(&mut self.ended) {
            if !captured.stream.is_filling() {
                continue;
            }
            let (Some(log), Some(origin)) = (&captured.log, captured.stream.origin()) else { continue };
            let stream = origin.origin().stream;
            let Some((open, is_last_attempt)) = captured.filling.ask() else { continue };
            let Some(gap) = captured.stream.gap() else { continue };
            let file = log.file.clone();
            let _ =
                self.questions.fills.send(FillQuestion { open, target: *target, file, stream, gap, is_last_attempt });
        }
    }

    pub(in crate::source::ebpf) fn on_fill(&mut self, target: u32, open: &Weak<()>, fill: &Fill) {
        let streams = [&mut self.streams, &mut self.ended];
        for captured in streams.into_iter().filter_map(|streams| streams.get_mut(&target)) {
            if !captured.stream.is_filling() || !captured.filling.answered(open, fill) {
                continue;
            }
            let lines = &mut self.lines;
            let mut out = |origin: &OriginHandle, framed: Framed<'_>| lines.push(origin, framed);
            match fill {
                Fill::NotYet => {}
                Fill::Found(pieces) => {
                    let bytes = pieces.bytes().len() as u64;
                    self.counters.filled_bytes.fetch_add(bytes, Ordering::Relaxed);
                    captured.stream.fill(pieces, &mut out);
                }
                Fill::Never(why) => {
                    if let Some(origin) = captured.stream.origin() {
                        tracing::debug!(container = origin.origin().name, "a gap is not filled: {why}");
                    }
                    captured.stream.give_up_filling(&mut out);
                }
            }
        }
    }

    /// Streams that have ended and wait for nothing more.
    pub(in crate::source::ebpf) fn close_ended(&mut self) {
        let lines = &mut self.lines;
        self.ended.retain(|_, captured| {
            let is_filling = captured.stream.is_filling();
            if !is_filling {
                captured.stream.flush(&mut |origin, framed| lines.push(origin, framed));
            }
            is_filling
        });
    }

    pub(in crate::source::ebpf) fn is_filling(&self) -> bool {
        self.streams.values().chain(self.ended.values()).any(|captured| captured.stream.is_filling())
    }

    /// Leaves a stream whose backlog is still looked for to the next run, if that goes on from log files: where it begins
    /// there, and under what that is kept.
    pub(in crate::source::ebpf) fn leave_to_next_run(
        &mut self,
        captured: &mut Captured,
    ) -> Option<(String, StreamEnd)> {
        let log = captured.log.as_ref().filter(|_| self.options.resumes)?;
        let (pending, origin) = captured.backlog.take()?;
        self.left_bytes += captured.stream.give_up_held();
        Some(end_of(log, &origin, pending.log.start()))
    }

    /// The end of a stream of which `written` bytes were written. One whose backlog is still looked for has a name and
    /// goes on without the backlog; of one that nobody has named the bytes are counted.
    pub(in crate::source::ebpf) fn hand_on_the_rest(&mut self, captured: &mut Captured, written: u64) {
        let lines = &mut self.lines;
        let now = realtime_ns();
        let mut out = |origin: &OriginHandle, framed: Framed<'_>| lines.push(origin, framed);
        if let Some((_, origin)) = captured.backlog.take() {
            captured.stream.name(origin, &mut out);
        }
        captured.stream.settle(written, now, &mut out);
        if self.options.resumes {
            self.left_bytes += captured.stream.leave();
        }
        while captured.stream.is_filling() {
            captured.stream.give_up_filling(&mut out);
        }
        captured.stream.flush(&mut out);
        let bytes = captured.stream.give_up_held();
        if bytes > 0 {
            let from_ns = captured.stream.first_ns.unwrap_or(now);
            self.lines.lose_unnamed(bytes, from_ns, now);
        }
    }
}
