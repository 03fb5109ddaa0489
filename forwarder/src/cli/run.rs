//! `ringward run`.

use crate::config::Loaded;

/// Runs the pipeline until it is told to stop, and says what was left.
pub fn run(loaded: Loaded) -> anyhow::Result<()> {
    let report = crate::pipeline::run(loaded.config)?;
    for (destination, records) in &report.undelivered {
        tracing::warn!(destination, records, "stopped before everything was delivered");
    }
    Ok(())
}
