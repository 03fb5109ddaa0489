//! Forwarders to compare with that can't be installed beside what is installed: Debian's packages, unpacked below the
//! target folder. What was built (`filebeat.rs`) lies there like a package.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::apt;
use crate::command::{output, run};
use crate::{pins, ui, workspace};

const SYSLOG_NG: &str = "syslog-ng";

/// Where the peer `name` lies, if it was fetched.
pub fn unpacked(name: &str) -> Result<Option<PathBuf>> {
    let folder = folder(name)?;
    Ok(folder.join("usr/sbin").join(name).exists().then_some(folder))
}

pub fn fetch() -> Result<()> {
    if unpacked(SYSLOG_NG)?.is_some() {
        ui::have(SYSLOG_NG);
        return Ok(());
    }
    let folder = folder(SYSLOG_NG)?;
    std::fs::create_dir_all(&folder)?;
    ui::doing(&format!("downloading {}", pins::SYSLOG_NG.join(" ")));
    let download = || run(Command::new("apt-get").args(["download", "-qq"]).args(pins::SYSLOG_NG).current_dir(&folder));
    if download().is_err() {
        apt::update("fetching peers")?;
        download()?;
    }
    for entry in std::fs::read_dir(&folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            output(Command::new("dpkg").arg("-x").arg(&file).arg(&folder))
                .with_context(|| format!("cannot unpack {}", file.display()))?;
            std::fs::remove_file(&file)?;
        }
    }
    ui::done(SYSLOG_NG);
    Ok(())
}

pub(super) fn folder(name: &str) -> Result<PathBuf> {
    Ok(workspace::target()?.join("peers").join(name))
}
