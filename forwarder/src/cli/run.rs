//! `ringward run`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::ensure;

use super::arguments::Configured;
use super::holder;
use crate::config::Loaded;

/// Runs others of this program, with the same arguments, below this one, which keeps what they give it.
pub fn hold(configured: &Configured) -> anyhow::Result<()> {
    ensure!(
        configured.config.iter().all(|file| file != "-"),
        "standard input can't be read again: `--fd-holder` needs files"
    );
    holder::hold("ringward", || {
        let mut words = std::env::args_os();
        let mut program = Command::new("/proc/self/exe");
        program.arg0(words.next().unwrap_or_else(|| "ringward".into()));
        program.args(words.filter(|word| word != "--fd-holder"));
        program
    })
}

/// Runs the pipeline until it is told to stop, and says what was left.
pub fn run(loaded: Loaded) -> anyhow::Result<()> {
    let report = crate::pipeline::run(loaded.config)?;
    for left in &report.undelivered {
        let (destination, records, not_kept) = (&left.destination, left.records, left.not_kept);
        if not_kept == 0 {
            tracing::info!(
                destination,
                records,
                "stopped before everything was delivered; its spill or the ring's files keep the rest"
            );
        } else {
            tracing::warn!(destination, records, not_kept, "stopped before everything was delivered");
        }
    }
    if !report.failed.is_empty() {
        let failed: Vec<_> = report.failed.iter().map(|(name, why)| format!("destination `{name}`: {why}")).collect();
        anyhow::bail!("{}", failed.join("; "));
    }
    Ok(())
}
