//! The machine is claimed before containers are run on it.
//!
//! What Ringward captures is the machine's, so the containers of another test would be in the records of this one.
//! The lock belongs to the machine and not to a target folder: tests of two checkouts must wait for each other too.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Gone after a reboot, and never removed before: who waits for a removed file waits for nobody.
const LOCK: &str = "/run/lock/ringward-tests.lock";

/// The machine is this test's until it is dropped.
pub struct Machine {
    _lock: File,
}

impl Machine {
    /// For a test that runs Ringward: nobody else's containers meanwhile. `None`, after saying why, when we are not
    /// root.
    pub fn claim() -> Option<Self> {
        Self::lock(FlockOperation::LockExclusive)
    }

    /// For a test that runs containers and looks at its own only: others of its kind may run at the same time.
    pub fn share() -> Option<Self> {
        Self::lock(FlockOperation::LockShared)
    }

    fn lock(how: FlockOperation) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("it runs containers, which needs root");
            return None;
        }
        let folder = Path::new(LOCK).parent().expect("a file has a folder");
        std::fs::create_dir_all(folder).expect("root can make folders in /run");
        let lock = File::create(LOCK).expect("root can write to /run/lock");
        flock(&lock, how).expect("flock on a file of ours");
        Some(Self { _lock: lock })
    }
}

/// Says why a test does nothing here; `cargo xtask test` counts the line. In CI, where the requirement can be
/// installed, that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {why}");
    say_skipped(why);
}

/// The same where no setup can bring what is missing: not a failure in CI either.
pub fn say_skipped(why: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    // Past libtest's capture, which would swallow it.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED {name}: {why}");
}
