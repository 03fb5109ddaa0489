//! Debian packages: installed only where a command is missing, without starting any service.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{as_root, echo, find, output, run};
use crate::ui;

/// While this file is there, `invoke-rc.d` starts nothing: a containerd or dockerd that an installation started would
/// be in the way of the tests' own.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs the packages whose command is missing.
pub fn install(purpose: &str, wanted: &[(&str, &str)]) -> Result<()> {
    let mut missing =
        wanted.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect::<Vec<_>>();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        let mut have = wanted.iter().map(|(_, package)| *package).collect::<Vec<_>>();
        have.sort_unstable();
        have.dedup();
        ui::have(&have.join(" "));
        return Ok(());
    }
    let list = missing.join(" ");
    if find("apt-get").is_none() {
        bail!(
            "{purpose} need these Debian packages, and there is no apt-get: {list}. Install what brings their commands by your own package manager"
        );
    }
    let needed_for = format!("installing {list} (for {purpose})");
    let _policy = ServicesHeld::hold(&needed_for)?;
    if missing.iter().any(|package| !has_candidate(package)) {
        update(&needed_for)?;
    }
    ui::doing(&needed_for);
    let result = apt_get(&needed_for, &missing).and_then(|mut command| run(&mut command));
    if result.is_err() {
        // The lists may be older than what the mirror still has.
        update(&needed_for)?;
        run(&mut apt_get(&needed_for, &missing)?)?;
    }
    ui::done(&list);
    Ok(())
}

/// Whether a command, or a file by its whole path, is there.
fn is_there(what: &str) -> bool {
    if what.starts_with('/') { Path::new(what).exists() } else { find(what).is_some() }
}

/// Reads the mirror's lists again.
pub fn update(needed_for: &str) -> Result<()> {
    ui::doing("reading the mirror's package lists (apt-get update)");
    run(as_root("apt-get", needed_for)?.args(["update", "-qq"]))
}

fn has_candidate(package: &str) -> bool {
    output(Command::new("apt-cache").args(["policy", package]))
        .is_ok_and(|text| text.contains("Candidate:") && !text.contains("Candidate: (none)"))
}

fn apt_get(needed_for: &str, packages: &[&str]) -> Result<Command> {
    let mut command = as_root("env", needed_for)?;
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends"])
        .args(packages);
    Ok(command)
}

/// Keeps services from starting while it lives.
struct ServicesHeld {
    ours: bool,
}

impl ServicesHeld {
    fn hold(needed_for: &str) -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let script = format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}");
        run(as_root("sh", needed_for)?.args(["-c", &script]))?;
        Ok(Self { ours: true })
    }
}

impl Drop for ServicesHeld {
    fn drop(&mut self) {
        if !self.ours {
            return;
        }
        if let Ok(mut command) = as_root("rm", "removing policy-rc.d") {
            command.args(["-f", POLICY]);
            echo(&command);
            if !command.status().is_ok_and(|status| status.success()) {
                ui::warn(&format!("could not remove {POLICY}: services will not start at installation until you do"));
            }
        }
    }
}
