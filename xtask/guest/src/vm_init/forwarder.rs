//! The `ringward` under test: started on one rung, its log kept, stopped by SIGTERM.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Loading programs under TCG takes its time: the verifier is interpreted too.
const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(30);

pub struct Forwarder {
    child: Child,
    log: Receiver<String>,
    /// Every line it has logged so far.
    seen: Vec<String>,
}

/// How a start ended.
pub enum Started {
    Ready(Box<Forwarder>),
    /// It gave up, and this is what it said last.
    Refused(String),
}

impl Forwarder {
    pub fn start(rung: &str, to: &str, state: &str, configuration: Option<&str>) -> Result<Started> {
        let mut arguments = vec!["run", "--capture-hook", rung, "--to", to, "--state-dir", state];
        if let Some(configuration) = configuration {
            std::fs::write("/tmp/ringward.yaml", configuration)?;
            arguments.extend(["--config", "/tmp/ringward.yaml"]);
        }
        Self::spawn(&arguments)
    }

    /// One that must not give up.
    pub fn run(arguments: &[&str]) -> Result<Self> {
        match Self::spawn(arguments)? {
            Started::Ready(forwarder) => Ok(*forwarder),
            Started::Refused(said) => bail!("gave up: {said}"),
        }
    }

    fn spawn(arguments: &[&str]) -> Result<Started> {
        let mut command = Command::new("/bin/ringward");
        command.args(arguments);
        let mut child = command
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run ringward")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let (sender, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("{line}");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut forwarder = Self { child, log, seen: Vec::new() };
        let deadline = Instant::now() + START;
        loop {
            match forwarder.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let ready = line.contains("ready: ");
                    forwarder.seen.push(line);
                    if ready {
                        return Ok(Started::Ready(Box::new(forwarder)));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = forwarder.child.wait()?;
                    let said = forwarder.seen.last().map_or_else(|| format!("ended with {status}"), String::clone);
                    return Ok(Started::Refused(said));
                }
                Err(RecvTimeoutError::Timeout) => bail!("not ready after {} seconds", START.as_secs()),
            }
        }
    }

    /// A line of its log so far that holds `part`.
    pub fn said(&self, part: &str) -> Option<&str> {
        self.seen.iter().map(String::as_str).find(|line| line.contains(part))
    }

    pub fn pid(&self) -> Result<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")
    }

    /// Stops it by SIGTERM; an exit status other than 0 is an error.
    pub fn stop(mut self) -> Result<()> {
        kill_process(self.pid()?, Signal::TERM)?;
        let deadline = Instant::now() + STOP;
        // Its stderr closes when it ends.
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("still there {} seconds after SIGTERM", STOP.as_secs()),
            }
        }
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "ended with {status}: {}", self.seen.last().map_or("", |line| line));
        Ok(())
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
