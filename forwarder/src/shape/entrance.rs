//! The doors before the ring: each source's thread has one, with steps and routes of its own.
//!
//! What a step reports later (how often something was repeated, how much was throttled) comes in time also where nothing else
//! does: one thread waits for the next moment at which some door has something to say, and sleeps where none has.
//!
//! What was discarded moves checkpoints the same way, at most once in [`PAUSE`] by a door. Where nothing but that goes in, the
//! pause doubles up to [`LONGEST_PAUSE`]: else positions alone would in days push out of the ring what somebody still
//! needs. What was discarded and not told is read again after a kill, and discarded again.
//!
//! Looking at what comes in (`ringward tap --at source`) costs nothing where nobody looks: a door asks one flag for each
//! batch.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::routes::Routing;
use super::shaper::{Outlet, Shaper};
use super::spec::{Routes, Step};
use crate::observe::shaping::ShapingCounters;
use crate::record::{Batch, BatchBuilder, OriginHandle, OriginId, RecordMeta};
use crate::ring::{Door, Entrance, Ring, RingLimits, Targets};

/// Between two batches of positions of what was discarded.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Origins of which positions wait to be told.
const MOST_UNTOLD: usize = 1024;
/// What is held for those who look at what comes in.
const SEEN_BYTES: usize = 2 << 20;

/// What stands before the ring.
pub struct Shaping {
    steps: Vec<Step>,
    routes: Option<Routes>,
    counters: Arc<ShapingCounters>,
    workers: Mutex<Vec<Weak<Mutex<Worker>>>>,
    clock: Arc<Clock>,
    tap: Arc<Tap>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// When the next door has something to say.
#[derive(Default)]
struct Clock {
    next: Mutex<Next>,
    changed: Condvar,
}

#[derive(Default)]
struct Next {
    due: Option<Instant>,
    stopped: bool,
}

/// What comes in, for those who look.
#[derive(Default)]
pub struct Tap {
    is_watched: AtomicBool,
    watchers: AtomicUsize,
    ring: Mutex<Option<Arc<Ring>>>,
}

/// Somebody who looks at what comes in, for as long as this lives.
pub struct Watching {
    tap: Arc<Tap>,
    pub ring: Arc<Ring>,
}

impl Shaping {
    /// `None` where there is nothing to do.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn start(steps: &[Step], routes: Option<&Routes>) -> std::io::Result<Option<Arc<Self>>> {
        if steps.is_empty() && routes.is_none() {
            return Ok(None);
        }
        let names = steps.iter().map(|step| step.name.clone()).collect();
        let shaping = Arc::new(Self {
            steps: steps.to_vec(),
            routes: routes.cloned(),
            counters: Arc::new(ShapingCounters::new(names)),
            workers: Mutex::default(),
            clock: Arc::default(),
            tap: Arc::default(),
            thread: Mutex::default(),
        });
        if !steps.is_empty() {
            let waiting = Arc::downgrade(&shaping);
            let clock = Arc::clone(&shaping.clock);
            let thread =
                std::thread::Builder::new().name("process".into()).spawn(move || tell_in_time(&waiting, &clock))?;
            *lock(&shaping.thread) = Some(thread);
        }
        Ok(Some(shaping))
    }

    pub fn counters(&self) -> &Arc<ShapingCounters> {
        &self.counters
    }

    /// What comes in, before the steps.
    pub fn tap(&self) -> Arc<Tap> {
        Arc::clone(&self.tap)
    }

    /// Puts into the ring what doors have still to say. Their threads have ended.
    pub fn stop(&self) {
        lock(&self.clock.next).stopped = true;
        self.clock.changed.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
        self.each(|worker| worker.say(None));
        self.tap.close();
    }

    fn each(&self, mut what: impl FnMut(&mut Worker)) {
        let workers: Vec<_> = lock(&self.workers).iter().filter_map(Weak::upgrade).collect();
        workers.iter().for_each(|worker| what(&mut lock(worker)));
    }
}

