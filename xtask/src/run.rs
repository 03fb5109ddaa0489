//! `cargo xtask run -- ARGS`: what a person types first. Sets up what the build needs, builds, and becomes Ringward.

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::{command, setup, ui, workspace};

#[derive(Args)]
pub struct Options {
    /// Arguments of `ringward run`, for example `--to udp://127.0.0.1:12345`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

/// Returns only when Ringward could not be started: it replaces this process, so that signals reach it.
pub fn run(options: &Options) -> Result<ExitCode> {
    setup::build_tools()?;
    ui::heading("Building ringward");
    command::run(&mut workspace::cargo(&["build", "--release", "-p", "ringward"]))?;
    let binary = workspace::target()?.join("release/ringward");
    let mut ringward = command::as_root(&binary, "capture by eBPF")?;
    ringward.arg("run").args(&options.arguments);
    ui::heading("Running ringward (Ctrl-C ends it)");
    let line = command::echo(&ringward);
    Err(ringward.exec()).with_context(|| format!("cannot run `{line}`"))
}
