//! The Ringward that is measured, and what the kernel says of its process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::process::Process;
use crate::{command, ui};

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Forwarder {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    _state: TempDir,
}

impl Forwarder {
    /// `ringward run MORE` with a configuration and a state folder of its own; returns when it has said that it is ready.
    pub fn start(binary: &Path, configuration: &str, more: &[&str]) -> Result<Self> {
        let state = tempfile::Builder::new().prefix("rw-bench-").tempdir()?;
        let file = state.path().join("bench.yaml");
        std::fs::write(&file, configuration)?;
        let mut command = Command::new(binary);
        command.args(["run", "--config"]).arg(&file).args(more).arg("--state-dir").arg(state.path().join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let line = command::echo(&command);
        let mut child = command.spawn().with_context(|| format!("cannot run `{line}`"))?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let (ready, is_ready) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if line.contains("ready") {
                        let _ = ready.send(());
                    }
                    if ui::verbose() {
                        eprintln!("    {line}");
                    }
                    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            });
        }
        let forwarder = Self { child, log, _state: state };
        if is_ready.recv_timeout(PATIENCE).is_err() {
            bail!("`{line}` was not ready after {} s:\n{}", PATIENCE.as_secs(), forwarder.log());
        }
        Ok(forwarder)
    }

    pub fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// SIGTERM: it delivers what it has and ends.
    pub fn stop(mut self) -> Result<()> {
        self.terminate();
        let status = self.child.wait()?;
        if !status.success() {
            bail!("ringward ended with {status}:\n{}", self.log());
        }
        Ok(())
    }

    fn terminate(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            self.terminate();
            let _ = self.child.wait();
        }
    }
}
