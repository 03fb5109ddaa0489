//! A command that runs, fed by a pipe.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;

use crate::io::{LocalStream, watch_readable};

/// Names the destination to the command.
const VARIABLE: &str = "RINGWARD_DESTINATION";

/// A command, in a process group of its own: what a terminal sends to Ringward is not for it.
pub(super) struct Running {
    name: String,
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
}

impl Running {
    /// Starts `words` with a pipe as standard input; what it prints goes to our standard error.
    ///
    /// # Errors
    /// Where there is no such program, or it can't be started.
    pub(super) fn start(words: &[String], destination: &str) -> Result<(LocalStream, Self), String> {
        let (program, arguments) = words.split_first().ok_or("the command is empty")?;
        let failed = |error: io::Error| format!("could not start `{program}`: {error}");
        let (stream, input) = LocalStream::pipe().map_err(failed)?;
        let output = || std::io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from);
        let mut command = Command::new(program);
        command.args(arguments).env(VARIABLE, destination).process_group(0);
        let mut child = command.stdin(input).stdout(output()).stderr(output()).spawn().map_err(failed)?;
        match watched(&child) {
            Ok(pidfd) => Ok((stream, Self { name: program.clone(), child, pidfd })),
            Err(error) => {
                // It would run on unseen.
                let _ = child.kill();
                let _ = child.wait();
                Err(failed(error))
            }
        }
    }

    /// Waits until the command has ended; how.
    ///
    /// # Cancellation
    /// Safe.
    pub(super) async fn ended(&mut self) -> String {
        let name = &self.name;
        match self.pidfd.readable().await.map(|mut ready| ready.retain_ready()) {
            Ok(()) => match self.child.wait() {
                Ok(status) => format!("`{name}` ended: {status}"),
                Err(error) => format!("`{name}` ended: {error}"),
            },
            Err(error) => format!("`{name}` can't be waited for: {error}"),
        }
    }

    /// Asks it, and what it has started, to end. Nobody waits for that.
    pub(super) fn terminate(&self) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            // Fails only where it has ended.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

fn watched(child: &Child) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or(io::ErrorKind::NotFound)?;
    watch_readable(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}
