//! The wiring: sources → ring → destinations. The only file that knows all of them.

use crate::config::ResolvedConfig;

/// What a run that ended in order leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Destinations that did not take everything before the shutdown's time was over, and how many records that left.
    pub undelivered: Vec<(String, u64)>,
}

/// Runs until a signal asks to stop, then drains.
///
/// # Errors
/// Where what the configuration asks for can't be had.
pub fn run(_config: ResolvedConfig) -> anyhow::Result<RunReport> {
    anyhow::bail!("this build has no pipeline yet")
}
