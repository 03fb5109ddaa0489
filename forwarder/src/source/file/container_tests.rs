use std::sync::Arc;

use proptest::prelude::*;
use regex::bytes::Regex;

use super::*;
use crate::parse::multiline::Grouping;
use crate::record::{Origin, OriginKind};
use crate::ring::{ReaderOptions, Ring, RingLimits};
use crate::source::file::position::unpack;
use crate::source::file::selection::{Format, ReadFrom};
use crate::source::joiner::JoinOptions;

/// A record: stream, flags, body, position.
type Put = (Stream, Flags, Vec<u8>, u64);

fn lines(max_line: usize, join: Option<Arc<JoinOptions>>) -> ContainerLines {
    let origin = |stream| OriginHandle::new(Origin { stream, ..Origin::new(OriginKind::Container, "c") });
    let origins =
        Origins { stdout: origin(Stream::Stdout), stderr: origin(Stream::Stderr), unknown: origin(Stream::None) };
    let selection = Selection {
        include: Vec::new(),
        exclude: Vec::new(),
        format: Format::Cri,
        gzip: false,
        read_from: ReadFrom::Beginning,
        ignore_older: None,
        deleted_time: None,
        deleted_bytes: None,
        name: None,
        kind: LineKind::Text,
        join,
        max_line,
        idle_flush: Duration::ZERO,
    };
    ContainerLines::cri(origins, &selection)
}

/// What comes out when the file `data` is read from `from` on in pieces of `piece` bytes, and then is idle.
fn read(data: &[u8], from: usize, piece: usize, max_line: usize) -> Vec<Put> {
    read_joining(data, from, piece, max_line, None)
}

/// The same, with `join`.
fn read_joining(
    data: &[u8],
    mut from: usize,
    piece: usize,
    max_line: usize,
    join: Option<Arc<JoinOptions>>,
) -> Vec<Put> {
    let ring = Ring::new(RingLimits { bytes: 64 << 20, records: u64::MAX }, 1);
    let mut cursor = ring.reader(ReaderOptions::new("test"));
    let mut output = Lines::new(Arc::clone(&ring));
    let mut lines = lines(max_line, join);
    let mut seen = from;
    while seen < data.len() {
        seen = (seen + piece).min(data.len());
        from += lines.put_lines(&data[from..seen], from as u64, 7, &mut output);
    }
    lines.flush(from as u64, &mut output);
    output.output.seal();
    let mut put = Vec::new();
    while let Some(found) = cursor.try_next() {
        for record in found.batch.records() {
            let origin = Origin::decode(found.batch.origin_bytes(record.origin)).unwrap();
            put.push((origin.stream, record.flags, record.body.to_vec(), record.position));
        }
    }
    put
}

fn file(parts: &[(bool, bool, usize)]) -> Vec<u8> {
    let mut file = Vec::new();
    for (number, (err, partial, len)) in parts.iter().enumerate() {
        let (stream, tag) = (if *err { "stderr" } else { "stdout" }, if *partial { "P" } else { "F" });
        let text: String = (0..*len).map(|at| char::from(b'a' + ((number + at) % 26) as u8)).collect();
        file.extend_from_slice(format!("2026-01-02T03:04:05.123456789Z {stream} {tag} {text}\n").as_bytes());
    }
    file
}

/// The bytes of a stream.
fn stream(put: &[Put], wanted: Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (_, flags, body, _) in put.iter().filter(|(stream, ..)| *stream == wanted) {
        bytes.extend_from_slice(body);
        if !flags.contains(Flags::PARTIAL) {
            bytes.push(b'\n');
        }
    }
    bytes
}

