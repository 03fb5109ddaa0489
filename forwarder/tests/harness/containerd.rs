//! A containerd of our own, driven by `ctr`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::daemon::Daemon;
use super::process::{Running, output};
use super::{folder, image, unmount_below};

/// How a container is run.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    pub namespace: &'a str,
    /// On a terminal.
    pub tty: bool,
    /// Removed at its end, which else is done when containerd is dropped.
    pub rm: bool,
    /// More arguments for `ctr run`.
    pub extra: &'a [&'a str],
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { namespace: "default", tty: false, rm: true, extra: &[] }
    }
}

pub struct Containerd {
    daemon: Option<Daemon>,
    folder: tempfile::TempDir,
}

impl Containerd {
    /// Starts it with root, state and socket in a folder of its own, and imports the image into `namespaces`.
    #[track_caller]
    pub fn start(namespaces: &[&str]) -> Self {
        let folder = folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let configuration = format!(
            "version = 2\nroot = '{}'\nstate = '{}'\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n\
             [grpc]\n  address = '{}'\n",
            path("root"),
            path("state"),
            path("sock")
        );
        std::fs::write(folder.path().join("config.toml"), configuration).expect("our folder");
        let mut command = Command::new("containerd");
        command.args(["--config", &path("config.toml")]);
        let daemon = Daemon::start(&mut command, "containerd successfully booted");
        let containerd = Self { daemon: Some(daemon), folder };
        let archive = image::archive(containerd.folder.path());
        for namespace in namespaces {
            let mut import = containerd.ctr(namespace);
            output(import.args(["images", "import", "--snapshotter", "native"]).arg(&archive));
        }
        containerd
    }

    /// `ctr` for this containerd.
    pub fn ctr(&self, namespace: &str) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.folder.path().join("sock")).args(["--namespace", namespace]);
        ctr
    }

    /// Starts a container; the handle is its `ctr run` in the foreground.
    #[track_caller]
    pub fn run(&self, name: &str, arguments: &[&str], options: Options<'_>) -> Running {
        Running::start(&mut self.run_command(name, arguments, options))
    }

    /// `ctr run`, to be started as the test likes.
    pub fn run_command(&self, name: &str, arguments: &[&str], options: Options<'_>) -> Command {
        let mut ctr = self.ctr(options.namespace);
        ctr.args(["run", "--snapshotter", "native"]);
        if options.rm {
            ctr.arg("--rm");
        }
        if options.tty {
            ctr.arg("--tty");
        }
        ctr.args(options.extra).arg(image::NAME).arg(name).args(arguments);
        if options.tty { on_terminal(&ctr) } else { ctr }
    }

    /// The pid of a running container's first process.
    pub fn pid(&self, namespace: &str, name: &str) -> Option<u32> {
        let list = output(self.ctr(namespace).args(["tasks", "list"]));
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    pub fn kill(&self, namespace: &str, name: &str) {
        let _ = Running::start(self.ctr(namespace).args(["tasks", "kill", "--signal", "SIGKILL", name])).finish();
    }
}

/// The command inside of util-linux' `script`, which gives it a terminal.
fn on_terminal(command: &Command) -> Command {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))).collect::<Vec<_>>();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
    script
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // Containers end with their shims, and shims are told from others by the socket that they were given.
        kill_shims(&self.folder.path().join("sock"));
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop(Duration::from_secs(10));
        }
        unmount_below(self.folder.path());
    }
}

fn kill_shims(socket: &Path) {
    let socket = socket.display().to_string();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>();
        let is_shim = words.first().is_some_and(|word| word.contains("containerd-shim"));
        if is_shim && words.iter().any(|word| *word == socket) {
            kill_tree(pid);
        }
    }
}

/// A shim and the containers below it; their processes would otherwise live on.
fn kill_tree(pid: i32) {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|word| word.parse().ok()) {
        kill_tree(child);
    }
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
