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
use super::parse::{FacilityNames, KmsgRecord};
use super::recover::{Recovery, Text, is_same};
use super::set_clock::{Now, SetClock};
use crate::record::{FieldValue, Flags, Lost, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::ring::Ring;
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
    /// What its positions are kept under.
    pub source: String,
    /// Records up to this position are in the ring already, from an earlier run; 0 where none are.
    pub after: u64,
    pub facility_names: FacilityNames,
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

/// What positions in the kernel log of a boot are kept under.
pub fn source_key(boot_id: &str) -> String {
    format!("boot:{boot_id}:kmsg")
}

/// Starts reading from the oldest record that the kernel holds, or after those that an earlier run has put into the ring.
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
    let set_clock = SetClock::watch().map_err(failed)?;
    let counters = Arc::new(KmsgCounters::default());
    let mut reader = Reader {
        file,
        woken,
        origin: OriginHandle::new(Origin { source: options.source, ..Origin::new(OriginKind::Kernel, "kernel") }),
        output: Output::new(Arc::clone(&ring)),
        ring,
        facility_names: options.facility_names,
        clock: KernelClock::default(),
        set_clock,
        recovery: Recovery::default(),
        console: options.console,
        first_sequence: options.after,
        next_sequence: (options.after > 0).then_some(options.after),
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
    ring: Arc<Ring>,
    facility_names: FacilityNames,
    clock: KernelClock,
    set_clock: SetClock,
    recovery: Recovery,
    console: Option<Receiver<(u64, Vec<u8>)>>,
    /// Records below are in the ring already.
    first_sequence: u64,
    /// Sequence of the next record, where that is known.
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
                PollFd::from_borrowed_fd(self.set_clock.as_fd(), PollFlags::IN),
            ];
            // Texts of the tracepoint that no record took are looked at now and then, so that none pile up.
            let timeout = self.console.as_ref().filter(|console| !console.is_empty());
            let timeout = timeout.map(|_| Timespec { tv_sec: 1, tv_nsec: 0 });
            if poll(&mut descriptors, timeout.as_ref()).is_err() {
                continue;
            }
            let [is_logged, is_woken, is_set] = descriptors.map(|one| one.revents().contains(PollFlags::IN));
            if is_woken {
                let _ = self.read_all(&mut buffer, true);
                self.output.seal();
                return;
            }
            is_fresh |= is_logged;
            if is_set {
                self.now();
            }
        }
    }

    /// The clocks, after what was read before the time of day was set got its right time.
    fn now(&mut self) -> Now {
        loop {
            // In this order: what is stamped by this was read before the next time it is set.
            let now = Now::read();
            if !self.set_clock.was_set(now) {
                self.set_clock.follow(now);
                return now;
            }
            self.on_clock_set(Now::read());
        }
    }

    fn on_clock_set(&mut self, now: Now) {
        let step_ns = self.set_clock.step_ns(now);
        self.output.seal();
        self.ring.correct_kernel_times(step_ns);
        self.last_ns = self.last_ns.saturating_add(step_ns);
        tracing::info!(
            "the time of day was set by {} ms: what the kernel logged before follows it",
            step_ns / 1_000_000
        );
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
        let now = self.now();
        let record = match KmsgRecord::parse(bytes) {
            Ok(record) => record,
            Err(error) => {
                tracing::debug!("{error}");
                self.output.push(&self.origin, RecordMeta::line(now.realtime_ns, bytes), bytes);
                return;
            }
        };
        if is_fresh {
            self.clock.learn(record.clock_us, now.monotonic_ns);
        } else {
            self.clock.bound(record.clock_us, now.monotonic_ns);
        }
        let time_ns = self.clock.wall_ns(record.clock_us, now.monotonic_ns, now.realtime_ns);
        if record.sequence < self.first_sequence {
            self.last_ns = time_ns;
            return;
        }
        let missing = self.next_sequence.map_or(0, |next| record.sequence.saturating_sub(next));
        self.fill_gap(&record, missing, time_ns, now);
        self.next_sequence = Some(record.sequence.saturating_add(1));
        self.last_ns = time_ns;
        let Self { output, origin, .. } = self;
        record.give(time_ns, self.facility_names, |meta, body, fields| {
            output.push_with_fields(origin, meta, body, fields);
        });
    }

    /// Puts what /dev/kmsg has lost before `record` into the stream, or says that it is lost.
    fn fill_gap(&mut self, record: &KmsgRecord, missing: u64, time_ns: i64, now: Now) {
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
            // Where nothing is known of what was before, it is as late as what is there.
            let from_ns = if self.last_ns == 0 { time_ns } else { self.last_ns };
            self.output.push_loss(&self.origin, Lost::Records(lost), "from the kernel log", from_ns, time_ns);
        }
        let first = record.sequence - recovered;
        for (index, text) in texts.into_iter().enumerate() {
            self.push_recovered(text, (lost == 0).then_some(first + index as u64), now);
        }
    }

    /// A text without severity and facility. Its sequence is known where nothing else is missing.
    fn push_recovered(&mut self, text: Text, sequence: Option<u64>, now: Now) {
        let clock_us = (i64::try_from(text.monotonic_ns).unwrap_or(i64::MAX) - self.clock.difference_ns()) / 1000;
        let time_ns = self.clock.wall_ns(clock_us, now.monotonic_ns, now.realtime_ns);
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::ring::{Cursor, ReaderOptions, RingLimits};

    const SECOND: i64 = 1_000_000_000;

    /// A reader of records that a test writes, one a read as from the device.
    fn reader() -> (Reader, UnixDatagram, Cursor) {
        let (kernel, device) = UnixDatagram::pair().unwrap();
        device.set_nonblocking(true).unwrap();
        let ring = Ring::new(RingLimits { bytes: 1 << 20, records: u64::MAX }, 1);
        let cursor = ring.reader(ReaderOptions::new("test"));
        let reader = Reader {
            file: OwnedFd::from(device).into(),
            woken: eventfd(0, EventfdFlags::NONBLOCK).unwrap(),
            origin: OriginHandle::new(Origin::new(OriginKind::Kernel, "kernel")),
            output: Output::new(Arc::clone(&ring)),
            ring,
            facility_names: FacilityNames::Linux,
            clock: KernelClock::default(),
            set_clock: SetClock::watch().unwrap(),
            recovery: Recovery::default(),
            console: None,
            first_sequence: 0,
            next_sequence: None,
            last_ns: 0,
            counters: Arc::default(),
        };
        (reader, kernel, cursor)
    }

    /// Body and time of what there is.
    fn seen(cursor: &mut Cursor) -> Vec<(String, i64)> {
        let mut seen = Vec::new();
        while let Some(found) = cursor.try_next() {
            let records = found.batch.records();
            seen.extend(records.map(|record| (String::from_utf8_lossy(record.body).into_owned(), record.time_ns)));
        }
        seen
    }

    #[test]
    fn what_was_logged_before_the_clock_was_set_and_is_sent_after_it_has_the_right_time() {
        let (mut reader, kernel, mut cursor) = reader();
        let mut buffer = vec![0; READ_LEN];
        let mut write = |reader: &mut Reader, text: &str, sequence: u64| {
            let clock_us = crate::source::clock::monotonic_ns() / 1000;
            kernel.send(format!("6,{sequence},{clock_us},-;{text}\n").as_bytes()).unwrap();
            reader.read_all(&mut buffer, true).unwrap();
        };
        let before = crate::source::clock::realtime_ns();
        // The machine's clock is right; the reader is made to believe that it was a thousand seconds behind.
        write(&mut reader, "before", 1);
        let was_behind = 1000 * SECOND;
        let last = reader.last_ns;
        reader.set_clock.follow(Now { realtime_ns: before - was_behind, ..Now::read() });
        let step = |reader: &mut Reader| reader.on_clock_set(Now::read());
        step(&mut reader);
        write(&mut reader, "after", 2);
        reader.output.seal();
        let after = crate::source::clock::realtime_ns();
        let seen = seen(&mut cursor);
        let [(first, first_ns), (second, second_ns)] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((first.as_str(), second.as_str()), ("before\n", "after\n"));
        let moved = first_ns - last;
        assert!((was_behind..=was_behind + (after - before)).contains(&moved), "{moved}");
        assert!((before..=after).contains(second_ns), "the clock that is right moves nothing: {second_ns}");
    }

    #[test]
    fn a_gap_has_the_time_of_the_clock_that_was_set_within_it() {
        let (mut reader, kernel, mut cursor) = reader();
        let mut buffer = vec![0; READ_LEN];
        kernel.send(b"6,1,1000,-;a\n").unwrap();
        reader.read_all(&mut buffer, false).unwrap();
        let last = reader.last_ns;
        reader.set_clock.follow(Now { realtime_ns: 0, ..Now::read() });
        reader.on_clock_set(Now::read());
        assert!(reader.last_ns > last);
        kernel.send(b"6,5,1000,-;b\n").unwrap();
        reader.read_all(&mut buffer, false).unwrap();
        reader.output.seal();
        let texts: Vec<String> = seen(&mut cursor).into_iter().map(|(text, _)| text).collect();
        assert_eq!(texts, ["a\n", "3 records were lost from the kernel log", "b\n"]);
    }
}