fn expected(parts: &[(bool, bool, usize)], err: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, (_, partial, len)) in parts.iter().enumerate().filter(|(_, part)| part.0 == err) {
        bytes.extend((0..*len).map(|at| b'a' + ((number + at) % 26) as u8));
        if !partial {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// The checkpoint is after the first of two lines that end where the file does, and reading starts again behind the
/// first part of one of them.
#[test]
fn of_two_unfinished_lines_the_one_that_is_missing_comes_after_a_restart() {
    let whole = [(false, false, 0); 5];
    let unfinished = [(false, true, 500), (true, true, 332), (false, true, 186)];
    let rest = [(false, true, 591); 5];
    let file = file(&[&whole[..], &unfinished, &rest].concat());
    let put = read(&file, 0, 1000, 100_000);
    let [.., first, second] = &put[..] else { panic!("{} records", put.len()) };
    let restart = unpack(first.3);
    assert!(restart.from > 0 && restart.offset == file.len() as u64);
    let from = restart.from as usize + memchr::memchr(b'\n', &file[restart.from as usize..]).unwrap() + 1;
    let again = read(&file, from, 1000, 100_000);
    let missing: Vec<&Put> = again.iter().filter(|put| put.3 > first.3).collect();
    assert_eq!(missing, [second]);
}

proptest! {
    #[test]
    fn every_byte_of_a_stream_comes_once_and_positions_grow(
        parts in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..600usize), 1..30),
        piece in 1..3000usize,
        max_line in 1..400usize,
    ) {
        let file = file(&parts);
        let put = read(&file, 0, piece, max_line);
        prop_assert_eq!(stream(&put, Stream::Stdout), expected(&parts, false));
        prop_assert_eq!(stream(&put, Stream::Stderr), expected(&parts, true));
        prop_assert!(put.iter().all(|(_, _, body, _)| body.len() <= max_line));
        let wrong = put.windows(2).find(|pair| pair[0].3 >= pair[1].3);
        prop_assert!(wrong.is_none(), "{:?}", wrong.map(|pair| [unpack(pair[0].3), unpack(pair[1].3)]));
    }

    /// Whoever has acknowledged the first records gets all the others after a restart: those of higher positions.
    #[test]
    fn a_restart_after_any_record_gives_the_rest(
        parts in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..600usize), 1..30),
        done: proptest::sample::Index,
    ) {
        let file = file(&parts);
        let put = read(&file, 0, 1000, 100_000);
        prop_assume!(!put.is_empty());
        let done = done.index(put.len());
        let acknowledged = put[done].3;
        let restart = unpack(acknowledged);
        let from = usize::try_from(restart.from).unwrap();
        let from = match file[..from].last() {
            None | Some(b'\n') => from,
            Some(_) => from + memchr::memchr(b'\n', &file[from..]).unwrap() + 1,
        };
        let again = read(&file, from, 1000, 100_000);
        let rest: Vec<Put> = again.into_iter().filter(|put| put.3 > acknowledged).collect();
        prop_assert_eq!(&rest[..], &put[done + 1..]);
    }

    /// With joined lines: what was not acknowledged comes after a restart, whatever is joined then.
    #[test]
    fn with_joined_lines_no_line_is_missing_after_a_restart(
        parts in proptest::collection::vec((any::<bool>(), prop::bool::weighted(0.2), any::<bool>(), 0..600usize), 1..40),
        piece in 1..3000usize,
        max_lines in 2..6usize,
        max_line in prop_oneof![Just(100_000usize), 30..300usize],
        done: proptest::sample::Index,
    ) {
        let mut file = Vec::new();
        for (number, (err, partial, continues, len)) in parts.iter().enumerate() {
            let (stream, tag) = (if *err { "stderr" } else { "stdout" }, if *partial { "P" } else { "F" });
            let (space, rest) = (if *continues { " " } else { "" }, "x".repeat(*len));
            file.extend(format!("2026-01-02T03:04:05.123456789Z {stream} {tag} {space}<{number}>{rest}\n").as_bytes());
        }
        let grouping = Grouping::Continuation(Regex::new(r"^\s").unwrap());
        let timeout = Duration::from_secs(1);
        let join = Some(Arc::new(JoinOptions { grouping, max_lines, max_bytes: 2000, timeout }));
        let put = read_joining(&file, 0, piece, max_line, join.clone());
        let wrong = put.windows(2).find(|pair| pair[0].3 >= pair[1].3);
        prop_assert!(wrong.is_none(), "{:?}", wrong.map(|pair| [unpack(pair[0].3), unpack(pair[1].3)]));
        for wanted in [Stream::Stdout, Stream::Stderr] {
            let mut expected = Vec::new();
            for (number, (err, partial, continues, len)) in parts.iter().enumerate() {
                if *err == (wanted == Stream::Stderr) {
                    expected.extend_from_slice(if *continues { b" " } else { b"" });
                    expected.extend_from_slice(format!("<{number}>").as_bytes());
                    expected.extend(std::iter::repeat_n(b'x', *len));
                    expected.extend_from_slice(if *partial { b"" } else { b"\n" });
                }
            }
            prop_assert_eq!(stream(&put, wanted), expected);
        }
        prop_assume!(!put.is_empty());
        let done = done.index(put.len());
        let acknowledged = put[done].3;
        let from = usize::try_from(unpack(acknowledged).from).unwrap();
        let from = match file[..from].last() {
            None | Some(b'\n') => from,
            Some(_) => from + memchr::memchr(b'\n', &file[from..]).unwrap() + 1,
        };
        let again = read_joining(&file, from, piece, max_line, join);
        let mut came: Vec<u8> = put[..=done].iter().flat_map(|put| put.2.clone()).collect();
        came.extend(again.iter().filter(|put| put.3 > acknowledged).flat_map(|put| put.2.clone()));
        for number in 0..parts.len() {
            let marker = format!("<{number}>");
            prop_assert!(memchr::memmem::find(&came, marker.as_bytes()).is_some(), "{marker} is missing");
        }
    }

    #[test]
    fn what_is_no_cri_goes_on_as_it_stands(data in proptest::collection::vec(any::<u8>(), 0..2000), piece in 1..500usize) {
        let mut data = data;
        data.push(b'\n');
        let put = read(&data, 0, piece, 64);
        prop_assert_eq!(stream(&put, Stream::None), data);
    }
}
