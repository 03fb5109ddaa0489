//! A containerd of our own, driven by `ctr`.

use std::path::{Path, PathBuf};
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

/// Where every containerd's shims have runc keep its state, whatever its own state folder is.
const RUNC_STATE: &str = "/run/containerd/runc";

/// The namespace of everything that is started by way of CRI.
const CRI_NAMESPACE: &str = "k8s.io";

pub struct Containerd {
    daemon: Option<Daemon>,
    folder: tempfile::TempDir,
    has_cri: bool,
    /// As containerd calls them.
    namespaces: Vec<String>,
}

impl Containerd {
    /// Starts it with root, state and socket in a folder of its own, and imports the image into `namespaces`.
    #[track_caller]
    pub fn start(namespaces: &[&str]) -> Self {
        Self::start_configured(namespaces, "disabled_plugins = ['io.containerd.grpc.v1.cri']", "")
    }

    /// With the plugin that a kubelet talks to; sandboxes are made of the image as well.
    #[track_caller]
    pub fn start_with_cri() -> Self {
        let plugin = format!(
            "[plugins.'io.containerd.grpc.v1.cri']\n  sandbox_image = '{}'\n  restrict_oom_score_adj = true\n\
             [plugins.'io.containerd.grpc.v1.cri'.containerd]\n  snapshotter = 'native'\n",
            image::NAME
        );
        Self::start_configured(&[CRI_NAMESPACE], "", &plugin)
    }

    #[track_caller]
    fn start_configured(namespaces: &[&str], first: &str, last: &str) -> Self {
        let folder = folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let configuration = format!(
            "version = 2\nroot = '{}'\nstate = '{}'\n{first}\n[grpc]\n  address = '{}'\n{last}",
            path("root"),
            path("state"),
            path("sock")
        );
        std::fs::write(folder.path().join("config.toml"), configuration).expect("our folder");
        let mut command = Command::new("containerd");
        command.args(["--config", &path("config.toml")]);
        let daemon = Daemon::start(&mut command, "containerd successfully booted");
        let has_cri = first.is_empty();
        let mut containerd = Self { daemon: Some(daemon), folder, has_cri, namespaces: Vec::new() };
        containerd.namespaces = namespaces.iter().map(|namespace| containerd.own(namespace)).collect();
        let archive = image::archive(containerd.folder.path());
        for namespace in namespaces {
            let mut import = containerd.ctr(namespace);
            output(import.args(["images", "import", "--snapshotter", "native"]).arg(&archive));
        }
        containerd
    }

    /// What a namespace of the tests is called in this containerd. runc knows containers by namespace and name only,
    /// so two containerds, or one and what an earlier one left behind, must not have a namespace in common.
    fn own(&self, namespace: &str) -> String {
        if self.has_cri && namespace == CRI_NAMESPACE {
            // Not ours to choose; the names in it are random.
            return namespace.to_owned();
        }
        let folder = self.folder.path().file_name().unwrap_or_default().to_string_lossy();
        format!("{namespace}-{folder}")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// `ctr` for this containerd.
    pub fn ctr(&self, namespace: &str) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.socket()).args(["--namespace", &self.own(namespace)]);
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
        kill_shims(&self.socket());
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop(Duration::from_secs(10));
        }
        self.namespaces.iter().filter(|namespace| *namespace != CRI_NAMESPACE).for_each(|namespace| forget(namespace));
        unmount_below(self.folder.path());
    }
}

/// Removes the state and the cgroups that killed shims could not remove.
fn forget(namespace: &str) {
    let state = Path::new(RUNC_STATE).join(namespace);
    for container in std::fs::read_dir(&state).into_iter().flatten().flatten() {
        let mut delete = Command::new("runc");
        delete.arg("--root").arg(&state).args(["delete", "--force"]).arg(container.file_name());
        let _ = Running::start(&mut delete).finish();
    }
    let _ = std::fs::remove_dir_all(&state);
    // In each hierarchy of version 1, and where the unified one is mounted. Only empty ones can be removed.
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        let _ = std::fs::remove_dir(hierarchy.join(namespace));
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
