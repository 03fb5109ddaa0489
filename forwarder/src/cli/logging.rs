//! Ringward's own log, to standard error: standard output may be a destination.

use std::io::Write;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use super::log_writer::LogWriter;
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

/// What writes, once logging has started.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

pub fn start(filter: EnvFilter) {
    // Without a thread for it there will be none for the work either, and that error is told.
    let Ok(writer) = LogWriter::start(std::io::stderr()) else { return };
    let writer = WRITER.get_or_init(|| writer);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| writer.clone())
        .with_ansi(Paint::stderr().is_on())
        .with_target(false)
        // It would be reported on standard error, where writing may fail or wait.
        .log_internal_errors(false)
        .finish();
    // Only fails where one was set before: then that one logs.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Says `text` on standard error, behind what was logged. That nobody hears it changes nothing.
pub fn say(text: &str) {
    let _ = match WRITER.get() {
        Some(writer) => writer.clone().write_all(text.as_bytes()),
        None => std::io::stderr().write_all(text.as_bytes()),
    };
}

/// Before the program ends: what is queued is written, where somebody reads it.
pub fn finish() {
    if let Some(writer) = WRITER.get() {
        writer.flush_for_a_moment();
    }
}
