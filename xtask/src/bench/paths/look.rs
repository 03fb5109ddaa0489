//! What arrived of the lines: each found by its number, whoever wrapped it, and compared.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use memchr::{memchr, memchr_iter, memmem};
use rustix::io::Errno;
use serde_json::Value;

use super::super::receiver::{Receiver, Transport};
use super::feed::Feed;

/// Nothing new for so long: no more will come. As long as the longest pause that a peer makes after a reset.
const QUIET: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(90);

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub lost: u64,
    pub doubled: u64,
    /// Wrapped in no JSON, or with another text.
    pub changed: u64,
    /// Records that the forwarder, or the receiver's kernel, said were lost.
    pub reported: u64,
}

pub struct Looking {
    expected: Vec<Vec<u8>>,
    times: Vec<u8>,
    rest: Vec<u8>,
    look: Look,
    /// Whether texts arrive as they are.
    is_plain: bool,
}

impl Looking {
    pub fn new(feed: &Feed) -> Self {
        let expected = (0..feed.lines).map(|number| {
            let mut text = Vec::new();
            feed.text(number, &mut text);
            text
        });
        Self {
            expected: expected.collect(),
            times: vec![0; feed.lines as usize],
            rest: Vec::new(),
            look: Look::default(),
            is_plain: feed.shape.is_plain(),
        }
    }

    /// A receiver whose bytes are looked at as they come.
    pub fn receiver(self, transport: Transport) -> Result<(Receiver, Seen)> {
        let looking = Arc::new(Mutex::new(self));
        let seen = Seen(Arc::clone(&looking));
        let receiver = Receiver::calling(transport, move |bytes| {
            let mut looking = looking.lock().unwrap_or_else(PoisonError::into_inner);
            match transport {
                Transport::Tcp => looking.piece(bytes),
                Transport::Udp => looking.line(bytes),
            }
        })?;
        Ok((receiver, seen))
    }

    /// A piece of a stream.
    fn piece(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, more) = bytes.split_at(end);
            if self.rest.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole);
                whole.clear();
                self.rest = whole;
            }
            bytes = &more[1..];
        }
        self.rest.extend_from_slice(bytes);
    }

    fn line(&mut self, line: &[u8]) {
        // What pads a datagram is no part of the object.
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return;
        }
        if !(line.starts_with(b"{") && line.ends_with(b"}")) {
            self.look.changed += 1;
            return;
        }
        let found = if self.is_plain { self.plain(line) } else { self.escaped(line) };
        if found == 0 {
            self.notice(line);
        }
    }

    /// Looks at the bytes of an object, in which nothing of the texts is escaped; how many texts there were. There is one
    /// in most, and many in a batch of OpenTelemetry's.
    fn plain(&mut self, line: &[u8]) -> usize {
        // Some escape a slash, which JSON allows.
        let unescaped;
        let line = if memmem::find(line, br"\/").is_some() {
            unescaped = line.split(|byte| *byte == b'\\').collect::<Vec<_>>().concat();
            &unescaped[..]
        } else {
            line
        };
        let mut found = 0;
        for quote in memchr_iter(b'"', line) {
            let text = &line[quote + 1..];
            let Some(number) = number_of(text) else { continue };
            let expected = self.expected.get(number);
            let is_whole = expected
                .is_some_and(|expected| text.strip_prefix(&expected[..]).is_some_and(|rest| rest.starts_with(b"\"")));
            self.count(number, is_whole);
            found += 1;
        }
        found
    }

    /// Looks at the values of an object.
    fn escaped(&mut self, line: &[u8]) -> usize {
        let Ok(value) = serde_json::from_slice::<Value>(line) else {
            self.look.changed += 1;
            return 1;
        };
        let mut found = 0;
        let mut values = vec![&value];
        while let Some(value) = values.pop() {
            match value {
                Value::Object(members) => values.extend(members.values()),
                Value::Array(items) => values.extend(items),
                Value::String(text) => {
                    let Some(number) = number_of(text.as_bytes()) else { continue };
                    let is_whole = self.expected.get(number).is_some_and(|expected| expected == text.as_bytes());
                    self.count(number, is_whole);
                    found += 1;
                }
                _ => {}
            }
        }
        found
    }

    fn count(&mut self, number: usize, is_whole: bool) {
        match self.times.get_mut(number).filter(|_| is_whole) {
            Some(times) => *times = times.saturating_add(1),
            None => self.look.changed += 1,
        }
    }

    /// An object that is none of the lines: what Ringward says was lost.
    fn notice(&mut self, line: &[u8]) {
        if memmem::find(line, b"lost-records").is_none() {
            return;
        }
        match serde_json::from_slice::<Value>(line) {
            Ok(record) => self.look.reported += record["lost-records"].as_u64().unwrap_or(0),
            Err(_) => self.look.changed += 1,
        }
    }

    fn finish(&self, dropped: u64) -> Look {
        let mut look = self.look;
        look.reported += dropped;
        look.lost = self.times.iter().filter(|times| **times == 0).count() as u64;
        look.doubled = self.times.iter().map(|times| u64::from(times.saturating_sub(1))).sum();
        look
    }
}

