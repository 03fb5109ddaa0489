//! Where things are: the repository, the target folder, the compiler's own triple.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use crate::command;

/// The folder with the workspace's `Cargo.toml`.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// `cargo` in the repository's root; the one that runs us, so that a `+toolchain` is kept.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// The target folder, as cargo sees it (`CARGO_TARGET_DIR` and configuration included).
pub fn target() -> Result<PathBuf> {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    if let Some(target) = TARGET.get() {
        return Ok(target.clone());
    }
    let json = command::output(&mut cargo(&["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&json).context("cannot read cargo's metadata")?;
    let folder = metadata["target_directory"].as_str().context("cargo named no target folder")?;
    Ok(TARGET.get_or_init(|| PathBuf::from(folder)).clone())
}

/// The triple that rustc builds for by itself, such as `x86_64-unknown-linux-gnu`.
pub fn host_triple() -> Result<String> {
    let version = command::output(Command::new("rustc").arg("-vV"))?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc named no host triple")?.to_owned())
}

/// `cargo build` of static programs, into a target folder of its own: other flags must not throw out the ordinary build.
pub fn cargo_static(profile: &str, folder: &Path) -> Result<Command> {
    let triple = host_triple()?;
    let mut build = cargo(&["build", "--profile", profile, "--target", &triple, "--target-dir"]);
    build.arg(folder);
    // For this target only: build scripts (and the eBPF build that one of them starts) have flags of their own.
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", triple.to_uppercase().replace('-', "_"));
    build.env(variable, "-C target-feature=+crt-static").env_remove("RUSTFLAGS");
    Ok(build)
}
