//! What each capture hook costs the programs of the machine: a captured 200-byte write, an uncaptured one, and a
//! system call that writes nothing. Needs root. Prints each figure beside its bar.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use forwarder_common::{ExecRecord, PipeKey};
use ringward::record::{Origin, OriginHandle, OriginKind};
use ringward::ring::{Ring, RingLimits};
use ringward::source::ebpf::hook::Hook;
use ringward::source::ebpf::load::{LoadOptions, load};
use ringward::source::ebpf::names::Names;
use ringward::source::ebpf::reader::{ReaderOptions, start};
use ringward::source::ebpf::stream::StreamLimits;

/// Bars of the tp_btf hook, ns.
const CAPTURED_BAR: f64 = 340.0;
const OTHER_BAR: f64 = 100.0;
const CALLS: u32 = 200_000;
const ROUNDS: usize = 9;

struct Nobody;

impl Names for Nobody {
    fn name(&mut self, _: &ExecRecord) -> Option<[OriginHandle; 2]> {
        None
    }

    fn held(&mut self, keys: &[PipeKey]) -> HashSet<PipeKey> {
        keys.iter().copied().collect()
    }
}

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
    let options =
        LoadOptions { hook: Some(hook), ring_bytes: 64 << 20, max_write: 1 << 20, containers: true, console: false };
    let capture = load(&options).map_err(|error| error.to_string())?;
    let ring = Ring::new(RingLimits { bytes: 4 << 20, records: u64::MAX }, 1);
    let limits = StreamLimits { max_line: 1 << 20, hold: 1 << 20, ahead: 64 << 20 };
    let options = ReaderOptions { idle_flush: Duration::from_secs(1), limits };
    let reader = start(capture, options, ring, Box::new(Nobody), None).map_err(|error| error.to_string())?;
    // Any inode can be a target of the system call hooks; a file that throws its content away is the cheapest.
    let target = std::fs::metadata("/dev/null").map_err(|error| error.to_string())?;
    let device = (rustix::fs::major(target.dev()) << 20) | rustix::fs::minor(target.dev());
    let key = PipeKey { inode: target.ino(), device, zero: 0 };
    reader.add(key, OriginHandle::new(Origin::new(OriginKind::Process, "bench")), None, None);
    std::thread::sleep(Duration::from_millis(20));
    let cost = measure();
    reader.stop();
    Ok(cost)
}

/// The fastest of some rounds, which the machine's other work has disturbed least.
fn measure() -> [f64; 3] {
    let mut captured = File::options().write(true).open("/dev/null").expect("there is a /dev/null");
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
