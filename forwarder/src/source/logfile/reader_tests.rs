use super::*;
use proptest::prelude::*;
use std::fs;
use std::io::Write;

const TIME: &str = "2016-10-06T00:17:09.669794202Z";

fn all(path: &Path) -> (Vec<Chunk>, Reader) {
    let mut reader = Reader::open(path, LogFormat::Cri, 0).unwrap();
    let chunks = std::iter::from_fn(|| reader.next_chunk().unwrap()).collect();
    (chunks, reader)
}

fn payload(chunks: &[Chunk], stream: Stream) -> Vec<u8> {
    chunks.iter().filter(|c| c.stream == stream).flat_map(|c| c.payload.clone()).collect()
}

#[test]
fn partial_lines_are_joined_per_stream() {
    // VictoriaLogs#1215: interleaved parts must give 134 and 2.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let lines = ["stdout P 1", "stderr F 2", "stdout P 3", "stdout F 4"];
    fs::write(&path, lines.map(|line| format!("{TIME} {line}\n")).concat()).unwrap();
    let (chunks, _) = all(&path);
    assert_eq!(payload(&chunks, Stream::Stdout), b"134\n");
    assert_eq!(payload(&chunks, Stream::Stderr), b"2\n");
}

#[test]
fn an_unfinished_line_waits_for_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let mut file = File::create(&path).unwrap();
    write!(file, "{TIME} stdout F one\n{TIME} stdo").unwrap();
    let mut reader = Reader::open(&path, LogFormat::Cri, 0).unwrap();
    let first = reader.next_chunk().unwrap().unwrap();
    assert_eq!(first.payload, b"one\n");
    assert_eq!(reader.next_chunk().unwrap(), None);
    assert_eq!(reader.offset(), first.end_offset);
    writeln!(file, "ut P two").unwrap();
    let second = reader.next_chunk().unwrap().unwrap();
    assert_eq!(second.payload, b"two");
    assert_eq!(second.end_offset, fs::metadata(&path).unwrap().len());
    let mut again = Reader::open(&path, LogFormat::Cri, first.end_offset).unwrap();
    assert_eq!(again.next_chunk().unwrap(), Some(second));
}

#[test]
fn a_reader_that_is_opened_near_an_offset_begins_with_a_whole_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let line = format!("{TIME} stdout F one\n");
    fs::write(&path, line.replace("one", "1st") + &line).unwrap();
    let first_at = |offset: usize| {
        let mut reader = Reader::open(&path, LogFormat::Cri, 0).unwrap();
        reader.seek_near(offset as u64).unwrap();
        (reader.next_chunk().unwrap().map(|chunk| chunk.payload), reader.offset(), reader.skipped())
    };
    let end = 2 * line.len() as u64;
    assert_eq!(first_at(0).0.unwrap(), b"1st\n");
    for offset in [1, line.len() - 1, line.len()] {
        assert_eq!(first_at(offset), (Some(b"one\n".to_vec()), end, 0), "{offset}");
    }
    assert_eq!(first_at(line.len() + 1), (None, end, 0));
}

#[test]
fn garbage_and_giants_are_counted_and_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let giant = "g".repeat(MAX_LINE_BYTES + 10);
    fs::write(&path, format!("torn\n{TIME} stdout F {giant}\n\0\0\0\n{TIME} stdout F fine\n")).unwrap();
    let (chunks, reader) = all(&path);
    assert_eq!(payload(&chunks, Stream::Stdout), b"fine\n");
    assert_eq!(reader.skipped(), 3);
}

#[test]
fn a_missing_file_names_itself() {
    let error = Reader::open(Path::new("/nonexistent/0.log"), LogFormat::Cri, 0).unwrap_err();
    assert!(error.to_string().starts_with("can't open the log file /nonexistent/0.log: "), "{error}");
}

proptest! {
    /// However a stream is cut into writes and parts, its payload comes out byte for byte.
    #[test]
    fn payload_is_the_stream(parts in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..30)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut file = Vec::new();
        let mut expected = [Vec::new(), Vec::new()];
        for (err, bytes, full) in &parts {
            let text: Vec<u8> = bytes.iter().copied().filter(|b| *b != b'\n').collect();
            file.extend_from_slice(format!("{TIME} {} {} ", if *err { "stderr" } else { "stdout" }, if *full { "F" } else { "P" }).as_bytes());
            file.extend_from_slice(&text);
            file.push(b'\n');
            expected[usize::from(*err)].extend_from_slice(&text);
            if *full { expected[usize::from(*err)].push(b'\n'); }
        }
        fs::write(&path, &file).unwrap();
        let (chunks, reader) = all(&path);
        prop_assert_eq!(payload(&chunks, Stream::Stdout), &expected[0][..]);
        prop_assert_eq!(payload(&chunks, Stream::Stderr), &expected[1][..]);
        prop_assert_eq!(reader.offset(), file.len() as u64);
    }
}

#[test]
fn a_time_is_found_in_a_long_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let line = |second: usize| {
        format!("1970-01-01T{:02}:{:02}:{:02}Z stdout F {second}\n", second / 3600, second / 60 % 60, second % 60)
    };
    fs::write(&path, (0..20_000).map(line).collect::<String>()).unwrap();
    let mut reader = Reader::open(&path, LogFormat::Cri, 0).unwrap();
    for second in [0i64, 1, 7_777, 19_999, 30_000] {
        reader.seek_time(second * 1_000_000_000).unwrap();
        let first = reader.next_chunk().unwrap().unwrap().time_ns / 1_000_000_000;
        assert!(first <= second && second - first < 14_000, "{second}: {first}");
        assert!(first + 3_000 > second.min(20_000), "{second}: {first} is far before");
    }
}
