//! From write(2) in the container to the bytes in the receiver's hands: the line carries the time before its write, the
//! receiver's thread takes the time right after its recv.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::outcome::{Outcome, Table};
use super::percentiles::Percentiles;
use super::receiver::{Receiver, Transport};
use super::rig::{LINE_BYTES, NAMES, Output, Rig, at_full_speed};
use super::{Bench, payload};
use crate::ui;

const PART: &str = "latency";
/// Lines a second of both containers together, where nothing is in anything's way.
const LOW: u64 = 100;
const MEDIAN_BAR: f64 = 1.0;
const P99_BAR: f64 = 5.0;
/// And where there is something to do.
const BUSY: u64 = 100_000;
const BUSY_P99_BAR: f64 = 2.0;
/// Parts of the highest rate, in percent.
pub(super) const LOADS: [u64; 3] = [10, 50, 90];

/// Of a table of latencies.
pub(super) const COLUMNS: [&str; 6] = ["lines/s", "median ms", "99 % ms", "99.9 % ms", "longest ms", "missing"];

/// What the message of a record begins with, in json_lines.
const MESSAGE: &[u8] = b"\"msg\":\"";

pub fn measure(bench: &Bench, outcome: &mut Outcome) -> Result<()> {
    let mut rows = Vec::new();
    for output in Output::ALL {
        let name = output.name();
        let low = at_rate(bench, output, LOW, bench.low_load)?;
        outcome.push_with_bar(PART, &format!("{name}, {LOW} lines/s: median"), low.spread.at(50.0), "ms", MEDIAN_BAR);
        outcome.push_with_bar(PART, &format!("{name}, {LOW} lines/s: 99 %"), low.spread.at(99.0), "ms", P99_BAR);
        outcome.push(PART, format!("{name}, {LOW} lines/s: 99.9 %"), low.spread.at(99.9), "ms");
        outcome.push(PART, format!("{name}, {LOW} lines/s: longest"), low.spread.max(), "ms");
        rows.push((format!("{name}, {LOW} lines/s"), low.row()));
        let short = (bench.low_load / 4).max(Duration::from_secs(1));
        let busy = at_rate(bench, output, BUSY, short)?;
        outcome.push_with_bar(PART, &format!("{name}, {BUSY} lines/s: 99 %"), busy.spread.at(99.0), "ms", BUSY_P99_BAR);
        rows.push((format!("{name}, {BUSY} lines/s"), busy.row()));
        ui::doing(&format!("the highest rate to {name}"));
        let lines = bench.lines / 2;
        let (ran, _) = at_full_speed(bench, output, lines)?;
        let highest = (NAMES.len() as u64 * lines) as f64 / ran.elapsed.as_secs_f64();
        for load in LOADS {
            let measured = at_rate(bench, output, (highest * load as f64 / 100.0) as u64, short)?;
            rows.push((format!("{name}, {load} % of the highest"), measured.row()));
        }
    }
    outcome.push_table(Table { title: "Latency by load".into(), columns: COLUMNS.to_vec(), rows });
    Ok(())
}

pub(super) struct Measured {
    /// As it was, not as it was asked for.
    pub rate: f64,
    pub spread: Percentiles,
    pub missing: u64,
}

impl Measured {
    /// By [`COLUMNS`].
    pub fn row(&self) -> Vec<f64> {
        let Self { rate, spread, missing } = self;
        vec![*rate, spread.at(50.0), spread.at(99.0), spread.at(99.9), spread.max(), *missing as f64]
    }
}

fn at_rate(bench: &Bench, output: Output, rate: u64, time: Duration) -> Result<Measured> {
    let transport = output.transport();
    ui::doing(&format!("{} at {rate} lines/s for {} s", output.name(), time.as_secs()));
    let rate_each = (rate / NAMES.len() as u64).max(1);
    let count_each = rate_each * time.as_secs();
    let expected = count_each * NAMES.len() as u64;
    let samples = Arc::new(Mutex::new(Vec::with_capacity(expected as usize)));
    let into = Arc::clone(&samples);
    let mut lines = Lines::default();
    let receiver = Receiver::calling(transport, move |bytes| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let Ok(mut samples) = into.lock() else { return };
        let mut sample = |line: &[u8], at: &mut usize| {
            if let Some(written) = message(line, at).and_then(payload::time_of) {
                samples.push(Duration::from_nanos(now.saturating_sub(written)));
            }
        };
        match transport {
            Transport::Tcp => lines.feed(bytes, sample),
            Transport::Udp => sample(bytes, &mut lines.message_at),
        }
    })?;
    let [seed, count, length, each] =
        [bench.seed, count_each, LINE_BYTES - 1, rate_each].map(|number| number.to_string());
    let mut rig = Rig::start(bench, output, receiver, &["timed", &seed, &count, &length, &each], &["--no-kernel"])?;
    let ran = rig.go()?;
    rig.stop()?;
    let samples = std::mem::take(&mut *samples.lock().ok().context("the receiver panicked")?);
    let spread = Percentiles::of(samples);
    let came = spread.count() as u64;
    Ok(Measured { rate: came as f64 / ran.elapsed.as_secs_f64(), missing: expected.saturating_sub(came), spread })
}

/// The lines of a stream that comes in pieces.
#[derive(Default)]
pub(super) struct Lines {
    unfinished: Vec<u8>,
    /// Where the message was in the line before: it is there again in most.
    pub message_at: usize,
}

impl Lines {
    pub fn feed(&mut self, mut bytes: &[u8], mut on_line: impl FnMut(&[u8], &mut usize)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.unfinished.is_empty() {
                on_line(line, &mut self.message_at);
            } else {
                self.unfinished.extend_from_slice(line);
                on_line(&self.unfinished, &mut self.message_at);
                self.unfinished.clear();
            }
            bytes = rest;
        }
        self.unfinished.extend_from_slice(bytes);
    }
}

/// The message of a record and what follows it. Found without parsing: at high rates that would be the bottleneck.
pub(super) fn message<'a>(line: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let is_there = |at: usize| line.get(at..).is_some_and(|rest| rest.starts_with(MESSAGE));
    if !is_there(*at) {
        *at = memchr::memmem::find(line, MESSAGE)?;
    }
    line.get(*at + MESSAGE.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_their_messages_found() {
        let text =
            b"{\"container\":\"x\",\"msg\":\"one\"}\n{\"msg\":\"two\"}\n{\"container\":\"x\",\"msg\":\"three\"}\n";
        for size in [1, 7, 40, 1000] {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for piece in text.chunks(size) {
                lines.feed(piece, |line, at| found.extend(message(line, at).map(|rest| rest[..3].to_vec())));
            }
            assert_eq!(found, [b"one", b"two", b"thr"], "pieces of {size}");
        }
    }
}
