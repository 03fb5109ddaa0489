//! Reads procfs below a root that can be chosen: `/proc`, `/host/proc` in a DaemonSet, a fixture in tests.
//!
//! Everything here can fail at any time, because processes end: functions give `None` then, and callers go on
//! with what is left.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use crate::record::Stream;

/// A procfs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Proc {
    root: PathBuf,
}

/// The fields of `/proc/PID/status` that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub parent: u32,
    /// The pid in each nested namespace, outermost first; ends in 1 for the init process of a container.
    pub ns_pids: Vec<u32>,
}

/// What a file descriptor writes to. Two descriptors with equal identities are the same pipe or terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StdioIdentity {
    /// `st_dev` as stat(2) gives it.
    pub dev: u64,
    pub ino: u64,
    /// The device itself for terminals, 0 for pipes.
    pub rdev: u64,
    pub is_tty: bool,
}

impl StdioIdentity {
    /// `dev` as the kernel holds it in `super_block.s_dev` (12 bits major, 20 bits minor).
    pub fn kernel_dev(&self) -> u32 {
        let (major, minor) = (rustix::fs::major(self.dev), rustix::fs::minor(self.dev));
        (major << 20) | (minor & 0xf_ffff)
    }
}

impl Proc {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// `<root>/<pid>/<rest>`.
    pub fn path(&self, pid: u32, rest: &str) -> PathBuf {
        self.root.join(pid.to_string()).join(rest)
    }

    /// All process ids, ascending.
    pub fn pids(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Vec::new() };
        let mut pids: Vec<u32> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        pids.sort_unstable();
        pids
    }

    pub fn cgroup(&self, pid: u32) -> Option<String> {
        let bytes = fs::read(self.path(pid, "cgroup")).ok()?;
        // An exiting process reads as an empty file.
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The arguments; empty for a kernel thread, a zombie or a process that is gone.
    pub fn cmdline(&self, pid: u32) -> Vec<String> {
        let Ok(bytes) = fs::read(self.path(pid, "cmdline")) else { return Vec::new() };
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        if bytes.is_empty() {
            return Vec::new();
        }
        bytes.split(|&b| b == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
    }

    pub fn status(&self, pid: u32) -> Option<Status> {
        let text = fs::read(self.path(pid, "status")).ok()?;
        Some(parse_status(&String::from_utf8_lossy(&text)))
    }

    /// When the process started, in clock ticks since boot.
    pub fn start_time(&self, pid: u32) -> Option<u64> {
        let text = fs::read(self.path(pid, "stat")).ok()?;
        let text = String::from_utf8_lossy(&text);
        // The command may hold spaces and parentheses: fields count from the last one.
        text.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
    }

    /// Inode of a namespace (`mnt`, `pid`, …) of the process.
    pub fn namespace(&self, pid: u32, kind: &str) -> Option<u64> {
        let link = fs::read_link(self.path(pid, "ns").join(kind)).ok()?;
        let text = link.to_str()?;
        text.split_once('[')?.1.strip_suffix(']')?.parse().ok()
    }

    /// The pipe or terminal behind a descriptor; `None` for sockets, files and `/dev/null`.
    pub fn stdio(&self, pid: u32, fd: u32) -> Option<StdioIdentity> {
        identity_of(&self.path(pid, "fd").join(fd.to_string()))
    }

    /// The streams of a process: fd 1 and 2, or one where both are the same pipe or terminal.
    pub fn streams(&self, pid: u32) -> Vec<(Stream, StdioIdentity)> {
        let mut streams: Vec<(Stream, StdioIdentity)> = Vec::new();
        for (fd, stream) in [(1, Stream::Stdout), (2, Stream::Stderr)] {
            let Some(identity) = self.stdio(pid, fd) else { continue };
            if streams.iter().all(|(_, known)| *known != identity) {
                streams.push((if identity.is_tty { Stream::Tty } else { stream }, identity));
            }
        }
        streams
    }

    /// `(dev, ino)` of every pipe and terminal that some process can still write to, in one pass over all descriptors.
    pub fn all_written(&self) -> HashSet<(u64, u64)> {
        let mut written = HashSet::new();
        for pid in self.pids() {
            let Ok(entries) = fs::read_dir(self.path(pid, "fd")) else { continue };
            for entry in entries.flatten() {
                let Some(found) = identity_of(&entry.path()).map(|found| (found.dev, found.ino)) else { continue };
                let info = || fs::read_to_string(self.path(pid, "fdinfo").join(entry.file_name()));
                if !written.contains(&found) && info().is_ok_and(|info| is_writable(&info)) {
                    written.insert(found);
                }
            }
        }
        written
    }

    /// A path as the process `pid` sees it, made openable by this process.
    ///
    /// Prefers a form that outlives the process: the path itself where this process sees the same file, then
    /// `/proc/1/root`, and `/proc/PID/root` only for a mount namespace of its own (kind, rootless Podman).
    pub fn resolve(&self, pid: u32, path: &Path) -> PathBuf {
        let inside = |pid: u32| self.path(pid, "root").join(relative(path));
        let mut seen = fs::metadata(inside(pid)).map(|m| (m.dev(), m.ino()));
        let own_view = seen.is_ok();
        if !own_view && self.root != Path::new("/proc") {
            // The process is gone. What this process sees may be another file: only the host's view counts.
            seen = fs::metadata(inside(1)).map(|m| (m.dev(), m.ino()));
        }
        let same = |candidate: &Path| match (&seen, fs::metadata(candidate)) {
            (Ok(seen), Ok(meta)) => *seen == (meta.dev(), meta.ino()),
            (Err(_), Ok(_)) => self.root == Path::new("/proc"),
            _ => false,
        };
        if same(path) {
            path.to_owned()
        } else if same(&inside(1)) {
            inside(1)
        } else if own_view {
            inside(pid)
        } else if self.root == Path::new("/proc") {
            path.to_owned()
        } else {
            inside(1)
        }
    }
}

/// `path` without its leading `/` and without `..`, to be joined below another root.
fn relative(path: &Path) -> PathBuf {
    path.components().filter(|c| matches!(c, Component::Normal(_))).collect()
}

fn identity_of(path: &Path) -> Option<StdioIdentity> {
    let meta = fs::metadata(path).ok()?;
    let kind = meta.file_type();
    let is_tty = kind.is_char_device() && is_tty_major(rustix::fs::major(meta.rdev()));
    if !is_tty && !kind.is_fifo() {
        return None;
    }
    Some(StdioIdentity { dev: meta.dev(), ino: meta.ino(), rdev: if is_tty { meta.rdev() } else { 0 }, is_tty })
}

/// Majors of terminals: pseudo-terminals (Documentation/admin-guide/devices.txt: 136 to 143), consoles and
/// serial lines (4), and `/dev/tty`, `/dev/console` (5).
fn is_tty_major(major: u32) -> bool {
    matches!(major, 4 | 5 | 136..=143)
}

fn is_writable(fdinfo: &str) -> bool {
    fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & 0o3 != 0)
}

