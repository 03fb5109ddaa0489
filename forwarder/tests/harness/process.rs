//! A container's client process (`ctr run`, `docker run` …) in the foreground: what it printed is what the container
//! wrote, as the runtime's own path delivered it.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

/// A container that was started and is waited for.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// What a container wrote, and how its client ended.
#[derive(Debug)]
pub struct Finished {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub status: ExitStatus,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut running = Self::start_unread(command);
        running.read();
        running
    }

    /// Nobody reads what it prints until [`Running::read`]: with enough of it, everything up to the container blocks.
    pub fn start_unread(command: &mut Command) -> Self {
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(
                |error| panic!("cannot run {command:?}: {error}; `cargo xtask setup --test` installs it"),
            );
        Self { child, stdout: None, stderr: None }
    }

    pub fn read(&mut self) {
        self.stdout = self.child.stdout.take().map(collect);
        self.stderr = self.child.stderr.take().map(collect);
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Finished {
        let bytes = |reader: Option<JoinHandle<Vec<u8>>>| reader.and_then(|it| it.join().ok()).unwrap_or_default();
        let (stdout, stderr) = (bytes(self.stdout.take()), bytes(self.stderr.take()));
        Finished { stdout, stderr, status: self.child.wait().expect("it is our child") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.stdout.is_some() || self.child.stdout.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Finished {
    /// Ended with status 0, or the test fails with what it said.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        let said = String::from_utf8_lossy(&self.stderr);
        assert!(self.status.success(), "the container's client ended with {}: {said}", self.status);
        self
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// Runs a command to its end; its stdout.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    let finished = Running::start(command).finish();
    let said = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success(), "{command:?} ended with {}: {said}", finished.status);
    String::from_utf8_lossy(&finished.stdout).into_owned()
}