/// The number that the text of a line begins with.
pub(super) fn number_of(text: &[u8]) -> Option<usize> {
    let (digits, rest) = text.split_at_checked(9)?;
    let is_number = digits.iter().all(u8::is_ascii_digit) && rest.first() == Some(&b' ');
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

pub struct Seen(Arc<Mutex<Looking>>);

impl Seen {
    pub fn finish(self, dropped: u64) -> Look {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).finish(dropped)
    }
}

/// A receiver that closes so many times, with data unread, after as many lines as divide the feed.
pub struct ClosingReceiver {
    port: u16,
    read: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Looking>,
}

impl ClosingReceiver {
    pub fn start(feed: &Feed, closes: u64, mut looking: Looking) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (read, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let share = (feed.lines as f64 * feed.line_bytes) as u64 / (closes + 1);
        let (counted, stopped) = (Arc::clone(&read), Arc::clone(&stop));
        listener.set_nonblocking(true)?;
        let thread = std::thread::spawn(move || {
            let mut left = closes;
            while !stopped.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                let bound = if left > 0 { share } else { u64::MAX };
                left = left.saturating_sub(1);
                looking.rest.clear();
                if take(stream, bound, &mut looking, &counted, &stopped).is_err() {
                    // A reset by the sender: what was read was read.
                }
            }
            looking
        });
        Ok(Self { port, read, stop, thread })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until nothing comes any more.
    pub fn wait_quiet(&self) {
        let begin = Instant::now();
        let (mut before, mut since) = (0, Instant::now());
        while begin.elapsed() < PATIENCE && (before == 0 || since.elapsed() < QUIET) {
            let now = self.read.load(Ordering::Relaxed);
            if now != before {
                (before, since) = (now, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn finish(self) -> Look {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map(|looking| looking.finish(0)).unwrap_or_default()
    }
}

/// Reads up to `bound` bytes and closes, with what is in the socket then unread.
fn take(
    mut stream: TcpStream,
    bound: u64,
    looking: &mut Looking,
    counted: &AtomicU64,
    stopped: &AtomicBool,
) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut buffer = vec![0; 64 << 10];
    let mut taken = 0;
    while taken < bound && !stopped.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                looking.piece(&buffer[..length]);
                taken += length as u64;
                counted.fetch_add(length as u64, Ordering::Relaxed);
            }
            Err(error) if error.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) => {}
            Err(error) => return Err(error).context("the connection broke"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::way::Way;
    use super::*;

    #[test]
    fn lines_are_known_again_in_any_wrapping() {
        let feed = Feed::prepare(Way::TalosTcp, 1, 4, Path::new("/nowhere")).unwrap();
        let text = |number| {
            let mut out = Vec::new();
            feed.text(number, &mut out);
            String::from_utf8(out).unwrap()
        };
        let mut looking = Looking::new(&feed);
        let stream = [
            format!("{{\"msg\":\"{}\"}}\n", text(0)),
            format!("{{\"time\":\"2026\", \"message\":\"{}\", \"pod\":\"x\"}}   \n", text(1)),
            format!("{{\"msg\":\"{}\"}}\n", text(1)),
            format!("{{\"msg\":\"{}x\"}}\n", text(2)),
            "{\"lost-records\":2,\"msg\":\"2 records were lost\"}\nbroken\n".to_owned(),
        ]
        .concat();
        let (begin, end) = stream.as_bytes().split_at(100);
        looking.piece(begin);
        looking.piece(end);
        assert_eq!(looking.finish(1), Look { lost: 2, doubled: 1, changed: 2, reported: 3 });
    }

    #[test]
    fn a_batch_of_opentelemetrys_has_many_lines() {
        let feed = Feed::prepare(Way::TalosTcp, 1, 3, Path::new("/nowhere")).unwrap();
        let mut looking = Looking::new(&feed);
        let record = |number| {
            let mut text = Vec::new();
            feed.text(number, &mut text);
            let text = String::from_utf8(text).unwrap();
            format!("{{\"timeUnixNano\":\"1767323045000000000\",\"body\":{{\"stringValue\":\"{text}\"}}}}")
        };
        let line = format!("{{\"resourceLogs\":[{{\"logRecords\":[{},{}]}}]}}\n", record(0), record(2));
        looking.piece(line.as_bytes());
        assert_eq!(looking.finish(0), Look { lost: 1, ..Look::default() });
    }

    #[test]
    fn escaped_lines_are_compared_by_what_they_mean() {
        let folder = tempfile::tempdir().unwrap();
        for way in [Way::EscapesTcp, Way::InvalidTcp, Way::TracesTcp] {
            let feed = Feed::prepare(way, 1, 3, folder.path()).unwrap();
            let mut looking = Looking::new(&feed);
            let mut text = Vec::new();
            feed.text(1, &mut text);
            let text = String::from_utf8(text).unwrap();
            let escaped = serde_json::to_string(&text).unwrap().replace('<', "\\u003c");
            looking.piece(format!("{{\"msg\":{escaped},\"level\":\"info\"}}\n").as_bytes());
            looking.piece(format!("{{\"msg\":{}}}\n", serde_json::to_string(&format!("{text} ")).unwrap()).as_bytes());
            assert_eq!(looking.finish(0), Look { lost: 2, changed: 1, ..Look::default() }, "{way:?}");
        }
    }
}