impl Entrance for Shaping {
    fn door(&self, ring: &Arc<Ring>) -> Box<dyn Door> {
        let worker = Worker {
            shaper: (!self.steps.is_empty()).then(|| Shaper::new(&self.steps)),
            waits: vec![None; self.steps.len()],
            exit: Exit {
                ring: Arc::clone(ring),
                routing: self.routes.as_ref().map(Routing::new),
                discarded: HashMap::new(),
                has_passed: false,
            },
            last: Instant::now(),
            positions_due: None,
            positions_said: None,
            pause: PAUSE / 2,
            counters: Arc::clone(&self.counters),
            clock: Arc::clone(&self.clock),
            tap: Arc::clone(&self.tap),
        };
        let worker = Arc::new(Mutex::new(worker));
        let mut workers = lock(&self.workers);
        workers.retain(|worker| worker.strong_count() > 0);
        workers.push(Arc::downgrade(&worker));
        Box::new(ThreadsDoor(worker))
    }
}

/// The door of one thread.
struct ThreadsDoor(Arc<Mutex<Worker>>);

impl Door for ThreadsDoor {
    fn pass(&mut self, batch: Batch) {
        lock(&self.0).pass(batch);
    }
}

impl Drop for ThreadsDoor {
    fn drop(&mut self) {
        lock(&self.0).say(None);
    }
}

struct Worker {
    shaper: Option<Shaper>,
    exit: Exit,
    /// When a batch was passed.
    last: Instant,
    /// By step: when it has something to say.
    waits: Vec<Option<Instant>>,
    positions_due: Option<Instant>,
    positions_said: Option<Instant>,
    /// Until they are said again.
    pause: Duration,
    counters: Arc<ShapingCounters>,
    clock: Arc<Clock>,
    tap: Arc<Tap>,
}

/// What is behind the steps.
struct Exit {
    ring: Arc<Ring>,
    routing: Option<Routing>,
    /// Up to where records were discarded, and nobody knows.
    discarded: HashMap<OriginId, (OriginHandle, u64)>,
    /// Whether records went in since positions were told.
    has_passed: bool,
}

impl Outlet for Exit {
    fn batch(&mut self, batch: Batch) {
        let targets = self.routing.as_mut().map_or(Targets::All, |routing| routing.targets(&batch));
        self.ring.append_for(batch, targets);
        self.has_passed = true;
    }

    fn discarded(&mut self, origin: &OriginHandle, position: u64) {
        let known = self.discarded.entry(origin.id()).or_insert_with(|| (origin.clone(), 0));
        known.1 = known.1.max(position);
    }
}

impl Exit {
    /// Says up to where records were discarded: behind everything that went before.
    fn say_positions(&mut self) {
        if self.discarded.is_empty() {
            return;
        }
        let mut builder = BatchBuilder::new(0);
        for (_, (origin, position)) in self.discarded.drain() {
            builder.push(&origin, RecordMeta { position, ..RecordMeta::line(0, b"") }, b"");
        }
        self.ring.append(builder.seal_discarded());
    }
}

impl Worker {
    fn pass(&mut self, batch: Batch) {
        if self.tap.is_watched.load(Ordering::Relaxed) {
            self.tap.show(&batch);
        }
        let Some(shaper) = &mut self.shaper else { return self.exit.batch(batch) };
        shaper.shape(batch, &mut self.exit);
        shaper.count(&self.counters);
        if self.exit.discarded.len() >= MOST_UNTOLD {
            self.exit.say_positions();
        }
        self.set_clock(true);
    }

