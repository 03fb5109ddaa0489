//! A dockerd of our own.

use std::process::Command;
use std::time::Duration;

use super::daemon::Daemon;
use super::process::{Running, output};
use super::{folder, image, unmount_below};

pub struct Docker {
    daemon: Option<Daemon>,
    folder: tempfile::TempDir,
}

impl Docker {
    /// Without a network and without iptables: neither is ours to change.
    #[track_caller]
    pub fn start() -> Self {
        let folder = folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut command = Command::new("dockerd");
        command
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["--host", &format!("unix://{}", path("sock")), "--config-file", &path("none.json")])
            .args(["--storage-driver", "vfs", "--iptables=false", "--ip6tables=false", "--bridge=none"]);
        std::fs::write(folder.path().join("none.json"), "{}").expect("our folder");
        let daemon = Daemon::start(&mut command, "API listen on");
        let docker = Self { daemon: Some(daemon), folder };
        let archive = image::archive(docker.folder.path());
        output(docker.docker().args(["load", "--quiet", "--input"]).arg(archive));
        docker
    }

    /// `docker` for this dockerd.
    pub fn docker(&self) -> Command {
        let mut docker = Command::new("docker");
        docker.arg("--host").arg(format!("unix://{}", self.folder.path().join("sock").display()));
        docker.env("DOCKER_CONFIG", self.folder.path());
        docker
    }

    #[track_caller]
    pub fn run(&self, name: &str, extra: &[&str], arguments: &[&str]) -> Running {
        let mut docker = self.docker();
        docker.args(["run", "--network", "none", "--name", name]).args(extra).arg(image::NAME).args(arguments);
        Running::start(&mut docker)
    }

    /// Where Docker keeps its containers, with their json-file logs.
    pub fn data_root(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // dockerd ends its containers and its containerd by itself.
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop(Duration::from_secs(20));
        }
        unmount_below(self.folder.path());
    }
}
