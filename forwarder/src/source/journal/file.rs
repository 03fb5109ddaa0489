//! One journal file: where reading is, and the next entry.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::blocks::{Blocks, read_at};
use super::fields::{Fields, MOST_BYTES};
use super::known::Restart;
use crate::parse::journal::{self, HEADER_LEN, Head, Header, Id, JournalError, Walk};
use crate::record::OriginHandle;
use crate::source::file::FileId;

/// The smallest entry's bytes: a file can't have more of them than it has room for.
const LEAST_ENTRY: u64 = 64;

/// A file that is read.
pub(super) struct JournalFile {
    /// `None` once all is read of a file that nobody writes to.
    file: Option<File>,
    /// Its number in [`Blocks`].
    pub(super) number: u64,
    pub(super) id: FileId,
    /// Key of its checkpoints.
    pub(super) key: String,
    pub(super) path: PathBuf,
    pub(super) header: Header,
    walk: Walk,
    /// The next entry, where it has been looked at.
    next: Option<Next>,
    /// What is wanted begins after this one.
    pub(super) start: u64,
    /// What is read begins after this one.
    resumed: u64,
    /// The last one that was read.
    pub(super) seen: u64,
    pub(super) newest: Option<Head>,
    /// The last one that became a record, now or in an earlier run.
    pub(super) put: u64,
    /// Entries up to `seen` were copied from the file with this key, all of them up to this position.
    pub(super) copied: Option<(String, u64)>,
    /// Entries that could not be read, and not been reported.
    pub(super) lost: u64,
    /// Why.
    pub(super) damage: Option<JournalError>,
    /// Entries that were passed or are counted as lost, since the way to the next one is damaged.
    broken_at: Option<u64>,
    /// Since when it has no name any more.
    pub(super) gone: Option<Instant>,
    /// Whether it was known before, so that nothing is missing before it.
    pub(super) is_known: bool,
    /// Whose records it has given, by their names.
    pub(super) origins: HashMap<Vec<u8>, OriginHandle>,
    /// Whether its mark is not what it was when it was saved.
    pub(super) changed: bool,
}

#[derive(Clone, Copy)]
struct Next {
    offset: u64,
    head: Head,
}

impl JournalFile {
    /// A file that was found. It is read from its beginning unless [`JournalFile::resume`] says where else.
    ///
    /// # Errors
    /// Where it can't be read, or is no journal file (yet).
    pub(super) fn new(file: File, id: FileId, number: u64, path: PathBuf) -> Result<Self, JournalError> {
        let header = header_of(&file)?;
        Ok(Self {
            file: Some(file),
            number,
            id,
            key: format!("journal:{}", hex(&header.file_id)),
            path,
            header,
            walk: Walk::default(),
            next: None,
            start: 0,
            resumed: 0,
            seen: 0,
            newest: None,
            put: 0,
            copied: None,
            lost: 0,
            damage: None,
            broken_at: None,
            gone: None,
            is_known: false,
            origins: HashMap::new(),
            changed: true,
        })
    }

    pub(super) fn seqnum_id(&self) -> &Id {
        &self.header.seqnum_id
    }

    /// Whether nothing is left to read, and nobody will add to it.
    pub(super) fn is_finished(&self) -> bool {
        self.file.is_none()
    }

    /// The next entry, where one is known.
    pub(super) fn next(&self) -> Option<&Head> {
        self.next.as_ref().map(|next| &next.head)
    }

    /// Goes to where an earlier run has come to. False where the file is not what that run has read: it was replaced by
    /// what it had been before, and may have other entries with the numbers that were read.
    pub(super) fn resume(&mut self, restart: &Restart, blocks: &mut Blocks) -> bool {
        let Some(file) = &self.file else { return true };
        let mut bytes = blocks.of(file, self.number);
        if restart.from > self.header.last_seqnum {
            return false;
        }
        if let Some(newest) = &restart.newest
            && self.walk.seek_after(&mut bytes, &self.header, newest.seqnum.saturating_sub(1)).is_ok()
            && let Ok(Some(offset)) = self.walk.next(&mut bytes, &self.header)
            && let Ok(head) = journal::entry(&mut bytes, &self.header, offset, &mut Vec::new())
            && (head.boot_id, head.monotonic_us, head.hash) != (newest.boot_id, newest.monotonic_us, newest.hash)
        {
            self.walk = Walk::default();
            return false;
        }
        // Where the way there is damaged it is gone step by step, and what was read is passed over.
        if restart.from == 0 || self.walk.seek_after(&mut bytes, &self.header, restart.from).is_err() {
            self.walk = Walk::default();
        }
        (self.start, self.resumed, self.seen, self.put) = (restart.start, restart.from, restart.from, restart.put);
        self.newest = restart.newest;
        true
    }

