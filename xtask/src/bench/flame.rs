//! `cargo xtask bench flame`: where Ringward's time goes on its two main ways, as flame graphs: containers to TCP, and a
//! file to TCP.
//!
//! By perf, which samples the process while it works. Stacks are unwound from the binary's own tables, so the release
//! build is measured as it is.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use inferno::collapse::Collapse;
use inferno::{collapse, flamegraph};
use rustix::process::{Pid, Signal, kill_process};

use super::Bench;
use super::paths::{FileRun, Way};
use super::receiver::{Receiver, Transport};
use super::rig::{Output, flood};
use crate::{command, setup, ui};

/// Samples a second of each thread. Not a round number, so that nothing that is periodic is always hit or missed.
const FREQUENCY: &str = "1999";
/// Until perf has attached.
const ATTACHED: Duration = Duration::from_millis(500);

#[derive(Args)]
pub struct FlameOptions {
    /// Folder for the graphs
    #[arg(long, default_value = "docs/flame")]
    pub out: PathBuf,
    /// Lines of each container, and of the file
    #[arg(long, default_value_t = 3_000_000, value_parser = clap::value_parser!(u64).range(100_000..=100_000_000))]
    pub lines: u64,
}

pub fn run(options: &FlameOptions, bench: &Bench) -> Result<()> {
    setup::flame_tools()?;
    std::fs::create_dir_all(&options.out)?;
    ui::heading("Two containers to TCP");
    let mut rig = flood(bench, Output::Tcp, Receiver::discarding(Transport::Tcp)?, bench.lines)?;
    let recording = Recording::start(rig.forwarder.process().pid(), &options.out.join("container-tcp.svg"))?;
    rig.go()?;
    recording.draw("two containers to TCP")?;
    rig.stop()?;
    ui::heading("A file to TCP");
    let run = FileRun::start(bench, Way::FileTcp)?;
    let recording = Recording::start(run.pid(), &options.out.join("file-tcp.svg"))?;
    run.finish()?;
    recording.draw("a file to TCP")
}

struct Recording {
    perf: Child,
    svg: PathBuf,
    data: tempfile::NamedTempFile,
}

impl Recording {
    fn start(pid: u32, svg: &Path) -> Result<Self> {
        let data = tempfile::NamedTempFile::new()?;
        let mut perf = Command::new("perf");
        perf.args(["record", "-q", "-F", FREQUENCY, "--call-graph", "dwarf,8192", "-p", &pid.to_string(), "-o"]);
        perf.arg(data.path()).stdout(Stdio::null());
        let line = command::echo(&perf);
        let perf = perf.spawn().with_context(|| format!("cannot run `{line}`"))?;
        std::thread::sleep(ATTACHED);
        Ok(Self { perf, svg: svg.to_owned(), data })
    }

    fn draw(mut self, title: &str) -> Result<()> {
        if let Some(pid) = i32::try_from(self.perf.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::INT)?;
        }
        self.perf.wait()?;
        // Looking up what was inlined into what takes minutes, and changes little in the picture.
        let mut script = Command::new("perf");
        script.args(["script", "--no-inline", "-i"]).arg(self.data.path());
        let stacks = command::output(&mut script)?;
        let mut folded = Vec::new();
        collapse::perf::Folder::default().collapse(BufReader::new(stacks.as_bytes()), &mut folded)?;
        ensure!(!folded.is_empty(), "perf took no samples");
        let mut options = flamegraph::Options::default();
        options.title = format!("Ringward: {title}");
        options.count_name = "samples".into();
        options.hash = true;
        let folded = String::from_utf8_lossy(&folded).into_owned();
        let mut svg = Vec::new();
        flamegraph::from_lines(&mut options, folded.lines(), &mut svg)?;
        std::fs::write(&self.svg, svg).with_context(|| format!("{}", self.svg.display()))?;
        ui::done(&format!("wrote {}", self.svg.display()));
        Ok(())
    }
}
