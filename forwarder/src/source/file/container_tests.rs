use proptest::prelude::*;

use super::*;
use crate::record::{Origin, OriginKind};
use crate::ring::{ReaderOptions, Ring, RingLimits};
use crate::source::file::position::unpack;

/// A record: stream, flags, body, position.
type Put = (Stream, Flags, Vec<u8>, u64);

fn lines(max_line: usize) -> ContainerLines {
    let origin = |stream| OriginHandle::new(Origin { stream, ..Origin::new(OriginKind::Container, "c") });
    let origins =
        Origins { stdout: origin(Stream::Stdout), stderr: origin(Stream::Stderr), unknown: origin(Stream::None) };
    ContainerLines::cri(origins, max_line)
}

/// What comes out when the file `data` is read from `from` on in pieces of `piece` bytes, and then is idle.
fn read(data: &[u8], mut from: usize, piece: usize, max_line: usize) -> Vec<Put> {
    let ring = Ring::new(RingLimits { bytes: 64 << 20, records: u64::MAX }, 1);
    let mut cursor = ring.reader(ReaderOptions::new("test"));
    let mut output = Output::new(std::sync::Arc::clone(&ring));
    let mut lines = lines(max_line);
    let mut seen = from;
    while seen < data.len() {
        seen = (seen + piece).min(data.len());
        from += lines.put_lines(&data[from..seen], from as u64, 7, &mut output);
    }
    lines.flush(from as u64, &mut output);
    output.seal();
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

    #[test]
    fn what_is_no_cri_goes_on_as_it_stands(data in proptest::collection::vec(any::<u8>(), 0..2000), piece in 1..500usize) {
        let mut data = data;
        data.push(b'\n');
        let put = read(&data, 0, piece, 64);
        prop_assert_eq!(stream(&put, Stream::None), data);
    }
}
