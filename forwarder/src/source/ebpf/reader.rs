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

use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use crossbeam::channel::{Receiver, Sender, TryRecvError, unbounded};
use forwarder_common::{MISSED_KINDS, PipeKey, Target};
use rustix::event::epoll;

use super::backlog::{BacklogLog, Pending};
use super::fill::ContainerLog;
use super::hold_back::HoldBack;
use super::lines::CapturedLines;
use super::load::Capture;
use super::names::{Answers, Names, Question};
use super::state::{Captured, Ending, Hole, State, account_of};
use super::stream::StreamLimits;
use crate::parse::line::LineKind;
use crate::record::OriginHandle;
use crate::ring::Ring;
use crate::source::clock::{WallClock, realtime_ns};
use crate::source::framer::Framed;
use crate::source::joiner::JoinOptions;
use crate::source::logfile::Anchor;
use crate::sys::RingFill;

/// Pause between two looks while something is captured.
pub(super) const DRAIN_INTERVAL: Duration = Duration::from_millis(1);
/// Pause between saying that the reader sleeps and sleeping: a program that had read the flag before is done.
const SETTLE_PAUSE: Duration = Duration::from_micros(50);
/// First sleep after activity, for a program that was held up longer than that.
const SHORT_SLEEP: Duration = Duration::from_millis(5);
/// Interval of the accounts; the only timer of an idle host, and it stops after one round without bytes.
pub(super) const ACCOUNT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a stop waits for the next of the namer's answers, and for all of them.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
const ALL_ANSWERS: Duration = Duration::from_secs(2);
/// How long a stop looks for what was being written when it came.
const LAST_LOOKS: Duration = Duration::from_millis(200);
/// How long a record that is being written is waited for: its program may be preempted.
const STUCK_RECORD: Duration = Duration::from_millis(200);
/// Bytes taken from one CPU's ring before the next one's turn.
const RING_TURN: usize = 512 << 10;

/// How captured bytes become records.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// A line without its newline is handed on after this time without more bytes.
    pub idle_flush: Duration,
    pub limits: StreamLimits,
    /// What a line is taken for.
    pub parse: LineKind,
    /// Which lines are joined.
    pub join: Option<Arc<JoinOptions>>,
    /// Whether a next run goes on where this one ends, from log files: what could not be filled by then is left to it.
    pub resumes: bool,
}

/// What capture has seen, since it was started.
#[derive(Debug, Default)]
pub struct CaptureCounters {
    /// Chunks taken from the rings.
    pub chunks: AtomicU64,
    /// Bytes of container output that came through, without their newlines.
    pub bytes: AtomicU64,
    /// What came from log files because the capture had missed it; among the above, here with newlines.
    pub filled_bytes: AtomicU64,
    /// Bytes reported lost.
    pub lost_bytes: AtomicU64,
    /// Times that the reader was woken.
    pub wakeups: AtomicU64,
    /// Runs of the programs that the kernel skipped.
    pub skipped_runs: AtomicU64,
    /// Pipes and terminals that are captured now.
    pub targets: AtomicU64,
    /// What has been handed on.
    pub until: Mutex<Until>,
}

impl fmt::Display for CaptureCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [bytes, filled, lost] =
            [&self.bytes, &self.filled_bytes, &self.lost_bytes].map(|counter| counter.load(Ordering::Relaxed));
        write!(f, "{bytes} bytes, {filled} bytes from log files, {lost} bytes lost")
    }
}

/// What was written before `ns`, since the epoch, is in the ring in memory, in batches before `sequence`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Until {
    pub ns: i64,
    pub sequence: u64,
}

/// A text that the kernel printed, with CLOCK_MONOTONIC in ns.
pub type ConsoleText = (u64, Vec<u8>);

/// What is known of a pipe or terminal that was there before.
pub struct Added {
    pub origin: OriginHandle,
    /// Its end ends the stream.
    pub process: Option<u32>,
    /// Where what was written before is.
    pub before: Option<BacklogLog>,
    /// Where gaps are filled from.
    pub log: Option<ContainerLog>,
}

/// The last bytes that were handed on, of streams that the next run can find in their log files.
pub type StreamEnds = HashMap<String, Anchor>;

/// What the rest of the program asks of the reader.
pub enum Control {
    /// Capture this pipe or terminal from now on.
    Add(PipeKey, Added),
    /// What runs already has been added. Answer when everything that was ordered before is done.
    Confirm(Sender<()>),
    /// Hand on what there is and end.
    Stop,
}

/// A running reader.
pub struct ReaderHandle {
    control: Sender<Control>,
    wake: Arc<OwnedFd>,
    thread: std::thread::JoinHandle<StreamEnds>,
    pub counters: Arc<CaptureCounters>,
}

impl ReaderHandle {
    pub fn add(&self, key: PipeKey, added: Added) {
        self.tell(Control::Add(key, added));
    }

    /// What runs already has been added: waits until it is captured. The namer's names are used from then on.
    pub fn confirm(&self) {
        let (done, confirmed) = unbounded();
        self.tell(Control::Confirm(done));
        let _ = confirmed.recv();
    }

    /// Waits until everything captured so far is in the ring, then detaches the programs. Says where the streams ended.
    pub fn stop(self) -> StreamEnds {
        self.tell(Control::Stop);
        self.thread.join().unwrap_or_default()
    }

    fn tell(&self, what: Control) {
        // The reader ends only when it is told to.
        let _ = self.control.send(what);
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}

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

    /// Compares with the kernel's account, where nothing is in flight, and hands on the unfinished line.
    fn settle(&mut self, captured: &mut Captured) {
        let lines = &mut self.state.lines;
        if let Some((written, true)) = account_of(&self.capture, &captured.key) {
            let mut out = |origin: &OriginHandle, framed: Framed<'_>| lines.push(origin, framed);
            captured.stream.settle(written, realtime_ns(), &mut out);
        }
        captured.stream.flush(&mut |origin, framed| lines.push(origin, framed));
    }

    /// Once a second: bytes that were written to a stream and never came, and what else the kernel has counted.
    fn account(&mut self) {
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
    fn finish(&mut self) -> StreamEnds {
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
            if let Some(answer) = self.answers.next(super::fill::FIRST_PAUSE) {
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
