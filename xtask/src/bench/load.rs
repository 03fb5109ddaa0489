//! What else the machine is doing: a figure that was taken beside a compiler says little.

use std::time::Duration;

use crate::ui;

/// Share of one core above which the figures are not to be trusted.
const BUSY: f64 = 0.1;

/// Looks for a second, before anything of ours runs.
pub fn warn_if_busy() {
    let Some(before) = busy_ticks() else { return };
    std::thread::sleep(Duration::from_secs(1));
    let Some(after) = busy_ticks() else { return };
    let cores = (after - before) as f64 / rustix::param::clock_ticks_per_second() as f64;
    if cores > BUSY {
        ui::warn(&format!(
            "something else uses {:.0} % of a core: the figures will be worse than the machine",
            cores * 100.0
        ));
    }
}

/// Ticks that all cores together did not idle, what the host took from a virtual machine included.
fn busy_ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks = stat.lines().next()?.split_whitespace().skip(1).map(|word| word.parse().unwrap_or(0));
    // user nice system idle iowait irq softirq steal; what follows is counted in user already.
    let ticks = ticks.take(8).collect::<Vec<u64>>();
    Some(ticks.iter().sum::<u64>() - ticks.get(3)? - ticks.get(4)?)
}
