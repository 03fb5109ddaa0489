//! Containers by bare runc: bundles written here, started, read to the end, removed.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::pty;

const ROOT: &str = "/containers/rootfs";

/// busybox under the names that the scenarios use, and `emit`. One root file system serves all containers.
pub fn write_root_filesystem() -> Result<()> {
    let bin = Path::new(ROOT).join("bin");
    std::fs::create_dir_all(&bin)?;
    for folder in ["proc", "dev", "tmp", "sys"] {
        std::fs::create_dir_all(Path::new(ROOT).join(folder))?;
    }
    for program in ["busybox", "emit"] {
        std::fs::copy(Path::new("/bin").join(program), bin.join(program))?;
    }
    for name in ["sh", "cat", "echo", "printf", "true"] {
        std::os::unix::fs::symlink("busybox", bin.join(name))?;
    }
    Ok(())
}

/// A container that runs, whose output is read by us the way a shim does.
pub struct Container {
    name: String,
    bundle: PathBuf,
    runc: Option<Child>,
    readers: Vec<JoinHandle<Vec<u8>>>,
}

/// What a container wrote, as its pipes (or its pty) gave it.
#[derive(Debug)]
pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Container {
    /// Starts a container with two pipes.
    pub fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        let bundle = write_bundle(name, arguments, false)?;
        let mut runc = Command::new("runc");
        runc.args(["run", "--no-pivot", "--bundle"]).arg(&bundle).arg(name);
        let mut child = runc
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run runc")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        Ok(Self {
            name: name.to_owned(),
            bundle,
            runc: Some(child),
            readers: vec![read_to_end(stdout.into()), read_to_end(stderr.into())],
        })
    }

    /// Starts a container with a terminal; its other end is read by us.
    pub fn start_with_terminal(name: &str, arguments: &[&str]) -> Result<Self> {
        let bundle = write_bundle(name, arguments, true)?;
        let socket = bundle.join("console.sock");
        let console = pty::ConsoleSocket::bind(&socket)?;
        let status = Command::new("runc")
            .args(["run", "--detach", "--no-pivot", "--console-socket"])
            .arg(&socket)
            .arg("--bundle")
            .arg(&bundle)
            .arg(name)
            .status()?;
        ensure!(status.success(), "runc run --detach failed with {status}");
        let terminal = console.receive()?;
        Ok(Self { name: name.to_owned(), bundle, runc: None, readers: vec![read_to_end(terminal)] })
    }

    /// Waits for its end; what it wrote is returned.
    pub fn finish(mut self) -> Result<Output> {
        let mut read = self.readers.drain(..).map(|reader| reader.join().unwrap_or_default());
        let output = Output { stdout: read.next().unwrap_or_default(), stderr: read.next().unwrap_or_default() };
        drop(read);
        if let Some(mut runc) = self.runc.take() {
            let status = runc.wait()?;
            ensure!(status.success(), "{} ended with {status}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        }
        Ok(output)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A foreground `runc run` has removed it already.
        if self.runc.is_some() || self.bundle.join("console.sock").exists() {
            let _ = Command::new("runc").args(["delete", "--force", &self.name]).stderr(Stdio::null()).status();
        }
        let _ = std::fs::remove_dir_all(&self.bundle);
    }
}

fn read_to_end(from: OwnedFd) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pty's master ends with EIO, not with an end of file.
        let _ = std::fs::File::from(from).read_to_end(&mut bytes);
        bytes
    })
}

fn write_bundle(name: &str, arguments: &[&str], terminal: bool) -> Result<PathBuf> {
    let bundle = Path::new("/containers").join(name);
    std::fs::create_dir_all(&bundle)?;
    let namespaces = ["pid", "ipc", "uts", "mount"].map(|kind| json!({"type": kind}));
    let specification = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": terminal,
            "user": {"uid": 0, "gid": 0},
            "args": arguments,
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "root": {"path": ROOT},
        "hostname": "container",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["newinstance", "ptmxmode=0666", "mode=0620"]},
        ],
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": format!("/containers/{name}"),
            "resources": {"devices": [{"allow": true, "access": "rwm"}]},
        },
    });
    std::fs::write(bundle.join("config.json"), specification.to_string())?;
    Ok(bundle)
}
