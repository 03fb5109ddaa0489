//! How long a line is under way at parts of the highest rate: from the time that its sender put into it to the receiver's
//! hands.
//!
//! A sender sends what is due once a millisecond, all of it with one time. So a line's latency has no part of the
//! sender's own pace in it, but that of its neighbours before it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::candidate::{Candidate, Place};
use super::feed::{Feed, Sender, TICK, Timed};
use super::look::number_of;
use super::way::Way;
use super::{Bench, state};
use crate::bench::latency::{LOADS, Lines, Measured};
use crate::bench::payload;
use crate::bench::percentiles::Percentiles;
use crate::bench::receiver::{Receiver, Transport};
use crate::ui;

/// Until a forwarder has brought the first line.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of a forwarder that does not say when it follows a file.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A row for each load, of a forwarder that takes so many lines a second.
pub fn rows(bench: &Bench, candidate: &Candidate, way: Way, highest: f64) -> Result<Vec<(String, Vec<f64>)>> {
    let time = (bench.low_load / 8).max(Duration::from_secs(1));
    let mut rows = Vec::new();
    for load in LOADS {
        let rate = ((highest * load as f64 / 100.0) as u64).max(1);
        ui::doing(&format!("{}, {} at {rate} lines/s for {:.1} s", way.name(), candidate.name, time.as_secs_f64()));
        let measured = at_rate(bench, candidate, way, rate, time)?;
        rows.push((format!("{}, {load} %", candidate.name), measured.row()));
    }
    Ok(rows)
}

fn at_rate(bench: &Bench, candidate: &Candidate, way: Way, rate: u64, time: Duration) -> Result<Measured> {
    let (folder, state) = (state()?, state()?);
    let feed = Feed::empty(way, bench.seed, folder.path())?;
    let (samples, counts) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let (into, is_counted) = (Arc::clone(&samples), Arc::clone(&counts));
    let (mut lines, transport) = (Lines::default(), way.output());
    let receiver = Receiver::calling(transport, move |bytes| {
        if !is_counted.load(Ordering::Acquire) {
            // A line that is cut where counting begins is none of those that count.
            return;
        }
        let now = now();
        let mut samples = into.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sample = |line: &[u8], at: &mut usize| {
            times(line, at, |written| {
                samples.push(Duration::from_nanos(now.saturating_sub(written)));
            })
        };
        match transport {
            Transport::Tcp => lines.feed(bytes, sample),
            Transport::Udp => sample(bytes, &mut lines.message_at),
        }
    })?;
    let place = Place { input: &feed.file, receiver: receiver.address.port(), state: state.path(), is_looked_at: true };
    let running = candidate.start(way, &place)?;
    let mut sender = feed.sender(&running)?;
    let mut timed = feed.timed()?;
    first(&mut timed, &mut sender, &receiver)?;
    counts.store(true, Ordering::Release);
    let begin = Instant::now();
    let sent = timed.pace(&mut sender, rate, time)?;
    let sent_in = begin.elapsed();
    receiver.wait_quiet()?;
    drop(sender);
    running.stop()?;
    receiver.finish()?;
    let samples = std::mem::take(&mut *samples.lock().ok().context("the receiver panicked")?);
    let spread = Percentiles::of(samples);
    let came = spread.count() as u64;
    Ok(Measured { rate: sent as f64 / sent_in.as_secs_f64(), missing: sent.saturating_sub(came), spread })
}

/// Sends lines until one has arrived, and waits for all of them: starting is not measured.
fn first(timed: &mut Timed, sender: &mut Sender, receiver: &Receiver) -> Result<()> {
    let begin = Instant::now();
    let mut asked = None;
    while receiver.bytes() == 0 {
        ensure!(begin.elapsed() < PATIENCE, "no line arrived in {} s", PATIENCE.as_secs());
        if asked.is_none_or(|asked: Instant| asked.elapsed() > ASK_AGAIN) {
            timed.pace(sender, 1000, TICK)?;
            asked = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    receiver.wait_quiet()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

/// The times in what arrived as one line, mostly one. `at` is where it was in the line before: it is there again in
/// most, and looking for it would be the bottleneck at high rates.
fn times(line: &[u8], at: &mut usize, mut each: impl FnMut(u64)) {
    let time = |at: usize| {
        let text = line.get(at..)?;
        number_of(text)?;
        payload::time_of(text)
    };
    let is_batch = line.starts_with(b"{\"resourceLogs\"");
    if !is_batch && let Some(time) = time(*at) {
        return each(time);
    }
    for quote in memchr::memchr_iter(b'"', line) {
        if let Some(time) = time(quote + 1) {
            *at = quote + 1;
            each(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_wherever_they_are() {
        let line = |before: &str| format!("{before}000000042 1767323045000000001 INFO\"}}");
        let mut at = 0;
        for (before, expected) in [("{\"msg\":\"", 8), ("{\"msg\":\"", 8), ("{\"a\":\"b\",\"message\":\"", 20)] {
            let mut found = Vec::new();
            times(line(before).as_bytes(), &mut at, |time| found.push(time));
            assert_eq!((found, at), (vec![1_767_323_045_000_000_001], expected));
        }
        let mut found = 0;
        let batch = format!("{{\"resourceLogs\":[{{\"body\":\"{},{{\"body\":\"{}]}}", line(""), line(""));
        times(batch.as_bytes(), &mut at, |_| found += 1);
        assert_eq!(found, 2);
        times(b"{\"lost-records\":5}", &mut at, |_| panic!("there is none"));
    }
}
