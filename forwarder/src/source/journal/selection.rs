//! What is wanted of journals: what the configuration asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use crate::source::file::ReadFrom;

/// Fields of one entry that must all be as they are said to be.
pub type Match = BTreeMap<String, String>;

/// Which fields of an entry its record has, besides those that are its text, level and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    All,
    /// These, by the journal's names.
    Only(Vec<String>),
}

/// What the fields are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Without `_` before them, in lower case, and the usual ones shorter.
    Short,
    /// As in the journal.
    Journal,
}

/// Which journals are read, and what of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Folders with journal files, or with folders of machines that have them.
    pub folders: Vec<PathBuf>,
    pub read_from: ReadFrom,
    /// An entry is wanted if one of these fits, or if there is none.
    pub matches: Vec<Match>,
    pub fields: Wanted,
    pub names: Names,
    /// Whether entries are left out that journald read from the kernel's log.
    pub without_kernel: bool,
    /// Bytes of a field after which it is cut.
    pub max_field: usize,
}
