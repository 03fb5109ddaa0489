//! PID 1 of the test VM: makes the machine, runs every scenario on every rung, prints the results, powers off.
//!
//! Goes in: the kernel's command line (`ringward.*=`, see `machine.rs`). Comes out, on the second serial port (the rung
//! `machine` is the machine itself, `image` is Ringward as an image starts it):
//!
//! ```text
//! RESULT <rung> <scenario> ok|fail|denied <text>
//! END
//! ```
//!
//! The console is left to the kernel and to Ringward's log. PID 1 itself only reaps; a child does the work, so that a
//! panic ends in a power-off and not in a kernel panic.

mod bench;
mod container;
mod early_boot;
mod forwarder;
mod machine;
mod pty;
mod scenarios;
mod self_check;

#[path = "../../../../forwarder/tests/harness/numbered.rs"]
mod numbered;
#[path = "../../../../forwarder/tests/harness/receiver.rs"]
#[expect(dead_code, reason = "the tests on the host use what the VM does not")]
mod receiver;

use std::process::Command;

use rustix::process::{Pid, WaitOptions, wait};
use rustix::system::{RebootCommand, reboot};

fn main() {
    if std::process::id() != 1 {
        if let Err(error) = work() {
            eprintln!("vm-init: {error:#}");
        }
        return;
    }
    match machine::prepare() {
        Ok(()) => match Command::new("/proc/self/exe").arg("work").spawn() {
            Ok(worker) => reap_until(worker.id()),
            Err(error) => eprintln!("vm-init: cannot start the worker: {error}"),
        },
        Err(error) => eprintln!("vm-init: cannot prepare the machine: {error:#}"),
    }
    // What is still in the serial port's buffer would be cut off by the power-off.
    machine::drain_result_port();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        eprintln!("vm-init: cannot power off: {error}");
    }
}

/// Containers that lost their parent end up here; somebody must wait for them.
fn reap_until(worker: u32) {
    let worker = i32::try_from(worker).ok().and_then(Pid::from_raw);
    while let Ok(Some((pid, _))) = wait(WaitOptions::empty()) {
        if Some(pid) == worker {
            return;
        }
    }
}

fn work() -> anyhow::Result<()> {
    let settings = machine::Settings::from_command_line()?;
    container::write_root_filesystem()?;
    let mut out = machine::result_port()?;
    // First of all, as it would be in an image.
    if let Some(outcome) = early_boot::run(&settings) {
        bench::report(&mut out, "image", early_boot::NAME, outcome)?;
    }
    for (name, check) in self_check::CHECKS {
        bench::report(&mut out, "machine", name, check(&settings))?;
    }
    for rung in &settings.rungs {
        bench::run_rung(rung, &settings, &mut out)?;
    }
    bench::run_denied(&settings, &mut out)?;
    machine::print(&mut out, "END")?;
    Ok(())
}
