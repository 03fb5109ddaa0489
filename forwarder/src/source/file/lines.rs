//! Lines of a file without a format of its own: each is a record as it stands.

use crate::record::{Flags, OriginHandle, RecordMeta};
use crate::source::file::position;
use crate::source::output::Output;

/// Puts the lines of `data`, which is the file's content from `offset` on, and returns how much of it was used: all but
/// an unfinished line. Lines longer than `max_line` are put in parts.
pub(super) fn put_lines(
    data: &[u8],
    offset: u64,
    max_line: usize,
    time_ns: i64,
    origin: &OriginHandle,
    output: &mut Output,
) -> usize {
    let mut put = |from: usize, to: usize, end: usize, flags| {
        let position = position::pack(offset + end as u64, None);
        let body = &data[from..to];
        output.push(origin, RecordMeta { position, flags, ..RecordMeta::line(time_ns, body) }, body);
    };
    let mut from = 0;
    for newline in memchr::memchr_iter(b'\n', data) {
        while newline - from > max_line {
            put(from, from + max_line, from + max_line, Flags::PARTIAL);
            from += max_line;
        }
        put(from, newline, newline + 1, Flags::NONE);
        from = newline + 1;
    }
    while data.len() - from > max_line {
        put(from, from + max_line, from + max_line, Flags::PARTIAL);
        from += max_line;
    }
    from
}

/// Puts all of `data`, an unfinished line that ends at `end`, as a part of a line.
pub(super) fn put_part(data: &[u8], end: u64, time_ns: i64, origin: &OriginHandle, output: &mut Output) {
    let meta =
        RecordMeta { position: position::pack(end, None), flags: Flags::PARTIAL, ..RecordMeta::line(time_ns, data) };
    output.push(origin, meta, data);
}
