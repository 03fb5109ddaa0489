//! Records as they are read from /dev/kmsg: one with its dictionary, several behind each other.
//!
//! A NUL or a blank line ends a record, and so does a line that begins like one (`cat /dev/kmsg` puts nothing between
//! them): the lines of a dictionary begin with a space.

use super::Input;
use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::source::kmsg::{FacilityNames, KmsgRecord};

/// The kernel's own limit is 8192; more is no record.
const MAX_RECORD: usize = 1 << 20;

pub(super) struct KmsgInput {
    boot_ns: i64,
    names: FacilityNames,
    origin: OriginHandle,
    /// The record that has not ended yet: whole lines, and the beginning of one.
    record: Vec<u8>,
    /// Where its last line begins.
    line_at: usize,
}

impl KmsgInput {
    pub(super) fn new(boot_ns: i64, names: FacilityNames) -> Self {
        let origin = OriginHandle::new(Origin::new(OriginKind::Kernel, "kernel"));
        Self { boot_ns, names, origin, record: Vec::new(), line_at: 0 }
    }

    /// The last line is whole: with its newline, or the input has ended.
    fn end_line(&mut self, now_ns: i64, out: &mut BatchBuilder) {
        let line = &self.record[self.line_at..];
        if line == b"\n" {
            self.record.truncate(self.line_at);
            self.end_record(now_ns, out);
        } else if self.line_at > 0 && line.first().is_some_and(u8::is_ascii_digit) && KmsgRecord::parse(line).is_ok() {
            let next = self.record.split_off(self.line_at);
            self.end_record(now_ns, out);
            self.record = next;
        }
        self.line_at = self.record.len();
    }

    fn end_record(&mut self, now_ns: i64, out: &mut BatchBuilder) {
        self.line_at = 0;
        let bytes = std::mem::take(&mut self.record);
        if bytes.is_empty() {
            return;
        }
        match KmsgRecord::parse(&bytes) {
            Ok(record) => {
                let time_ns = self.boot_ns.saturating_add(record.clock_us.saturating_mul(1000));
                record.give(time_ns, self.names, |meta, body, fields| {
                    out.push_with_fields(&self.origin, meta, body, fields);
                });
            }
            // As in delivery, it is sent as it is.
            Err(_) => out.push(&self.origin, RecordMeta::line(now_ns, &bytes), &bytes),
        }
    }
}

impl Input for KmsgInput {
    fn push(&mut self, mut bytes: &[u8], now_ns: i64, out: &mut BatchBuilder) {
        while let Some(at) = memchr::memchr2(b'\n', 0, bytes) {
            let (line, rest) = bytes.split_at(at + 1);
            bytes = rest;
            if line[at] == 0 {
                self.record.extend_from_slice(&line[..at]);
                self.end_line(now_ns, out);
                self.end_record(now_ns, out);
            } else {
                self.record.extend_from_slice(line);
                self.end_line(now_ns, out);
            }
            if self.record.len() > MAX_RECORD {
                self.end_record(now_ns, out);
            }
        }
        self.record.extend_from_slice(bytes);
        if self.record.len() > MAX_RECORD {
            self.end_record(now_ns, out);
        }
    }

    fn end(&mut self, now_ns: i64, out: &mut BatchBuilder) {
        self.end_line(now_ns, out);
        self.end_record(now_ns, out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode::json_lines::{JsonLines, JsonLinesOptions};

    /// 2021-11-26T16:53:15.073050981Z
    const BOOT: i64 = 1_637_945_595_073_050_981;

    /// The objects of an input that comes in pieces of so many bytes.
    fn encoded(names: FacilityNames, input: &[u8], piece: usize) -> Vec<String> {
        let mut builder = BatchBuilder::new(1024);
        let mut kmsg = KmsgInput::new(BOOT, names);
        input.chunks(piece).for_each(|bytes| kmsg.push(bytes, 0, &mut builder));
        kmsg.end(0, &mut builder);
        let (batch, mut out) = (builder.seal(), Vec::new());
        let options = JsonLinesOptions { newline: true, ..JsonLinesOptions::default() };
        JsonLines::new(options).encode_batch(&batch, 0..batch.record_count(), &mut out, &mut Vec::new());
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    /// Recorded from Talos; what its parser refuses is kept as text.
    #[test]
    fn the_recorded_records() {
        let (mut seen, mut input, mut expected) = (0, Vec::new(), Vec::new());
        let mut lines = include_str!("../../../tests/data/talos_kmsg.txt").lines();
        while let Some(line) = lines.next() {
            let Some(record) = line.strip_prefix("IN  ") else { continue };
            // The quotes are Go's, and JSON's for these.
            let record: String = serde_json::from_str(record).unwrap();
            let object = match lines.next().unwrap() {
                line if line.starts_with("OUT ") => line[4..].to_owned(),
                // A caller of another form is one that Talos can't read.
                _ if record.contains("caller=X1") => {
                    r#"{"clock":5140900,"facility":"kern","msg":"bad\n","priority":"info","seq":378,"talos-level":"info","talos-time":"2021-11-26T16:53:20.213950981Z"}"#.to_owned()
                }
                _ => r#"{"msg":"6,378;two\n","talos-level":"info","talos-time":"1970-01-01T00:00:00Z"}"#.to_owned(),
            };
            assert_eq!(encoded(FacilityNames::Talos, record.as_bytes(), 7), std::slice::from_ref(&object), "{record}");
            let right = object.replace("\"local0\"", "\"ftp\"").replace("\"local7\"", "\"local2\"");
            assert_eq!(encoded(FacilityNames::Linux, record.as_bytes(), 7), [right]);
            input.extend_from_slice(record.as_bytes());
            input.push([0, b'\n'][seen % 2]);
            expected.push(object);
            seen += 1;
        }
        assert_eq!(seen, 7);
        assert_eq!(encoded(FacilityNames::Talos, &input, 1), expected, "one behind the other");
    }

    #[test]
    fn records_with_dictionaries_end_where_the_next_begins() {
        let input = b"6,1,0,-;a\n SUBSYSTEM=acpi\n DEVICE=+acpi:x\n\n\n\0\n6,2,0,-,caller=T1;b\n6,3,0,-;\n S=1\n\x006,4,0,-;no end";
        let messages: Vec<String> = encoded(FacilityNames::Linux, input, 5)
            .iter()
            .map(|object| {
                serde_json::from_str::<serde_json::Value>(object).unwrap()["msg"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(messages, ["a\n SUBSYSTEM=acpi\n DEVICE=+acpi:x\n", "b\n", "\n S=1\n", "no end"]);
        // A line that only looks like one belongs to what it follows.
        assert_eq!(encoded(FacilityNames::Linux, b"6,1,0,-;a\nx\n6,x;\n", 100).len(), 1);
        assert!(encoded(FacilityNames::Linux, b"\n\0\n\n", 1).is_empty());
        assert!(encoded(FacilityNames::Linux, b"", 1).is_empty());
        assert_eq!(encoded(FacilityNames::Linux, &vec![b'x'; 2 * MAX_RECORD], 4096).len(), 2);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(input in "(6,[0-9]{1,2},[0-9]{1,3},-;|[a-z\\\\\n\0 ;,]){0,40}", piece in 1..50usize) {
            let whole = encoded(FacilityNames::Linux, input.as_bytes(), usize::MAX);
            prop_assert_eq!(encoded(FacilityNames::Linux, input.as_bytes(), piece), whole);
        }
    }
}
