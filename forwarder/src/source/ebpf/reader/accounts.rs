//! What the kernel has counted, beside what came: once a second, when a stream ends, and at the end.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{DRAIN_INTERVAL, Reader};
use crate::record::OriginHandle;
use crate::source::clock::realtime_ns;
use crate::source::ebpf::fill::FIRST_PAUSE;
use crate::source::ebpf::handle::StreamEnds;
use crate::source::ebpf::state::{Captured, Ending, State, account_of};
use crate::source::framer::Framed;

/// How long a stop waits for the next of the namer's answers, and for all of them.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
const ALL_ANSWERS: Duration = Duration::from_secs(2);
/// How long a stop looks for what was being written when it came.
const LAST_LOOKS: Duration = Duration::from_millis(200);

impl Reader {
    /// Compares with the kernel's account, where nothing is in flight, and hands on the unfinished line.
    pub(super) fn settle(&mut self, captured: &mut Captured) {
        let lines = &mut self.state.lines;
        if let Some((written, true)) = account_of(&self.capture, &captured.key) {
            let mut out = |origin: &OriginHandle, framed: Framed<'_>| lines.push(origin, framed);
            captured.stream.settle(written, realtime_ns(), &mut out);
        }
        captured.stream.flush(&mut |origin, framed| lines.push(origin, framed));
    }

    /// Once a second: bytes that were written to a stream and never came, and what else the kernel has counted.
    pub(super) fn account(&mut self) {
        let mut before = self.accounts(|captured| captured.active);
        // What was in a ring when the account was read is taken before it is believed.
        if !self.drain_what_is_there() {
            before.clear();
        }
        let State { streams, lines, .. } = &mut self.state;
        for (id, written) in before {
            let Some(captured) = streams.get_mut(&id) else { continue };
            captured.active = false;
            if !captured.stream.has_hole() {
                let mut out = |origin: &OriginHandle, framed: Framed<'_>| lines.push(origin, framed);
                if captured.stream.settle(written, realtime_ns(), &mut out) > 0 {
                    captured.stream.flush(&mut out);
                }
            }
        }
        for captured in streams.values_mut().filter(|captured| captured.ending == Ending::Asked) {
            // Somebody held it when the namer looked last: look again.
            captured.ending = Ending::ProcessEnded;
        }
        self.account_programs();
    }

    fn account_programs(&mut self) {
        let skipped = self.capture.skipped_runs();
        let before = self.state.counters.skipped_runs.swap(skipped, Ordering::Relaxed);
        if skipped > before {
            let more = skipped - before;
            self.state
                .lines
                .notice(&format!("the kernel skipped the capture program {more} times: output may be missing"));
        }
        for (kind, (missed, what)) in self.capture.missed().into_iter().enumerate() {
            let before = std::mem::replace(&mut self.state.missed[kind], missed);
            if missed > before {
                self.state.lines.notice(&format!("{} {what}", missed - before));
            }
        }
    }

    /// Hands on what was written up to now. Containers may go on writing: that is not waited for.
    pub(super) fn finish(&mut self) -> StreamEnds {
        let mut accounts = self.accounts(|_| true);
        self.drain_what_is_there();
        // Of streams that were not known or had something in flight.
        let more = self.accounts(|_| true);
        if more.keys().any(|id| !accounts.contains_key(id)) {
            self.drain_what_is_there();
        }
        for (id, written) in more {
            accounts.entry(id).or_insert(written);
        }
        self.state.use_early_names();
        self.state.ask_for_backlogs(true);
        self.await_last_answers();
        // What a preempted program had not yet put into its ring.
        let begun = Instant::now();
        while self.state.streams.values().any(|captured| captured.stream.has_hole()) && begun.elapsed() < LAST_LOOKS {
            std::thread::sleep(DRAIN_INTERVAL);
            self.drain_what_is_there();
        }
        self.state.succeed(true);
        self.fill_the_last(&accounts);
        let mut ends = StreamEnds::new();
        let ended = std::mem::take(&mut self.state.ended);
        for (id, mut captured) in std::mem::take(&mut self.state.streams).into_iter().chain(ended) {
            if captured.is_refused() {
                continue;
            }
            if let Some(left) = self.state.leave_to_next_run(&mut captured) {
                ends.extend([left]);
                continue;
            }
            let written = accounts.get(&id).copied().unwrap_or(captured.stream.delivered);
            self.state.hand_on_the_rest(&mut captured, written);
            ends.extend(captured.end());
        }
        self.state.hand_over();
        if self.state.left_bytes > 0 {
            tracing::info!(
                "{} bytes of container output are left to the next run, in log files",
                self.state.left_bytes
            );
        }
        ends
    }

    /// What is missing at the ends of streams is looked for in their log files, for a while.
    fn fill_the_last(&mut self, accounts: &HashMap<u32, u64>) {
        let State { streams, lines, .. } = &mut self.state;
        for (id, captured) in streams.iter_mut().filter(|(_, captured)| captured.stream.is_named()) {
            if let Some(written) = accounts.get(id) {
                let mut out = |origin: &OriginHandle, framed: Framed<'_>| lines.push(origin, framed);
                captured.stream.settle(*written, realtime_ns(), &mut out);
            }
        }
        let begun = Instant::now();
        while self.state.is_filling() && begun.elapsed() < ALL_ANSWERS {
            self.state.ask_for_fills();
            if let Some(answer) = self.answers.next(FIRST_PAUSE) {
                self.state.on_answer(answer);
            }
        }
    }

    /// Bytes written to each stream, of those of which nothing is in flight.
    fn accounts(&self, wanted: impl Fn(&Captured) -> bool) -> HashMap<u32, u64> {
        let settled = |captured: &Captured| match account_of(&self.capture, &captured.key)? {
            (written, true) => Some(written),
            _ => None,
        };
        let wanted = self.state.streams.iter().filter(|(_, captured)| wanted(captured));
        wanted.filter_map(|(id, captured)| Some((*id, settled(captured)?))).collect()
    }

    /// Streams that nobody has named yet: every question is answered, but a slow disk must not hold up the stop.
    fn await_last_answers(&mut self) {
        let begun = Instant::now();
        while self.state.has_unnamed() && begun.elapsed() < ALL_ANSWERS {
            let Some(answer) = self.answers.next(LAST_ANSWERS) else { return };
            self.state.on_answer(answer);
        }
    }
}
