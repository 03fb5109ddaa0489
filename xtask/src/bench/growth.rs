//! What a line costs where there is more of everything: files that are written to, and destinations.
//!
//! All files are there, known and read before it begins, so that what finding and opening them costs is not counted as
//! a line's. Then they are written to in turn, some lines each time, as programs do: [`AT_ONCE`], and with the most files
//! [`FEW_AT_ONCE`] as well, which shows what a wake-up costs.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;

use super::forwarder::Forwarder;
use super::latency::Lines;
use super::outcome::{Outcome, Table, mebibytes};
use super::paths::CPU;
use super::receiver::{Receiver, Transport};
use super::{Bench, payload};
use crate::ui;

const PART: &str = "growth";
const FILES: [usize; 5] = [1, 10, 100, 1000, 5000];
const DESTINATIONS: [usize; 4] = [1, 2, 4, 8];
/// Bytes of a line, its newline included.
const LINE_BYTES: usize = 275;
/// Lines that a file gets at a time: what one read takes, so that one file is not read in larger pieces than many.
const AT_ONCE: u64 = 200;
/// And where each read brings little.
const FEW_AT_ONCE: u64 = 20;
/// What a line may cost with the most files, of what it costs with one.
const FLAT: f64 = 1.1;
/// Ringward itself, without what it captures.
const ALONE: [&str; 2] = ["--no-kernel", "--no-containers"];

/// What lines cost, and the most memory meanwhile.
struct Cost {
    cpu_us: f64,
    lines: f64,
    anonymous: f64,
    /// Of all receivers together: what did not arrive, and what Ringward said was lost.
    missing: u64,
    told: u64,
}

pub fn measure(bench: &Bench, outcome: &mut Outcome) -> Result<()> {
    let columns = [CPU, "lines/s", "RssAnon MiB", "missing", "told lost"];
    let mut rows = Vec::new();
    let mut costs = Vec::new();
    for count in FILES {
        ui::doing(&format!("{} lines in {count} files to tcp", bench.lines));
        let cost = cost(bench, count, AT_ONCE, 1)?;
        costs.push(cost.cpu_us);
        rows.push((format!("files: {count}"), cost.row()));
    }
    let most = FILES[FILES.len() - 1];
    rows.push((format!("files: {most}, little at once"), cost(bench, most, FEW_AT_ONCE, 1)?.row()));
    let growth = costs.last().copied().unwrap_or(f64::NAN) / costs[0];
    let name = format!("CPU a line, {most} files beside one");
    outcome.push_with_bar(PART, &name, growth, "times", FLAT);
    outcome.push_table(Table { title: "files to one TCP receiver".into(), columns: columns.to_vec(), rows });
    let mut rows = Vec::new();
    let mut costs = Vec::new();
    for count in DESTINATIONS {
        ui::doing(&format!("{} lines in a file to {count} receivers", bench.lines));
        let cost = cost(bench, 1, AT_ONCE, count)?;
        costs.push(cost.cpu_us);
        rows.push((format!("destinations: {count}"), cost.row()));
    }
    let most = DESTINATIONS[DESTINATIONS.len() - 1];
    let each = (costs.last().copied().unwrap_or(f64::NAN) - costs[0]) / (most - 1) as f64;
    outcome.push(PART, "CPU a line, each further destination", each, "us");
    outcome.push_table(Table { title: "a file to TCP receivers".into(), columns: columns.to_vec(), rows });
    Ok(())
}

impl Cost {
    fn row(&self) -> Vec<f64> {
        vec![self.cpu_us, self.lines, self.anonymous, self.missing as f64, self.told as f64]
    }
}

fn cost(bench: &Bench, files: usize, at_once: u64, destinations: usize) -> Result<Cost> {
    let folder = tempfile::Builder::new().prefix("rw-bench-").tempdir()?;
    let mut number = 0;
    let mut lines = |count: u64| {
        let mut text = Vec::with_capacity(count as usize * LINE_BYTES);
        for _ in 0..count {
            payload::line(bench.seed, number, LINE_BYTES - 1, &mut text);
            text.push(b'\n');
            number += 1;
        }
        text
    };
    for file in 0..files {
        std::fs::write(path(folder.path(), file), lines(1))?;
    }
    let (arrived, told) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let receivers = (0..destinations).map(|_| counting(&arrived, &told)).collect::<Result<Vec<_>>>()?;
    let forwarder = Forwarder::start(&bench.ringward, &configuration(folder.path(), &receivers), &ALONE)?;
    receivers.iter().try_for_each(Receiver::wait_quiet)?;
    let process = forwarder.process();
    let (before, begin) = (process.cpu()?, Instant::now());
    let before_that = arrived.load(Ordering::Relaxed);
    let (anonymous, _) = process.watch_memory();
    let turns = bench.lines.div_ceil(at_once);
    for turn in 0..turns {
        let mut file = File::options().append(true).open(path(folder.path(), turn as usize % files))?;
        file.write_all(&lines(at_once))?;
    }
    receivers.iter().try_for_each(Receiver::wait_quiet)?;
    let cpu = process.cpu()?.saturating_sub(before);
    let last = receivers.iter().map(Receiver::last).max().unwrap_or(begin);
    let anonymous = mebibytes(anonymous.stop());
    forwarder.stop()?;
    let count = turns * at_once;
    receivers.into_iter().try_for_each(|receiver| receiver.finish().map(|_| ()))?;
    let came = arrived.load(Ordering::Relaxed) - before_that;
    Ok(Cost {
        cpu_us: cpu.as_secs_f64() * 1e6 / count as f64,
        lines: count as f64 / last.duration_since(begin).as_secs_f64(),
        anonymous,
        missing: (count * destinations as u64).saturating_sub(came),
        told: told.load(Ordering::Relaxed),
    })
}

/// A receiver that counts lines, and adds up what others say was lost.
fn counting(arrived: &Arc<AtomicU64>, told: &Arc<AtomicU64>) -> Result<Receiver> {
    let (arrived, told, mut lines) = (Arc::clone(arrived), Arc::clone(told), Lines::default());
    Receiver::calling(Transport::Tcp, move |bytes| {
        lines.feed(bytes, |line, _| match lost_in(line) {
            Some(lost) => _ = told.fetch_add(lost, Ordering::Relaxed),
            None => _ = arrived.fetch_add(1, Ordering::Relaxed),
        });
    })
}

/// How many records this one says were lost.
fn lost_in(line: &[u8]) -> Option<u64> {
    memchr::memmem::find(line, b"\"lost-records\":")?;
    serde_json::from_slice::<serde_json::Value>(line).ok()?["lost-records"].as_u64()
}

fn path(folder: &Path, file: usize) -> PathBuf {
    folder.join(format!("{file:04}.log"))
}

fn configuration(folder: &Path, receivers: &[Receiver]) -> String {
    let mut text = format!("files: [{{include: [\"{}/*.log\"], format: text}}]\ndestinations:\n", folder.display());
    receivers.iter().for_each(|receiver| text += &format!("  - endpoint: \"{}\"\n", receiver.url()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_no_line() {
        assert_eq!(lost_in(br#"{"lost-records":12,"msg":"12 records were lost"}"#), Some(12));
        assert_eq!(lost_in(br#"{"msg":"\"lost-records\":12"}"#), None);
    }
}
