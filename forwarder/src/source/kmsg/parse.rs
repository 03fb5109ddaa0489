//! One record of /dev/kmsg: `<prio>,<seq>,<usec>,<flags>[,more];<text>\n[ KEY=value\n…]`, non-printable bytes
//! escaped as `\xHH` (Documentation/ABI/testing/dev-kmsg of the kernel).

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

    /// The text without its newline and dictionary lines: what was printed.
    pub fn message(&self) -> &[u8] {
        let end = memchr::memchr(b'\n', &self.text).unwrap_or(self.text.len());
        &self.text[..end]
    }
}

/// The name of a facility, as Linux and RFC 5424 number them.
pub fn facility_name(facility: u32) -> String {
    const NAMES: [&str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
        "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
    ];
    NAMES.get(facility as usize).map_or_else(|| format!("facility{facility}"), |name| (*name).to_owned())
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
        assert_eq!(facility_name(11), "ftp");
        assert_eq!(facility_name(16), "local0");
        assert_eq!(facility_name(99), "facility99");
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
