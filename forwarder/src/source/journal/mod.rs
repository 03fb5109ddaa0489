//! The journal of systemd: its files, read as journald writes them (see [`crate::parse::journal`]).
//!
//! ```text
//!  inotify ──► file::watch ──► file::tree ──► reader ──► file, one a journal file ──► blocks (pread)
//!                                                │ merged                 ▲
//!                                                ├── copies               └── known ◄──► state: how far it was sent
//!                                                └── fields: entry → record
//! ```
//!
//! In: a [`Selection`], folders and what is wanted. Out: records, each with its entry's number as its position. One
//! thread, `journal`, reads all files, entry by entry, the earliest of all files first: by number where files share
//! their numbers, else by the time since the boot, else by the time of day, as journalctl does. It reads only while the
//! ring has room: the journal keeps what is not read yet.
//!
//! journald writes through a map, of which inotify knows nothing; it truncates the file to the length that it has after
//! each entry, at most 250 ms later, so that inotify does. A file that was renamed is read on, one that was deleted too;
//! what was in it and can't be read any more is counted. What is promised is in docs/journal.md.

mod blocks;
mod copies;
mod discovery;
mod export;
mod fields;
mod file;
mod folders;
mod known;
mod reader;
mod selection;

pub(super) use export::{ExportEntries, ExportTally};
pub use reader::{JournalError, JournalHandle, JournalOptions, start};
pub use selection::{Match, Names, ReadFrom, Selection, Wanted};
