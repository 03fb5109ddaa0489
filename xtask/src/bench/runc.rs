//! Containers by bare runc: a bundle whose root file system holds `emit` and nothing else. The container's stdout is a
//! pipe of ours (detached: else runc puts itself between), which a thread empties, like a runtime's shim but in large
//! pieces: one that is woken for each line would be what limits the writer, and that is to be Ringward.

use std::io::Read;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::pipe::fcntl_setpipe_size;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::payload::READY;
use crate::command;

/// What starting a container may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Runc {
    folder: TempDir,
}

/// What the pipe holds, and how long it may fill: more than a writer that nothing hinders writes meanwhile.
const PIPE_BYTES: usize = 1 << 20;
const PAUSE: Duration = Duration::from_micros(500);

/// A container that has said that it is there and waits for its go.
pub struct Container {
    /// What removes it from runc's list.
    delete: Command,
    stdin: Option<ChildStdin>,
    stdout: Option<JoinHandle<()>>,
}

impl Runc {
    pub fn new(emit: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rw-bench-").tempdir()?;
        let root = folder.path().join("rootfs");
        for part in ["bin", "proc", "sys", "dev"] {
            std::fs::create_dir_all(root.join(part))?;
        }
        std::fs::copy(emit, root.join("bin/emit")).with_context(|| format!("cannot copy {}", emit.display()))?;
        Ok(Self { folder })
    }

    /// Starts `emit ARGUMENTS` as the container `name`; returns when it waits for its go.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Result<Container> {
        let bundle = self.folder.path().join(name);
        std::fs::create_dir_all(&bundle)?;
        let file = bundle.join("config.json");
        if !file.exists() {
            command::output(self.runc().arg("spec").arg("--bundle").arg(&bundle))?;
        }
        let mut specification: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        specification["process"]["args"] = json!([&["/bin/emit"], arguments].concat());
        specification["process"]["terminal"] = json!(false);
        specification["root"] = json!({"path": self.folder.path().join("rootfs"), "readonly": true});
        specification["linux"]["cgroupsPath"] = json!(format!("/ringward-bench/{name}"));
        std::fs::write(&file, specification.to_string())?;
        let mut delete = self.runc();
        delete.args(["delete", "--force", name]);
        Container::start(self.runc().args(["run", "--detach", "--bundle"]).arg(&bundle).arg(name), delete)
    }

    fn runc(&self) -> Command {
        let mut runc = Command::new("runc");
        runc.arg("--root").arg(self.folder.path().join("state"));
        runc
    }
}

impl Container {
    fn start(command: &mut Command, delete: Command) -> Result<Self> {
        let line = command::echo(command);
        // Pipes of our own for all three: a container's stderr that is also ours would be captured with what we print.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run `{line}`; `cargo xtask setup --test` installs what is missing"))?;
        let stdin = child.stdin.take();
        let (ready, is_ready) = mpsc::channel();
        let stdout = child.stdout.take().map(|mut stdout| {
            std::thread::spawn(move || {
                // Smaller where the kernel does not allow so much: then the writer waits now and then.
                let _ = fcntl_setpipe_size(&stdout, PIPE_BYTES);
                let mut buffer = vec![0; PIPE_BYTES];
                if stdout.read_exact(&mut buffer[..READY.len()]).is_ok() {
                    let _ = ready.send(());
                }
                while let Ok(1..) = stdout.read(&mut buffer) {
                    std::thread::sleep(PAUSE);
                }
            })
        });
        let container = Self { delete, stdin, stdout };
        if !child.wait()?.success() || is_ready.recv_timeout(PATIENCE).is_err() {
            let mut said = String::new();
            // Ends with the container, which on failure is not there.
            drop(container);
            let _ = child.stderr.map(|mut stderr| stderr.read_to_string(&mut said));
            bail!("`{line}` did not start a container: {}", said.trim());
        }
        Ok(container)
    }

    /// Lets it write. Returns at once.
    pub fn go(&mut self) {
        if let Some(stdin) = &mut self.stdin {
            // One that has ended by itself is seen by `finish`.
            let _ = std::io::Write::write_all(stdin, b"!");
        }
    }

    /// Waits for its end, which without a go is now.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stdin = None;
        if let Some(thread) = self.stdout.take() {
            let _ = thread.join();
            // One that never came to be is not there to be removed.
            let _ = command::output(&mut self.delete);
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.end();
    }
}
