//! What each capture hook costs the programs of the machine: a captured 200-byte write, an uncaptured one, and a
//! system call that writes nothing. Needs root. Prints each figure beside its bar.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use ringward::source::ebpf::hook::Hook;
use ringward_benches::capture::{TARGET, capture};

/// Bars of the tp_btf hook, ns.
const CAPTURED_BAR: f64 = 340.0;
const OTHER_BAR: f64 = 100.0;
const CALLS: u32 = 200_000;
const ROUNDS: usize = 9;

fn main() {
    // `cargo test --benches` only asks whether this builds.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let bare = measure();
    println!(
        "{:<16} {:>14} {:>14} {:>14}   (ns a call; difference to no hook)",
        "hook", "captured write", "other write", "other call"
    );
    println!("{:<16} {:>14.0} {:>14.0} {:>14.0}", "none", bare[0], bare[1], bare[2]);
    for hook in Hook::LADDER {
        match with(hook) {
            Ok(cost) => {
                let [captured, write, call] = [0, 1, 2].map(|index| cost[index] - bare[index]);
                print!("{:<16} {captured:>+14.0} {write:>+14.0} {call:>+14.0}", hook.name());
                if hook == Hook::TpBtf {
                    print!("   bar: {CAPTURED_BAR:+.0} captured, {OTHER_BAR:+.0} other");
                }
                println!();
            }
            Err(why) => {
                println!("{:<16} not possible here: {}", hook.name(), why.chars().take(120).collect::<String>())
            }
        }
    }
}

fn with(hook: Hook) -> Result<[f64; 3], String> {
    let (reader, _) = capture(Some(hook))?;
    let cost = measure();
    reader.stop();
    Ok(cost)
}

/// The fastest of some rounds, which the machine's other work has disturbed least.
fn measure() -> [f64; 3] {
    let mut captured = File::options().write(true).open(TARGET).expect("there is a /dev/null");
    let mut other = File::options().write(true).open("/dev/zero").expect("there is a /dev/zero");
    let line = [b'x'; 200];
    let mut best = [f64::MAX; 3];
    for _ in 0..ROUNDS {
        let costs = [
            time(|| captured.write_all(&line).expect("it takes anything")),
            time(|| other.write_all(&line).expect("it takes anything")),
            time(|| {
                std::hint::black_box(rustix::process::getppid());
            }),
        ];
        for (best, cost) in best.iter_mut().zip(costs) {
            *best = best.min(cost);
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    best
}

fn time(mut call: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    started.elapsed().as_nanos() as f64 / f64::from(CALLS)
}
