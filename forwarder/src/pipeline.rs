//! The wiring: sources → ring → destinations. The only module that knows all of them.
//!
//! Threads: `capture` empties the eBPF rings, `namer` finds out whose they are, `backlogs` and `fills` read the log files of
//! containers, `kmsg` reads the kernel log, `files` reads files, `journal` systemd's journal, `listen` takes in what others
//! send, `memlogd` reads the descriptors that were passed to it, `docker` those of Docker's containers, `view` serves those
//! who look at the ring, `io` carries all destinations, the main thread waits for signals and saves checkpoints. Between
//! them are the ring and channels; nothing is polled while nothing happens.

mod captured;
pub mod memlogd;
mod ring_file;
mod sources;
#[cfg(feature = "ebpf")]
mod stream_ends;
mod viewing;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::{
    CutChoice, DestinationConfig, EntryChoice, IoChoice, MemlogdConfig, RecordsChoice, ResolvedConfig, SegmentChoice,
};
use crate::destination::{self, DrainReport, Encoders, RetryPolicy, StopHandle, stop_channel};
use crate::io::fd_store::FdStore;
use crate::io::unix::SocketKind;
use crate::io::{self, Backend, IoMode};
use crate::observe::counters::Counters;
use crate::record::OriginId;
use crate::ring::spill::{Spill, SpillOptions};
use crate::ring::{Entrance, Overflow, ReaderOptions, Ring, RingLimits, Selection, Wanted};
use crate::shape::{self, Shaping};
use crate::source::memlogd::{Cut, LineLimit};
use crate::state::StateDir;
use crate::view::query::QueryOptions;
use crate::view::{EntryFormat, Stages};
use captured::CapturedUntil;
use memlogd::{Memlogd, MemlogdOptions, held_socket};
use sources::Sources;
use viewing::Viewing;

/// How often checkpoints are saved. With thousands of files that is much: then less often, so that saving takes at most so
/// much of a core.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_SAVE_INTERVAL: Duration = Duration::from_secs(10);
const SAVE_SHARE: u32 = 200;
/// Bytes of batches that may wait for a spill's disk.
const QUEUE_BYTES: usize = 16 << 20;
/// Said when a second signal ends the drain.
const AT_ONCE: &str = "ended at once by a second signal; what was not delivered by then is lost";
/// What a run that ended in order leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Destinations that did not take everything before the shutdown's time was over.
    pub undelivered: Vec<Undelivered>,
    /// Destinations that could not go on, and why.
    pub failed: Vec<(String, String)>,
}

/// What a destination did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    pub destination: String,
    /// Records that were in memory.
    pub records: u64,
    /// Of these, the ones that its spill does not keep for the next run, or all where it has none.
    pub not_kept: u64,
}

/// Runs until a signal asks to stop, then drains.
///
/// # Errors
/// Where what the configuration asks for can't be had.
pub fn run(config: ResolvedConfig) -> anyhow::Result<RunReport> {
    // First: a signal that comes during the start, or right after it, must not throw away what was captured.
    let mut signals = Signals::catch()?;
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    let state = open_state(&config, &boot_id)?;
    if state.as_ref().is_some_and(|state| reroute(state, &config)) {
        tracing::warn!("routes have changed: what some destination had not got by the old ones is read again, for all");
    }
    let limits = RingLimits { bytes: config.ring.bytes, records: config.ring.records };
    let spills = Spills::open(&config)?;
    // After a kill the state may be older than what is spilled: a sequence is never used twice.
    let first_sequence = state.as_ref().map_or(1, |state| state.next_sequence()).max(spills.last_sequence + 1);
    let ring = match &config.ring.file {
        Some(folder) => ring_file::open(folder, limits, first_sequence, &config, state.as_ref())?,
        None => Ring::new(limits, first_sequence),
    };
    if let Some(routes) = &config.routes {
        ring.route_earlier(shape::router(routes));
    }
    let shaping = Shaping::start(&config.process, config.routes.as_ref()).context("records can't be shaped")?;
    if let Some(shaping) = &shaping {
        ring.set_entrance(Arc::clone(shaping) as Arc<dyn Entrance>);
    }
    let counters = Arc::new(Counters::default());
    let mut destinations = Destinations::start(&config, &ring, state.as_ref(), spills, &counters)?;
    ring.settle();
    let memlogd = start_memlogd(config.memlogd.as_ref(), &ring)?;
    let stages = stages(&config, shaping.as_deref());
    let viewing = Viewing::start(config.view.as_ref(), &ring, stages)?;
    let mut sources = Sources::start(&config, &ring, &boot_id, state.as_ref(), memlogd)?;
    tracing::info!("ready: {}, {}", sources.describe(), destinations.describe());
    let checkpoints = Checkpoints {
        ring: Arc::clone(&ring),
        state,
        captured: CapturedUntil::new(sources.captured_until(), config.ring.file.is_some()),
        failing: Cell::new(false),
    };
    let input_ended = sources.take_input_ended();
    let reports = match wait(&mut signals, &checkpoints, &mut destinations.reports, input_ended)? {
        // Nobody is left to deliver to.
        Some(reports) => reports,
        None => {
            let clients = sources.stop();
            if let Some(shaping) = &shaping {
                shaping.stop();
                tracing::info!("process: {}", shaping.counters());
            }
            // Who follows comes again when it is sent away: that must not be to this run.
            viewing.close();
            ring.close();
            if let Some(clients) = clients {
                clients.stop();
            }
            let drained = destinations.drain(Instant::now() + config.shutdown_timeout, &mut signals);
            checkpoints.save_last();
            drained?
        }
    };
    checkpoints.save();
    viewing.close();
    ring.close();
    viewing.stop();
    for (name, counted) in counters.destinations() {
        tracing::info!("destination {name}: {counted}");
    }
    let mut report = RunReport::default();
    for (name, drained) in reports {
        if let Some(error) = drained.error {
            report.failed.push((name.clone(), error.to_string()));
        }
        let records = drained.unsent + drained.unconfirmed;
        if records + drained.lost > 0 {
            report.undelivered.push(Undelivered { destination: name, records, not_kept: drained.lost });
        }
    }
    Ok(report)
}

