//! What the reader knows: the streams, the processes behind them, and where records go.

mod filling;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;
use forwarder_common::{ChunkHeader, ExecRecord, Kind, MISSED_KINDS, PipeKey};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::process::{Pid, PidfdFlags};

use super::backlog::{self, Pending};
use super::containers::stream_key;
use super::fill::{self, ContainerLog, Filling};
use super::handle::{CaptureCounters, ConsoleText, ReaderOptions, StreamEnd, Until};
use super::lines::CapturedLines;
use super::load::Capture;
use super::names::{Answer, Question, Questions};
use super::reader::{ACCOUNT_INTERVAL, DRAIN_INTERVAL};
use super::stream::Stream;
use super::successor::Successor;
use crate::record::{OriginHandle, Stream as StreamKind};
use crate::source::clock::WallClock;
use crate::source::logfile::Anchor;

/// Age at which a hole is given up even if the kernel's account does not say that nothing is in flight.
const HOLE_PATIENCE: Duration = Duration::from_secs(1);
/// Console texts that wait for the kernel log's thread.
const MAX_CONSOLE_TEXTS: usize = 65_536;

/// All but the rings, so that a chunk can be handled while it lies in its ring.
pub(super) struct State {
    pub(super) options: ReaderOptions,
    pub(super) clock: WallClock,
    pub(super) lines: CapturedLines,
    pub(super) streams: HashMap<u32, Captured>,
    /// Streams that have ended, while their last gaps are filled.
    pub(super) ended: HashMap<u32, Captured>,
    pub(super) processes: HashMap<u64, Watched>,
    /// Processes of exec records of this round, with their targets.
    pub(super) to_watch: Vec<(u32, Vec<u32>)>,
    /// Names that came before all that runs already was added; `None` afterwards. What is executed in a container
    /// that runs already looks like its start, and who has ended can't be told from the first process: what was added
    /// is more reliable, and has a backlog.
    pub(super) early_names: Option<Vec<(u32, OriginHandle, Option<ContainerLog>)>>,
    pub(super) next_process: u64,
    pub(super) next_target: u32,
    pub(super) console: Option<Sender<ConsoleText>>,
    pub(super) questions: Questions,
    pub(super) counters: Arc<CaptureCounters>,
    /// What the programs have missed without a target, as last reported.
    pub(super) missed: [u64; MISSED_KINDS],
    /// How often all rings were found empty, and when that look was begun, ns since the epoch: what was written
    /// before has been seen.
    pub(super) round: u64,
    pub(super) emptied_ns: i64,
    /// Bytes that are left to the next run, which finds them in log files.
    pub(super) left_bytes: u64,
}

pub(super) struct Captured {
    pub(super) key: PipeKey,
    pub(super) stream: Stream,
    pub(super) hole: Option<Hole>,
    /// Its name, once it is known what was written before.
    pub(super) backlog: Option<(Pending, OriginHandle)>,
    /// Where its runtime keeps it, if gaps are filled from there.
    pub(super) log: Option<ContainerLog>,
    pub(super) filling: Filling,
    pub(super) ending: Ending,
    /// Who was started on the key when the stream had ended.
    pub(super) successor: Option<Box<Successor>>,
    /// Whether something came since the accounts were last compared.
    pub(super) active: bool,
}

impl Captured {
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.ending, Ending::Rejected | Ending::Refused(_))
    }

    /// Gaps are filled from this log file. Not those of terminals, which change what is written to them.
    pub(super) fn fill_from(&mut self, log: Option<ContainerLog>, origin: &OriginHandle) {
        self.log = log;
        if self.log.is_some() && origin.origin().stream != StreamKind::Tty {
            self.stream.fill_gaps();
        }
    }

    /// What was handed on last, and under what it is kept, where the next run can go on from the log file.
    pub(super) fn end(&self) -> Option<(String, StreamEnd)> {
        Some(end_of(self.log.as_ref()?, self.stream.origin()?, self.stream.end()?))
    }

    /// Whether it is known whose it is.
    pub(super) fn is_known(&self) -> bool {
        self.stream.is_named() || self.backlog.is_some()
    }
}

pub(super) struct Hole {
    /// The offset that is waited for: what was found out about one hole says nothing about the next one.
    waits_for: u64,
    since: Instant,
    /// The round in which it was found.
    found_in: u64,
    /// The round after which nothing was in flight any more: one more, and all of it has been seen.
    settled_in: Option<u64>,
}

