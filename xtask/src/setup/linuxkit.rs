//! LinuxKit's memlogd and its clients: Go programs, whose place Ringward takes, and which it is tested and measured beside.
//!
//! In the target folder, `linuxkit/`: `memlogd`, `logread`, `logwrite` (the wrapper), and `disk/logwrite`, another
//! program of that name. Where the module proxy does not have them, `linuxkit/refused` says what it answered: then no
//! setup can help, and their tests say so instead of failing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::go;
use crate::command::output;
use crate::{pins, ui, workspace};

/// A package of the repository `github.com/linuxkit/linuxkit`, the program that it is, and the folder it goes to.
const PROGRAMS: [(&str, &str, &str); 4] = [
    ("pkg/memlogd/cmd/memlogd", "memlogd", ""),
    ("pkg/memlogd/cmd/logread", "logread", ""),
    ("pkg/memlogd/cmd/logwrite", "logwrite", ""),
    ("pkg/logwrite", "logwrite", "disk"),
];

/// Where the programs are.
pub fn folder() -> Result<PathBuf> {
    Ok(workspace::target()?.join("linuxkit"))
}

/// Installs what is missing.
pub fn programs() -> Result<()> {
    let folder = folder()?;
    let version = pins::LINUXKIT;
    if PROGRAMS.iter().all(|(_, program, below)| folder.join(below).join(program).is_file()) {
        ui::have(&format!("LinuxKit's memlogd, logread and logwrite ({version})"));
        return Ok(());
    }
    std::fs::create_dir_all(folder.join("disk"))?;
    let refused = folder.join("refused");
    let _ = std::fs::remove_file(&refused);
    ui::doing(&format!("installing LinuxKit's memlogd, logread and logwrite ({version})"));
    for (package, _, below) in PROGRAMS {
        if let Err(error) = install(package, &folder.join(below)) {
            let why = error.to_string();
            if !go::is_refusal(&why) {
                // Their own tests fail; all others have nothing to do with it.
                ui::warn(&format!("LinuxKit's programs can't be installed: {why}"));
                return Ok(());
            }
            std::fs::write(&refused, format!("the Go module proxy does not have it: {why}\n"))?;
            ui::warn("the Go module proxy does not have LinuxKit's programs: the tests go on without them");
            return Ok(());
        }
    }
    ui::done("LinuxKit's programs");
    Ok(())
}

fn install(package: &str, into: &Path) -> Result<String> {
    let package = format!("github.com/linuxkit/linuxkit/{package}@{}", pins::LINUXKIT);
    output(Command::new(go::installed()).args(["install", &package]).env("GOBIN", into).env("CGO_ENABLED", "0"))
}