fn parse_status(text: &str) -> Status {
    let mut status = Status::default();
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("PPid:") {
            status.parent = value.trim().parse().unwrap_or(0);
        } else if let Some(value) = line.strip_prefix("NSpid:") {
            status.ns_pids = value.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, pipe};
    use std::os::fd::AsRawFd;

    #[test]
    fn own_pipe_is_found_and_dropped() {
        let proc = Proc::new("/proc");
        let (mut reader, writer) = pipe().unwrap();
        let own = std::process::id();
        let identity = proc.stdio(own, writer.as_raw_fd() as u32).unwrap();
        assert!(!identity.is_tty && identity.rdev == 0);
        assert!(proc.all_written().contains(&(identity.dev, identity.ino)));
        drop(writer);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        assert!(!proc.all_written().contains(&(identity.dev, identity.ino)), "the read end is no writer");
    }

    #[test]
    fn status_and_start_time() {
        let proc = Proc::new("/proc");
        let own = std::process::id();
        assert_eq!(proc.status(own).unwrap().parent, std::os::unix::process::parent_id());
        assert_eq!(proc.status(own).unwrap().ns_pids.first(), Some(&own));
        assert!(proc.start_time(own).unwrap() >= proc.start_time(1).unwrap());
        assert!(proc.namespace(own, "mnt").is_some());
        assert_eq!(parse_status("NSpid:\t7\tx\t1\n").ns_pids, [7, 1]);
        assert_eq!(parse_status("garbage"), Status::default());
    }

    #[test]
    fn kernel_form_of_a_device() {
        let identity = StdioIdentity { dev: rustix::fs::makedev(0, 0x1_2345), ino: 1, rdev: 0, is_tty: false };
        assert_eq!(identity.kernel_dev(), 0x1_2345);
    }

    #[test]
    fn paths_cannot_climb_out_of_a_root() {
        assert_eq!(relative(Path::new("/a/../../etc/b")), Path::new("a/etc/b"));
    }
}
