//! Elastic's Filebeat, built from its source: what Ringward takes the place of, sends to, and is measured beside.
//!
//! Into the target folder, `peers/filebeat/usr/sbin/filebeat`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::go;
use crate::command::output;
use crate::pins;

const MODULE: &str = "github.com/elastic/beats/v7";

/// Builds it, if it is not there.
pub fn build() -> Result<()> {
    go::build_peer("filebeat", &format!("Filebeat {}", pins::FILEBEAT), build_into)
}

fn build_into(program: &Path) -> Result<()> {
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
    output(
        Command::new(go)
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-modfile"])
            .arg(modules.join("go.mod"))
            .arg("-o")
            .arg(program)
            .arg("./filebeat")
            .current_dir(source)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", ""),
    )?;
    Ok(std::fs::remove_dir_all(modules)?)
}
