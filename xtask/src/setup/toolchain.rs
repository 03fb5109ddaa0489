//! The Rust side of the eBPF build: a toolchain that may use `-Z build-std`, its `rust-src`, and bpf-linker.
//!
//! forwarder/build.rs makes the same choice of toolchain; the rule is in docs/ebpf-build.md.

use std::path::PathBuf;
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

/// `rust-src` for the toolchain that will build the programs.
pub fn rust_src() -> Result<()> {
    if find("rustup").is_none() {
        bail!(
            "there is no rustup, by which forwarder/build.rs runs the toolchain of the eBPF programs: install rustup, \
             or build without eBPF capture by `cargo build -p ringward --no-default-features`"
        );
    }
    let (name, sysroot) = ebpf_toolchain()?;
    if sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file() {
        ui::have(&format!("rust-src ({name})"));
        return Ok(());
    }
    ui::doing(&format!("installing rust-src for {name}"));
    run(Command::new("rustup").args(["component", "add", "rust-src", "--toolchain", &name]))?;
    ui::done("rust-src");
    Ok(())
}

/// The standard library for another target, of the toolchain that runs this command.
pub fn target(name: &str) -> Result<()> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    if PathBuf::from(sysroot.trim()).join("lib/rustlib").join(name).join("lib").is_dir() {
        ui::have(&format!("Rust's library for {name}"));
        return Ok(());
    }
    ui::doing(&format!("installing Rust's library for {name}"));
    run(Command::new("rustup").args(["target", "add", name]))?;
    ui::done(&format!("Rust's library for {name}"));
    Ok(())
}

/// The toolchain that is asked for, a nightly, else the stable one; and where it lies.
fn ebpf_toolchain() -> Result<(String, PathBuf)> {
    let candidates = match std::env::var("RINGWARD_EBPF_TOOLCHAIN") {
        Ok(name) => vec![name],
        Err(_) => vec!["nightly".to_owned(), "stable".to_owned()],
    };
    for name in &candidates {
        // RUSTUP_TOOLCHAIN is set by the cargo that runs us.
        let mut rustc = Command::new("rustup");
        rustc.args(["run", name, "rustc", "--print", "sysroot"]).env_remove("RUSTUP_TOOLCHAIN");
        if let Ok(sysroot) = output(&mut rustc) {
            return Ok((name.clone(), PathBuf::from(sysroot.trim())));
        }
    }
    bail!("rustup has no toolchain named {}: `rustup toolchain install stable`", candidates.join(" or "))
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

/// A nightly toolchain: libFuzzer's instrumentation has no stable flag.
pub fn nightly() -> Result<()> {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", "nightly", "rustc", "--version"]).env_remove("RUSTUP_TOOLCHAIN");
    if let Ok(version) = output(&mut rustc) {
        ui::have(version.trim());
        return Ok(());
    }
    ui::doing("installing a nightly toolchain");
    run(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]))?;
    ui::done("nightly");
    Ok(())
}

/// cargo-fuzz in the pinned version.
pub fn cargo_fuzz() -> Result<()> {
    let wanted = pins::CARGO_FUZZ;
    let said = output(Command::new("cargo-fuzz").arg("--version")).unwrap_or_default();
    if said.split_whitespace().last() == Some(wanted) {
        ui::have(&format!("cargo-fuzz {wanted}"));
        return Ok(());
    }
    ui::doing(&format!("installing cargo-fuzz {wanted} (one to three minutes)"));
    run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["install", "cargo-fuzz", "--version", wanted, "--locked", "--force"])
        .env_remove("CARGO_TARGET_DIR"))?;
    ui::done(&format!("cargo-fuzz {wanted}"));
    Ok(())
}
