//! The ways from files, TCP, UDP and descriptors, with lines of all shapes; and the forwarders that are installed, one
//! after the other on the same lines.
//!
//! Each way is taken `--rounds` times by every forwarder in turn, so that a slow minute of the machine hits all of them;
//! the best round counts. Speed is from runs whose receiver throws everything away in the kernel; what is lost, doubled
//! or changed is from one more run of the same lines, looked at one by one. Then each is given parts of what it took at
//! its fastest, with the time in each line ([`latency`]).

mod candidate;
mod feed;
mod gateway;
mod latency;
mod look;
mod shape;
mod way;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use tempfile::TempDir;

use self::candidate::Place;
pub use self::candidate::{Candidate, Given, find_all, is_peer};
use self::feed::Feed;
use self::look::Look;
use self::way::Input;
pub use self::way::Way;
use super::Bench;
use super::outcome::{Outcome, Table, mebibytes};
use super::receiver::{Receiver, Transport};
use super::sockets;
use crate::ui;

const PART: &str = "paths";
pub const COLUMNS: [&str; 9] =
    [CPU, "lines/s", "MB/s in", "RssAnon MiB", "resident MiB", "lost", "told lost", "doubled", "changed"];

/// Of a table of what lines cost.
pub const CPU: &str = "CPU us/line";

/// One forwarder on one way.
struct Measured {
    name: String,
    best: Run,
    look: Look,
    latencies: Vec<(String, Vec<f64>)>,
}

#[derive(Clone, Copy)]
struct Run {
    cpu_us: f64,
    lines: f64,
    /// Lines a second that the sender sent.
    offered: f64,
    anonymous: u64,
    resident: u64,
}

pub fn measure(bench: &Bench, outcome: &mut Outcome) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("rw-bench-").tempdir()?;
    for &way in Way::value_variants().iter().filter(|way| bench.ways.is_empty() || bench.ways.contains(way)) {
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
            let look = match look(candidate, way, &feed) {
                Ok(look) => look,
                Err(error) => {
                    ui::warn(&format!("{} on {} was not looked at: {error:#}", candidate.name, way.name()));
                    continue;
                }
            };
            let mut latencies = Vec::new();
            if way.closes().is_none() {
                match latency::rows(bench, candidate, way, best.lines) {
                    Ok(rows) => latencies = rows,
                    Err(error) => ui::warn(&format!("{} on {}, latency: {error:#}", candidate.name, way.name())),
                }
            }
            all.push(Measured { name: candidate.name.clone(), best, look, latencies });
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
        let place =
            Place { input: &feed.file, receiver: receiver.address.port(), state: state.path(), is_looked_at: false };
        let running = own.start(way, &place)?;
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
    let place =
        Place { input: &feed.file, receiver: receiver.address.port(), state: state.path(), is_looked_at: false };
    let running = candidate.start(way, &place)?;
    let process = running.process();
    let is_sent = way.input() != Input::File;
    let (before, begin) = (if is_sent { process.cpu()? } else { Duration::ZERO }, Instant::now());
    let (anonymous, resident) = process.watch_memory();
    let sent_in = feed.send(&running)?;
    receiver.wait_quiet()?;
    let cpu = process.cpu()?.saturating_sub(before);
    let from = if is_sent { begin } else { receiver.first() };
    let elapsed = receiver.last().duration_since(from);
    let (anonymous, resident) = (anonymous.stop(), resident.stop());
    running.stop()?;
    // One that failed to connect has no stream to end.
    receiver.finish()?;
    let lines = feed.lines as f64;
    Ok(Run {
        cpu_us: cpu.as_secs_f64() * 1e6 / lines,
        lines: lines / elapsed.as_secs_f64(),
        offered: lines / sent_in.as_secs_f64(),
        anonymous,
        resident,
    })
}

/// The same once more, with everything that arrives looked at.
fn look(candidate: &Candidate, way: Way, feed: &Feed) -> Result<Look> {
    let looking = look::Looking::new(feed);
    let state = state()?;
    let place = |receiver| Place { input: &feed.file, receiver, state: state.path(), is_looked_at: true };
    if let Some(closes) = way.closes() {
        let receiver = look::ClosingReceiver::start(feed, closes, looking)?;
        let running = candidate.start(way, &place(receiver.port()))?;
        receiver.wait_quiet();
        running.stop()?;
        return Ok(receiver.finish());
    }
    let (receiver, seen) = looking.receiver(way.output())?;
    let running = candidate.start(way, &place(receiver.address.port()))?;
    feed.send(&running)?;
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
    outcome.push_table(Table { title: way.title().into(), columns: COLUMNS.to_vec(), rows: rows.collect() });
    let rows = all.iter().flat_map(|measured| measured.latencies.clone()).collect::<Vec<_>>();
    if !rows.is_empty() {
        let title = format!("latency by load, {}", way.title());
        outcome.push_table(Table { title, columns: super::latency::COLUMNS.to_vec(), rows });
    }
    let Some(own) = all.iter().find(|measured| measured.name == candidate::OWN) else { return };
    let name = |what: &str| format!("{}: {what}", way.name());
    match way.bar() {
        Some(bar) => outcome.push_with_bar(PART, &name("CPU a line"), own.best.cpu_us, "us", bar),
        None => outcome.push(PART, name("CPU a line"), own.best.cpu_us, "us"),
    }
    outcome.push(PART, name("lines"), own.best.lines, "/s");
    if let Input::Udp { .. } = way.input() {
        outcome.push(PART, name("lines that were sent"), own.best.offered, "/s");
    }
    for peer in all.iter().filter(|measured| measured.name != candidate::OWN) {
        outcome.push(PART, name(&format!("CPU of {}", peer.name)), peer.best.cpu_us / own.best.cpu_us, "times");
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