/// The state directory, where something has to survive a restart: stdout alone has nothing, but with the ring in files.
fn open_state(config: &ResolvedConfig, boot_id: &str) -> anyhow::Result<Option<StateDir>> {
    if config.destinations.iter().all(|destination| !config.resumes(destination)) {
        return Ok(None);
    }
    let state = StateDir::open(&config.state_dir, boot_id)
        .context("the state directory can't be used (choose another one by --state-dir)")?;
    Ok(Some(state))
}

/// The signals that ask to stop, and what waits for them.
struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
    /// The terminal is gone; not where the signal is ignored (nohup).
    hangup: Option<Signal>,
}

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        drop(entered);
        Ok(Self { runtime, terminate, interrupt, hangup })
    }
}

/// By the mask of ignored signals; SIGHUP is its first bit.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

impl Signals {
    /// Waits for the first signal that asks to stop; its name.
    fn wait(&mut self) -> &'static str {
        let Self { runtime, terminate, interrupt, hangup } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                () = hung_up(hangup) => "SIGHUP",
            }
        })
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => drop(hangup.recv().await),
        None => std::future::pending().await,
    }
}

async fn at_end_of(input: Option<oneshot::Receiver<()>>) -> Result<(), oneshot::error::RecvError> {
    match input {
        Some(input) => input.await,
        None => std::future::pending().await,
    }
}

/// Waits for a signal, or for all destinations to end on their own; saves checkpoints meanwhile.
fn wait(
    signals: &mut Signals,
    checkpoints: &Checkpoints,
    ended: &mut oneshot::Receiver<Reports>,
    input_ended: Option<oneshot::Receiver<()>>,
) -> anyhow::Result<Option<Reports>> {
    let Signals { runtime, terminate, interrupt, hangup } = signals;
    runtime.block_on(async {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = hung_up(hangup) => "SIGHUP",
            reports = ended => return Ok(Some(reports.context("the destinations ended without a report")?)),
            Ok(()) = at_end_of(input_ended) => "the end of standard input",
            () = checkpoints.keep_saving() => "nothing",
        };
        tracing::info!("stopping on {signal}: delivering what was captured (a second SIGTERM or SIGINT ends at once)");
        Ok(None)
    })
}

/// What is saved at most once a second, and at the end.
struct Checkpoints {
    ring: Arc<Ring>,
    state: Option<StateDir>,
    captured: CapturedUntil,
    /// Whether saving failed the last time; said once.
    failing: Cell<bool>,
}

impl Checkpoints {
    /// Saves a while after something has changed, for ever; an idle program is not woken.
    async fn keep_saving(&self) {
        let Some(state) = &self.state else { return std::future::pending().await };
        loop {
            let (mut appended, mut advanced) = (pin!(self.ring.appended()), pin!(state.advanced()));
            // Registered before saving, so that nothing that comes meanwhile is forgotten.
            appended.as_mut().enable();
            advanced.as_mut().enable();
            let begun = thread_cpu_time();
            self.save();
            let cost = thread_cpu_time().saturating_sub(begun);
            tokio::select! {
                () = appended => {}
                () = advanced => {}
            }
            tokio::time::sleep((SAVE_SHARE * cost).clamp(SAVE_INTERVAL, LONGEST_SAVE_INTERVAL)).await;
        }
    }