impl Hole {
    pub(super) fn new(waits_for: u64, round: u64) -> Self {
        Self { waits_for, since: Instant::now(), found_in: round, settled_in: None }
    }

    /// Looks at a hole in front of `waits_for`. `true`: its bytes will not come any more. Under load one hole may
    /// close and another open between two looks, which is a new one. `is_settled` reads the kernel's account.
    pub(super) fn is_final(&mut self, waits_for: u64, round: u64, is_settled: impl FnOnce() -> bool) -> bool {
        if self.waits_for != waits_for {
            *self = Self::new(waits_for, round);
        }
        let is_certain = self.settled_in.is_some_and(|settled| settled < round);
        let is_old = self.since.elapsed() > HOLE_PATIENCE && self.found_in < round;
        if !is_certain && !is_old && self.settled_in.is_none() && is_settled() {
            self.settled_in = Some(round);
        }
        is_certain || is_old
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Its process lives, or nobody knows of one.
    No,
    /// Its process has ended: somebody has to look whether others hold the pipe.
    ProcessEnded,
    /// The namer was asked.
    Asked,
    /// Nobody holds it: removed when all rings were empty once more.
    Unheld(u64),
    /// Not a container after all.
    Rejected,
    /// Its target was removed in this round; what was on its way then is dropped as well.
    Refused(u64),
}

pub(super) struct Watched {
    pub(super) pidfd: OwnedFd,
    pub(super) targets: Vec<u32>,
}

impl Watched {
    fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }
}

impl State {
    pub(super) fn on_record(&mut self, bytes: &[u8]) {
        let Some(header) = ChunkHeader::from_bytes(bytes) else { return };
        let payload = &bytes[size_of::<ChunkHeader>()..];
        let time_ns = self.clock.of_monotonic(header.time_ns);
        self.counters.chunks.fetch_add(1, Ordering::Relaxed);
        match Kind::from_byte(header.kind) {
            Some(Kind::Data) => {
                let payload = &payload[..payload.len().min(header.length as usize)];
                let Some(captured) = self.streams.get_mut(&header.target) else {
                    // Before its exec record, which another CPU wrote: made known by it.
                    self.unknown(&header).stream.data(header.offset, time_ns, header.thread, payload, &mut |_, _| {});
                    self.bound_held();
                    return;
                };
                if captured.is_refused() {
                    return;
                }
                if let Some(next) = captured.successor.as_mut().filter(|next| next.since_ns <= header.time_ns) {
                    next.keep(header.offset, time_ns, header.thread, Ok(payload), self.options.limits.hold);
                    return;
                }
                captured.active = true;
                let lines = &mut self.lines;
                captured.stream.data(header.offset, time_ns, header.thread, payload, &mut |origin, framed| {
                    lines.push(origin, framed);
                });
                if !captured.stream.is_named() || captured.stream.is_filling() {
                    self.bound_held();
                }
            }
            Some(Kind::Gap) => {
                let Some(captured) = self.streams.get_mut(&header.target) else {
                    self.unknown(&header).stream.missed(
                        header.offset,
                        time_ns,
                        u64::from(header.length),
                        &mut |_, _| {},
                    );
                    return;
                };
                if captured.is_refused() {
                    return;
                }
                if let Some(next) = captured.successor.as_mut().filter(|next| next.since_ns <= header.time_ns) {
                    next.keep(
                        header.offset,
                        time_ns,
                        header.thread,
                        Err(u64::from(header.length)),
                        self.options.limits.hold,
                    );
                    return;
                }
                captured.active = true;
                let lines = &mut self.lines;
                captured.stream.missed(header.offset, time_ns, u64::from(header.length), &mut |origin, framed| {
                    lines.push(origin, framed);
                });
            }
            Some(Kind::Exec) => {
                if let Some(exec) = ExecRecord::from_bytes(payload) {
                    self.on_exec(&exec, header.time_ns);
                }
            }
            Some(Kind::Console) => {
                if let Some(console) = &self.console {
                    let text = payload[..payload.len().min(header.length as usize)].to_vec();
                    // Past the bound the texts are missed only where /dev/kmsg is overrun as well.
                    if console.len() < MAX_CONSOLE_TEXTS {
                        let _ = console.send((header.time_ns, text));
                    }
                }
            }
            None => {}
        }
    }

