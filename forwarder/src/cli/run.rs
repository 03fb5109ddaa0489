//! `ringward run`.

use crate::config::Loaded;

/// Runs the pipeline until it is told to stop, and says what was left.
pub fn run(loaded: Loaded) -> anyhow::Result<()> {
    let report = crate::pipeline::run(loaded.config)?;
    for left in &report.undelivered {
        let (destination, records, not_kept) = (&left.destination, left.records, left.not_kept);
        if not_kept == 0 {
            tracing::info!(destination, records, "stopped before everything was delivered; its spill keeps the rest");
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
