//! Entries of Docker's logging plugins, as dockerd writes them to a FIFO and reads them back.
//!
//! ```text
//! length u32 big-endian · LogEntry { 1 source, 2 time_nano, 3 line, 4 partial, 5 { 1 last, 2 id, 3 ordinal } }
//! ```
//!
//! Protocol buffers, of which two messages do not need a compiler: moby `api/types/plugins/logdriver/entry.proto`. A line
//! has no newline. dockerd writes the fields in order and knows two sources, so where an entry begins can be found again
//! ([`find`]) after bytes that are none.
//!
//! A line is cut at 16 KiB: every part says that it is `partial`, the last one also that it is the last;
//! before Docker 19.03 parts had no metadata, and the last was not `partial`.

/// The longest entry that is taken for one; dockerd's have little more than 16 KiB.
pub const MAX_ENTRY: usize = 16 << 20;

const LENGTH: usize = 4;
/// What every entry begins with: field 1, of six bytes, `stdout` or `stderr`.
const BEGIN: &[u8] = b"\x0a\x06std";

/// One entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogEntry<'a> {
    /// `stdout` or `stderr`.
    pub source: &'a [u8],
    /// Since the epoch.
    pub time_ns: i64,
    pub line: &'a [u8],
    /// The line goes on in the next entry of the same source.
    pub continues: bool,
}

/// Bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an entry as Docker writes it")]
pub struct NoEntry;

/// What is at the beginning of `bytes`: an entry and its whole length, or `None` where its end has not come yet.
///
/// # Errors
/// Where none begins here.
pub fn split(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, NoEntry> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    let known = rest.len().min(BEGIN.len());
    if length > MAX_ENTRY || rest[..known] != BEGIN[..known] {
        return Err(NoEntry);
    }
    Ok(rest.get(..length).map(|entry| (entry, LENGTH + length)))
}

/// Where the next entry may begin, behind the first byte: what is before it is none.
pub fn find(bytes: &[u8]) -> usize {
    let from = (LENGTH + 1).min(bytes.len());
    match memchr::memmem::find(&bytes[from..], BEGIN) {
        Some(at) => from + at - LENGTH,
        // The beginning of one may be at the end.
        None => bytes.len().saturating_sub(LENGTH + BEGIN.len() - 1).max(1).min(bytes.len()),
    }
}

/// An entry, without its length.
///
/// # Errors
/// Where it is cut, or something else.
pub fn decode(bytes: &[u8]) -> Result<LogEntry<'_>, NoEntry> {
    let mut entry = LogEntry::default();
    let (mut partial, mut last) = (false, false);
    let mut input = Input(bytes);
    while let Some((field, value)) = input.field()? {
        match (field, value) {
            (1, Value::Bytes(bytes)) => entry.source = bytes,
            (2, Value::Number(number)) => entry.time_ns = number.cast_signed(),
            (3, Value::Bytes(bytes)) => entry.line = bytes,
            (4, Value::Number(number)) => partial = number != 0,
            (5, Value::Bytes(bytes)) => {
                let mut metadata = Input(bytes);
                while let Some((field, value)) = metadata.field()? {
                    if let (1, Value::Number(number)) = (field, value) {
                        last = number != 0;
                    }
                }
            }
            // What later versions add.
            _ => {}
        }
    }
    entry.continues = partial && !last;
    Ok(entry)
}

/// Appends an entry with its length. For `docker logs` a line has its newline.
pub fn encode(source: &str, time_ns: i64, line: &[u8], newline: bool, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend([0; LENGTH]);
    put_bytes(1, source.as_bytes(), out);
    put_varint(2 << 3, out);
    put_varint(time_ns.cast_unsigned(), out);
    put_varint(3 << 3 | 2, out);
    put_varint(line.len() as u64 + u64::from(newline), out);
    out.extend_from_slice(line);
    if newline {
        out.push(b'\n');
    }
    let length = u32::try_from(out.len() - start - LENGTH).unwrap_or(u32::MAX);
    out[start..start + LENGTH].copy_from_slice(&length.to_be_bytes());
}

fn put_bytes(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(field << 3 | 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Input<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Input<'a> {
    /// Number and value of the next field; `None` at the end.
    fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, NoEntry> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| NoEntry)?)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(NoEntry),
        };
        Ok(Some((key >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, NoEntry> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(NoEntry)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], NoEntry> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NoEntry)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Docker's own generated code writes it.
    fn part(line: &[u8], metadata: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(1, b"stderr", &mut out);
        put_varint(2 << 3, &mut out);
        put_varint(1_500_000_000_000_000_000, &mut out);
        put_bytes(3, line, &mut out);
        out.extend([4 << 3, 1]);
        if !metadata.is_empty() {
            put_bytes(5, metadata, &mut out);
        }
        out
    }

    #[test]
    fn parts_go_on_until_the_last() {
        let whole =
            LogEntry { source: b"stderr", time_ns: 1_500_000_000_000_000_000, line: b"a\xff", continues: false };
        // last, id, ordinal
        let first = [0x12, 1, b'x', 0x18, 1];
        let last = [0x08, 1, 0x12, 1, b'x', 0x18, 2];
        assert_eq!(decode(&part(b"a\xff", &first)), Ok(LogEntry { continues: true, ..whole }));
        assert_eq!(decode(&part(b"a\xff", &last)), Ok(whole));
        // Without metadata, as before 19.03.
        assert_eq!(decode(&part(b"a\xff", &[])), Ok(LogEntry { continues: true, ..whole }));
    }

    #[test]
    fn what_is_no_entry_is_told() {
        assert_eq!(split(&[0, 0, 0]), Ok(None));
        assert_eq!(split(&[0, 0, 0, 2, 0x0a]), Ok(None));
        assert_eq!(split(b"{\"log\":\"text\"}"), Err(NoEntry));
        assert_eq!(split(&[0, 0, 0, 9, 0x0a, 0x07]), Err(NoEntry));
        assert_eq!(split(&[0, 0, 0, 9, 0x0a, 0x06, b's']), Ok(None));
        assert_eq!(decode(b"plain text"), Err(NoEntry));
        assert_eq!(decode(&[0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(NoEntry));
        assert_eq!(decode(&[]), Ok(LogEntry::default()));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(source in "std(out|err)", time_ns: i64, line: Vec<u8>, more: Vec<u8>) {
            let mut bytes = Vec::new();
            encode(&source, time_ns, &line, false, &mut bytes);
            let length = bytes.len();
            bytes.extend(more);
            let (entry, used) = split(&bytes).unwrap().unwrap();
            prop_assert_eq!(used, length);
            let expected = LogEntry { source: source.as_bytes(), time_ns, line: &line, continues: false };
            prop_assert_eq!(decode(entry), Ok(expected));
        }

        #[test]
        fn any_bytes_are_an_entry_or_none(bytes: Vec<u8>) {
            let _ = split(&bytes);
            let _ = decode(&bytes);
            if !bytes.is_empty() {
                prop_assert!((1..=bytes.len()).contains(&find(&bytes)));
            }
        }

        #[test]
        fn an_entry_is_found_behind_anything(garbage in prop::collection::vec(0u8..9, 1..30), line: Vec<u8>) {
            let mut bytes = garbage.clone();
            encode("stderr", 1, &line, false, &mut bytes);
            prop_assert_eq!(find(&bytes), garbage.len());
        }
    }
}
