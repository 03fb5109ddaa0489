//! From the kernel's rings to batches: what a chunk (here one write of 200 bytes, one line) takes of the thread that
//! reads them. Needs root. Prints each figure beside its bar.
//!
//! Two threads write to a captured file as fast as they can. What their writes cost themselves is in `hooks`.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringward::source::ebpf::handle::ReaderHandle;
use ringward_benches::capture::{TARGET, capture};

/// Chunks a second of one core, at least.
const BAR: f64 = 2e6;
const LINE: usize = 200;
/// Written by each thread in a round: what both write fits the kernel's rings, so that none is lost.
const LINES: u64 = 40_000;
const ROUNDS: usize = 25;

fn main() {
    // `cargo test --benches` only asks whether this builds.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    if let Err(why) = measure() {
        println!("capture: not possible here: {why}");
    }
}

fn measure() -> Result<(), String> {
    let (reader, hook) = capture(None)?;
    let best = (0..ROUNDS).map(|_| round(&reader)).fold(f64::MAX, f64::min);
    let lost = reader.counters.lost_bytes.load(Ordering::Relaxed);
    reader.stop();
    let rate = 1e9 / best;
    let verdict = if rate >= BAR { "ok" } else { "short" };
    println!("hook {hook}: {best:.0} ns of the reading thread a chunk of {LINE} bytes, {lost} bytes lost");
    let bytes = rate * LINE as f64;
    println!("{:.2} M chunks/s, {:.0} MB/s of one core   bar: {:.2} M   {verdict}", rate / 1e6, bytes / 1e6, BAR / 1e6);
    Ok(())
}

/// Nanoseconds of the reading thread a chunk.
fn round(reader: &ReaderHandle) -> f64 {
    let chunks = || reader.counters.chunks.load(Ordering::Relaxed);
    let lost = || reader.counters.lost_bytes.load(Ordering::Relaxed) / LINE as u64;
    let lost_before = lost();
    let (cpu, first) = (reading_thread_ns(), chunks());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut captured = File::options().write(true).open(TARGET).expect("there is a /dev/null");
                let mut line = [b'x'; LINE];
                line[LINE - 1] = b'\n';
                for _ in 0..LINES {
                    captured.write_all(&line).expect("it takes anything");
                }
            });
        }
    });
    // Until the reader has seen all of it, or knows that it is lost.
    while chunks() + lost() < first + lost_before + 2 * LINES {
        std::thread::sleep(Duration::from_millis(1));
    }
    (reading_thread_ns() - cpu) as f64 / (chunks() - first) as f64
}

/// CPU time of the thread `capture` of this process.
fn reading_thread_ns() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a process has its threads there");
    let mut tasks = tasks.filter_map(|task| Some(task.ok()?.path()));
    let task = tasks.find(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "capture"));
    let task = task.expect("the reader has a thread of this name");
    let text = std::fs::read_to_string(task.join("schedstat")).expect("the thread lives");
    text.split(' ').next().and_then(|word| word.parse().ok()).expect("its first number is CPU time")
}
