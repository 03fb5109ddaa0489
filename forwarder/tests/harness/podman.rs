//! Podman, which has no daemon: each container has a conmon.

use std::process::Command;

use super::process::{Running, output};
use super::{folder, image, unmount_below};

pub struct Podman {
    folder: tempfile::TempDir,
}

impl Podman {
    #[track_caller]
    pub fn start() -> Self {
        let podman = Self { folder: folder() };
        // Debian ships none without its recommended packages, and podman wants one even for a loaded image.
        let policy = podman.folder.path().join("policy.json");
        std::fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).expect("our folder");
        let archive = image::archive(podman.folder.path());
        let mut load = podman.podman();
        output(load.args(["load", "--quiet", "--signature-policy"]).arg(policy).arg("--input").arg(archive));
        podman
    }

    /// `podman` with roots of its own.
    pub fn podman(&self) -> Command {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut podman = Command::new("podman");
        podman
            .args(["--root", &path("root"), "--runroot", &path("run"), "--tmpdir", &path("tmp")])
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
            .args(["--events-backend", "none"])
            // crun refuses hosts with both cgroup versions; runc takes them all.
            .args(["--runtime", "runc"]);
        podman
    }

    #[track_caller]
    pub fn run(&self, name: &str, extra: &[&str], arguments: &[&str]) -> Running {
        let mut podman = self.podman();
        podman.arg("run").args(LIMITS).args(["--network", "none", "--name", name]);
        podman.args(extra).arg(image::NAME).args(arguments);
        Running::start(&mut podman)
    }
}

/// Podman raises these two by default, which needs CAP_SYS_RESOURCE; lowering them needs nothing.
const LIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = Running::start(self.podman().args(["rm", "--all", "--force", "--time", "0"])).finish();
        unmount_below(self.folder.path());
    }
}
