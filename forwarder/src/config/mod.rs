//! The configuration: files and flags in, a [`ResolvedConfig`] out, or everything that is wrong with it.
//!
//! ```text
//!  file, stdin ──► source (text) ──► yaml (tree with places) ─┬─► raw (schema) ─┐
//!                                                             └─► talos ────────┼─► resolve ──► ResolvedConfig
//!  flags ──────────────────────────► overrides ────────────────────────────────┘
//! ```
//!
//! Raw is what was said, resolved is what it means. Later files are laid over earlier ones, and flags over files: a
//! single value is replaced, lists grow. Nothing is opened but the configuration files themselves, the kernel's command
//! line (`talos`), and what templates in tags ask for. Every problem is found before any is reported, each with its place,
//! its key and what would be accepted.
//!
//! The schema in `raw.rs` is described once: its doc comments and defaults are also the reference page
//! ([`reference`]). A file may hold several YAML documents; each is a configuration of its own, laid over the one before.

mod choices;
mod destination;
mod document;
mod endpoint;
mod error;
mod host;
mod journal;
mod listen;
mod multiline;
mod overrides;
mod pattern;
mod raw;
mod record_limit;
pub mod reference;
mod resolve;
mod resolved;
mod shaping;
mod source;
mod suggest;
mod talos;
mod template;
pub mod units;
mod value;
mod yaml;

pub use destination::MAX_DATAGRAM;
pub use endpoint::{Endpoint, EndpointError, ListenEndpoint};
pub use error::{Place, Problem, Problems};
pub use host::Host;
pub use overrides::Overrides;
pub use pattern::LinesConfig;
pub use raw::{
    CaptureParse, CutChoice, EntryChoice, FacilityChoice, FileFormat, Format, HookChoice, IoChoice, JournalNames,
    ParseChoice, ReadFrom, RecordsChoice, SegmentChoice, TraceChoice,
};
pub use resolve::Environment;
pub use resolved::{
    CaptureConfig, DestinationConfig, DockerConfig, FilesConfig, GroupingConfig, JournalConfig, KernelConfig,
    ListenConfig, MemlogdConfig, MultilineConfig, ResolvedConfig, RetryConfig, RingConfig, SpillConfig, ViewConfig,
};
pub use shaping::{CaseConfig, Expected, Input};
pub use source::{MAX_FILE_BYTES, Source};

use raw::Raw;
use talos::TalosDocuments;
use value::Value;

/// Reads the configuration files at `paths` (`-` is standard input) and lays the command line over them.
///
/// # Errors
/// Everything that is wrong, in all files and flags.
pub fn load(paths: &[String], overrides: &Overrides, environment: &Environment) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    let mut sources = Vec::new();
    for path in paths {
        match Source::read(path) {
            Ok(source) => sources.push(source),
            Err(problem) => problems.0.push(problem),
        }
    }
    load_sources(&sources, overrides, environment, problems)
}

/// A configuration that holds, and what is worth a word although nothing is wrong.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: ResolvedConfig,
    /// Sentences that begin with their place.
    pub warnings: Vec<String>,
    /// Place and key of what stands in documents of Talos' and means nothing here.
    pub ignored: Vec<String>,
}

fn load_sources(
    sources: &[Source],
    overrides: &Overrides,
    environment: &Environment,
    mut problems: Problems,
) -> Result<Loaded, Problems> {
    let mut raw = Raw::default();
    let mut warnings = Vec::new();
    let mut talos = TalosDocuments::default();
    for source in sources {
        let documents = match yaml::parse(&source.name, &source.text) {
            Ok(documents) => documents,
            Err(problem) => {
                problems.0.push(problem);
                continue;
            }
        };
        if documents.is_empty() {
            warnings.push(format!("{}: says nothing: everything it could set keeps its default", source.name));
        }
        for document in documents {
            let Some(document) = talos.take(document, &mut problems) else { continue };
            if let Some(read) = Raw::read(&document, "", &mut problems) {
                raw.overlay(read);
            }
        }
    }
    warnings.append(&mut talos.warnings);
    let ignored = std::mem::take(&mut talos.ignored);
    talos.add_to(&mut raw, &environment.cmdline, &mut problems);
    let (from_flags, for_all) = overrides.read(&mut problems);
    raw.overlay(from_flags);
    let config = resolve::resolve(raw, &for_all, environment, problems)?;
    Ok(Loaded { config, warnings, ignored })
}

/// The configuration that one text stands for, without flags: what [`load`] does, for text that is in memory already.
///
/// # Errors
/// As [`load`].
pub fn from_text(name: &str, text: &str) -> Result<ResolvedConfig, Problems> {
    let sources = [Source::new(name, text)];
    let loaded = load_sources(&sources, &Overrides::default(), &Environment::default(), Problems::default())?;
    Ok(loaded.config)
}

#[cfg(test)]
mod tests;
