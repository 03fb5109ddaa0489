//! Which files are read, and how: what the configuration asks for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::glob::Glob;
use crate::parse::line::LineKind;
use crate::source::joiner::JoinOptions;

/// How a file's lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// By the path: [`Format::Cri`] or [`Format::Docker`] where it is that of a container's log, else [`Format::Text`].
    Auto,
    /// Each line is a record.
    Text,
    Cri,
    Docker,
}

/// Where reading a file begins that nothing is known of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    Beginning,
    /// Of files that are there at the start; what appears later is read from its beginning.
    End,
}

/// Files and how to read them.
#[derive(Clone, Debug)]
pub struct Selection {
    pub include: Vec<Glob>,
    pub exclude: Vec<Glob>,
    pub format: Format,
    /// Whether what is compressed is read.
    pub gzip: bool,
    pub read_from: ReadFrom,
    /// A file that has not been written to for so long is left alone until it is.
    pub ignore_older: Option<Duration>,
    /// How long a file that was deleted is waited for until it is read, and how many bytes of such files are.
    pub deleted_time: Option<Duration>,
    pub deleted_bytes: Option<u64>,
    /// Name of the origin, instead of the path or the container's name.
    pub name: Option<String>,
    /// What a line is taken for, without what the format puts around it.
    pub kind: LineKind,
    /// Which lines are joined.
    pub join: Option<Arc<JoinOptions>>,
    /// Longer lines are put in parts.
    pub max_line: usize,
    /// What waits for more is put as a part after this time without any.
    pub idle_flush: Duration,
}

impl Selection {
    pub(super) fn matches(&self, path: &Path) -> bool {
        self.include.iter().any(|glob| glob.matches(path)) && !self.exclude.iter().any(|glob| glob.matches(path))
    }
}
