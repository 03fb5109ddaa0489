//! A running `ringward memlogd` (or LinuxKit's), those who write to it, and those who read it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Signal;

use crate::harness::daemon::Daemon;
use crate::harness::ringward::Ringward;
use crate::harness::{PATIENCE, folder};

pub const DUMP: u8 = 0;
pub const FOLLOW: u8 = 1;
pub const BOTH: u8 = 2;

/// The sockets of one memlogd.
pub struct Sockets {
    folder: tempfile::TempDir,
}

impl Sockets {
    pub fn new() -> Self {
        Self { folder: folder() }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self) -> PathBuf {
        self.folder().join("log.sock")
    }

    pub fn query(&self) -> PathBuf {
        self.folder().join("query.sock")
    }

    /// Sends `descriptors` with `name`, as a client of the log socket does.
    #[track_caller]
    pub fn send(&self, name: &[u8], descriptors: &[impl AsFd]) {
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(self.log()).unwrap();
        send_on(&socket, name, descriptors);
    }

    /// A pipe whose read end memlogd has as `name`; what is written to it are lines.
    #[track_caller]
    pub fn pipe(&self, name: &str) -> std::io::PipeWriter {
        let (read, write) = std::io::pipe().unwrap();
        self.send(name.as_bytes(), &[read]);
        write
    }

    /// Lines from a pipe that is closed behind them.
    #[track_caller]
    pub fn write(&self, name: &str, lines: &[u8]) {
        self.pipe(name).write_all(lines).unwrap();
    }

    #[track_caller]
    pub fn ask(&self, mode: u8) -> Client {
        let mut stream = UnixStream::connect(self.query()).unwrap();
        stream.write_all(&[mode]).unwrap();
        Client::of(stream)
    }

    /// What the ring holds.
    #[track_caller]
    pub fn dump(&self) -> Vec<Entry> {
        self.ask(DUMP).rest().iter().map(|line| Entry::parse(line)).collect()
    }

    /// What the ring holds, once it has an entry as wanted: what was written is read by memlogd when it likes.
    #[track_caller]
    pub fn dump_with(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut seen = Vec::new();
        let mut client = self.ask(BOTH);
        while !seen.last().is_some_and(&wanted) {
            let line = client.line_within(PATIENCE);
            seen.push(Entry::parse(&line.unwrap_or_else(|| panic!("it never came: {seen:#?}"))));
        }
        seen
    }
}

#[track_caller]
pub fn send_on(socket: &UnixDatagram, name: &[u8], descriptors: &[impl AsFd]) {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    }
    sendmsg(socket, &[IoSlice::new(name)], &mut control, SendFlags::empty()).unwrap();
}

/// A daemon with its sockets.
pub struct Memlogd {
    pub sockets: Sockets,
    pub daemon: Daemon,
}

impl Memlogd {
    #[track_caller]
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_at(Sockets::new(), arguments)
    }

    #[track_caller]
    pub fn start_at(sockets: Sockets, arguments: &[&str]) -> Self {
        let mut command = command(&sockets, arguments);
        let daemon = Daemon::start(&mut command, "ready: memlogd");
        Self { sockets, daemon }
    }

    /// SIGTERM, and a good end.
    #[track_caller]
    pub fn stop(mut self) -> Sockets {
        self.daemon.signal(Signal::TERM);
        let status = self.daemon.wait(PATIENCE);
        assert!(status.is_some_and(|status| status.success()), "{status:?}: {:?}", self.daemon.log());
        self.sockets
    }
}

pub fn command(sockets: &Sockets, arguments: &[&str]) -> Command {
    let mut command = Ringward::command(&["memlogd", "-socket-log"]);
    command.arg(sockets.log()).arg("-socket-query").arg(sockets.query()).args(arguments);
    command
}

/// A client of the query socket.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub fn of(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::with_capacity(256 << 10, stream) }
    }

    /// The next line, without its newline.
    #[track_caller]
    pub fn line(&mut self) -> Vec<u8> {
        self.next_line().expect("memlogd closed the connection")
    }

    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).expect("a line before the time was up");
        if line.is_empty() {
            return None;
        }
        assert_eq!(line.pop(), Some(b'\n'), "a line without an end: {}", String::from_utf8_lossy(&line));
        Some(line)
    }

    /// The next line, where it comes soon.
    pub fn line_within(&mut self, limit: Duration) -> Option<Vec<u8>> {
        if self.stream.buffer().is_empty() {
            self.stream.get_ref().set_read_timeout(Some(limit)).unwrap();
            let filled = self.stream.fill_buf().is_ok();
            self.stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
            if !filled {
                return None;
            }
        }
        self.next_line()
    }

    /// Every line until memlogd closes.
    #[track_caller]
    pub fn rest(mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.next_line()).collect()
    }
}

/// An entry in JSON, which must be exactly as memlogd writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub time: String,
    pub source: String,
    pub msg: String,
    pub cut: bool,
}

impl Entry {
    #[track_caller]
    pub fn parse(line: &[u8]) -> Self {
        let text = String::from_utf8(line.to_vec()).expect("JSON is UTF-8");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let part = |key: &str| value[key].as_str().unwrap_or_else(|| panic!("no {key}: {text}")).to_owned();
        let entry = Self { time: part("time"), source: part("source"), msg: part("msg"), cut: value["cut"] == true };
        assert!(text.starts_with("{\"time\":\"20") && entry.time.ends_with('Z'), "{text}");
        entry
    }

    pub fn is(&self, source: &str, msg: &str) -> bool {
        self.source == source && self.msg == msg
    }
}

/// Source and text of entries.
pub fn texts(entries: &[Entry]) -> Vec<(&str, &str)> {
    entries.iter().map(|entry| (entry.source.as_str(), entry.msg.as_str())).collect()
}

/// Waits until `done`; fails the test with `what` when it never is.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A file's content; empty while it is not there.
pub fn content(path: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = File::open(path) {
        let _ = file.read_to_string(&mut text);
    }
    text
}

/// `ringward`'s program of that name.
pub fn program(name: &str, arguments: &[&OsStr]) -> Command {
    let mut command = Ringward::command(&[name]);
    command.args(arguments);
    command
}

/// A descriptor of a new file with `content`, to be read from its beginning.
pub fn file(folder: &Path, content: &[u8]) -> OwnedFd {
    let path = folder.join("file");
    std::fs::write(&path, content).unwrap();
    File::open(path).unwrap().into()
}