    /// Goes behind what there is.
    pub(super) fn go_to_end(&mut self, blocks: &mut Blocks) {
        let Some(file) = &self.file else { return };
        if self.walk.seek_end(&mut blocks.of(file, self.number), &self.header).is_err() {
            self.walk = Walk::default();
        }
        let last = self.header.last_seqnum;
        (self.start, self.resumed, self.seen) = (last, last, last);
    }

    /// Looks at what was added. One whose header is gone was deleted and its bytes given back: what it had is lost.
    pub(super) fn refresh(&mut self, blocks: &mut Blocks) {
        let Some(file) = &self.file else { return };
        match header_of(file) {
            Ok(header) if header == self.header => {}
            Ok(header) if header.file_id == self.header.file_id => {
                self.header = header;
                self.changed = true;
                blocks.forget(self.number);
            }
            Ok(_) => self.give_up(JournalError::NoJournal),
            Err(error) => self.give_up(error),
        }
    }

    /// Nothing more can be read of it.
    fn give_up(&mut self, why: JournalError) {
        let known = self.broken_at.unwrap_or(self.walk.passed());
        self.lost += self.header.entries.saturating_sub(known) + u64::from(self.next.is_some());
        self.next = None;
        self.damage = Some(why).filter(|_| self.lost > 0);
        self.broken_at = Some(self.header.entries.max(known));
        self.file = None;
    }

    /// Looks for the next entry that was not read before; what is damaged before it is counted.
    pub(super) fn look(&mut self, blocks: &mut Blocks) {
        while self.next.is_none() {
            let Some(file) = &self.file else { return };
            let mut bytes = blocks.of(file, self.number);
            if let Some(known) = self.broken_at {
                self.lost += self.header.entries.saturating_sub(known);
                self.broken_at = Some(self.header.entries.max(known));
                return self.finish();
            }
            let offset = match self.walk.next(&mut bytes, &self.header) {
                Ok(Some(offset)) => offset,
                Ok(None) => return self.finish(),
                Err(error) => {
                    self.damage = Some(error);
                    self.broken_at = Some(self.walk.passed());
                    continue;
                }
            };
            match journal::entry(&mut bytes, &self.header, offset, &mut Vec::new()) {
                // What was read before a restart, where the way behind it was damaged.
                Ok(head) if head.seqnum <= self.resumed => {}
                Ok(head) if head.seqnum > self.seen && head.seqnum <= self.header.last_seqnum => {
                    self.next = Some(Next { offset, head });
                }
                Ok(_) => {
                    self.lost += 1;
                    self.damage = Some(JournalError::Damaged { offset, what: "the number of an entry" });
                }
                Err(error) => {
                    self.lost += 1;
                    self.damage = Some(error);
                }
            }
        }
    }

    /// Reads the fields of the entry that [`JournalFile::look`] has shown, and goes on behind it. False where nothing of
    /// it can be read, which is counted.
    pub(super) fn take(
        &mut self,
        blocks: &mut Blocks,
        offsets: &mut Vec<u64>,
        fields: &mut Fields,
        most: usize,
    ) -> bool {
        fields.clear();
        let (Some(next), Some(file)) = (self.next.take(), &self.file) else { return false };
        let mut bytes = blocks.of(file, self.number);
        (self.seen, self.newest) = (next.head.seqnum, Some(next.head));
        if let Err(error) = journal::entry(&mut bytes, &self.header, next.offset, offsets) {
            self.lost += 1;
            self.damage = Some(error);
            return false;
        }
        for offset in offsets.iter() {
            if fields.bytes.len() >= MOST_BYTES {
                fields.is_cut = true;
                break;
            }
            let start = fields.bytes.len();
            match journal::data(&mut bytes, &self.header, *offset, &mut fields.bytes) {
                Ok(field) => {
                    fields.is_cut |= field.original_len > field.len as u64;
                    fields.end_field(start, most);
                }
                Err(error) => {
                    fields.damaged += 1;
                    self.damage = Some(error);
                }
            }
        }
        if fields.is_empty() {
            self.lost += 1;
            self.damage = Some(JournalError::Damaged { offset: next.offset, what: "an entry without fields" });
        }
        !fields.is_empty()
    }

    /// Passes over the entry that [`JournalFile::look`] has shown: a copy of what was read from the file `from`.
    pub(super) fn skip(&mut self, from: (String, u64)) {
        if let Some(next) = self.next.take() {
            (self.seen, self.newest) = (next.head.seqnum, Some(next.head));
            self.copied = Some(from);
        }
    }

    /// All that there is was read: one that nobody writes to need not be open.
    fn finish(&mut self) {
        if self.header.is_archived {
            self.file = None;
        }
    }

    /// The folder that it is in.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }
}

/// An id as it is written everywhere.
pub(super) fn hex(id: &Id) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn header_of(file: &File) -> Result<Header, JournalError> {
    let mut bytes = [0; HEADER_LEN];
    let read = read_at(file, &mut bytes, 0)?;
    let mut header = Header::parse(&bytes[..read])?;
    let len = file.metadata()?.len();
    header.entries = header.entries.min(len / LEAST_ENTRY);
    Ok(header)
}
