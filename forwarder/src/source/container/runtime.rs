//! Recognises the processes of container runtimes by their command lines: shims, conmon, runc.

use std::path::{Path, PathBuf};

use super::cgroup::is_long_id;

/// The process that started a container, or watches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parent {
    Shim(Shim),
    Conmon(Conmon),
    Runc(Runc),
}

/// `containerd-shim-runc-v2 -namespace N -id I -address A`. Of a pod, `id` is the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shim {
    pub namespace: String,
    pub id: String,
}

/// `conmon -c <id> -n <name> -b <bundle> -l <driver>:<path> …`, of Podman and CRI-O.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conmon {
    pub id: String,
    pub name: String,
    pub bundle: PathBuf,
    /// All `-l`: `k8s-file:/path`, `journald`, or a bare path (CRI-O).
    pub logs: Vec<String>,
    /// Where the runtime wrote the first process's pid.
    pub pid_file: PathBuf,
    /// True where the exit command is Podman's; CRI-O has none.
    pub podman: bool,
}

/// `runc [--root R] create|run|start|exec [--bundle B] <id>`; also crun and youki.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runc {
    pub root: Option<PathBuf>,
    pub bundle: Option<PathBuf>,
    pub id: String,
}

/// Reads a command line; `None` for anything that is no container runtime.
pub fn recognise(cmdline: &[String]) -> Option<Parent> {
    let program = Path::new(cmdline.first()?).file_name()?.to_str()?;
    let arguments = &cmdline[1..];
    if program.starts_with("containerd-shim") {
        return shim(arguments).map(Parent::Shim);
    }
    match program {
        "conmon" | "conmonrs" => conmon(arguments).map(Parent::Conmon),
        "runc" | "crun" | "youki" | "docker-runc" | "nvidia-container-runtime" => runc(arguments).map(Parent::Runc),
        _ => None,
    }
}

/// Go's flag package: `-key value`, `--key value`, `-key=value`.
fn shim(arguments: &[String]) -> Option<Shim> {
    let mut shim = Shim::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(key) = argument.strip_prefix('-') else { continue };
        let key = key.strip_prefix('-').unwrap_or(key);
        let (key, value) = match key.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (key, None),
        };
        let place = match key {
            "namespace" => &mut shim.namespace,
            "id" => &mut shim.id,
            _ => continue,
        };
        *place = value.or_else(|| rest.next().map(String::as_str)).unwrap_or_default().to_owned();
    }
    (!shim.id.is_empty()).then_some(shim)
}

/// glib's options: `-c id`, `--cid id`, `--cid=id`.
fn conmon(arguments: &[String]) -> Option<Conmon> {
    let mut conmon = Conmon::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (key, value) = match argument.split_once('=') {
            Some((key, value)) if key.starts_with("--") => (key, Some(value)),
            _ => (argument.as_str(), None),
        };
        let mut take = || value.or_else(|| rest.next().map(String::as_str)).unwrap_or_default().to_owned();
        match key {
            "-c" | "--cid" => conmon.id = take(),
            "-n" | "--name" => conmon.name = take(),
            "-b" | "--bundle" => conmon.bundle = take().into(),
            "-l" | "--log-path" => conmon.logs.push(take()),
            "-p" | "--container-pidfile" => conmon.pid_file = take().into(),
            // Arguments of arguments (`--exit-command-arg --root`) must not be read as conmon's own.
            "--exit-command-arg" | "--runtime-arg" | "--runtime-opt" => drop(take()),
            "--exit-command" => conmon.podman |= take().ends_with("/podman"),
            _ => {}
        }
    }
    (!conmon.id.is_empty()).then_some(conmon)
}

fn runc(arguments: &[String]) -> Option<Runc> {
    let mut runc = Runc::default();
    let mut rest = arguments.iter();
    let mut command = None;
    while let Some(argument) = rest.next() {
        if let Some(key) = argument.strip_prefix('-') {
            let key = key.strip_prefix('-').unwrap_or(key);
            let (key, value) = match key.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (key, None),
            };
            let mut take = || value.or_else(|| rest.next().map(String::as_str)).unwrap_or_default();
            match key {
                "root" => runc.root = Some(take().into()),
                "bundle" | "b" => runc.bundle = Some(take().into()),
                // Options that take a value, before the command and after it.
                "log" | "log-format" | "criu" | "rootless" | "console-socket" | "pid-file" | "preserve-fds"
                | "cgroup-manager" | "process" | "p" | "cwd" | "env" | "e" | "user" | "u" | "additional-gids" | "g"
                | "cap" | "c" | "cgroup" | "apparmor" | "process-label" | "f" | "config" => drop(take().len()),
                _ => {}
            }
        } else if command.is_none() {
            if !matches!(argument.as_str(), "create" | "run" | "start" | "exec" | "restore") {
                return None;
            }
            command = Some(argument);
        } else {
            runc.id.clone_from(argument);
            return Some(runc);
        }
    }
    None
}

/// The bundle of a container of containerd: beside the one that the shim sits in.
///
/// One shim serves a whole pod, and its working directory is the sandbox's bundle; other containers are siblings.
pub fn sibling_bundle(shim_cwd: &Path, id: &str) -> Option<PathBuf> {
    // Ids come from cgroup names: they must not lead elsewhere.
    if id.is_empty() || id.contains('/') || id == "." || id == ".." {
        return None;
    }
    Some(shim_cwd.parent()?.join(id))
}

/// True where conmon's bundle is CRI-O's: its ids and bundles look like Podman's, its log is a bare path.
pub fn is_crio(conmon: &Conmon) -> bool {
    !conmon.podman && is_long_id(&conmon.id) && conmon.name.starts_with("k8s_")
}

#[cfg(test)]
#[path = "runtime_tests.rs"]
mod tests;
