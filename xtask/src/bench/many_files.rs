//! 5,000 files of which fifty are written to: what the others cost, and how long a line is under way.
//!
//! First nothing is written at all. Then each of fifty files gets a line a second, in turn, at even distances; then any of
//! the 5,000 gets one at the same rate, so that most of them are written to for the first time. Latency is from before the
//! write to after the receiver's `recv`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::forwarder::Forwarder;
use super::idle::SETTLED;
use super::latency::{COLUMNS, Lines, Measured, message};
use super::outcome::{Outcome, Table};
use super::percentiles::Percentiles;
use super::receiver::{Receiver, Transport};
use super::{Bench, payload};
use crate::ui;

const PART: &str = "many-files";
const FILES: usize = 5000;
const ACTIVE: usize = 50;
/// Lines a second.
const RATE: u32 = ACTIVE as u32;
const LINE_BYTES: usize = 275;
/// Percent of one core.
const CPU_BAR: f64 = 1.0;
const LATENCY_BAR: f64 = 10.0;

pub fn measure(bench: &Bench, outcome: &mut Outcome) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("rw-bench-").tempdir()?;
    (0..FILES).try_for_each(|file| std::fs::write(path(folder.path(), file), "a first line\n"))?;
    let samples = Arc::new(Mutex::new(Vec::new()));
    let (into, mut lines) = (Arc::clone(&samples), Lines::default());
    let receiver = Receiver::calling(Transport::Tcp, move |bytes| {
        let now = now_ns();
        lines.feed(bytes, |line, at| {
            if let Some(written) = message(line, at).and_then(payload::time_of) {
                let sample = Duration::from_nanos(now.saturating_sub(written));
                into.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            }
        });
    })?;
    let files = format!("files: [{{include: [\"{}/*.log\"], format: text}}]\n", folder.path().display());
    let configuration = format!("{files}destinations: [{{endpoint: \"{}\"}}]\n", receiver.url());
    let forwarder = Forwarder::start(&bench.ringward, &configuration, &["--no-kernel", "--no-containers"])?;
    receiver.wait_quiet()?;
    std::thread::sleep(SETTLED);
    let (process, time) = (forwarder.process(), bench.low_load);
    ui::doing(&format!("{FILES} silent files for {} s", time.as_secs()));
    let before = process.cpu()?;
    std::thread::sleep(time);
    let idle = process.cpu()?.saturating_sub(before);
    outcome.push_with_bar(PART, &format!("CPU, {FILES} silent files"), percent(idle, time), "% of core", CPU_BAR);
    let mut rows = Vec::new();
    let of_any = |number: u64| (number as usize).wrapping_mul(2_654_435_761) % FILES;
    let of_active = |number: u64| number as usize % ACTIVE * (FILES / ACTIVE);
    let ways: [(&str, &dyn Fn(u64) -> usize); 2] = [("fifty of them", &of_active), ("any of them", &of_any)];
    for (name, file_of) in ways {
        ui::doing(&format!("{RATE} lines a second to {name} for {} s", time.as_secs()));
        let (before, begin) = (process.cpu()?, Instant::now());
        let count = write(bench, folder.path(), time, file_of)?;
        receiver.wait_quiet()?;
        let took = begin.elapsed();
        let cpu = percent(process.cpu()?.saturating_sub(before), took);
        let spread = Percentiles::of(std::mem::take(&mut *samples.lock().unwrap_or_else(PoisonError::into_inner)));
        outcome.push_with_bar(PART, &format!("CPU, {RATE} lines/s to {name}"), cpu, "% of core", CPU_BAR);
        outcome.push_with_bar(PART, &format!("a line in {name}: 99 %"), spread.at(99.0), "ms", LATENCY_BAR);
        let missing = count.saturating_sub(spread.count() as u64);
        rows.push((name.to_owned(), Measured { rate: count as f64 / time.as_secs_f64(), spread, missing }.row()));
    }
    forwarder.stop()?;
    receiver.finish()?;
    outcome.push_table(Table { title: format!("{FILES} files, lines in"), columns: COLUMNS.to_vec(), rows });
    Ok(())
}

/// Writes lines at even distances; how many.
fn write(bench: &Bench, folder: &Path, time: Duration, file_of: &dyn Fn(u64) -> usize) -> Result<u64> {
    let count = u64::from(RATE) * time.as_secs();
    let (begin, mut line) = (Instant::now(), Vec::new());
    for number in 0..count {
        let due = begin + Duration::from_secs(1) * u32::try_from(number)? / RATE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut file = File::options().append(true).open(path(folder, file_of(number)))?;
        line.clear();
        payload::timed_line(bench.seed, number, now_ns(), LINE_BYTES - 1, &mut line);
        line.push(b'\n');
        file.write_all(&line)?;
    }
    Ok(count)
}

fn percent(cpu: Duration, time: Duration) -> f64 {
    cpu.as_secs_f64() / time.as_secs_f64() * 100.0
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

fn path(folder: &Path, file: usize) -> PathBuf {
    folder.join(format!("{file:04}.log"))
}
