//! What `process` costs: lines that are parsed, of which a field is renamed, to which two are added, and which are encoded.
//! In megabytes of lines a second on one core, and the bar beside the fastest run.

use std::time::Instant;

use ringward_benches::{RECORDS, shaping};

const ROUNDS: u32 = 500;
/// Megabytes of lines a second.
const BAR: f64 = 500.0;

fn main() {
    println!("{:<14} {:>12} {:>12}", "", "a record", "lines");
    for mut stage in shaping::all() {
        let round = |_| {
            let started = Instant::now();
            (stage.run)();
            started.elapsed().as_secs_f64()
        };
        let best = (0..ROUNDS).map(round).fold(f64::MAX, f64::min);
        let speed = stage.bytes as f64 / best / 1e6;
        let verdict = if speed >= BAR { "ok" } else { "short" };
        let each = best * 1e9 / RECORDS as f64;
        println!("{:<14} {each:>9.1} ns {speed:>7.0} MB/s, bar {BAR:.0} MB/s: {verdict}", stage.name);
    }
}
