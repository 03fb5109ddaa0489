//! The thread that empties the per-CPU rings.
//!
//! While something is captured it looks every millisecond, so that the programs need not wake it; when there
//! was nothing it says so in a flag that the programs read, and sleeps. One thread reads all rings.
//!
//! ```text
//!  rings ──► chunk ──► Stream (order, gaps) ──► Framer ──► Output ──► ring
//!  exec record ──► namer thread ──► name or rejection (of an ended stream's key: Successor)
//!  log file of a running container ──► backlogs thread ──► what was printed before
//!  process exit (pidfd) ──► account, last partial line, target removed when nobody holds the pipe any more
//! ```

mod accounts;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use crossbeam::channel::{Receiver, Sender, TryRecvError, unbounded};
use forwarder_common::{MISSED_KINDS, PipeKey, Target};
use rustix::event::epoll;

use super::backlog::{BacklogLog, Pending};
use super::fill::ContainerLog;
use super::handle::{Added, CaptureCounters, ConsoleText, Control, ReaderHandle, ReaderOptions, StreamEnds};
use super::hold_back::HoldBack;
use super::lines::CapturedLines;
use super::load::Capture;
use super::names::{Answers, Names, Question};
use super::state::{Ending, Hole, State, account_of};
use crate::record::OriginHandle;
use crate::ring::Ring;
use crate::source::clock::{WallClock, realtime_ns};
use crate::sys::RingFill;

/// Pause between two looks while something is captured.
pub(super) const DRAIN_INTERVAL: Duration = Duration::from_millis(1);
/// Pause between saying that the reader sleeps and sleeping: a program that had read the flag before is done.
const SETTLE_PAUSE: Duration = Duration::from_micros(50);
/// First sleep after activity, for a program that was held up longer than that.
const SHORT_SLEEP: Duration = Duration::from_millis(5);
/// Interval of the accounts; the only timer of an idle host, and it stops after one round without bytes.
pub(super) const ACCOUNT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a record that is being written is waited for: its program may be preempted.
const STUCK_RECORD: Duration = Duration::from_millis(200);
/// Bytes taken from one CPU's ring before the next one's turn.
const RING_TURN: usize = 512 << 10;

/// Starts the reader and its namer.
///
/// # Errors
/// Where the process is out of descriptors or threads.
pub fn start(
    capture: Capture,
    options: ReaderOptions,
    ring: Arc<Ring>,
    names: Box<dyn Names>,
    console: Option<Sender<ConsoleText>>,
) -> std::io::Result<ReaderHandle> {
    let wake = Arc::new(rustix::event::eventfd(
        0,
        rustix::event::EventfdFlags::NONBLOCK | rustix::event::EventfdFlags::CLOEXEC,
    )?);
    let (control, orders) = unbounded();
    let (questions, answers) = super::names::start(names, Arc::clone(&wake))?;
    let counters = Arc::new(CaptureCounters::default());
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &*wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
    for ring in &capture.rings {
        epoll::add(&poll, ring.as_fd(), epoll::EventData::new_u64(RING), epoll::EventFlags::IN)?;
    }
    let fills = capture.rings.iter().map(|ring| RingFill::map(ring.as_fd())).collect::<Result<Vec<_>, _>>()?;
    let hold_back = HoldBack::new(Arc::clone(&ring), capture.ring_len);
    let mut reader = Reader {
        rings: Vec::new(),
        fills,
        next_ring: 0,
        hold_back,
        state: State {
            lines: CapturedLines::new(ring, options.parse, Arc::clone(&counters)),
            options,
            clock: WallClock::now(),
            streams: HashMap::new(),
            ended: HashMap::new(),
            processes: HashMap::new(),
            to_watch: Vec::new(),
            early_names: Some(Vec::new()),
            next_process: FIRST_PROCESS,
            next_target: Capture::first_target_id(),
            console,
            questions,
            counters: Arc::clone(&counters),
            missed: [0; MISSED_KINDS],
            round: 0,
            emptied_ns: 0,
            left_bytes: 0,
        },
        capture,
        poll,
        wake: Arc::clone(&wake),
        orders,
        answers,
    };
    reader.rings = std::mem::take(&mut reader.capture.rings);
    let thread = std::thread::Builder::new().name("capture".into()).spawn(move || {
        // A reader that is late loses records; where this is not allowed it is a wish.
        let _ = rustix::process::setpriority_process(None, -10);
        reader.run()
    })?;
    Ok(ReaderHandle { control, wake, thread, counters })
}

const WAKE: u64 = 0;
const RING: u64 = 1;
const FIRST_PROCESS: u64 = 2;

/// What was in the rings when a look at them began.
struct Look {
    begun_ns: i64,
    /// The end of each ring.
    ends: Vec<u64>,
}

