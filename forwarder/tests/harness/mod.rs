//! What the integration tests are made with: real container runtimes with roots of their own, the real `ringward`,
//! and receivers.
//!
//! Everything lives in a temporary folder, talks over sockets in it (or over 127.0.0.1), and is gone when it is
//! dropped: daemons, shims, mounts. Nothing of the machine's own runtimes is used or touched. Tests with containers
//! need root; [`Machine::claim`] says so and makes them wait for each other, because what Ringward captures is the
//! machine's and a second test's containers would be in the first one's records.
#![allow(dead_code, reason = "no test binary uses all of it")]

pub mod containerd;
pub mod daemon;
pub mod docker;
pub mod image;
pub mod numbered;
pub mod podman;
pub mod process;
pub mod receiver;
pub mod ringward;
pub mod runc;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a test waits for something that takes a moment. Long: only a failing test waits for all of it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The machine is this test's until it is dropped.
pub struct Machine {
    _lock: File,
}

impl Machine {
    /// `None`, after saying why, when we are not root.
    pub fn claim() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("it runs containers, which needs root");
            return None;
        }
        let lock = File::create(target().join("machine.lock")).expect("the target folder is writable");
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("flock on a file of ours");
        Some(Self { _lock: lock })
    }
}

/// Says why a test does nothing here; `cargo xtask test` counts the line. In CI, where the requirement can be
/// installed, that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {why}");
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    // Past libtest's capture, which would swallow it.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED {name}: {why}");
}

/// Cargo's target folder.
pub fn target() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ringward")).ancestors().nth(2).expect("target/<profile>/ringward")
}

/// A folder of our own with a short name: paths of unix sockets must fit into 108 bytes.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("rw-").tempdir_in("/tmp").expect("/tmp is writable")
}

/// Unmounts what is still mounted below `folder`, deepest first, so that it can be removed.
pub fn unmount_below(folder: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut points = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|point| point.starts_with(folder))
        .collect::<Vec<_>>();
    points.sort();
    for point in points.iter().rev() {
        // The runtime may be faster; then there is nothing left to do and nothing to say.
        let _ = std::process::Command::new("umount").arg("-l").arg(point).stderr(std::process::Stdio::null()).status();
    }
}
