//! The real binary, as cargo built it for this test.

use std::ffi::OsStr;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;

use super::daemon::Daemon;
use super::{PATIENCE, folder};

/// Arguments for a ring that loses nothing however late a receiver is.
pub const ROOMY: [&str; 2] = ["--config", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/harness/roomy.yaml")];

/// What it says when nothing is missed any more. With the colon: "3 containers run already" comes before.
const READY: &str = "ready: ";

pub struct Ringward {
    daemon: Daemon,
    state: tempfile::TempDir,
}

/// How it ended, and everything that it said.
#[derive(Debug)]
pub struct Stopped {
    pub status: ExitStatus,
    pub log: Vec<String>,
}

impl Ringward {
    /// `ringward run ARGS` with a state folder of its own; returns when it has said that it is ready.
    #[track_caller]
    pub fn start(arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::start_in(folder(), arguments)
    }

    /// The same with the state that an earlier one left.
    #[track_caller]
    pub fn start_in(state: tempfile::TempDir, arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut command = Self::command(&["run", "--state-dir"]);
        command.arg(state.path()).args(arguments);
        Self { daemon: Daemon::start(&mut command, READY), state }
    }

    /// `ringward ARGS`, to be run as the test likes.
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringward"));
        command.args(arguments).env("NO_COLOR", "1");
        command
    }

    pub fn id(&self) -> u32 {
        self.daemon.id()
    }

    /// Its state folder.
    pub fn state(&self) -> &std::path::Path {
        self.state.path()
    }

    /// Every line of its log so far.
    pub fn log(&self) -> Vec<String> {
        self.daemon.log()
    }

    /// The first line of its log, past or to come, that holds `part`.
    #[track_caller]
    pub fn said(&self, part: &str) -> String {
        let line = self.daemon.wait_for(PATIENCE, |line| line.contains(part));
        line.unwrap_or_else(|| panic!("it never said `{part}`:\n{}", self.log().join("\n")))
    }

    pub fn wait_for_stdout(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.daemon.wait_for_stdout(limit, wanted)
    }

    pub fn signal(&self, signal: Signal) {
        self.daemon.signal(signal);
    }

    /// SIGSTOP; returns when it does nothing any more.
    #[track_caller]
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let begun = std::time::Instant::now();
        let is_stopped = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        };
        while !is_stopped() {
            assert!(begun.elapsed() < PATIENCE, "it goes on in spite of SIGSTOP");
            std::thread::yield_now();
        }
    }

    /// SIGTERM; fails the test when it is still there after [`PATIENCE`].
    #[track_caller]
    pub fn stop(self) -> Stopped {
        self.stop_keeping_state().0
    }

    /// The same of one that was paused: it goes on with SIGTERM pending, and sees that together with all that has come.
    #[track_caller]
    pub fn stop_paused(self) -> Stopped {
        let id = self.id();
        std::thread::spawn(move || {
            loop {
                let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
                let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
                if u64::from_str_radix(pending.trim(), 16).unwrap() & (1 << (Signal::TERM.as_raw() - 1)) != 0 {
                    break;
                }
                std::thread::yield_now();
            }
            rustix::process::kill_process(rustix::process::Pid::from_raw(id as i32).unwrap(), Signal::CONT).unwrap();
        });
        self.stop()
    }

    /// The same as [`Self::stop`]; the state folder is for the next one.
    #[track_caller]
    pub fn stop_keeping_state(mut self) -> (Stopped, tempfile::TempDir) {
        let status = self.daemon.stop(PATIENCE);
        let log = self.daemon.log();
        let status = status.unwrap_or_else(|| panic!("it was still there after SIGTERM:\n{}", log.join("\n")));
        (Stopped { status, log }, self.state)
    }

    /// kill -9; the state folder is for the next one.
    pub fn kill(mut self) -> tempfile::TempDir {
        self.daemon.signal(Signal::KILL);
        self.daemon.wait(PATIENCE);
        self.state
    }
}
