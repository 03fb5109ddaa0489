//! `cargo xtask setup`: brings a fresh machine to where Ringward builds (`--run`) or is tested (`--test`).
//!
//! Each step looks first and does nothing when the thing is there, so that it can be run before every command.
//! Nothing outside of the Rust toolchain, `~/.cargo/bin`, Debian's packages, Go's caches and the target folder is touched.

mod apt;
mod filebeat;
mod fluent_bit;
mod go;
pub mod kernels;
pub mod linuxkit;
mod otelcol;
mod peers;
mod toolchain;

use anyhow::Result;
use clap::Args;

pub use self::peers::unpacked as unpacked_peer;
use crate::{pins, ui};

#[derive(Args)]
#[group(multiple = true)]
pub struct Options {
    /// What the build needs: rust-src, bpf-linker, a C linker (the default)
    #[arg(long)]
    run: bool,
    /// What the tests need too: containerd, runc, Docker, Podman, Filebeat, Fluent Bit, an
    /// OpenTelemetry collector, LinuxKit's programs, qemu, kernels
    #[arg(long)]
    test: bool,
    /// What the VM needs: qemu, cpio, busybox, runc, Debian's kernels
    #[arg(long)]
    vm: bool,
    /// What the benches need too: runc, valgrind, and rsyslog, syslog-ng, Filebeat, Fluent Bit and an
    /// OpenTelemetry collector to compare with
    #[arg(long)]
    bench: bool,
}

pub fn run(options: &Options) -> Result<()> {
    build_tools()?;
    if options.test {
        test_tools()?;
    } else if options.vm {
        vm_tools()?;
    }
    if options.bench {
        bench_tools()?;
    }
    Ok(())
}

/// What `cargo build -p ringward` needs.
pub fn build_tools() -> Result<()> {
    ui::heading("Tools for the build");
    toolchain::c_linker()?;
    toolchain::rust_src()?;
    toolchain::bpf_linker()
}

/// What `cargo xtask test` needs besides.
pub fn test_tools() -> Result<()> {
    ui::heading("Tools for the tests");
    apt::install("the tests", &[&pins::TEST_PACKAGES[..], &pins::PEER_PACKAGES, &pins::VM_PACKAGES].concat())?;
    toolchain::target(pins::ARM64_TARGET)?;
    linuxkit::programs()?;
    filebeat::build()?;
    fluent_bit::build()?;
    otelcol::build()?;
    peers::fetch()?;
    kernels::fetch_all()
}

/// What `cargo xtask vm` needs besides.
pub fn vm_tools() -> Result<()> {
    ui::heading("Tools for the VM");
    apt::install("the VM", &pins::VM_PACKAGES)?;
    kernels::fetch_all()
}

/// What `cargo xtask bench` and `cargo bench` need besides, and the peers that Debian has.
pub fn bench_tools() -> Result<()> {
    ui::heading("Tools for the benches");
    apt::install("the benches", &[&pins::BENCH_PACKAGES[..], &pins::PEER_PACKAGES].concat())?;
    filebeat::build()?;
    fluent_bit::build()?;
    otelcol::build()?;
    peers::fetch()
}

/// What `cargo xtask fuzz` needs.
pub fn fuzz_tools() -> Result<()> {
    ui::heading("Tools for fuzzing");
    toolchain::c_linker()?;
    toolchain::nightly()?;
    toolchain::cargo_fuzz()
}

/// What `cargo xtask bench count` needs besides.
pub fn count_tools() -> Result<()> {
    apt::install("counting instructions", &[("valgrind", "valgrind")])
}

/// What `cargo xtask bench flame` needs besides.
pub fn flame_tools() -> Result<()> {
    apt::install("flame graphs", &[("perf", "linux-perf")])
}
