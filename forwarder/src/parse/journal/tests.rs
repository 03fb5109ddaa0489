//! Files that systemd's own writer made, compared with what `journalctl` reads from them; and damaged ones.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Fields by their names, each with all its values.
type Fields = BTreeMap<String, Vec<Vec<u8>>>;
type Entries = Vec<(Head, Fields)>;

/// A journal file of `entries` in the export format, by systemd-journal-remote.
fn written(entries: &[u8], compact: bool, keyed: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.journal");
    let switch = |on| if on { "1" } else { "0" };
    let mut child = Command::new("/lib/systemd/systemd-journal-remote")
        .env("SYSTEMD_JOURNAL_COMPACT", switch(compact))
        .env("SYSTEMD_JOURNAL_KEYED_HASH", switch(keyed))
        .args(["--split-mode=none", "-o", path.to_str().unwrap(), "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("systemd-journal-remote is there: `cargo xtask setup --test`");
    child.stdin.take().unwrap().write_all(entries).unwrap();
    assert!(child.wait().unwrap().success());
    std::fs::read(path).unwrap()
}

/// An entry in the export format.
fn exported(number: u64, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let (realtime, monotonic) = (1_700_000_000_000_000 + number * 1000, 5_000_000 + number * 1000);
    let mut out = format!(
        "__REALTIME_TIMESTAMP={realtime}\n__MONOTONIC_TIMESTAMP={monotonic}\n_BOOT_ID=590edceeef5545a784ec8c6181a10400\n"
    )
    .into_bytes();
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

fn sample(entries: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..entries {
        let text = format!("line {number}");
        let long: String = (0..300).map(|part| format!("{} ", (number * 300 + part) * 7919)).collect();
        let binary = [b"two\nlines \xff\0".as_slice(), text.as_bytes()].concat();
        let pid = (number % 50).to_string();
        let mut fields: Vec<(&str, &[u8])> =
            vec![("MESSAGE", text.as_bytes()), ("PRIORITY", b"6"), ("_PID", pid.as_bytes()), ("EMPTY", b"")];
        match number % 5 {
            0 => fields.push(("LONG", long.as_bytes())),
            1 => fields.push(("BINARY", &binary)),
            2 => fields.extend([("TWICE", b"1".as_slice()), ("TWICE", b"2")]),
            3 => drop(fields.remove(0)),
            _ => {}
        }
        out.extend(exported(number, &fields));
    }
    out
}

/// Everything in a file, and what could not be read.
fn read_all(file: &[u8]) -> Result<(Entries, Vec<JournalError>), JournalError> {
    let header = Header::parse(file)?;
    let (mut bytes, mut walk, mut offsets) = (file, Walk::default(), Vec::new());
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    loop {
        let offset = match walk.next(&mut bytes, &header) {
            Ok(Some(offset)) => offset,
            Ok(None) => return Ok((entries, errors)),
            Err(error) => {
                errors.push(error);
                return Ok((entries, errors));
            }
        };
        let head = match entry(&mut bytes, &header, offset, &mut offsets) {
            Ok(head) => head,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let mut fields = Fields::new();
        for offset in &offsets {
            let mut text = Vec::new();
            match data(&mut bytes, &header, *offset, &mut text) {
                Ok(field) => assert_eq!(field.len, text.len()),
                Err(error) => errors.push(error),
            }
            if let Some(at) = text.iter().position(|byte| *byte == b'=') {
                let name = String::from_utf8_lossy(&text[..at]).into_owned();
                fields.entry(name).or_default().push(text[at + 1..].to_vec());
            }
        }
        fields.values_mut().for_each(|values| values.sort());
        entries.push((head, fields));
    }
}

/// What `journalctl` reads: cursors and fields.
fn journalctl(file: &[u8]) -> Vec<(String, Fields)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.journal");
    std::fs::write(&path, file).unwrap();
    let arguments = ["--all", "--no-pager", "-o", "json", "--file"];
    let output = Command::new("journalctl").args(arguments).arg(&path).output().unwrap();
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| from_json(serde_json::from_slice(line).unwrap())).collect()
}

fn from_json(object: BTreeMap<String, Value>) -> (String, Fields) {
    let bytes = |value: &Value| match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(bytes) => bytes.iter().map(|byte| byte.as_u64().unwrap() as u8).collect(),
        other => panic!("{other}"),
    };
    let mut fields = Fields::new();
    for (name, value) in &object {
        let values = match value {
            Value::Array(values) if values.iter().any(|value| !value.is_number()) => values.iter().map(bytes).collect(),
            value => vec![bytes(value)],
        };
        fields.insert(name.clone(), values);
    }
    fields.values_mut().for_each(|values| values.sort());
    let cursor = String::from_utf8(fields.remove("__CURSOR").unwrap().remove(0)).unwrap();
    fields.retain(|name, _| !name.starts_with("__"));
    (cursor, fields)
}

fn cursor(header: &Header, head: &Head) -> String {
    let hex = |id: &Id| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let Head { seqnum, realtime_us, monotonic_us, boot_id, hash } = head;
    let (id, boot) = (hex(&header.seqnum_id), hex(boot_id));
    format!("s={id};i={seqnum:x};b={boot};m={monotonic_us:x};t={realtime_us:x};x={hash:x}")
}

#[track_caller]
fn assert_read_as_by_journalctl(file: &[u8], count: usize) {
    let header = Header::parse(file).unwrap();
    let (entries, errors) = read_all(file).unwrap();
    assert!(errors.is_empty(), "{errors:?}");
    let entries: Vec<_> = entries.into_iter().map(|(head, fields)| (cursor(&header, &head), fields)).collect();
    assert_eq!(entries.len(), count);
    assert!(entries == journalctl(file));
}

#[test]
fn every_kind_of_file_is_read_as_journalctl_reads_it() {
    for (compact, keyed) in [(false, false), (false, true), (true, false), (true, true)] {
        assert_read_as_by_journalctl(&written(&sample(700), compact, keyed), 700);
    }
}

fn small() -> &'static [u8] {
    static SMALL: OnceLock<Vec<u8>> = OnceLock::new();
    SMALL.get_or_init(|| {
        let file = written(&sample(60), true, true);
        // What is behind the last object is room for more.
        let used = file.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        file[..used.next_multiple_of(8)].to_vec()
    })
}

