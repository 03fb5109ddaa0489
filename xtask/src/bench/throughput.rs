//! As fast as it goes, for each output twice: once into a receiver that throws everything away, for the speed, and
//! once with the same payload into one that keeps it, for what was lost, doubled or changed.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::outcome::{Outcome, Table, mebibytes};
use super::paths::COLUMNS;
use super::receiver::{Receiver, Transport};
use super::rig::{LINE_BYTES, NAMES, Output, Ran, at_full_speed, flood};
use super::{Bench, payload};
use crate::ui;

const PART: &str = "throughput";
/// What a line may cost Ringward's process.
const CPU_BAR: f64 = 1.0;

pub fn measure(bench: &Bench, outcome: &mut Outcome) -> Result<()> {
    let mut rows = Vec::new();
    for output in Output::ALL {
        ui::doing(&format!("{} x {} lines to {}", NAMES.len(), bench.lines, output.name()));
        let (ran, reads) = at_full_speed(bench, output, bench.lines)?;
        ui::doing("the same lines again, kept and compared");
        let (checked, seen) = check(bench, output)?;
        report(bench, output, &ran, &checked, &seen, outcome);
        if output.transport() == Transport::Udp {
            let lines = NAMES.len() as u64 * bench.lines;
            let missing = lines.saturating_sub(reads + ran.dropped);
            let name = |what: &str| format!("{}: {what}", output.name());
            outcome.push_with_bar(PART, &name("lines lost, fast run"), missing as f64, "", 0.0);
            let dropped = ran.dropped + checked.dropped;
            outcome.push(PART, name("dropped by the receiver's socket"), dropped as f64, "");
        }
        rows.push((output.name().to_owned(), row(bench, &ran, &checked, &seen)));
    }
    outcome.push_table(Table { title: "two containers, by eBPF, to".into(), columns: COLUMNS.to_vec(), rows });
    Ok(())
}

/// As the other ways have it.
fn row(bench: &Bench, ran: &Ran, checked: &Ran, seen: &Seen) -> Vec<f64> {
    let lines = (NAMES.len() as u64 * bench.lines) as f64;
    let rate = lines / ran.elapsed.as_secs_f64();
    vec![
        ran.cpu.as_secs_f64() * 1e6 / lines,
        rate,
        rate * LINE_BYTES as f64 / 1e6,
        mebibytes(ran.anonymous),
        mebibytes(ran.resident),
        seen.lost as f64,
        (seen.reported_records + seen.reported_bytes / LINE_BYTES + checked.dropped) as f64,
        seen.doubled as f64,
        seen.wrong as f64,
    ]
}

fn report(bench: &Bench, output: Output, ran: &Ran, checked: &Ran, seen: &Seen, outcome: &mut Outcome) {
    let lines = (NAMES.len() as u64 * bench.lines) as f64;
    let seconds = ran.elapsed.as_secs_f64();
    let name = |what: &str| format!("{}: {what}", output.name());
    outcome.push(PART, name("lines"), lines / seconds, "/s");
    outcome.push(PART, name("written by the containers"), lines * LINE_BYTES as f64 / seconds / 1e6, "MB/s");
    outcome.push(PART, name("at the receiver"), ran.bytes as f64 / seconds / 1e6, "MB/s");
    let cpu = ran.cpu.as_secs_f64() * 1e6 / lines;
    outcome.push_with_bar(PART, &name("CPU of ringward a line"), cpu, "us", CPU_BAR);
    outcome.push(PART, name("its CPU"), ran.cpu.as_secs_f64() / seconds, "cores");
    outcome.push_with_bar(PART, &name("lines lost"), seen.lost as f64 - checked.dropped as f64, "", 0.0);
    outcome.push_with_bar(PART, &name("lines doubled"), seen.doubled as f64, "", 0.0);
    outcome.push_with_bar(PART, &name("lines changed or not JSON"), seen.wrong as f64, "", 0.0);
    outcome.push(PART, name("reported lost: bytes of a stream"), seen.reported_bytes as f64, "");
    outcome.push(PART, name("reported lost: records"), seen.reported_records as f64, "");
    // Both runs carry the same lines; what differs is the length of their times, by a fraction of a byte.
    let ratio = ran.bytes as f64 / checked.bytes as f64;
    if output == Output::Tcp && (ratio - 1.0).abs() > 0.002 {
        ui::warn(&format!("the fast run brought {ratio:.4} times the bytes of the checked one"));
    }
}

/// What arrived of the lines that were written.
#[derive(Default)]
struct Seen {
    lost: u64,
    doubled: u64,
    wrong: u64,
    /// What Ringward itself said was lost: on the way into the ring, and from the ring before it was sent.
    reported_bytes: u64,
    reported_records: u64,
}

fn check(bench: &Bench, output: Output) -> Result<(Ran, Seen)> {
    let (receiver, kept) = Receiver::keeping(output.transport())?;
    let mut rig = flood(bench, output, receiver, bench.lines)?;
    let ran = rig.go()?;
    rig.stop()?;
    let kept = std::mem::take(&mut *kept.lock().ok().context("the receiver panicked")?);
    Ok((ran, look(bench.seed, bench.lines, &kept)))
}

fn look(seed: u64, lines: u64, kept: &[u8]) -> Seen {
    let mut seen = Seen::default();
    let mut times = NAMES.map(|name| (name, vec![0_u8; lines as usize])).into_iter().collect::<HashMap<_, _>>();
    let mut expected = Vec::new();
    for line in kept.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(record) = serde_json::from_slice::<Value>(line) else {
            seen.wrong += 1;
            continue;
        };
        seen.reported_records += record["lost-records"].as_u64().unwrap_or(0);
        // Other containers of the machine are none of ours.
        let Some(times) = record["talos-service"].as_str().and_then(|name| times.get_mut(name)) else { continue };
        if let Some(bytes) = record["lost-bytes"].as_u64() {
            seen.reported_bytes += bytes;
            continue;
        }
        let message = record["msg"].as_str().unwrap_or_default().as_bytes();
        if message == payload::READY.trim_ascii_end() {
            continue;
        }
        let number = payload::number_of(message).filter(|number| *number < lines);
        expected.clear();
        payload::line(seed, number.unwrap_or(0), LINE_BYTES as usize - 1, &mut expected);
        match number.and_then(|number| times.get_mut(number as usize)) {
            Some(times) if message == expected => *times = times.saturating_add(1),
            _ => seen.wrong += 1,
        }
    }
    for times in times.values().flatten() {
        match times {
            0 => seen.lost += 1,
            more => seen.doubled += u64::from(more - 1),
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_doubled_and_changed_lines_are_found() {
        let record = |name: &str, number: u64| {
            let mut line = Vec::new();
            payload::line(1, number, LINE_BYTES as usize - 1, &mut line);
            let line = String::from_utf8(line).unwrap();
            format!("{}\n", serde_json::json!({"msg": line, "talos-service": name}))
        };
        let [a, b] = NAMES;
        let mut text = [record(a, 0), record(a, 2), record(a, 2), record(b, 0), record(b, 1)].concat();
        text += &record(b, 2).replace("000000002 ", "000000002x");
        text += &record("somebody-else", 0);
        text += &format!("{{\"msg\":\"gone\",\"lost-bytes\":200,\"talos-service\":\"{a}\"}}\nno JSON\n");
        let seen = look(1, 3, text.as_bytes());
        assert_eq!((seen.lost, seen.doubled, seen.wrong, seen.reported_bytes), (2, 1, 2, 200));
    }
}
