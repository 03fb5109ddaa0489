//! A running capture, as the rest of the program has it: what it is told, what it counts, and how it ends.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam::channel::{Sender, unbounded};
use forwarder_common::PipeKey;

use super::backlog::BacklogLog;
use super::fill::ContainerLog;
use super::stream::StreamLimits;
use crate::parse::line::LineKind;
use crate::record::{Origin, OriginHandle};
use crate::source::container::LogFile;
use crate::source::joiner::JoinOptions;
use crate::source::logfile::Anchor;

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

/// Where a stream ended, that the next run can find in its log file.
#[derive(Clone, Debug)]
pub struct StreamEnd {
    /// The last bytes that were handed on.
    pub anchor: Anchor,
    /// Where its runtime keeps it, and whose it is: for a run that finds its container ended.
    pub log: Option<(LogFile, Origin)>,
}

/// By container and stream.
pub type StreamEnds = HashMap<String, StreamEnd>;

/// What the rest of the program asks of the reader.
pub enum Control {
    /// Capture this pipe or terminal from now on.
    Add(PipeKey, Added),
    /// Hand on what the container's log file has of this stream, which nobody writes to any more.
    AddEnded(OriginHandle, BacklogLog, ContainerLog),
    /// What runs already has been added. Answer when everything that was ordered before is done.
    Confirm(Sender<()>),
    /// Hand on what there is and end.
    Stop,
}

/// A running reader.
pub struct ReaderHandle {
    pub(super) control: Sender<Control>,
    pub(super) wake: Arc<OwnedFd>,
    pub(super) thread: std::thread::JoinHandle<StreamEnds>,
    pub counters: Arc<CaptureCounters>,
}

impl ReaderHandle {
    pub fn add(&self, key: PipeKey, added: Added) {
        self.tell(Control::Add(key, added));
    }

    /// Of a container that has ended.
    pub fn add_ended(&self, origin: OriginHandle, rest: BacklogLog, log: ContainerLog) {
        self.tell(Control::AddEnded(origin, rest, log));
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
