//! systemd's journal export format: entries as journalctl (`-o export`), systemd-journal-remote's peers and
//! systemd-journal-gatewayd write them.
//!
//! Format: <https://systemd.io/JOURNAL_EXPORT_FORMATS/>
//!
//! ```text
//!  FIELD=text \n                        a text without newlines and control characters
//!  FIELD \n length u64 LE · bytes \n    anything
//!  \n                                   ends an entry
//! ```
//!
//! In: pieces of one stream, cut anywhere. Out: [`Piece`]s; every byte of a value, and of what is no field, is in one of
//! them, in order. Nothing is kept but a field's name, or a line that is none.
//!
//! A line that is no field is [`Piece::Unparsed`]: its name is not of the journal's, or its length is more than
//! [`MOST_VALUE`].

/// journald's own limit.
const LONGEST_NAME: usize = 64;
/// systemd's limit of a value (`DATA_SIZE_MAX`).
const MOST_VALUE: u64 = 768 << 20;
/// A line that is no field is given in pieces of so many bytes.
const MOST_UNPARSED: usize = 8 << 10;

/// What a stream says, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A field of this name begins.
    Field(&'a [u8]),
    /// The next part of its value.
    Value(&'a [u8]),
    /// It is whole.
    FieldEnd,
    EntryEnd,
    /// A line, or a part of one, that is no field.
    Unparsed(&'a [u8]),
}

/// Where one stream is.
#[derive(Default)]
pub struct ExportReader {
    state: State,
    /// A name, or a line that is none.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// At the beginning of a line, or in a name.
    #[default]
    Name,
    Text,
    /// In a length: its bytes so far.
    Length {
        bytes: [u8; 8],
        known: usize,
    },
    /// In a value of which so many bytes are to come.
    Counted(u64),
    /// Before the newline that follows such a value.
    Behind,
    /// In a line that is no field.
    Other,
}

impl ExportReader {
    /// Whether the stream may not end here: an entry's field is not whole.
    pub fn is_in_field(&self) -> bool {
        self.state != State::Name || !self.line.is_empty()
    }

    /// The next bytes.
    pub fn push(&mut self, mut data: &[u8], out: &mut impl FnMut(Piece<'_>)) {
        while let Some(first) = data.first().copied() {
            match self.state {
                State::Name => data = self.name(data, out),
                State::Text => {
                    let end = memchr::memchr(b'\n', data);
                    let (value, rest) = data.split_at(end.unwrap_or(data.len()));
                    put(value, out);
                    data = rest;
                    if end.is_some() {
                        data = &rest[1..];
                        self.end_field(State::Name, out);
                    }
                }
                State::Length { mut bytes, known } => {
                    bytes[known] = first;
                    data = &data[1..];
                    self.state = State::Length { bytes, known: known + 1 };
                    if known + 1 == bytes.len() {
                        self.length(bytes, out);
                    }
                }
                State::Counted(left) => {
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
                    let (value, rest) = data.split_at(now);
                    put(value, out);
                    data = rest;
                    self.state = match left - now as u64 {
                        0 => State::Behind,
                        left => State::Counted(left),
                    };
                }
                State::Behind => {
                    // Without the newline, the next field begins right here.
                    data = &data[usize::from(first == b'\n')..];
                    self.end_field(State::Name, out);
                }
                State::Other => {
                    let end = memchr::memchr(b'\n', data);
                    let (line, rest) = data.split_at(end.unwrap_or(data.len()).min(MOST_UNPARSED));
                    self.line.extend_from_slice(line);
                    data = rest;
                    let is_end = data.first() == Some(&b'\n');
                    if is_end {
                        data = &data[1..];
                    }
                    if is_end || self.line.len() >= MOST_UNPARSED {
                        self.unparsed(out);
                        self.state = if is_end { State::Name } else { State::Other };
                    }
                }
            }
        }
    }

    /// The stream has ended: what is not whole is given as it is.
    pub fn finish(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        match std::mem::take(&mut self.state) {
            State::Text | State::Counted(_) | State::Behind => self.end_field(State::Name, out),
            State::Length { bytes, known } => {
                self.line.push(b'\n');
                self.line.extend_from_slice(&bytes[..known]);
                self.unparsed(out);
            }
            State::Name | State::Other => self.unparsed(out),
        }
    }

    /// The rest of a name; what is behind it.
    fn name<'d>(&mut self, data: &'d [u8], out: &mut impl FnMut(Piece<'_>)) -> &'d [u8] {
        let len = data.iter().take_while(|byte| is_of_name(**byte)).count();
        let (name, rest) = data.split_at(len.min(LONGEST_NAME + 1));
        self.line.extend_from_slice(name);
        let Some((end, behind)) = rest.split_first() else { return rest };
        match end {
            b'\n' if self.line.is_empty() => out(Piece::EntryEnd),
            b'\n' if self.is_name() => self.state = State::Length { bytes: [0; 8], known: 0 },
            b'\n' => self.unparsed(out),
            b'=' if self.is_name() => {
                out(Piece::Field(&self.line));
                self.state = State::Text;
            }
            _ => {
                self.state = State::Other;
                return rest;
            }
        }
        behind
    }

    fn is_name(&self) -> bool {
        let starts_well = self.line.first().is_some_and(|first| !first.is_ascii_digit());
        starts_well && self.line.len() <= LONGEST_NAME
    }

    fn length(&mut self, bytes: [u8; 8], out: &mut impl FnMut(Piece<'_>)) {
        let length = u64::from_le_bytes(bytes);
        if length > MOST_VALUE {
            self.unparsed(out);
            self.state = State::Name;
            // Lines again, perhaps.
            return self.push(&bytes, out);
        }
        out(Piece::Field(&self.line));
        self.state = if length == 0 { State::Behind } else { State::Counted(length) };
    }

    fn end_field(&mut self, next: State, out: &mut impl FnMut(Piece<'_>)) {
        out(Piece::FieldEnd);
        self.line.clear();
        self.state = next;
    }

    fn unparsed(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        if !self.line.is_empty() {
            out(Piece::Unparsed(&self.line));
            self.line.clear();
        }
    }
}

fn put(value: &[u8], out: &mut impl FnMut(Piece<'_>)) {
    if !value.is_empty() {
        out(Piece::Value(value));
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Entries as lists of fields; what is no field stands as `?`.
    type Entry = Vec<(String, Vec<u8>)>;

    fn read(pieces: &[&[u8]]) -> Vec<Entry> {
        let (mut reader, mut entries, mut entry) = (ExportReader::default(), Vec::new(), Entry::new());
        let mut out = |piece: Piece<'_>| match piece {
            Piece::Field(name) => entry.push((String::from_utf8(name.to_vec()).unwrap(), Vec::new())),
            Piece::Value(value) => entry.last_mut().unwrap().1.extend_from_slice(value),
            Piece::FieldEnd => {}
            Piece::Unparsed(line) => entry.push(("?".into(), line.to_vec())),
            Piece::EntryEnd => entries.push(std::mem::take(&mut entry)),
        };
        pieces.iter().for_each(|piece| reader.push(piece, &mut out));
        reader.finish(&mut out);
        assert!(!reader.is_in_field());
        if !entry.is_empty() {
            entries.push(entry);
        }
        entries
    }

    fn binary(name: &str, value: &[u8]) -> Vec<u8> {
        [name.as_bytes(), b"\n", &(value.len() as u64).to_le_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn fields_of_text_and_of_bytes() {
        let text =
            [b"__CURSOR=s=1\nMESSAGE=a = b\nEMPTY=\n", &binary("LINES", b"a\n\nB=\0")[..], b"\nA=1\n\n"].concat();
        let field = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let first = vec![
            field("__CURSOR", b"s=1"),
            field("MESSAGE", b"a = b"),
            field("EMPTY", b""),
            field("LINES", b"a\n\nB=\0"),
        ];
        let expected = [first, vec![field("A", b"1")]];
        assert_eq!(read(&[&text]), expected);
        let bytes: Vec<_> = text.chunks(1).collect();
        assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn what_is_no_field_is_not_lost() {
        let other = |text: &[u8]| ("?".to_owned(), text.to_vec());
        assert_eq!(read(&[b"hello world\nA=1\n\n"]), [vec![other(b"hello world"), ("A".into(), b"1".to_vec())]]);
        let long = [b'A'; 70];
        assert_eq!(read(&[&long, b"=x"]), [vec![other(&[&long[..], b"=x"].concat())]]);
        assert_eq!(read(&[b"1A=x\n=y\n"]), [vec![other(b"1A=x"), other(b"=y")]]);
        assert_eq!(
            read(&[b"A\n\xff\xff\xff\xff\xff\xff\xff\xffB=1\n"]),
            [vec![other(b"A"), other(b"\xff\xff\xff\xff\xff\xff\xff\xffB=1"),]]
        );
        assert_eq!(read(&[b"A\n\x03\0"]), [vec![other(b"A\n\x03\0")]]);
        assert_eq!(read(&[b"A\n\x03\0\0\0\0\0\0\0xy"]), [vec![("A".into(), b"xy".to_vec())]]);
        assert_eq!(
            read(&[b"A\n\x01\0\0\0\0\0\0\0xB=1\n"]),
            [vec![("A".into(), b"x".to_vec()), ("B".into(), b"1".to_vec()),]]
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            entries in proptest::collection::vec(proptest::collection::vec(
                ("[A-Z_][A-Z0-9_]{0,9}", proptest::collection::vec(any::<u8>(), 0..20)), 1..5), 0..5),
            size in 1..30usize,
        ) {
            let mut text = Vec::new();
            for entry in &entries {
                for (name, value) in entry {
                    if value.contains(&b'\n') {
                        text.extend(binary(name, value));
                    } else {
                        text.extend([name.as_bytes(), b"=", value, b"\n"].concat());
                    }
                }
                text.push(b'\n');
            }
            let pieces: Vec<_> = text.chunks(size).collect();
            prop_assert_eq!(read(&pieces), entries);
        }

        #[test]
        fn how_it_is_cut_changes_nothing(text in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'='), Just(b'A'), Just(0u8), any::<u8>()], 0..200), size in 1..20usize)
        {
            let pieces: Vec<_> = text.chunks(size).collect();
            prop_assert_eq!(read(&pieces), read(&[&text]));
        }
    }
}
