//! The Rust side of the eBPF build: a toolchain that may use `-Z build-std`, its `rust-src`, and bpf-linker.
//!
//! forwarder/build.rs makes the same choice of toolchain; the rule is in docs/ebpf-build.md.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{find, output, run};
use crate::{pins, ui};

/// A C compiler driver is what rustc links with.
pub fn c_linker() -> Result<()> {
    match find("cc") {
        Some(path) => ui::have(&format!("C linker ({})", path.display())),
        None => bail!("there is no C linker: install one with `apt-get install gcc libc6-dev`"),
    }
    Ok(())
}

/// `rust-src` for a nightly if one is installed, else for the toolchain in use (which then gets `RUSTC_BOOTSTRAP=1`).
pub fn rust_src() -> Result<()> {
    let toolchain = ebpf_toolchain()?;
    let sysroot = output(
        Command::new("rustc").args(toolchain.iter().map(|name| format!("+{name}"))).args(["--print", "sysroot"]),
    )?;
    let name = toolchain.as_deref().unwrap_or("the toolchain in use, with RUSTC_BOOTSTRAP=1");
    let source = std::path::Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml");
    if source.is_file() {
        ui::have(&format!("rust-src ({name})"));
        return Ok(());
    }
    if find("rustup").is_none() {
        bail!(
            "the source of Rust's core library is missing at {} and there is no rustup to fetch it: install your distribution's package of it (Debian: rust-src)",
            source.display()
        );
    }
    ui::doing(&format!("installing rust-src for {name}"));
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add", "rust-src"]);
    if let Some(toolchain) = &toolchain {
        rustup.args(["--toolchain", toolchain]);
    }
    run(&mut rustup)?;
    ui::done("rust-src");
    Ok(())
}

/// The nightly that rustup has, or `None` for the toolchain in use.
fn ebpf_toolchain() -> Result<Option<String>> {
    if find("rustup").is_none() {
        return Ok(None);
    }
    let list = output(Command::new("rustup").args(["toolchain", "list"]))?;
    let nightly = list.lines().find(|line| line.starts_with("nightly"));
    Ok(nightly.and_then(|line| line.split_whitespace().next()).map(str::to_owned))
}

/// bpf-linker in exactly the pinned version: an other one may want an LLVM that is not there.
pub fn bpf_linker() -> Result<()> {
    let wanted = pins::BPF_LINKER;
    if find("bpf-linker").is_some() {
        let said = output(Command::new("bpf-linker").arg("--version"))?;
        let version = said.split_whitespace().last().context("bpf-linker named no version")?;
        if version == wanted {
            ui::have(&format!("bpf-linker {wanted}"));
            return Ok(());
        }
        ui::warn(&format!("bpf-linker is {version}, and {wanted} is what goes with this toolchain"));
    }
    ui::doing(&format!("installing bpf-linker {wanted} (one to three minutes)"));
    run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["install", "bpf-linker", "--version", wanted, "--locked", "--force"])
        // Not into our own target folder: `cargo install` with CARGO_TARGET_DIR would mix with the build.
        .env_remove("CARGO_TARGET_DIR"))?;
    if find("bpf-linker").is_none() {
        ui::warn("bpf-linker was installed into cargo's bin folder, which is not on PATH: add ~/.cargo/bin to it");
    }
    ui::done(&format!("bpf-linker {wanted}"));
    Ok(())
}