struct Reader {
    rings: Vec<RingBuf<MapData>>,
    /// The positions of each of them.
    fills: Vec<RingFill>,
    /// Whose turn it is: none may starve while much is held back.
    next_ring: usize,
    hold_back: HoldBack,
    capture: Capture,
    poll: OwnedFd,
    wake: Arc<OwnedFd>,
    orders: Receiver<Control>,
    answers: Answers,
    state: State,
}

impl Reader {
    fn run(&mut self) -> StreamEnds {
        let mut last_account = Instant::now();
        let mut busy_since_account = false;
        let mut next_sleep = Some(SHORT_SLEEP);
        loop {
            let stop = self.take_orders();
            let found = self.drain(!stop);
            self.after_round();
            busy_since_account |= found;
            if last_account.elapsed() >= ACCOUNT_INTERVAL
                && (busy_since_account || stop)
                && !self.hold_back.holds(&self.fills)
            {
                self.account();
                last_account = Instant::now();
                busy_since_account = false;
            }
            self.state.hand_over();
            if stop {
                return self.finish();
            }
            if found {
                next_sleep = Some(SHORT_SLEEP);
                std::thread::sleep(DRAIN_INTERVAL);
                // However busy a container keeps this thread, others end.
                self.take_events(Some(Duration::ZERO));
                continue;
            }
            let pending = self.state.is_waiting() || busy_since_account;
            let timeout = next_sleep.take().or_else(|| pending.then_some(self.state.patience()));
            self.sleep(timeout);
        }
    }

    /// A turn of each ring, unless it is held back. `true` if there was anything, or may have been.
    fn drain(&mut self, may_hold_back: bool) -> bool {
        let look = self.begin_look();
        let mut found = false;
        for _ in 0..self.rings.len() {
            if may_hold_back && self.hold_back.holds(&self.fills) {
                return true;
            }
            let turn = self.next_ring;
            self.next_ring = (turn + 1) % self.rings.len();
            found |= self.take_turn(turn, u64::MAX);
        }
        self.end_look(&look);
        found
    }

    /// Takes what is in the rings now, and not what is put there meanwhile: ends however much is written. `false`: a
    /// record that is still being written was in the way.
    fn drain_what_is_there(&mut self) -> bool {
        let look = self.begin_look();
        let mut last_found = Instant::now();
        while last_found.elapsed() < STUCK_RECORD {
            let mut found = false;
            for turn in 0..self.rings.len() {
                found |= self.take_turn(turn, look.ends[turn]);
            }
            if self.end_look(&look) {
                return true;
            }
            if found {
                last_found = Instant::now();
            } else {
                // A program is still writing one of the records.
                std::thread::sleep(SETTLE_PAUSE);
            }
        }
        false
    }

    fn begin_look(&mut self) -> Look {
        self.state.clock = WallClock::now();
        Look { begun_ns: realtime_ns(), ends: self.fills.iter().map(RingFill::producer).collect() }
    }

    /// At most [`RING_TURN`] bytes of one ring, of the records that begin before `end`.
    fn take_turn(&mut self, ring: usize, end: u64) -> bool {
        let mut taken = 0;
        while taken < RING_TURN
            && self.fills[ring].consumer() < end
            && let Some(item) = self.rings[ring].next()
        {
            taken += item.len();
            self.state.on_record(&item);
        }
        taken > 0
    }

    /// Whether all that was in the rings at the start of `look` has been taken. A ring gives nothing as well when the
    /// program that writes its oldest record was preempted, with whole records behind it.
    fn end_look(&mut self, look: &Look) -> bool {
        let is_done = self.fills.iter().zip(&look.ends).all(|(fill, end)| fill.consumer() >= *end);
        if is_done {
            self.state.round += 1;
            self.state.emptied_ns = look.begun_ns;
        }
        is_done
    }

