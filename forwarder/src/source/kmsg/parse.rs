//! One record of /dev/kmsg: `<prio>,<seq>,<usec>,<flags>[,more];<text>\n[ KEY=value\n…]`, non-printable bytes
//! escaped as `\xHH` (Documentation/ABI/testing/dev-kmsg of the kernel).

use crate::record::{FieldValue, Level, RecordMeta, facility_name};

/// A parsed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsgRecord {
    /// Syslog severity, 0..=7.
    pub severity: u32,
    pub facility: u32,
    pub sequence: u64,
    /// The kernel's local clock in µs.
    pub clock_us: i64,
    /// Text with its newline and dictionary lines, unescaped.
    pub text: Vec<u8>,
}

/// Why bytes are not a record.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KmsgError {
    #[error("a kernel record has no ';'")]
    NoText,
    #[error("a kernel record has {0} fields before its text instead of at least 3")]
    TooFewFields(usize),
    #[error("field {0} of a kernel record is not a number")]
    NotANumber(usize),
}

impl KmsgRecord {
    /// # Errors
    /// Where the prefix is not that of a record; the text may be anything.
    pub fn parse(bytes: &[u8]) -> Result<Self, KmsgError> {
        let semicolon = memchr::memchr(b';', bytes).ok_or(KmsgError::NoText)?;
        let fields: Vec<&[u8]> = bytes[..semicolon].split(|byte| *byte == b',').collect();
        let [priority, sequence, clock, ..] = fields[..] else { return Err(KmsgError::TooFewFields(fields.len())) };
        let priority: u32 = number(priority, 1)?;
        Ok(Self {
            severity: priority & 7,
            facility: priority >> 3,
            sequence: number(sequence, 2)?,
            clock_us: number(clock, 3)?,
            text: unescape(&bytes[semicolon + 1..]),
        })
    }

    /// The record as Ringward has it, written at `time_ns`, given to `push`: what is said of it, its body and its fields.
    pub fn give(
        &self,
        time_ns: i64,
        names: FacilityNames,
        push: impl FnOnce(RecordMeta, &[u8], &[(&str, FieldValue<'_>)]),
    ) {
        let facility = names.name(self.facility);
        let level = Level::from_priority(self.severity);
        let position = self.sequence.saturating_add(1);
        let meta = RecordMeta { position, level, ..RecordMeta::line(time_ns, &self.text) };
        let fields = [
            ("clock", FieldValue::Integer(self.clock_us)),
            ("facility", FieldValue::Text(facility.as_bytes())),
            ("priority", FieldValue::Text(level.name().as_bytes())),
            ("seq", FieldValue::Integer(i64::try_from(self.sequence).unwrap_or(i64::MAX))),
        ];
        push(meta, &self.text, &fields);
    }

    /// The text without its newline and dictionary lines: what was printed.
    pub fn message(&self) -> &[u8] {
        let end = memchr::memchr(b'\n', &self.text).unwrap_or(self.text.len());
        &self.text[..end]
    }
}

/// Whose names the facilities have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FacilityNames {
    /// As Linux and RFC 5424 number them.
    #[default]
    Linux,
    /// As Talos writes them: 11 to 18 are `local0` to `local7`. It has no names for those above; they have Linux'.
    Talos,
}

impl FacilityNames {
    pub fn name(self, facility: u32) -> String {
        const FTP: u32 = 11;
        const LOCAL0: u32 = 16;
        let number = match self {
            Self::Talos if (FTP..FTP + 8).contains(&facility) => facility - FTP + LOCAL0,
            Self::Linux | Self::Talos => facility,
        };
        facility_name(number).map_or_else(|| format!("facility{facility}"), str::to_owned)
    }
}

fn number<T: std::str::FromStr>(digits: &[u8], field: usize) -> Result<T, KmsgError> {
    let text = std::str::from_utf8(digits).map_err(|_| KmsgError::NotANumber(field))?;
    text.parse().map_err(|_| KmsgError::NotANumber(field))
}

/// `\xHH` and `\\` become bytes; an unknown escape is dropped, of a bad `\x` only the valid rest stays, as
/// Talos' reader does.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..backslash]);
        rest = &rest[backslash + 1..];
        let Some((kind, after)) = rest.split_first() else { return out };
        rest = after;
        match kind {
            b'\\' => out.push(b'\\'),
            b'x' => rest = hex_byte(rest, &mut out),
            _ => {}
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Takes two hexadecimal digits; a bad one is taken too and drops the escape.
fn hex_byte<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut value = 0;
    for index in 0..2 {
        let Some(digit) = text.get(index).and_then(|byte| (*byte as char).to_digit(16)) else {
            return text.get(index + 1..).unwrap_or_default();
        };
        value = value * 16 + digit;
    }
    out.push(value as u8);
    &text[2..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_as_the_kernel_writes_them() {
        let record = KmsgRecord::parse(b"12,711,6252819,-;[talos] waiting\n SUBSYSTEM=acpi\n").unwrap();
        assert_eq!((record.severity, record.facility, record.sequence, record.clock_us), (4, 1, 711, 6_252_819));
        assert_eq!(record.text, b"[talos] waiting\n SUBSYSTEM=acpi\n");
        assert_eq!(record.message(), b"[talos] waiting");
        let caller = KmsgRecord::parse(b"6,1,2,-,caller=T1;x\n").unwrap();
        assert_eq!(caller.text, b"x\n");
    }

    #[test]
    fn escapes_as_talos_reads_them() {
        let record = KmsgRecord::parse(b"6,90,1,-;rcu: \\x09RCU \\\\ CPUs \\q \\xzz\n").unwrap();
        assert_eq!(record.text, b"rcu: \tRCU \\ CPUs  z\n");
    }

    #[test]
    fn what_is_no_record_says_why() {
        assert_eq!(KmsgRecord::parse(b"6,378"), Err(KmsgError::NoText));
        assert_eq!(KmsgRecord::parse(b"6,378;two\n"), Err(KmsgError::TooFewFields(2)));
        assert_eq!(KmsgRecord::parse(b"6,x,1;two\n"), Err(KmsgError::NotANumber(2)));
    }

    #[test]
    fn every_facility_has_a_name() {
        let names = |facility| [FacilityNames::Linux, FacilityNames::Talos].map(|names| names.name(facility));
        assert_eq!(names(0), ["kern", "kern"]);
        assert_eq!(names(10), ["authpriv", "authpriv"]);
        assert_eq!(names(11), ["ftp", "local0"]);
        assert_eq!(names(16), ["local0", "local5"]);
        assert_eq!(names(18), ["local2", "local7"]);
        assert_eq!(names(19), ["local3", "local3"]);
        assert_eq!(names(23), ["local7", "local7"]);
        assert_eq!(names(u32::MAX), ["facility4294967295"; 2]);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = KmsgRecord::parse(&bytes);
            let mut framed = b"6,1,2,-;".to_vec();
            framed.extend_from_slice(&bytes);
            prop_assert!(KmsgRecord::parse(&framed).is_ok());
        }
    }
}
