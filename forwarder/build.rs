//! Builds the eBPF programs for their own target and leaves the object where `source/ebpf` includes it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    // Where nothing is said, every file of the package would count, its tests too.
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_EBPF").is_none() {
        return;
    }
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = root.parent().expect("the package lies in the workspace").to_owned();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for path in ["forwarder-ebpf/src", "forwarder-ebpf/Cargo.toml", "forwarder-ebpf/Cargo.lock", "forwarder-common/src"]
    {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    println!("cargo::rerun-if-env-changed=RINGWARD_EBPF_TOOLCHAIN");
    match build(&root, &out) {
        Ok(object) => {
            std::fs::copy(object, out.join("ringward-ebpf")).expect("the build directory is writable");
        }
        Err(what) => {
            // One message, with what to do about it.
            println!("cargo::error=the eBPF programs could not be built: {what}");
            println!(
                "cargo::error=`cargo xtask setup` installs what is missing; \
                 `cargo build --no-default-features` builds without eBPF capture"
            );
        }
    }
}

fn build(root: &Path, out: &Path) -> Result<PathBuf, String> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    let toolchain = toolchain()?;
    linker()?;
    let target_dir = out.join("ebpf-target");
    let flags = [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        "-Ctarget-cpu=v3".into(),
    ];
    let mut cargo = Command::new("rustup");
    cargo
        .args(["run", &toolchain.name, "cargo", "build", "--release", "--locked"])
        .args(["-Z", "build-std=core", "--target", "bpfel-unknown-none"])
        .arg("--manifest-path")
        .arg(root.join("forwarder-ebpf/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CARGO_CFG_BPF_TARGET_ARCH", &arch);
    // Set by the cargo that runs this script, for its own toolchain and target.
    for name in [
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTUP_TOOLCHAIN",
        "RUSTFLAGS",
        "CARGO",
        "CARGO_TARGET_DIR",
    ] {
        cargo.env_remove(name);
    }
    if !toolchain.is_nightly {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    let output = cargo.output().map_err(|error| format!("rustup can't be run: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).replace('\n', "\ncargo::error="));
    }
    Ok(target_dir.join("bpfel-unknown-none/release/ringward-ebpf"))
}

struct Toolchain {
    name: String,
    is_nightly: bool,
}

/// A toolchain that has the sources of `core`: the one that is asked for, a nightly, else the stable one.
fn toolchain() -> Result<Toolchain, String> {
    let wanted = env::var("RINGWARD_EBPF_TOOLCHAIN").ok();
    let candidates = wanted.map_or_else(|| vec!["nightly".to_owned(), "stable".to_owned()], |name| vec![name]);
    let mut missing = Vec::new();
    for name in candidates {
        let Some(sysroot) = sysroot(&name) else {
            missing.push(format!("toolchain {name} is not installed"));
            continue;
        };
        if sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").exists() {
            return Ok(Toolchain { is_nightly: name.contains("nightly"), name });
        }
        missing.push(format!("toolchain {name} lacks the component rust-src"));
    }
    Err(missing.join(", "))
}

fn sysroot(toolchain: &str) -> Option<PathBuf> {
    let output = Command::new("rustup")
        .args(["run", toolchain, "rustc", "--print", "sysroot"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .ok()?;
    output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn linker() -> Result<(), String> {
    let found = Command::new("bpf-linker").arg("--version").output();
    found.map(|_| ()).map_err(|_| "bpf-linker is not installed".to_owned())
}
