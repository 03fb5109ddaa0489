//! kill -9 at a random moment: what was reported synced is there, in order, once, unchanged.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringward::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
use ringward::ring::spill::{Spill, SpillOptions};
use ringward::ring::{Fetched, Overflow};

const DIRECTORY: &str = "RINGWARD_TEST_SPILL";

fn options(directory: &std::path::Path) -> SpillOptions {
    SpillOptions {
        sync_interval: Duration::from_millis(1),
        segment_bytes: 64 << 10,
        ..SpillOptions::new(directory, 1 << 30)
    }
}

fn body(sequence: u64) -> Vec<u8> {
    format!("{sequence} ").repeat(1 + (sequence % 50) as usize).into_bytes()
}

/// Run as the child: stores numbered batches for ever and prints each one that is safe.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (spill, recovery) = Spill::open(options(directory.as_ref())).unwrap();
    let origin = OriginHandle::new(Origin::new(OriginKind::Service, "s"));
    let mut builder = BatchBuilder::new(64);
    for sequence in recovery.last_sequence + 1.. {
        let body = body(sequence);
        builder.push(&origin, RecordMeta::line(0, &body), &body);
        assert!(spill.store(sequence, &Arc::new(builder.seal()), false));
        spill.sync();
        println!("\nsafe {sequence}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn what_was_safe_survives_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut safe = 0;
    for round in 0..10u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let started = Instant::now();
        let mut killed = false;
        for line in lines {
            let Ok(line) = line else { break };
            if let Some(number) = line.strip_prefix("safe ") {
                safe = number.parse().unwrap();
            }
            if !killed && started.elapsed() > Duration::from_millis(100 + round * 37) {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        let (spill, recovery) = Spill::open(options(directory.path())).unwrap();
        assert!(recovery.last_sequence >= safe, "round {round}: {safe} was safe, {recovery:?}");
        let mut expected = 1;
        loop {
            let (sequence, batch) = match spill.fetch(expected) {
                Fetched::Batch(sequence, batch) => (sequence, batch),
                Fetched::Pending => {
                    std::thread::yield_now();
                    continue;
                }
                Fetched::Nothing => break,
            };
            assert_eq!(sequence, expected, "round {round}: in order, none missing");
            assert_eq!(batch.record(0).body, body(sequence));
            expected += 1;
        }
        assert_eq!(expected, recovery.last_sequence + 1);
    }
    assert!(safe > 10, "the children have stored something");
}