/// `xz`'s output for `input`.
fn xz(input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("xz")
        .args(["-c", "--check=none"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("xz is there: `cargo xtask setup --test`");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    assert!(child.wait().unwrap().success());
    out
}

#[test]
fn lz4_and_xz_are_read_as_journalctl_reads_them() {
    let original = written(&sample(700), false, true);
    let header = Header::parse(&original).unwrap();
    let mut file = original.clone();
    let mut bytes = original.as_slice();
    let mut changed = 0;
    let (mut walk, mut offsets) = (Walk::default(), Vec::new());
    while let Some(offset) = walk.next(&mut bytes, &header).unwrap() {
        entry(&mut bytes, &header, offset, &mut offsets).unwrap();
        for offset in &offsets {
            let at = *offset as usize;
            let len = u64_at(&original, at + 8) as usize;
            if original[at + 1] != 4 {
                continue;
            }
            let mut text = Vec::new();
            data(&mut bytes, &header, *offset, &mut text).unwrap();
            // The other ways may need more room than zstd did, and the object can't grow.
            text.truncate(100);
            let (flag, packed) = if changed % 2 == 0 {
                let block = lz4_flex::block::compress(&text);
                (2, [(text.len() as u64).to_le_bytes().as_slice(), &block].concat())
            } else {
                (1, xz(&text))
            };
            assert!(packed.len() + 64 <= len.next_multiple_of(8), "{} of {len}", packed.len());
            file[at + 1] = flag;
            file[at + 8..at + 16].copy_from_slice(&(packed.len() as u64 + 64).to_le_bytes());
            file[at + 64..at + 64 + packed.len()].copy_from_slice(&packed);
            changed += 1;
        }
    }
    file[12] |= 3;
    assert!(changed > 100, "{changed} fields were compressed");
    assert_read_as_by_journalctl(&file, 700);
}

#[test]
fn a_field_of_megabytes_is_whole_and_a_longer_one_is_cut() {
    let text: Vec<u8> = (0..256u32 << 10).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let zeros = vec![b'0'; LONGEST_FIELD + 5];
    let entries = [exported(1, &[("MESSAGE", &text)]), exported(2, &[("MESSAGE", &zeros)])].concat();
    let (entries, errors) = read_all(&written(&entries, true, true)).unwrap();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(entries[0].1["MESSAGE"][0] == text);
    assert!(entries[1].1["MESSAGE"][0] == zeros[..LONGEST_FIELD - "MESSAGE=".len()]);
}

#[test]
fn a_place_is_found_by_its_number_and_holds_while_the_file_grows() {
    let file = small();
    let header = Header::parse(file).unwrap();
    let mut bytes = file;
    for seqnum in [0, 1, 2, 3, 4, 5, 6, 30, 59, 60, 9999] {
        let mut walk = Walk::default();
        walk.seek_after(&mut bytes, &header, seqnum).unwrap();
        let next = walk.next(&mut bytes, &header).unwrap();
        let next = next.map(|offset| entry(&mut bytes, &header, offset, &mut Vec::new()).unwrap().seqnum);
        assert_eq!(next, (seqnum < 60).then_some(seqnum + 1));
        assert_eq!(walk.passed(), (seqnum + 1).min(60));
    }
    let mut walk = Walk::default();
    for entries in [1, 4, 5, 33, 60] {
        let header = Header { entries, ..header.clone() };
        walk.seek_end(&mut bytes, &header).unwrap();
        assert_eq!((walk.passed(), walk.next(&mut bytes, &header).unwrap()), (entries, None));
    }
}

#[test]
fn what_is_no_journal_is_said_to_be_none() {
    for bytes in [&b""[..], b"LPKSHHRH", &[0; 4096], &small()[1..4096]] {
        assert!(matches!(Header::parse(bytes), Err(JournalError::NoJournal)));
    }
    let mut file = small()[..HEADER_LEN].to_vec();
    file[13] = 1;
    assert!(matches!(Header::parse(&file), Err(JournalError::Unknown(0x100))));
}

#[test]
fn a_file_without_its_end_gives_what_is_there() {
    let file = small();
    let whole = read_all(file).unwrap().0;
    for part in 1..10 {
        let (entries, errors) = read_all(&file[..file.len() * part / 10]).unwrap();
        assert!(!errors.is_empty());
        let known = entries.iter().filter(|(head, _)| whole.iter().any(|(other, _)| other == head)).count();
        assert_eq!(known, entries.len());
    }
}

#[test]
fn fields_that_claim_to_be_long_get_no_memory_for_it() {
    use super::compressed::{Compression, decompress};
    let claim = [(LONGEST_FIELD as u64).to_le_bytes().as_slice(), b"\x10a"].concat();
    let mut out = Vec::new();
    for (compression, input) in [
        (Compression::Lz4, claim.as_slice()),
        (Compression::Lz4, b"\xff\xff\xff\xff\xff\xff\xff\xff\0"),
        (Compression::Lz4, b"\x01"),
        (Compression::Zstd, b""),
        (Compression::Xz, b"\xfd7zXZ\0"),
    ] {
        assert!(decompress(compression, input, &mut out).is_err(), "{compression:?}");
        assert!(out.capacity() <= 1 << 20, "{}", out.capacity());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_damaged_file_comes_to_an_end(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let mut file = small().to_vec();
        for (place, byte) in flips {
            let place = place.index(file.len());
            file[place] = byte;
        }
        if let Ok((entries, _)) = read_all(&file) {
            prop_assert!(entries.len() <= file.len() / 4);
        }
    }

    #[test]
    fn offsets_and_lengths_may_be_anything(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), any::<bool>()), 1..20),
        in_header in any::<bool>(),
        seqnum in any::<u64>(),
    ) {
        let mut file = small().to_vec();
        let words = if in_header { HEADER_LEN / 8 } else { file.len() / 8 };
        for (place, word, small) in changes {
            let word = if small { word % (2 * file.len() as u64) } else { word };
            let at = place.index(words) * 8;
            file[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        if let Ok((entries, _)) = read_all(&file) {
            prop_assert!(entries.len() <= file.len() / 4);
        }
        if let Ok(header) = Header::parse(&file) {
            let mut bytes = file.as_slice();
            let _ = Walk::default().seek_after(&mut bytes, &header, seqnum);
            let _ = Walk::default().seek_end(&mut bytes, &header);
        }
    }

    #[test]
    fn damaged_compression_is_an_error_and_no_more(mut input in prop::collection::vec(any::<u8>(), 0..200), keep in 0..80usize) {
        use super::compressed::{Compression, decompress};
        static PACKED: OnceLock<Vec<u8>> = OnceLock::new();
        let packed = PACKED.get_or_init(|| xz(&b"a text that repeats, a text that repeats".repeat(9)));
        for compression in [Compression::Lz4, Compression::Zstd, Compression::Xz] {
            let _ = decompress(compression, &input, &mut Vec::new());
        }
        input.splice(0..0, packed[..keep.min(packed.len())].iter().copied());
        let _ = decompress(Compression::Xz, &input, &mut Vec::new());
    }
}