    pub(super) fn unknown(&mut self, header: &ChunkHeader) -> &mut Captured {
        let captured = self.new_stream(PipeKey::default());
        self.streams.entry(header.target).or_insert(captured)
    }

    pub(super) fn new_stream(&self, key: PipeKey) -> Captured {
        Captured {
            key,
            stream: Stream::joining(self.options.limits, 0, self.options.join.as_ref()),
            hole: None,
            backlog: None,
            log: None,
            filling: Filling::default(),
            ending: Ending::No,
            successor: None,
            active: true,
        }
    }

    /// The bound of what is held is one for all streams: the one that holds most gives up its oldest.
    fn bound_held(&mut self) {
        let total: usize = self.streams.values().map(|captured| captured.stream.held_bytes()).sum();
        let excess = total.saturating_sub(self.options.limits.hold);
        if excess > 0
            && let Some(most) = self.streams.values_mut().max_by_key(|captured| captured.stream.held_bytes())
        {
            most.stream.give_up_oldest(excess);
        }
    }

    pub(super) fn on_exec(&mut self, exec: &ExecRecord, time_ns: u64) {
        let (mut targets, mut is_wanted) = (Vec::new(), false);
        for (key, target) in exec.stdio.iter().zip(exec.targets) {
            if target == 0 || targets.contains(&target) {
                continue;
            }
            self.look_for_ends(target);
            let fresh = self.new_stream(*key);
            let round = self.round;
            let known = self.streams.entry(target).or_insert(fresh);
            if !known.is_known() {
                known.key = *key;
                targets.push(target);
            } else if known.ending != Ending::No && known.successor.is_none() {
                known.successor = Some(Box::new(Successor::new(exec.process, time_ns, round)));
                is_wanted = true;
            }
            // Else it belongs to a process that was there before.
        }
        if targets.is_empty() && !is_wanted {
            return;
        }
        self.to_watch.push((exec.process, targets));
        let _ = self.questions.names.send(Question::Name(Box::new(*exec)));
    }

    /// Looks for itself whether the processes behind a target have ended: the events may not have been read yet, and
    /// read later they would be taken for the end of the next user of its key.
    fn look_for_ends(&mut self, target: u32) {
        let ended = |(_, watched): &(&u64, &Watched)| watched.targets.contains(&target) && watched.has_ended();
        let ended: Vec<u64> = self.processes.iter().filter(ended).map(|(number, _)| *number).collect();
        for number in ended {
            // Closed with it, the descriptor leaves the poll.
            if let Some(watched) = self.processes.remove(&number) {
                self.mark_ended(&watched.targets);
            }
        }
    }

