//! What the integration tests are made with: real container runtimes with roots of their own, the real `ringward`,
//! and receivers.
//!
//! Everything lives in a temporary folder, talks over sockets in it (or over 127.0.0.1), and is gone when it is
//! dropped: daemons, shims, mounts. Nothing of the machine's own runtimes is used or touched. Tests with containers
//! need root; [`Machine::claim`] says so and makes them wait for each other.
#![allow(dead_code, unused_imports, reason = "no test binary uses all of it")]

pub mod containerd;
pub mod daemon;
pub mod docker;
pub mod image;
pub mod journald;
pub mod machine;
pub mod numbered;
pub mod podman;
pub mod process;
pub mod receiver;
pub mod ringward;
pub mod runc;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use machine::Machine;

/// How long a test waits for something that takes a moment. Long: only a failing test waits for all of it.
pub const PATIENCE: Duration = Duration::from_secs(60);

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
