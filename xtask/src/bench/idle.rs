//! What Ringward costs where nothing happens: containers are there and print nothing.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use super::outcome::{Outcome, Table};
use super::receiver::{Receiver, Transport};
use super::rig::{Output, Rig};
use crate::ui;

const PART: &str = "idle";
/// The account that follows the last captured bytes is done by then.
pub const SETTLED: Duration = Duration::from_secs(5);
/// Percent of one core.
const CPU_BAR: f64 = 0.2;

pub fn measure(bench: &Bench, outcome: &mut Outcome) -> Result<()> {
    let rig = silent(bench)?;
    std::thread::sleep(SETTLED);
    let time = bench.low_load * 3 / 2;
    ui::doing(&format!("two silent containers for {} s", time.as_secs()));
    let process = rig.forwarder.process();
    let before = process.threads()?;
    std::thread::sleep(time);
    let after = process.threads()?;
    rig.stop()?;
    let seconds = time.as_secs_f64();
    let (mut cpu, mut wakeups) = (0.0, 0.0);
    let mut rows = Vec::new();
    for (name, after) in &after {
        let before = before.get(name).copied().unwrap_or_default();
        let thread_cpu = (after.cpu - before.cpu).as_secs_f64() / seconds * 100.0;
        let thread_wakeups = (after.wakeups - before.wakeups) as f64 / seconds;
        cpu += thread_cpu;
        wakeups += thread_wakeups;
        rows.push((name.clone(), vec![thread_cpu, thread_wakeups]));
    }
    outcome.push_with_bar(PART, "CPU", cpu, "% of core", CPU_BAR);
    outcome.push_with_bar(PART, "wake-ups of all threads", wakeups, "/s", 0.0);
    outcome.push_table(Table { title: "Idle threads".into(), columns: vec!["% of a core", "wake-ups/s"], rows });
    Ok(())
}

/// A rig with everything on, as without a configuration, whose containers wait for a go that does not come.
pub fn silent(bench: &Bench) -> Result<Rig> {
    Rig::start(bench, Output::Tcp, Receiver::discarding(Transport::Tcp)?, &["payload", "0", "0", "199"], &[])
}
