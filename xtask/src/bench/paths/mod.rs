//! The ways that other forwarders have too: files, TCP and UDP in; and the forwarders that are installed, one after the
//! other on the same lines.
//!
//! Each way is taken `--rounds` times by every forwarder in turn, so that a slow minute of the machine hits all of them;
//! the best round counts. Speed is from runs whose receiver throws everything away in the kernel; what is lost, doubled
//! or changed is from one more run of the same lines, looked at one by one.

mod candidate;
mod feed;
mod look;
mod way;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;

pub use self::candidate::{Candidate, Given, find_all};
use self::feed::Feed;
use self::look::Look;
pub use self::way::Way;
use super::Bench;
use super::outcome::{Outcome, Table};
use super::process::Peak;
use super::receiver::{Receiver, Transport};
use super::sockets;
use crate::ui;

const PART: &str = "paths";
/// Short beside a run.
const INTERVAL: Duration = Duration::from_millis(10);
const COLUMNS: [&str; 9] =
    ["CPU us/line", "lines/s", "MB/s in", "RssAnon MiB", "resident MiB", "lost", "told lost", "doubled", "changed"];

/// One forwarder on one way.
struct Measured {
    name: String,
    best: Run,
    look: Look,
}

#[derive(Clone, Copy)]
struct Run {
    cpu_us: f64,
    lines: f64,
    anonymous: u64,
    resident: u64,
}

pub fn measure(bench: &Bench, outcome: &mut Outcome) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("rw-bench-").tempdir()?;
    for way in Way::ALL.into_iter().filter(|way| bench.ways.is_empty() || bench.ways.contains(way)) {
        let feed = Feed::prepare(way, bench.seed, bench.lines, folder.path())?;
        let candidates = bench.candidates.iter().filter(|candidate| candidate.takes(way)).collect::<Vec<_>>();
        let mut runs = vec![Vec::new(); candidates.len()];
        for round in 1..=bench.rounds {
            for (candidate, runs) in candidates.iter().zip(&mut runs) {
                ui::doing(&format!("{}, {}, round {round} of {}", way.name(), candidate.name, bench.rounds));
                match run(candidate, way, &feed) {
                    Ok(run) => runs.push(run),
                    Err(error) => ui::warn(&format!("{} on {}: {error:#}", candidate.name, way.name())),
                }
            }
        }
        let mut all = Vec::new();
        for (candidate, runs) in candidates.iter().zip(runs) {
            let Some(best) = runs.into_iter().min_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us)) else { continue };
            ui::doing(&format!("{}, {}: the same lines again, looked at", way.name(), candidate.name));
            let look = look(candidate, way, &feed)
                .with_context(|| format!("{} on {} was not looked at", candidate.name, way.name()))?;
            all.push(Measured { name: candidate.name.clone(), best, look });
        }
        report(way, &feed, &all, outcome);
    }
    Ok(())
}

/// Ringward on a way that begins with a file, for somebody who looks at its process.
pub struct FileRun {
    running: candidate::Running,
    receiver: Receiver,
    _folders: [TempDir; 2],
}

impl FileRun {
    pub fn start(bench: &Bench, way: Way) -> Result<Self> {
        let (folder, state) = (state()?, state()?);
        let feed = Feed::prepare(way, bench.seed, bench.lines, folder.path())?;
        let receiver = Receiver::discarding(way.output())?;
        let own = bench.candidates.iter().find(|candidate| candidate.name == candidate::OWN);
        let own = own.context("ringward is no candidate")?;
        let running = own.start(way, &feed, receiver.address.port(), state.path())?;
        Ok(Self { running, receiver, _folders: [folder, state] })
    }

    pub fn pid(&self) -> u32 {
        self.running.process().pid()
    }

    /// Waits until everything has arrived, and ends it.
    pub fn finish(self) -> Result<()> {
        self.receiver.wait_quiet()?;
        self.running.stop()?;
        self.receiver.finish()?;
        Ok(())
    }
}

