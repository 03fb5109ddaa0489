//! Files that are written to by others: plain text, and the logs of containers.
//!
//! ```text
//!  inotify ──► watch ──► tree (folders, names) ──► reader (turns) ──► follow (one file)
//!                                                    │                  ├── lines: text
//!                                                    │                  ├── container: CRI, Docker; joins parts
//!                                                    │                  └── archive: gzip, and whose content it is
//!                                                    └── known ◄──► state: which file it is, how far it was sent
//! ```
//!
//! In: [`Selection`]s, patterns of paths and how to read what matches. Out: records with a position in their file. One
//! thread, `files`, reads them all, one bounded turn each, and only while the ring has room: a file keeps what is not
//! read yet, so it loses nothing by waiting. Reading is by pread(2): what a writer has just written is in the page
//! cache, and io_uring gives nothing there.
//!
//! A file is followed by its inode, whatever it is renamed to. One that lost its last name is read to its end, looked
//! at for [`reader::NAMELESS_FOR`] more, and closed. What is promised is in docs/files.md.

mod container;
mod content;
mod follow;
pub mod glob;
mod gzip;
mod identity;
mod join;
mod known;
mod lines;
mod names;
mod position;
mod reader;
mod selection;
pub(super) mod tree;
pub(super) mod watch;

pub use glob::Glob;
pub(super) use identity::FileId;
pub use reader::{FilesError, FilesHandle, FilesOptions, start};
pub use selection::{Format, ReadFrom, Selection};
