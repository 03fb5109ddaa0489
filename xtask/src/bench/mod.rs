//! `cargo xtask bench e2e`: the release binary of this checkout, real containers, real sockets, and each figure beside
//! its bar.
//!
//! A part is a file: [`latency`], [`idle`], [`memory`], [`throughput`], [`paths`] for what other forwarders do too,
//! [`growth`] and [`many_files`]. Each starts a Ringward of its own, so that none sees what another left behind. What they share: containers ([`runc`]), receivers ([`receiver`]), the process that is
//! measured ([`forwarder`], [`process`]), all of these together ([`rig`]), the lines ([`payload`]), and what comes out
//! ([`outcome`]).
//!
//! The figures are for people and for comparing two builds on one machine. They never fail the command: how fast a
//! machine was is no property of a commit.

mod chart;
pub mod count;
mod flame;
mod forwarder;
mod growth;
mod idle;
mod latency;
mod load;
mod many_files;
mod memlogd;
mod memory;
mod outcome;
mod paths;
mod percentiles;
mod process;
mod receiver;
mod rig;
mod runc;
mod sockets;
mod throughput;

#[path = "../../guest/src/payload.rs"]
#[allow(dead_code, reason = "lines are written by `emit` and known again here")]
mod payload;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use self::outcome::Outcome;
use self::runc::Runc;
use crate::{command, setup, ui, vm, workspace};

#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// From write(2) in real containers, from files, sockets and descriptors to a receiver (root; three quarters of an hour)
    E2e(E2eOptions),
    /// Instructions a record of each pure stage, beside the committed numbers
    Count(count::CountOptions),
    /// Flame graphs of the two main ways (root, perf)
    Flame(flame::FlameOptions),
    /// From descriptors to one and to two followers, beside LinuxKit's memlogd (a minute)
    Memlogd(memlogd::Options),
}

#[derive(Args)]
struct E2eOptions {
    /// Measure only this; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// How long each latency at low load is measured, and half of how long the idle part takes
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: u64,
    /// Lines of each container, or of a file, at full speed
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    lines: u64,
    /// Another payload: the same seed is the same lines
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// JSON on stdout instead of tables
    #[arg(long)]
    json: bool,
    /// A bar chart of what lines cost, as SVG, into this file
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// Of the paths, measure only this; may be repeated
    #[arg(long = "path", value_enum)]
    ways: Vec<paths::Way>,
    /// How often each forwarder takes each path; the best round counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Where a peer's program is: NAME=PATH; may be repeated. Those that are installed are found
    #[arg(long = "peer", value_name = "NAME=PATH")]
    peers: Vec<paths::Given>,
    /// Measure Ringward alone
    #[arg(long)]
    no_peers: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Latency,
    Idle,
    Memory,
    Throughput,
    Paths,
    Growth,
    ManyFiles,
}

/// `forwarder/tests/harness/machine.rs` has it too.
const MACHINE_LOCK: &str = "/run/lock/ringward-tests.lock";

/// What every part is given.
struct Bench {
    ringward: PathBuf,
    runc: Runc,
    seed: u64,
    lines: u64,
    low_load: Duration,
    ways: Vec<paths::Way>,
    rounds: u32,
    candidates: Vec<paths::Candidate>,
}

pub fn run(options: &Options) -> Result<ExitCode> {
    match &options.what {
        What::E2e(options) => end_to_end(options),
        What::Memlogd(options) => memlogd::run(options),
        What::Count(options) => Ok(if count::run(options)? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        What::Flame(options) => {
            needs_root()?;
            let bench = Bench { lines: options.lines, ..Bench::alone(build()?)? };
            let _machine = claim_machine()?;
            flame::run(options, &bench)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn end_to_end(options: &E2eOptions) -> Result<ExitCode> {
    needs_root()?;
    setup::build_tools()?;
    let ringward = build()?;
    let bench = Bench {
        candidates: paths::find_all(&ringward, &options.peers, options.no_peers)?,
        ways: options.ways.clone(),
        rounds: options.rounds,
        seed: options.seed,
        lines: options.lines,
        low_load: Duration::from_secs(options.seconds),
        ..Bench::alone(ringward)?
    };
    let _machine = claim_machine()?;
    load::warn_if_busy();
    let mut outcome = Outcome::default();
    for part in Part::value_variants() {
        if options.only.is_empty() || options.only.contains(part) {
            part.measure(&bench, &mut outcome)?;
        }
    }
    if let Some(file) = &options.chart {
        std::fs::write(file, chart::bars(&outcome)).with_context(|| format!("{}", file.display()))?;
    }
    if options.json {
        outcome.print_json()
    } else {
        outcome.print()
    }
    Ok(ExitCode::SUCCESS)
}

impl Bench {
    /// Without peers, and everything else at its default.
    fn alone(ringward: PathBuf) -> Result<Self> {
        Ok(Self {
            candidates: paths::find_all(&ringward, &[], true)?,
            runc: Runc::new(&vm::binaries()?.join("emit"))?,
            ringward,
            seed: 1,
            lines: 1_000_000,
            low_load: Duration::from_secs(20),
            ways: Vec::new(),
            rounds: 1,
        })
    }
}

fn needs_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("the benchmark runs containers and loads eBPF programs, which needs root: run this command as root");
    }
    Ok(())
}

impl Part {
    fn measure(self, bench: &Bench, outcome: &mut Outcome) -> Result<()> {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        ui::heading(&format!("Measuring {name}"));
        let measure = match self {
            Self::Latency => latency::measure,
            Self::Idle => idle::measure,
            Self::Memory => memory::measure,
            Self::Throughput => throughput::measure,
            Self::Paths => paths::measure,
            Self::Growth => growth::measure,
            Self::ManyFiles => many_files::measure,
        };
        measure(bench, outcome).with_context(|| format!("{name} could not be measured"))
    }
}

/// The binary that is measured.
fn build_ringward() -> Result<PathBuf> {
    command::run(&mut workspace::cargo(&["build", "--release", "-p", "ringward"]))?;
    Ok(workspace::target()?.join("release/ringward"))
}

/// The same, and `emit` for the containers.
fn build() -> Result<PathBuf> {
    ui::heading("Building ringward and emit");
    let ringward = build_ringward()?;
    vm::build_static(&["-p", "ringward-guest", "--bin", "emit"])?;
    Ok(ringward)
}

/// What Ringward captures is the machine's: the containers of tests that run now would be in the figures. The lock is
/// the one that those tests take.
fn claim_machine() -> Result<File> {
    let lock = File::create(MACHINE_LOCK)?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    Ok(lock)
}
