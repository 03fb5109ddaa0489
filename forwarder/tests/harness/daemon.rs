//! A long-running process whose log says when it is ready, and that is stopped by SIGTERM.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

pub struct Daemon {
    child: Child,
    log: Arc<Log>,
    stdout: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Daemon {
    /// Returns when a line of its stderr holds `ready`.
    #[track_caller]
    pub fn start(command: &mut Command, ready: &str) -> Self {
        let daemon = Self::spawn(command);
        let text = daemon.wait_for(PATIENCE, |line| line.contains(ready));
        assert!(text.is_some(), "{command:?} never said `{ready}`:\n{}", daemon.log().join("\n"));
        daemon
    }

    /// Returns at once.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(
                |error| panic!("cannot run {command:?}: {error}; `cargo xtask setup --test` installs it"),
            );
        let log = child.stderr.take().map(Log::of).unwrap_or_default();
        let stdout = child.stdout.take().map(Log::of).unwrap_or_default();
        Self { child, log, stdout }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line of its stderr, past or to come, that is as wanted; `None` when it ended or time is up.
    pub fn wait_for(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.log.wait_for(limit, wanted)
    }

    /// The same of its stdout.
    pub fn wait_for_stdout(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.stdout.wait_for(limit, wanted)
    }

    /// Every line of its stderr so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lines.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGTERM, and its end; `None` when it is still there after `limit` (it is then killed).
    pub fn stop(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// Its end by itself. The end is seen by its stderr, which nobody else must hold open.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        if !self.log.wait_closed(limit) && self.child.try_wait().ok().flatten().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            return None;
        }
        self.child.wait().ok()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            self.stop(Duration::from_secs(10));
        }
    }
}

impl Log {
    fn of(from: impl Read + Send + 'static) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                shared.lines.lock().unwrap_or_else(PoisonError::into_inner).0.push(line);
                shared.changed.notify_all();
            }
            shared.lines.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
            shared.changed.notify_all();
        });
        log
    }

    fn wait_for(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let mut looked_at = 0;
        let mut found = None;
        self.wait(limit, |lines, closed| {
            found = lines[looked_at..].iter().find(|line| wanted(line)).cloned();
            looked_at = lines.len();
            found.is_some() || closed
        });
        found
    }

    fn wait_closed(&self, limit: Duration) -> bool {
        self.wait(limit, |_, closed| closed)
    }

    fn wait(&self, limit: Duration, mut enough: impl FnMut(&[String], bool) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if enough(&lines.0, lines.1) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            lines = self.changed.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
