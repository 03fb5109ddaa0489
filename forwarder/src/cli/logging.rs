//! Ringward's own log, to standard error: standard output may be a destination.

use tracing_subscriber::EnvFilter;

use super::paint::Paint;
use crate::config::{Place, Problems};

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// What is logged: by `--log-level`, else by `$RINGWARD_LOG` (which also takes filters by module), else `info`.
pub fn filter(level: Option<&str>, problems: &mut Problems) -> EnvFilter {
    if let Some(level) = level {
        // A filter would take any word as the name of a module, and log nothing.
        if LEVELS.contains(&level) {
            return EnvFilter::new(level);
        }
        problems.add(&Place::Flag("--log-level"), "", format!("`{level}` is not a level"), LEVELS.join(", "));
    } else if let Some(text) = std::env::var("RINGWARD_LOG").ok().filter(|text| !text.is_empty()) {
        let level_or_filter = LEVELS.contains(&text.as_str()) || text.contains('=');
        match EnvFilter::try_new(&text) {
            Ok(filter) if level_or_filter => return filter,
            _ => {
                let accepted = format!("{}, or levels by module as info,ringward::ring=debug", LEVELS.join(", "));
                problems.add(&Place::Environment("RINGWARD_LOG"), "", format!("`{text}` is not a level"), accepted);
            }
        }
    }
    EnvFilter::new("info")
}

pub fn start(filter: EnvFilter) {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(Paint::stderr().is_on())
        .with_target(false)
        .finish();
    // Only fails where one was set before: then that one logs.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
