//! Elastic's Filebeat, built from its source: what Ringward takes the place of, sends to, and is measured beside.
//!
//! Into the target folder, `peers/filebeat/usr/sbin/filebeat`. Where the Go module proxy does not have it,
//! `peers/filebeat/refused` says what it answered, and its test says so instead of failing.

use std::process::Command;

use anyhow::{Context, Result};

use super::go;
use super::peers::folder;
use crate::command::output;
use crate::{pins, ui};

const MODULE: &str = "github.com/elastic/beats/v7";

/// Builds it, if it is not there.
pub fn build() -> Result<()> {
    let name = format!("Filebeat {}", pins::FILEBEAT);
    let folder = folder("filebeat")?;
    let (program, refused) = (folder.join("usr/sbin/filebeat"), folder.join("refused"));
    if program.is_file() {
        ui::have(&name);
        return Ok(());
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let _ = std::fs::remove_file(&refused);
    ui::doing(&format!("building {name}, which takes some minutes"));
    match build_into(&program) {
        Ok(()) => ui::done(&name),
        Err(error) if go::is_refusal(&format!("{error:#}")) => {
            std::fs::write(&refused, format!("the Go module proxy does not have it: {error:#}\n"))?;
            ui::warn("the Go module proxy does not have Filebeat: the tests go on without it");
        }
        // Its own test fails; all others have nothing to do with it.
        Err(error) => ui::warn(&format!("Filebeat can't be built: {error:#}")),
    }
    Ok(())
}

fn build_into(program: &std::path::Path) -> Result<()> {
    let go = go::recent()?;
    let source = go::download(&go, &format!("{MODULE}@{}", pins::FILEBEAT))?;
    // Its own list of modules, with the replacements in it, which count only in the module that is built. A copy,
    // because where modules lie nothing is written.
    let modules = program.with_file_name("modules");
    std::fs::create_dir_all(&modules)?;
    for file in ["go.mod", "go.sum"] {
        let text = std::fs::read(source.join(file)).with_context(|| format!("{MODULE} has no {file}"))?;
        std::fs::write(modules.join(file), text)?;
    }
    let building = program.with_extension("new");
    output(
        Command::new(go)
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-modfile"])
            .arg(modules.join("go.mod"))
            .arg("-o")
            .arg(&building)
            .arg("./filebeat")
            .current_dir(source)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", ""),
    )?;
    std::fs::remove_dir_all(modules)?;
    std::fs::rename(building, program).context("cannot put it in its place")
}
