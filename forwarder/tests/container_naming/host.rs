//! What all runtimes need: a directory, an image made of busybox, commands that explain themselves, processes
//! that end with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringward::source::container::ExecEvent;

use crate::machine::Machine;

pub const IMAGE: &str = "docker.io/library/bb:1";

/// `None`, with the reason printed, where nothing can be run at all. A missing program is a failure: it is installable.
pub fn can_run(programs: &[&str]) -> Option<Machine> {
    let machine = Machine::share()?;
    for program in programs {
        let known = ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/sbin", "/bin"];
        let found = known.iter().any(|directory| Path::new(directory).join(program).exists());
        assert!(found, "{program} is not installed: run `cargo xtask setup` or apt-get install it");
    }
    Some(machine)
}

/// Runs a command to its end and returns its trimmed stdout; panics with all that it said where it fails.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.trim().to_owned()
}

/// Waits until `check` gives something; panics after half a minute.
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that is stopped when the test ends.
pub struct Daemon(Child);

impl Daemon {
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id() as i32) {
            // Daemons clean up (mounts, their own containerd) on SIGTERM.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let end = Instant::now() + Duration::from_secs(15);
        while Instant::now() < end && !self.has_ended() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs commands when the test ends, also by a panic; what they say is of no interest then.
pub struct Cleanup<F: FnMut() -> Vec<Command>>(pub F);

impl<F: FnMut() -> Vec<Command>> Drop for Cleanup<F> {
    fn drop(&mut self) {
        for mut command in (self.0)() {
            let _ = command.stdin(Stdio::null()).output();
        }
    }
}

/// Makes a root file system of busybox below `directory`.
pub fn root_fs(directory: &Path) -> PathBuf {
    let root = directory.join("rootfs");
    for name in ["bin", "proc", "sys", "dev", "tmp", "etc", "run"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static must be installed");
    for applet in ["sh", "sleep", "printf"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    root
}

/// Makes an archive as `docker save` does, named [`IMAGE`].
pub fn image(directory: &Path) -> PathBuf {
    let root = root_fs(directory);
    let archive = directory.join("archive");
    fs::create_dir_all(archive.join("layer")).unwrap();
    let layer = archive.join("layer/layer.tar");
    run(Command::new("tar").arg("-cf").arg(&layer).arg("-C").arg(&root).arg("."));
    let digest = run(Command::new("sha256sum").arg(&layer));
    let digest = digest.split(' ').next().unwrap();
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
        "config": {"Cmd": ["/bin/sleep", "100000"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    fs::write(archive.join("config.json"), config.to_string()).unwrap();
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer/layer.tar"]}]);
    fs::write(archive.join("manifest.json"), manifest.to_string()).unwrap();
    let tar = directory.join("image.tar");
    let parts = ["manifest.json", "config.json", "layer/layer.tar"];
    run(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&archive).args(parts));
    tar
}

/// The event that the kernel side would have sent for this process.
pub fn event(pid: u32) -> ExecEvent {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let leaf = |line: &str| line.rsplit('/').next().unwrap_or("").to_owned();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    ExecEvent {
        pid,
        parent,
        cgroup_leaf: text.lines().find(|line| line.starts_with("0::")).map(leaf).unwrap_or_default(),
        cgroup_v1_leaf: text.lines().find(|line| line.contains(":pids:")).map(leaf).unwrap_or_default(),
    }
}