fn run(candidate: &Candidate, way: Way, feed: &Feed) -> Result<Run> {
    let receiver = Receiver::discarding(way.output())?;
    let state = state()?;
    let running = candidate.start(way, feed, receiver.address.port(), state.path())?;
    let process = running.process();
    let (before, begin) = (if way.listens() { process.cpu()? } else { Duration::ZERO }, Instant::now());
    let watched = process.clone();
    let anonymous = Peak::watch(INTERVAL, move || watched.anonymous_bytes().unwrap_or(0));
    let watched = process.clone();
    let resident = Peak::watch(INTERVAL, move || watched.resident_bytes().unwrap_or(0));
    feed.send(running.port())?;
    receiver.wait_quiet()?;
    let cpu = process.cpu()?.saturating_sub(before);
    let from = if way.listens() { begin } else { receiver.first() };
    let elapsed = receiver.last().duration_since(from);
    let (anonymous, resident) = (anonymous.stop(), resident.stop());
    running.stop()?;
    // One that failed to connect has no stream to end.
    receiver.finish()?;
    let lines = feed.lines as f64;
    Ok(Run { cpu_us: cpu.as_secs_f64() * 1e6 / lines, lines: lines / elapsed.as_secs_f64(), anonymous, resident })
}

/// The same once more, with everything that arrives looked at.
fn look(candidate: &Candidate, way: Way, feed: &Feed) -> Result<Look> {
    let looking = look::Looking::new(feed);
    let state = state()?;
    if let Some(closes) = way.closes() {
        let receiver = look::ClosingReceiver::start(feed, closes, looking)?;
        let running = candidate.start(way, feed, receiver.port(), state.path())?;
        receiver.wait_quiet();
        running.stop()?;
        return Ok(receiver.finish());
    }
    let (receiver, seen) = looking.receiver(way.output())?;
    let running = candidate.start(way, feed, receiver.address.port(), state.path())?;
    feed.send(running.port())?;
    receiver.wait_quiet()?;
    let dropped = match way.output() {
        Transport::Tcp => 0,
        Transport::Udp => sockets::udp_drops(receiver.address),
    };
    running.stop()?;
    receiver.finish()?;
    Ok(seen.finish(dropped))
}

/// Short paths: a forwarder may put a socket there.
fn state() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("rw-peer-").tempdir()?)
}

fn report(way: Way, feed: &Feed, all: &[Measured], outcome: &mut Outcome) {
    let rows = all.iter().map(|measured| {
        let (run, look) = (measured.best, measured.look);
        let values = vec![
            run.cpu_us,
            run.lines,
            run.lines * feed.line_bytes / 1e6,
            mebibytes(run.anonymous),
            mebibytes(run.resident),
            look.lost as f64,
            look.reported as f64,
            look.doubled as f64,
            look.changed as f64,
        ];
        (measured.name.clone(), values)
    });
    outcome.push_table(Table { title: way.title(), columns: COLUMNS.to_vec(), rows: rows.collect() });
    let Some(own) = all.iter().find(|measured| measured.name == candidate::OWN) else { return };
    let name = |what: &str| format!("{}: {what}", way.name());
    match way.bar() {
        Some(bar) => outcome.push_with_bar(PART, &name("CPU a line"), own.best.cpu_us, "us", bar),
        None => outcome.push(PART, name("CPU a line"), own.best.cpu_us, "us"),
    }
    outcome.push(PART, name("lines"), own.best.lines, "/s");
    let peers = || all.iter().filter(|measured| measured.name != candidate::OWN).map(|measured| measured.best);
    if let Some(best) = peers().min_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us)) {
        outcome.push(PART, name("CPU of the best peer"), best.cpu_us / own.best.cpu_us, "times");
    }
    let look = own.look;
    outcome.push_with_bar(PART, &name("lost and not told"), look.lost.saturating_sub(look.reported) as f64, "", 0.0);
    outcome.push_with_bar(PART, &name("changed"), look.changed as f64, "", 0.0);
    if way.closes().is_none() {
        outcome.push_with_bar(PART, &name("doubled"), look.doubled as f64, "", 0.0);
    } else {
        outcome.push(PART, name("doubled"), look.doubled as f64, "");
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}