    pub(super) fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Named { target, origin, log } => match &mut self.early_names {
                Some(early) => early.push((target, origin, log)),
                None => self.on_name(target, origin, log),
            },
            Answer::Rejected { target } => {
                let Some(captured) = self.streams.get_mut(&target) else { return };
                if let Some(next) = &mut captured.successor {
                    next.answer.get_or_insert(None);
                } else if !captured.is_known() {
                    captured.ending = Ending::Rejected;
                    captured.stream.give_up_held();
                }
            }
            Answer::Backlog { target, open, backlog } => self.on_backlog(target, &open, backlog),
            Answer::Fill { target, open, fill } => self.on_fill(target, &open, &fill),
            Answer::Held { target, held } => {
                if let Some(captured) = self.streams.get_mut(&target)
                    && !held
                    && captured.successor.is_none()
                {
                    captured.ending = Ending::Unheld(self.round);
                }
            }
        }
    }

    pub(super) fn use_early_names(&mut self) {
        for (target, origin, log) in self.early_names.take().into_iter().flatten() {
            self.on_name(target, origin, log);
        }
    }

    pub(super) fn on_name(&mut self, target: u32, origin: OriginHandle, log: Option<ContainerLog>) {
        let Some(captured) = self.streams.get_mut(&target) else { return };
        if let Some(next) = &mut captured.successor {
            // Of stdout and stderr in one, the first.
            next.answer.get_or_insert(Some(origin));
            return;
        }
        if captured.is_known() || captured.is_refused() {
            return;
        }
        captured.fill_from(log, &origin);
        let lines = &mut self.lines;
        captured.stream.name(origin, &mut |origin, framed| lines.push(origin, framed));
    }

    /// Hands over what there is, and says up to when that is everything: nothing waits for a name, a backlog or a gap.
    pub(super) fn hand_over(&mut self) {
        let sequence = self.lines.seal();
        let waits = |captured: &Captured| {
            !captured.is_refused()
                && (!captured.stream.is_named() || captured.stream.is_filling() || captured.stream.has_hole())
        };
        if self.early_names.is_none() && !self.streams.values().chain(self.ended.values()).any(waits) {
            *self.counters.until.lock().unwrap_or_else(PoisonError::into_inner) =
                Until { ns: self.emptied_ns, sequence };
        }
    }

    pub(super) fn watch(&mut self, process: u32, targets: Vec<u32>, poll: &OwnedFd) {
        let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
        let pidfd = pid.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).ok());
        let number = self.next_process;
        self.next_process += 1;
        let watched = pidfd
            .filter(|pidfd| epoll::add(poll, pidfd, epoll::EventData::new_u64(number), epoll::EventFlags::IN).is_ok());
        match watched {
            Some(pidfd) => drop(self.processes.insert(number, Watched { pidfd, targets })),
            None => self.mark_ended(&targets),
        }
    }

    pub(super) fn process_ended(&mut self, number: u64, poll: &OwnedFd) {
        if let Some(watched) = self.processes.remove(&number) {
            let _ = epoll::delete(poll, &watched.pidfd);
            self.mark_ended(&watched.targets);
        }
    }

    pub(super) fn mark_ended(&mut self, targets: &[u32]) {
        for target in targets {
            if let Some(captured) = self.streams.get_mut(target)
                && captured.ending == Ending::No
            {
                captured.ending = Ending::ProcessEnded;
            }
        }
    }

    /// Lines whose end does not come.
    pub(super) fn flush_idle(&mut self) {
        let idle = self.options.idle_flush;
        let lines = &mut self.lines;
        for captured in self.streams.values_mut().filter(|captured| captured.stream.is_waiting()) {
            let patience = i64::try_from(captured.stream.patience(idle).as_nanos()).unwrap_or(i64::MAX);
            if self.emptied_ns - captured.stream.active_ns >= patience {
                captured.stream.flush(&mut |origin, framed| lines.push(origin, framed));
            }
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.streams
            .values()
            .any(|captured| captured.stream.is_waiting() || captured.stream.has_hole() || captured.ending != Ending::No)
            || self.is_filling()
    }

    /// How long to sleep while something waits for time to pass.
    pub(super) fn patience(&self) -> Duration {
        let has_hole = self.streams.values().any(|captured| captured.stream.has_hole());
        let urgent =
            self.streams.values().any(|captured| matches!(captured.ending, Ending::Unheld(_)) || captured.is_refused());
        let has_backlog = self.streams.values().any(|captured| captured.backlog.is_some());
        if has_hole || urgent {
            DRAIN_INTERVAL
        } else if self.is_filling() {
            fill::FIRST_PAUSE
        } else if has_backlog {
            backlog::INTERVAL
        } else {
            let join = self.options.join.as_ref().map_or(ACCOUNT_INTERVAL, |options| options.timeout);
            self.options.idle_flush.min(ACCOUNT_INTERVAL).min(join)
        }
    }

    pub(super) fn has_unnamed(&self) -> bool {
        self.streams.values().any(|captured| {
            let awaits_answer = captured.successor.as_ref().is_some_and(|next| next.answer.is_none());
            awaits_answer || (!captured.stream.is_named() && !captured.is_refused())
        })
    }
}

fn end_of(log: &ContainerLog, origin: &OriginHandle, anchor: Anchor) -> (String, StreamEnd) {
    let origin = origin.origin();
    let end = StreamEnd { anchor, log: Some((log.file.clone(), origin.clone())) };
    (stream_key(&log.container, origin.stream), end)
}

/// Bytes written to a target, and whether all of them have been put into a ring or given up.
pub(super) fn account_of(capture: &Capture, key: &PipeKey) -> Option<(u64, bool)> {
    let target = capture.targets.get(key, 0).ok()?;
    Some((target.written, target.settled == target.written))
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