    /// At the end of the program.
    fn save_last(&self) {
        if let Some(state) = &self.state {
            self.captured.note_all(state);
        }
        self.save();
    }

    fn save(&self) {
        let Some(state) = &self.state else { return };
        self.captured.note(&self.ring, state);
        state.set_next_sequence(self.ring.next_sequence());
        match (state.flush(), self.failing.get()) {
            (Err(error), false) => tracing::error!("checkpoints can't be saved, and are tried again: {error}"),
            (Ok(()), true) => tracing::info!("checkpoints are saved again"),
            (Err(_), true) | (Ok(()), false) => return,
        }
        self.failing.set(!self.failing.get());
    }
}

/// CPU time that this thread has taken.
fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// What all destinations left, by name.
type Reports = Vec<(String, DrainReport)>;

/// The thread that carries all destinations.
struct Destinations {
    stop: StopHandle,
    names: Vec<String>,
    backend: &'static str,
    thread: JoinHandle<()>,
    /// Sent once, when all of them have ended.
    reports: oneshot::Receiver<Reports>,
}

impl Destinations {
    fn start(
        config: &ResolvedConfig,
        ring: &Arc<Ring>,
        state: Option<&StateDir>,
        mut spills: Spills,
        counters: &Counters,
    ) -> anyhow::Result<Self> {
        let mode = match config.io {
            IoChoice::Auto => IoMode::Auto,
            IoChoice::Uring => IoMode::Uring,
            IoChoice::Epoll => IoMode::Epoll,
        };
        // Decided here, so that a refusal ends the program and not a thread.
        let (mode, backend) = match mode.choose()? {
            Backend::Uring => (IoMode::Uring, "io_uring"),
            Backend::Epoll => (IoMode::Epoll, "epoll"),
        };
        let (stop, signal) = stop_channel();
        let mut tasks = Vec::new();
        for (number, destination) in config.destinations.iter().enumerate() {
            let state = state.filter(|_| config.resumes(destination));
            let mut options = reader_options(destination, spills.of.remove(&destination.name), state);
            options.target = config.routes.as_ref().map(|_| 1 << number);
            let cursor = ring.reader(options);
            tasks.push((destination_config(destination), cursor, counters.destination(&destination.name)));
        }
        let (done, reports) = oneshot::channel();
        let thread = std::thread::Builder::new().name("io".into()).spawn(move || {
            let all = async move {
                let alone = tasks.len() == 1;
                let encoders = Encoders::default();
                let running: Vec<_> = tasks
                    .into_iter()
                    .map(|(config, cursor, counters)| {
                        let name = config.name.clone();
                        let running = destination::run(config, cursor, counters, signal.clone(), encoders.clone());
                        let shown = name.clone();
                        let running = async move {
                            let report = running.await;
                            // One that is alone ends the program, with this error.
                            if let Some(error) = report.error.as_ref().filter(|_| !alone) {
                                tracing::error!("destination `{shown}` has failed, the others go on: {error}");
                            }
                            report
                        };
                        (name, tokio::task::spawn_local(running))
                    })
                    .collect();
                let mut reports = Reports::new();
                for (name, task) in running {
                    match task.await {
                        Ok(report) => reports.push((name, report)),
                        Err(error) => tracing::error!("destination {name} failed: {error}"),
                    }
                }
                reports
            };
            // Who is late here loses records when the ring is full; where this is not allowed it is a wish.
            let _ = rustix::process::setpriority_process(None, -5);
            match io::run(mode, all) {
                Ok(reports) => drop(done.send(reports)),
                Err(error) => tracing::error!("{error}"),
            }
        })?;
        let names = config.destinations.iter().map(|destination| destination.name.clone()).collect();
        Ok(Self { stop, names, backend, thread, reports })
    }

    fn describe(&self) -> String {
        format!("sending to {} by {}", self.names.join(", "), self.backend)
    }

    /// Delivers what is in the ring, until `deadline` or a second signal. A hangup is none: it may come with the first.
    fn drain(self, deadline: Instant, signals: &mut Signals) -> anyhow::Result<Reports> {
        self.stop.drain_until(deadline.into());
        let Signals { runtime, terminate, interrupt, .. } = signals;
        let reports = runtime.block_on(async {
            tokio::select! {
                biased;
                reports = self.reports => reports.context("the destinations ended without a report"),
                _ = terminate.recv() => Err(anyhow!(AT_ONCE)),
                _ = interrupt.recv() => Err(anyhow!(AT_ONCE)),
            }
        })?;
        let _ = self.thread.join();
        Ok(reports)
    }
}

/// The destinations' spills, by name.
struct Spills {
    of: BTreeMap<String, Spill>,
    /// Highest sequence that an earlier run left in any of them.
    last_sequence: u64,
}

