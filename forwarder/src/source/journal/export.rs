//! Entries that come as journal export format, of one stream: what becomes of them is what becomes of a journal file's.
//!
//! Fields that begin with two underscores say where the entry was in its journal, and are none of the record's; of them,
//! `__REALTIME_TIMESTAMP` is its time where there is no better one. What is no field is text, marked `unparsed`. An entry
//! whose end did not come is a record, marked `partial`; so is one that is handed on because its memory is needed, and
//! the rest of it is then another one, with the name of the field that it begins in.

use std::collections::HashMap;

use super::fields::{Fields, MOST_BYTES};
use super::reader::MOST_ORIGINS;
use super::selection::{Names, ReadFrom, Selection, Wanted};
use crate::parse::journal::export::{ExportReader, Piece};
use crate::record::{FieldValue, Flags, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::source::output::Output;

/// Fields of one entry, as journald has it; more are another record's.
const MOST_FIELDS: usize = 1024;

/// What came of the bytes at hand.
#[derive(Default)]
pub(in crate::source) struct ExportTally {
    pub(in crate::source) records: u64,
    /// Records that are parts of entries.
    pub(in crate::source) parts: u64,
    /// Entries of which a field was cut.
    pub(in crate::source) cut: u64,
}

/// The unfinished entry of one stream.
pub(in crate::source) struct ExportEntries {
    reader: ExportReader,
    entry: Entry,
}

struct Entry {
    fields: Fields,
    selection: Selection,
    /// Where the field begins that is read, in the fields' bytes.
    start: usize,
    /// Of that field.
    name: Vec<u8>,
    is_in_field: bool,
    /// `__REALTIME_TIMESTAMP`
    realtime_us: Option<u64>,
    origins: HashMap<Vec<u8>, OriginHandle>,
    /// Of what is no entry.
    unparsed: OriginHandle,
}

impl ExportEntries {
    /// `unparsed`: whose it is that is no entry. The rest of a field that is longer than `max_field` is cut off.
    pub(in crate::source) fn new(unparsed: OriginHandle, max_field: usize) -> Self {
        let selection = Selection {
            folders: Vec::new(),
            read_from: ReadFrom::Beginning,
            matches: Vec::new(),
            fields: Wanted::All,
            names: Names::Short,
            without_kernel: false,
            max_field,
        };
        let entry = Entry {
            fields: Fields::default(),
            selection,
            start: 0,
            name: Vec::new(),
            is_in_field: false,
            realtime_us: None,
            origins: HashMap::new(),
            unparsed,
        };
        Self { reader: ExportReader::default(), entry }
    }

    /// The next bytes, which came at `now_ns`.
    pub(in crate::source) fn push(&mut self, data: &[u8], now_ns: i64, output: &mut Output, tally: &mut ExportTally) {
        let Self { reader, entry } = self;
        reader.push(data, &mut |piece| entry.take(piece, now_ns, output, tally));
    }

    /// The stream has ended.
    pub(in crate::source) fn finish(&mut self, now_ns: i64, output: &mut Output, tally: &mut ExportTally) {
        let Self { reader, entry } = self;
        reader.finish(&mut |piece| entry.take(piece, now_ns, output, tally));
        entry.put(Flags::PARTIAL, now_ns, output, tally);
        entry.fields = Fields::default();
    }

    /// Its memory is needed.
    pub(in crate::source) fn hand_on(&mut self, now_ns: i64, output: &mut Output, tally: &mut ExportTally) {
        let entry = &mut self.entry;
        let name = entry.is_in_field.then(|| entry.name.clone());
        if name.is_some() {
            entry.take(Piece::FieldEnd, now_ns, output, tally);
        }
        entry.put(Flags::PARTIAL, now_ns, output, tally);
        entry.fields = Fields::default();
        if let Some(name) = name {
            entry.take(Piece::Field(&name), now_ns, output, tally);
        }
    }

    pub(in crate::source) fn is_waiting(&self) -> bool {
        self.reader.is_in_field() || !self.entry.fields.bytes.is_empty()
    }

    /// Bytes of the unfinished entry.
    pub(in crate::source) fn waiting_bytes(&self) -> usize {
        self.entry.fields.bytes.len()
    }
}

impl Entry {
    fn take(&mut self, piece: Piece<'_>, now_ns: i64, output: &mut Output, tally: &mut ExportTally) {
        let Self { fields, selection, start, .. } = self;
        match piece {
            Piece::Field(name) => {
                if fields.len() >= MOST_FIELDS || fields.bytes.len() >= MOST_BYTES {
                    self.put(Flags::PARTIAL, now_ns, output, tally);
                }
                let Self { fields, start, .. } = self;
                *start = fields.bytes.len();
                fields.bytes.extend_from_slice(name);
                fields.bytes.push(b'=');
                self.name.clear();
                self.name.extend_from_slice(name);
                self.is_in_field = true;
            }
            Piece::Value(value) => {
                let most = (*start + self.name.len() + 1 + selection.max_field).min(MOST_BYTES.max(*start));
                let room = most.saturating_sub(fields.bytes.len()).min(value.len());
                fields.bytes.extend_from_slice(&value[..room]);
                fields.is_cut |= room < value.len();
            }
            Piece::FieldEnd => self.end_field(),
            Piece::EntryEnd => self.put(Flags::NONE, now_ns, output, tally),
            Piece::Unparsed(line) => {
                let meta = RecordMeta::line(now_ns, line);
                output.push_with_fields(&self.unparsed, meta, line, &[("unparsed", FieldValue::Json(b"true"))]);
                tally.records += 1;
            }
        }
    }

    fn end_field(&mut self) {
        self.is_in_field = false;
        if !self.name.starts_with(b"__") {
            return self.fields.end_field(self.start, self.selection.max_field);
        }
        if self.name == b"__REALTIME_TIMESTAMP" {
            let value = self.fields.bytes.get(self.start + self.name.len() + 1..).unwrap_or_default();
            self.realtime_us = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        }
        self.fields.bytes.truncate(self.start);
    }

    fn put(&mut self, flags: Flags, now_ns: i64, output: &mut Output, tally: &mut ExportTally) {
        let Self { fields, selection, realtime_us, origins, .. } = self;
        let realtime_us = realtime_us.take();
        if fields.is_empty() {
            return fields.clear();
        }
        let made = fields.made();
        if origins.len() >= MOST_ORIGINS && !origins.contains_key(made.service) {
            origins.clear();
        }
        let origin = match origins.get(made.service) {
            Some(origin) => origin.clone(),
            None => {
                let name = String::from_utf8_lossy(made.service).into_owned();
                let origin = OriginHandle::new(Origin::new(OriginKind::Service, name));
                origins.entry(made.service.to_vec()).or_insert(origin).clone()
            }
        };
        let written = made.written_us.or(realtime_us).and_then(|us| i64::try_from(us).ok()?.checked_mul(1000));
        let meta = RecordMeta {
            time_ns: written.unwrap_or(now_ns),
            position: 0,
            level: made.level,
            flags: made.flags | flags,
            original_len: u32::try_from(made.text.len()).unwrap_or(u32::MAX),
        };
        tally.records += 1;
        tally.parts += u64::from(flags.contains(Flags::PARTIAL));
        tally.cut += u64::from(made.flags.contains(Flags::CUT));
        fields.with_fields(selection, |text, fields| output.push_with_fields(&origin, meta, text, fields));
        fields.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ring::{ReaderOptions, Ring, RingLimits};

    /// What becomes of the pieces; after each `None`, memory is needed.
    fn records(pieces: &[Option<&[u8]>]) -> (Vec<(String, Flags, usize)>, ExportTally) {
        let ring = Ring::new(RingLimits { bytes: 64 << 20, records: u64::MAX }, 1);
        let mut cursor = ring.reader(ReaderOptions::new("test"));
        let (mut output, mut tally) = (Output::new(Arc::clone(&ring)), ExportTally::default());
        let mut entries = ExportEntries::new(OriginHandle::new(Origin::new(OriginKind::Peer, "x")), 10);
        for piece in pieces {
            match piece {
                Some(data) => entries.push(data, 1, &mut output, &mut tally),
                None => entries.hand_on(1, &mut output, &mut tally),
            }
        }
        entries.finish(1, &mut output, &mut tally);
        assert!(!entries.is_waiting() && entries.waiting_bytes() == 0);
        output.seal();
        let mut found = Vec::new();
        while let Some(entry) = cursor.try_next() {
            let records = entry.batch.records();
            found.extend(records.map(|record| {
                (String::from_utf8_lossy(record.body).into_owned(), record.flags, record.fields().len())
            }));
        }
        (found, tally)
    }

    #[test]
    fn a_field_that_is_cut_by_want_of_memory_goes_on_in_the_next_record() {
        let (found, tally) = records(&[Some(b"A=1\nMESSAGE=ab"), None, Some(b"cd\nB=2\n\nMESSAGE=ef\n\n")]);
        let part = |text: &str, flags, fields| (text.to_owned(), flags, fields);
        let expected = [part("ab", Flags::PARTIAL, 1), part("cd", Flags::NONE, 1), part("ef", Flags::NONE, 0)];
        assert_eq!(found, expected);
        assert_eq!((tally.records, tally.parts, tally.cut), (3, 1, 0));
    }

    #[test]
    fn an_entry_without_end_comes_in_parts() {
        let many = b"A=\n".repeat(MOST_FIELDS * 2 + 1);
        let (found, tally) = records(&[Some(&many)]);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|(_, flags, _)| *flags == Flags::PARTIAL));
        assert_eq!(tally.parts, 3);
        let (found, tally) = records(&[Some(b"MESSAGE=0123456789ab\n\n__CURSOR=x\n\n\n")]);
        assert_eq!(found, [("0123456789".to_owned(), Flags::CUT, 0)]);
        assert_eq!((tally.records, tally.cut), (1, 1));
    }
}
