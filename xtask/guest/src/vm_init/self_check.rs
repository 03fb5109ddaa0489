//! Is this machine the one that was asked for? Without this, a scenario could pass on the wrong kernel mode, or fail
//! because of the harness.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::container::Container;
use crate::machine::Settings;

pub type Check = (&'static str, fn(&Settings) -> Result<String>);

pub const CHECKS: [Check; 5] =
    [("lockdown", lockdown), ("cgroup", cgroup), ("runc", runc), ("pty", pty), ("binary", binary)];

/// `none [integrity] confidentiality`: the mode in force is in brackets.
fn lockdown(settings: &Settings) -> Result<String> {
    let modes = std::fs::read_to_string("/sys/kernel/security/lockdown").context("cannot read the lockdown mode")?;
    ensure!(modes.contains(&format!("[{}]", settings.lockdown)), "asked for {}, got {modes}", settings.lockdown);
    Ok(settings.lockdown.clone())
}

fn cgroup(settings: &Settings) -> Result<String> {
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    ensure!(unified == (settings.cgroup == "v2"), "asked for {}, unified is {unified}", settings.cgroup);
    let own = std::fs::read_to_string("/proc/self/cgroup")?;
    Ok(format!("{}, {} hierarchies", settings.cgroup, own.lines().count()))
}

fn runc(_: &Settings) -> Result<String> {
    let output = Container::start("self-check", &["sh", "-c", "echo out; echo err >&2"])?.finish()?;
    ensure!(output.stdout == b"out\n" && output.stderr == b"err\n", "the pipes gave {output:?}");
    let cold = Container::start("self-check-cold", &["emit", "cold"])?.finish()?.stdout.len();
    ensure!(cold == 1 << 20, "emit wrote {cold} bytes");
    Ok("a container runs, and its pipes give what it wrote".to_owned())
}

fn pty(_: &Settings) -> Result<String> {
    let output = Container::start_with_terminal("self-check-pty", &["echo", "hello"])?.finish()?;
    ensure!(output.stdout == b"hello\r\n", "the terminal gave {output:?}");
    Ok("a container runs on a terminal".to_owned())
}

fn binary(_: &Settings) -> Result<String> {
    let output = Command::new("ringward").arg("--version").output().context("cannot run ringward")?;
    ensure!(output.status.success(), "ringward --version failed with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
