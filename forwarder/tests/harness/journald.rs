//! systemd's journal: a `systemd-journald` of our own, in folders of our own, and files from the export format.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";
const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// A writer of one journal file, from entries in the export format.
pub struct Writer {
    child: Child,
    input: Option<ChildStdin>,
}

impl Writer {
    /// Writes to the file at `path`, which it makes or goes on with.
    #[track_caller]
    pub fn to(path: &Path) -> Self {
        let mut child = Command::new(REMOTE)
            .args(["--split-mode=none", "-o", path.to_str().unwrap(), "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{REMOTE}: {error} (`cargo xtask setup --test` brings it)"));
        let input = child.stdin.take();
        Self { child, input }
    }

    /// Adds an entry; `number` gives its time.
    pub fn add(&mut self, number: u64, fields: &[(&str, &[u8])]) {
        let (realtime, monotonic) = (1_700_000_000_000_000 + number * 1000, 5_000_000 + number * 1000);
        let mut entry = format!(
            "__REALTIME_TIMESTAMP={realtime}\n__MONOTONIC_TIMESTAMP={monotonic}\n_BOOT_ID=590edceeef5545a784ec8c6181a10400\n"
        )
        .into_bytes();
        for (name, value) in fields {
            entry.extend_from_slice(name.as_bytes());
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
            entry.extend_from_slice(value);
            entry.push(b'\n');
        }
        entry.push(b'\n');
        self.input.as_mut().unwrap().write_all(&entry).unwrap();
    }

    /// Adds `line NUMBER` for each.
    pub fn add_lines(&mut self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.add(number, &[("MESSAGE", format!("line {number}").as_bytes()), ("SYSLOG_IDENTIFIER", b"app")]);
        }
    }

    /// Closes the file, with all that was added in it.
    #[track_caller]
    pub fn close(mut self) {
        self.input = None;
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// A running journald. It sees our folders as /run and /var/log; we see them as they are.
pub struct Journald {
    log: tempfile::TempDir,
    /// On a tmpfs, as /run is: journald deletes files there only.
    run: tempfile::TempDir,
    child: Child,
    socket: UnixDatagram,
}

impl Journald {
    /// `options` are lines of its configuration. Needs root.
    #[track_caller]
    pub fn start(options: &str) -> Self {
        let log = super::folder();
        let run = tempfile::Builder::new().prefix("rw-").tempdir_in("/dev/shm").expect("/dev/shm is writable");
        let path = |folder: &Path, name: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let settings = path(run.path(), "run/systemd/journald.conf.d").join("test.conf");
        path(run.path(), "run/systemd/journal");
        path(run.path(), "run/log/journal");
        path(log.path(), "log/journal");
        let common = "RateLimitIntervalSec=0\nReadKMsg=no\nAudit=no\nForwardToWall=no\nForwardToSyslog=no\n\
                      SystemKeepFree=1M\nRuntimeKeepFree=1M\nSystemMaxFileSize=1M\nRuntimeMaxFileSize=1M\n";
        std::fs::write(settings, format!("[Journal]\n{common}{options}\n")).unwrap();
        let child = Self::spawn(log.path(), run.path());
        let journald = Self { log, run, child, socket: UnixDatagram::unbound().unwrap() };
        journald.connect();
        journald
    }

    fn spawn(log: &Path, run: &Path) -> Child {
        // The mounts are seen by journald alone, and end with it.
        let script = format!("mount --bind \"$0\"/run /run && mount --bind log /var/log && exec {JOURNALD}");
        Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .arg(run)
            .current_dir(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Until it listens.
    #[track_caller]
    fn connect(&self) {
        let (begun, path) = (Instant::now(), self.run.path().join("run/systemd/journal/socket"));
        while let Err(error) = self.socket.connect(&path) {
            assert!(begun.elapsed() < PATIENCE, "journald does not listen at {}: {error}", path.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The folders that journals are in.
    pub fn folders(&self) -> [PathBuf; 2] {
        [self.log.path().join("log/journal"), self.run.path().join("run/log/journal")]
    }

    /// All files there.
    pub fn files(&self) -> Vec<PathBuf> {
        let entries =
            |folder: &PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let machines: Vec<_> = self.folders().iter().flat_map(entries).collect();
        machines.iter().flat_map(entries).collect()
    }

    /// Sends an entry by the native protocol; waits where journald is behind.
    #[track_caller]
    pub fn send(&self, text: &str) {
        self.socket.send(format!("MESSAGE={text}\nSYSLOG_IDENTIFIER=app\nPRIORITY=4\n").as_bytes()).unwrap();
    }

    pub fn send_lines(&self, numbers: std::ops::Range<u64>) {
        numbers.for_each(|number| self.send(&format!("line {number}")));
    }

    /// SIGUSR2: archives the files and begins new ones.
    pub fn rotate(&self) {
        self.signal(Signal::USR2);
    }

    /// SIGUSR1: goes from /run to /var.
    pub fn flush(&self) {
        self.signal(Signal::USR1);
    }

    fn signal(&self, signal: Signal) {
        // `unshare` and `sh` have become journald.
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until `is_so` of the files' paths.
    #[track_caller]
    pub fn wait_for_files(&self, mut is_so: impl FnMut(&[PathBuf]) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.files()) {
            assert!(begun.elapsed() < PATIENCE, "journald's files are still {:?}", self.files());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