    /// Notes when this door has something to say, and tells the one who waits for it.
    fn set_clock(&mut self, has_passed: bool) {
        let Some(shaper) = &self.shaper else { return };
        let (before, mut asked) = (self.last, None);
        let mut last = || *asked.get_or_insert_with(|| if has_passed { Instant::now() } else { before });
        for (step, wait) in shaper.steps().iter().zip(&mut self.waits) {
            if !step.is_waiting() {
                *wait = None;
                continue;
            }
            let last = last();
            if wait.is_none() {
                *wait = step.due_in().map(|due_in| last + due_in);
            }
        }
        if !self.exit.discarded.is_empty() && self.positions_due.is_none() {
            self.positions_due = Some(self.positions_said.map_or_else(&mut last, |said| said + self.pause));
        }
        self.last = asked.unwrap_or(before);
        if let Some(due) = self.due() {
            self.clock.wake_at(due);
        }
    }

    fn due(&self) -> Option<Instant> {
        self.waits.iter().copied().chain([self.positions_due]).flatten().min()
    }

    /// Says what is due at `now`; everything, where that is not given.
    fn say(&mut self, now: Option<Instant>) {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| now.is_none_or(|now| due <= now));
        if let Some(shaper) = &mut self.shaper
            && (now.is_none() || self.waits.iter().any(|wait| is_due(*wait)))
        {
            let waits = &mut self.waits;
            let silent = now.map(|now| now.saturating_duration_since(self.last));
            shaper.flush(|step| now.is_none() || is_due(waits[step]), silent, &mut self.exit);
            waits.iter_mut().filter(|wait| is_due(**wait)).for_each(|wait| *wait = None);
            shaper.count(&self.counters);
        }
        if now.is_none() || is_due(self.positions_due) {
            self.exit.say_positions();
            self.pause = if self.exit.has_passed { PAUSE } else { (2 * self.pause).min(LONGEST_PAUSE) };
            self.exit.has_passed = false;
            (self.positions_due, self.positions_said) = (None, now);
        }
        if now.is_some() {
            self.set_clock(false);
        }
    }
}

impl Clock {
    fn wake_at(&self, due: Instant) {
        let mut next = lock(&self.next);
        if next.due.is_none_or(|earlier| due < earlier) {
            next.due = Some(due);
            self.changed.notify_one();
        }
    }
}

/// Has doors say what they have to when it is time, until the end.
fn tell_in_time(shaping: &Weak<Shaping>, clock: &Clock) {
    let mut next = lock(&clock.next);
    while !next.stopped {
        let now = Instant::now();
        next = match next.due {
            None => clock.changed.wait(next).unwrap_or_else(PoisonError::into_inner),
            Some(due) if due > now => {
                clock.changed.wait_timeout(next, due - now).unwrap_or_else(PoisonError::into_inner).0
            }
            Some(_) => {
                next.due = None;
                // A door that is passed meanwhile sets it again.
                drop(next);
                let Some(shaping) = shaping.upgrade() else { return };
                shaping.each(|worker| worker.say(Some(now)));
                lock(&clock.next)
            }
        };
    }
}

impl Tap {
    /// Begins to look at what comes in.
    pub fn watch(self: &Arc<Self>) -> Watching {
        let mut ring = lock(&self.ring);
        self.watchers.fetch_add(1, Ordering::Relaxed);
        self.is_watched.store(true, Ordering::Relaxed);
        let limits = RingLimits { bytes: SEEN_BYTES, records: u64::MAX };
        let ring = ring.get_or_insert_with(|| Ring::new(limits, 1));
        Watching { tap: Arc::clone(self), ring: Arc::clone(ring) }
    }

    #[cold]
    fn show(&self, batch: &Batch) {
        if let Some(ring) = &*lock(&self.ring) {
            ring.append(batch.clone());
        }
    }

    /// Nothing comes any more.
    pub fn close(&self) {
        if let Some(ring) = &*lock(&self.ring) {
            ring.close();
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut ring = lock(&self.tap.ring);
        if self.tap.watchers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.tap.is_watched.store(false, Ordering::Relaxed);
            *ring = None;
        }
    }
}

/// What is behind these locks is whole also where somebody panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
