//! `cargo xtask image`: the static program in a folder with its Dockerfile, and the image where Docker is there.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{command, setup, ui, workspace};

pub fn run() -> Result<ExitCode> {
    setup::build_tools()?;
    ui::heading("Building a static ringward");
    let folder = workspace::target()?.join("image");
    let (build, context) = (folder.join("build"), folder.join("context"));
    command::run(workspace::cargo_static("release", &build)?.args(["-p", "ringward"]))?;
    fs::create_dir_all(&context).with_context(|| format!("cannot create {}", context.display()))?;
    let built = build.join(workspace::host_triple()?).join("release/ringward");
    for (from, name) in [(built, "ringward"), (workspace::root().join("deploy/docker/Dockerfile"), "Dockerfile")] {
        fs::copy(&from, context.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let tag = format!("ringward:{}", env!("CARGO_PKG_VERSION"));
    // A client alone can't build.
    if command::find("docker").is_none() || command::output(Command::new("docker").arg("info")).is_err() {
        ui::warn(&format!("no Docker runs here: `docker build -t {tag} {}` makes the image", context.display()));
        return Ok(ExitCode::SUCCESS);
    }
    ui::heading(&format!("Building the image {tag}"));
    command::run(Command::new("docker").args(["build", "-t", &tag]).arg(&context))?;
    Ok(ExitCode::SUCCESS)
}
