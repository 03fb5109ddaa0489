//! Entries in journal export format: however a stream is cut, it says the same, and nothing of it is left out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::parse::journal::export::{ExportReader, Piece};

fuzz_target!(|data: &[u8]| {
    let Some((size, data)) = data.split_first() else { return };
    let whole = read(std::iter::once(data));
    assert_eq!(read(data.chunks(usize::from(*size).max(1))), whole);
});

/// Everything that comes, as one text.
fn read<'d>(pieces: impl Iterator<Item = &'d [u8]>) -> Vec<u8> {
    let (mut reader, mut said, mut is_in_field) = (ExportReader::default(), Vec::new(), false);
    let mut out = |piece: Piece<'_>| match piece {
        Piece::Field(name) => {
            assert!(!std::mem::replace(&mut is_in_field, true));
            assert!(!name.is_empty() && name.len() <= 64);
            said.extend([b"F", name].concat());
        }
        Piece::Value(value) => {
            assert!(is_in_field && !value.is_empty());
            said.extend_from_slice(value);
        }
        Piece::FieldEnd => assert!(std::mem::take(&mut is_in_field)),
        Piece::Unparsed(line) => {
            assert!(!is_in_field && !line.is_empty());
            said.extend([b"U", line].concat());
        }
        Piece::EntryEnd => {
            assert!(!is_in_field);
            said.push(b'E');
        }
    };
    pieces.for_each(|piece| reader.push(piece, &mut out));
    reader.finish(&mut out);
    assert!(!reader.is_in_field() && !is_in_field);
    said
}
