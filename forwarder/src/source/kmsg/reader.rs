//! The thread that reads /dev/kmsg.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::clock::KernelClock;
use super::parse::{KmsgRecord, facility_name};
use super::recover::{Recovery, Text, is_same};
use crate::record::{FieldValue, Flags, Level, Lost, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::ring::Ring;
use crate::source::clock::{monotonic_ns, realtime_ns};
use crate::source::output::Output;

/// The kernel gives one record a read and EINVAL where it does not fit; its own limit is 8192.
const READ_LEN: usize = 16 << 10;
/// How long a gap waits for the next of the console texts that fill it, and for all of them: they come by another
/// thread, which may have as much to do.
const NEXT_TEXT: Duration = Duration::from_millis(200);
const ALL_TEXTS: Duration = Duration::from_secs(5);

/// What to read.
pub struct KmsgOptions {
    /// Usually /dev/kmsg.
    pub path: PathBuf,
    pub boot_id: String,
    /// Texts of the console tracepoint, CLOCK_MONOTONIC in ns with each.
    pub console: Option<Receiver<(u64, Vec<u8>)>>,
}

/// The kernel log can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{path} can't be opened: {source}")]
pub struct KmsgError {
    path: String,
    source: io::Error,
}

/// What the kernel log has given since the start.
#[derive(Debug, Default)]
pub struct KmsgCounters {
    pub records: AtomicU64,
    pub recovered: AtomicU64,
    pub lost: AtomicU64,
}

/// A running reader.
pub struct KmsgHandle {
    wake: OwnedFd,
    thread: std::thread::JoinHandle<()>,
    pub counters: Arc<KmsgCounters>,
}

impl KmsgHandle {
    /// Reads what is there, then ends.
    pub fn stop(self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        let _ = self.thread.join();
    }
}

/// Starts reading from the oldest record that the kernel holds.
///
/// # Errors
/// Where the device can't be opened, or threads and descriptors have run out.
pub fn start(options: KmsgOptions, ring: Arc<Ring>) -> Result<KmsgHandle, KmsgError> {
    let failed = |source| KmsgError { path: options.path.display().to_string(), source };
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(&options.path)
        .map_err(failed)?;
    let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let woken = wake.try_clone().map_err(failed)?;
    let counters = Arc::new(KmsgCounters::default());
    let source = format!("boot:{}:kmsg", options.boot_id);
    let mut reader = Reader {
        file,
        woken,
        origin: OriginHandle::new(Origin { source, ..Origin::new(OriginKind::Kernel, "kernel") }),
        output: Output::new(ring),
        clock: KernelClock::default(),
        recovery: Recovery::default(),
        console: options.console,
        next_sequence: None,
        last_ns: 0,
        counters: Arc::clone(&counters),
    };
    let thread = std::thread::Builder::new().name("kmsg".into()).spawn(move || reader.run()).map_err(failed)?;
    Ok(KmsgHandle { wake, thread, counters })
}

struct Reader {
    file: File,
    woken: OwnedFd,
    origin: OriginHandle,
    output: Output,
    clock: KernelClock,
    recovery: Recovery,
    console: Option<Receiver<(u64, Vec<u8>)>>,
    /// Sequence of the next record, once one was read.
    next_sequence: Option<u64>,
    /// Time of the record before, ns since the epoch.
    last_ns: i64,
    counters: Arc<KmsgCounters>,
}

impl Reader {
    fn run(&mut self) {
        let mut buffer = vec![0; READ_LEN];
        // What is there at the start is not fresh: the clocks can't be compared by it.
        let mut is_fresh = false;
        loop {
            if let Err(error) = self.read_all(&mut buffer, is_fresh) {
                tracing::error!("the kernel log can't be read any more: {error}");
                return;
            }
            self.output.seal();
            let mut descriptors = [
                PollFd::from_borrowed_fd(self.file.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.woken.as_fd(), PollFlags::IN),
            ];
            // Texts of the tracepoint that no record took are looked at now and then, so that none pile up.
            let timeout = self.console.as_ref().filter(|console| !console.is_empty());
            let timeout = timeout.map(|_| Timespec { tv_sec: 1, tv_nsec: 0 });
            if poll(&mut descriptors, timeout.as_ref()).is_err() {
                continue;
            }
            if descriptors[1].revents().contains(PollFlags::IN) {
                let _ = self.read_all(&mut buffer, true);
                self.output.seal();
                return;
            }
            is_fresh = true;
        }
    }

    fn read_all(&mut self, buffer: &mut [u8], is_fresh: bool) -> io::Result<()> {
        loop {
            match self.file.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.on_record(&buffer[..len], is_fresh),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.take_console();
                    return Ok(());
                }
                // Overrun: the next record's sequence says by how much.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn on_record(&mut self, bytes: &[u8], is_fresh: bool) {
        self.counters.records.fetch_add(1, Ordering::Relaxed);
        let record = match KmsgRecord::parse(bytes) {
            Ok(record) => record,
            Err(error) => {
                tracing::debug!("{error}");
                self.output.push(&self.origin, RecordMeta::line(realtime_ns(), bytes), bytes);
                return;
            }
        };
        let (monotonic, realtime) = (monotonic_ns(), realtime_ns());
        if is_fresh {
            self.clock.learn(record.clock_us, monotonic);
        }
        let time_ns = self.clock.wall_ns(record.clock_us, monotonic, realtime);
        let missing = self.next_sequence.map_or(0, |next| record.sequence.saturating_sub(next));
        self.fill_gap(&record, missing, time_ns);
        self.next_sequence = Some(record.sequence + 1);
        self.last_ns = time_ns;
        let facility = facility_name(record.facility);
        let level = Level::from_priority(record.severity);
        let meta = RecordMeta { position: record.sequence + 1, level, ..RecordMeta::line(time_ns, &record.text) };
        let fields = [
            ("clock", FieldValue::Integer(record.clock_us)),
            ("facility", FieldValue::Text(facility.as_bytes())),
            ("priority", FieldValue::Text(level.name().as_bytes())),
            ("seq", FieldValue::Integer(i64::try_from(record.sequence).unwrap_or(i64::MAX))),
        ];
        self.output.push_with_fields(&self.origin, meta, &record.text, &fields);
    }

    /// Puts what /dev/kmsg has lost before `record` into the stream, or says that it is lost.
    fn fill_gap(&mut self, record: &KmsgRecord, missing: u64, time_ns: i64) {
        self.take_console();
        if missing > 0 {
            self.await_console(record.message());
        }
        let texts = self.recovery.take(record.message(), missing);
        if missing == 0 {
            return;
        }
        let recovered = texts.len() as u64;
        let lost = missing - recovered;
        self.counters.recovered.fetch_add(recovered, Ordering::Relaxed);
        self.counters.lost.fetch_add(lost, Ordering::Relaxed);
        if lost > 0 {
            self.output.push_loss(&self.origin, Lost::Records(lost), "from the kernel log", self.last_ns, time_ns);
        }
        let first = record.sequence - recovered;
        for (index, text) in texts.into_iter().enumerate() {
            self.push_recovered(text, (lost == 0).then_some(first + index as u64));
        }
    }

    /// A text without severity and facility. Its sequence is known where nothing else is missing.
    fn push_recovered(&mut self, text: Text, sequence: Option<u64>) {
        let clock_us = (i64::try_from(text.monotonic_ns).unwrap_or(i64::MAX) - self.clock.difference_ns()) / 1000;
        let time_ns = self.clock.wall_ns(clock_us, monotonic_ns(), realtime_ns());
        let mut body = text.text;
        if body.last() != Some(&b'\n') {
            body.push(b'\n');
        }
        let meta = RecordMeta { flags: Flags::RECOVERED, ..RecordMeta::line(time_ns, &body) };
        let clock = ("clock", FieldValue::Integer(clock_us));
        match sequence {
            Some(sequence) => {
                let number = ("seq", FieldValue::Integer(i64::try_from(sequence).unwrap_or(i64::MAX)));
                let meta = RecordMeta { position: sequence + 1, ..meta };
                self.output.push_with_fields(&self.origin, meta, &body, &[clock, number]);
            }
            None => self.output.push_with_fields(&self.origin, meta, &body, &[clock]),
        }
    }

    fn take_console(&mut self) {
        while let Some((monotonic_ns, text)) = self.console.as_ref().and_then(|console| console.try_recv().ok()) {
            self.recovery.push(Text { monotonic_ns, text });
        }
    }

    /// Waits, for a bounded time, until the text of the record after the gap is there.
    fn await_console(&mut self, message: &[u8]) {
        let Some(console) = &self.console else { return };
        let mut is_there = self.recovery.has(message);
        let deadline = Instant::now() + ALL_TEXTS;
        while !is_there && Instant::now() < deadline {
            let Ok((monotonic_ns, text)) = console.recv_timeout(NEXT_TEXT) else { return };
            is_there = is_same(&text, message);
            self.recovery.push(Text { monotonic_ns, text });
        }
    }
}
