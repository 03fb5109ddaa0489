//! `cargo xtask fuzz`: runs the fuzz targets, each for some seconds.
//!
//! The targets are the files in `fuzz/targets`; cargo-fuzz and a nightly toolchain (libFuzzer's instrumentation has no
//! stable flag) are installed where they are missing. What a target finds is kept in `fuzz/artifacts/TARGET`, what it has
//! learned in `fuzz/corpus/TARGET`; neither is part of the repository. One that would not find out by itself what its input
//! looks like begins with what is in `fuzz/seeds/TARGET`.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command::run as run_command;
use crate::setup;
use crate::{ui, workspace};

/// Lines may be longer, but nothing new comes of it.
const LONGEST: u32 = 16 << 10;

#[derive(Args)]
pub struct Options {
    /// A target, as `logfmt`; without one, all of them
    target: Option<String>,
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u32,
}

pub fn run(options: &Options) -> Result<ExitCode> {
    let all = targets()?;
    let chosen = match &options.target {
        None => all,
        Some(target) if all.contains(target) => vec![target.clone()],
        Some(target) => bail!("there is no fuzz target `{target}`; there are {}", all.join(", ")),
    };
    setup::fuzz_tools()?;
    ui::heading(&format!("Fuzzing, {} s each", options.seconds));
    cargo_fuzz(&["build"])?;
    let mut failed = Vec::new();
    for target in chosen {
        ui::doing(&target);
        let (time, length) = (format!("-max_total_time={}", options.seconds), format!("-max_len={LONGEST}"));
        match fuzz(&target, &[&time, &length, "-print_final_stats=1"]) {
            Ok(()) => ui::done(&target),
            Err(error) => {
                ui::error(&format!("{target}: {error:#}"));
                failed.push(target);
            }
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    ui::error(&format!("failed: {}; what did it is in fuzz/artifacts", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// By their files.
fn targets() -> Result<Vec<String>> {
    let folder = workspace::root().join("fuzz/targets");
    let files = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let name = |file: std::io::Result<std::fs::DirEntry>| Some(file.ok()?.path().file_stem()?.to_str()?.to_owned());
    let mut names: Vec<_> = files.filter_map(name).collect();
    names.sort();
    Ok(names)
}

fn fuzz(target: &str, options: &[&str]) -> Result<()> {
    let (learned, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
    let folder = workspace::root().join(&learned);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut arguments = vec!["run", target, &learned];
    arguments.extend(workspace::root().join(&seeds).is_dir().then_some(&*seeds));
    arguments.push("--");
    arguments.extend(options);
    cargo_fuzz(&arguments)
}

fn cargo_fuzz(arguments: &[&str]) -> Result<()> {
    let (subcommand, rest) = arguments.split_first().context("no command")?;
    let folder = workspace::target()?.join("fuzz");
    let mut command = Command::new("rustup");
    // RUSTUP_TOOLCHAIN is set by the cargo that runs us.
    command.args(["run", "nightly", "cargo", "fuzz", subcommand, "--target-dir"]).arg(folder).args(rest);
    // What a configuration says is kept for as long as the program runs.
    command.env("ASAN_OPTIONS", "detect_leaks=0");
    run_command(command.current_dir(workspace::root()).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO"))
}