    /// Sleeps until a program, an order, a name or the end of a process wakes it, at most for `timeout`.
    fn sleep(&mut self, timeout: Option<Duration>) {
        self.capture.sleeping.set(true);
        std::thread::sleep(SETTLE_PAUSE);
        self.take_events(timeout);
        self.capture.sleeping.set(false);
        self.state.counters.wakeups.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for at most `timeout`. Orders, names and bytes are looked for in each round; the ends of processes here.
    fn take_events(&mut self, timeout: Option<Duration>) {
        let mut events = Vec::with_capacity(64);
        let timeout = timeout.map(|timeout| rustix::time::Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        if epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()).is_err() {
            return;
        }
        for event in &events {
            match event.data.u64() {
                WAKE => {
                    let _ = rustix::io::read(&*self.wake, &mut [0u8; 8]);
                }
                RING => {}
                process => self.state.process_ended(process, &self.poll),
            }
        }
    }

    /// Orders and answers of the namer. `true`: stop.
    fn take_orders(&mut self) -> bool {
        while let Some(answer) = self.answers.try_next() {
            self.state.on_answer(answer);
        }
        loop {
            match self.orders.try_recv() {
                Ok(Control::Add(key, added)) => self.add(key, added),
                Ok(Control::AddEnded(origin, rest, log)) => self.add_ended(origin, rest, log),
                Ok(Control::Confirm(done)) => {
                    self.state.use_early_names();
                    drop(done);
                }
                Ok(Control::Stop) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            }
        }
    }

    fn add(&mut self, key: PipeKey, Added { origin, process, before, log }: Added) {
        let mut id = self.state.next_target;
        let target = Target { id, ..Target::default() };
        let mut attached_ns = realtime_ns();
        match self.capture.targets.insert(key, target, u64::from(aya_obj::generated::BPF_NOEXIST)) {
            Ok(()) => self.state.next_target += 1,
            // Something was executed in the container since the programs were attached, which looked like the start
            // of a container: the pipe is captured since then, under the kernel's number.
            Err(error) => match self.capture.targets.get(&key, 0) {
                Ok(target) => (id, attached_ns) = (target.id, self.capture.loaded_ns),
                Err(_) => return tracing::warn!("{} can't be captured: {error}", origin.origin().name),
            },
        }
        let fresh = self.state.new_stream(key);
        let captured = self.state.streams.entry(id).or_insert(fresh);
        // Stdout and stderr in one pipe are one stream, under the first name.
        if captured.is_known() {
            return;
        }
        captured.key = key;
        // The namer may have said that what was executed is not the container's first process.
        captured.ending = Ending::No;
        captured.fill_from(log, &origin);
        match before {
            None => {
                let lines = &mut self.state.lines;
                captured.stream.name(origin, &mut |origin, framed| lines.push(origin, framed));
            }
            Some(before) => captured.backlog = Some((Pending::new(BacklogLog { attached_ns, ..before }), origin)),
        }
        if let Some(process) = process {
            self.state.watch(process, vec![id], &self.poll);
        }
    }

    fn add_ended(&mut self, origin: OriginHandle, rest: BacklogLog, log: ContainerLog) {
        let id = self.state.next_target;
        self.state.next_target += 1;
        // No pipe has it, so nobody holds it: the stream ends as soon as it is known.
        let key = PipeKey { inode: u64::MAX - u64::from(id), device: u32::MAX, zero: 0 };
        let mut captured = self.state.new_stream(key);
        captured.fill_from(Some(log), &origin);
        captured.ending = Ending::ProcessEnded;
        captured.backlog = Some((Pending::new(BacklogLog { attached_ns: realtime_ns(), ..rest }), origin));
        self.state.streams.insert(id, captured);
    }

    /// What can be decided now that all rings were emptied once more: processes to watch, holes, ends.
    fn after_round(&mut self) {
        for (process, targets) in std::mem::take(&mut self.state.to_watch) {
            self.state.watch(process, targets, &self.poll);
        }
        self.state.ask_for_backlogs(false);
        self.close_holes();
        self.state.succeed(false);
        self.end_streams();
        self.state.ask_for_fills();
        self.state.close_ended();
        self.state.flush_idle();
        self.state.counters.targets.store(self.state.streams.len() as u64, Ordering::Relaxed);
    }

    fn close_holes(&mut self) {
        let State { streams, lines, round, .. } = &mut self.state;
        for captured in streams.values_mut() {
            if !captured.stream.has_hole() {
                captured.hole = None;
                continue;
            }
            let waits_for = captured.stream.delivered;
            let hole = captured.hole.get_or_insert_with(|| Hole::new(waits_for, *round));
            let is_settled = || account_of(&self.capture, &captured.key).is_some_and(|(_, settled)| settled);
            if hole.is_final(waits_for, *round, is_settled) {
                captured.stream.give_up_hole(&mut |origin, framed| lines.push(origin, framed));
                captured.hole = None;
            }
        }
    }

    fn end_streams(&mut self) {
        let ended: Vec<u32> = self
            .state
            .streams
            .iter()
            .filter(|(_, captured)| match captured.ending {
                Ending::Unheld(round) => round < self.state.round && captured.successor.is_none(),
                Ending::Refused(round) => round + 1 < self.state.round,
                _ => false,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            let Some(mut captured) = self.state.streams.remove(&id) else { continue };
            if !captured.is_refused() {
                self.settle(&mut captured);
                let _ = self.capture.targets.remove(&captured.key);
                if captured.stream.is_filling() {
                    self.state.ended.insert(id, captured);
                }
            }
        }
        for captured in self.state.streams.values_mut().filter(|captured| captured.ending == Ending::Rejected) {
            let _ = self.capture.targets.remove(&captured.key);
            captured.ending = Ending::Refused(self.state.round);
        }
        let mut asked = Vec::new();
        for (id, captured) in &mut self.state.streams {
            if captured.ending == Ending::ProcessEnded && captured.stream.is_named() && captured.successor.is_none() {
                captured.ending = Ending::Asked;
                asked.push((*id, captured.key));
            }
        }
        if !asked.is_empty() {
            let _ = self.state.questions.names.send(Question::AreHeld(asked));
        }
    }
}