impl Spills {
    fn open(config: &ResolvedConfig) -> anyhow::Result<Self> {
        let mut spills = Self { of: BTreeMap::new(), last_sequence: 0 };
        for destination in &config.destinations {
            let Some(options) = &destination.spill else { continue };
            let (spill, found) = Spill::open(SpillOptions {
                queue_bytes: QUEUE_BYTES,
                ..SpillOptions::new(&options.dir, options.bytes)
            })
            .with_context(|| format!("the spill of destination {} can't be used", destination.name))?;
            let name = &destination.name;
            if found.batches > 0 {
                tracing::info!("destination {name}: {} records of an earlier run are on disk", found.records);
            }
            if found.torn_bytes + found.damaged_bytes > 0 {
                tracing::warn!(
                    "destination {name}: its spill had {} torn and {} damaged bytes",
                    found.torn_bytes,
                    found.damaged_bytes
                );
            }
            spills.last_sequence = spills.last_sequence.max(found.last_sequence);
            spills.of.insert(name.clone(), spill);
        }
        Ok(spills)
    }
}

fn reader_options(destination: &DestinationConfig, spill: Option<Spill>, state: Option<&StateDir>) -> ReaderOptions {
    let mut options = ReaderOptions::new(&destination.name);
    options.selection = selection(destination);
    // Who passes over files and what is sent must not have them run away from those that want them.
    options.sets_pace = options.selection != Selection::Kernel;
    options.overflow = spill.map(|spill| Arc::new(spill) as Arc<dyn Overflow>);
    if let Some(state) = state {
        options.resume = state.checkpoint(&destination.name);
        let (of_state, name) = (state.clone(), destination.name.clone());
        options.on_checkpoint = Some(Box::new(move |source, position| of_state.advance(&name, source, position)));
        options.position = state.ring_position(&destination.name);
        let (state, name) = (state.clone(), destination.name.clone());
        options.on_position = Some(Box::new(move |position| state.set_ring_position(&name, position)));
    }
    options
}

fn selection(destination: &DestinationConfig) -> Selection {
    match destination.records {
        RecordsChoice::All => Selection::All,
        RecordsChoice::Kernel => Selection::Kernel,
        RecordsChoice::Services => Selection::Services,
    }
}

/// Tells the state how records are routed; whether some are read again for that.
fn reroute(state: &StateDir, config: &ResolvedConfig) -> bool {
    let names: Vec<&str> = config.destinations.iter().map(|destination| destination.name.as_str()).collect();
    // Bits in the routes are numbers of these.
    let routing = config.routes.as_ref().map(|routes| OriginId::of_text(format!("{names:?} {routes:?}").as_bytes()));
    state.set_routing(&routing.map(|id| format!("{:016x}", id.0)).unwrap_or_default(), &names)
}

/// Where `ringward tap` may look.
fn stages(config: &ResolvedConfig, shaping: Option<&Shaping>) -> Stages {
    let wanted = |(number, destination): (usize, &DestinationConfig)| {
        let bits = if config.routes.is_some() { 1 << number } else { u64::MAX };
        (destination.name.clone(), Wanted { selection: selection(destination), bits })
    };
    Stages {
        tap: shaping.map(Shaping::tap),
        destinations: config.destinations.iter().enumerate().map(wanted).collect(),
    }
}

fn destination_config(config: &DestinationConfig) -> destination::DestinationConfig {
    let retry = RetryPolicy { initial: config.retry.initial, max: config.retry.max, ..RetryPolicy::default() };
    destination::DestinationConfig {
        extra_tags: config.extra_tags.clone(),
        max_record_bytes: config.max_record_bytes,
        pad_segments: config.udp_segment == SegmentChoice::Pad,
        retry,
        resend_window: config.resend_window,
        ..destination::DestinationConfig::new(&config.name, config.endpoint.clone())
    }
}

/// memlogd's sockets, where the configuration asks for them.
fn start_memlogd(config: Option<&MemlogdConfig>, ring: &Arc<Ring>) -> anyhow::Result<Option<Memlogd>> {
    let Some(config) = config else { return Ok(None) };
    let cut = match config.cut {
        CutChoice::Characters => Cut::Characters,
        CutChoice::Bytes => Cut::Bytes,
    };
    let format = match config.format {
        EntryChoice::Json => EntryFormat::Json,
        EntryChoice::Text => EntryFormat::Text,
    };
    let mut kept = FdStore::of_environment();
    let options = MemlogdOptions {
        log: held_socket("log", SocketKind::Datagram, &config.log_socket, &mut kept)?,
        query: held_socket("query", SocketKind::Stream, &config.query_socket, &mut kept)?,
        line: LineLimit { bytes: config.max_line, cut },
        view: QueryOptions { format, marks: cut == Cut::Characters },
        kept,
    };
    Memlogd::start(options, ring).map(Some)
}
