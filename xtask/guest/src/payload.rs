//! Lines as services print them, made from a seed: what `emit payload` writes, and how `cargo xtask bench` knows each of
//! them again.
//!
//! The same seed and number give the same line on every machine. A line is nine digits, a space, and words; nothing in
//! it needs an escape. Compiled into `emit` and into xtask.

/// What a container prints before it waits for its go.
pub const READY: &[u8] = b"ready\n";

const WORDS: [&str; 32] = [
    "INFO",
    "WARN",
    "DEBUG",
    "request",
    "served",
    "worker-7",
    "path=/api/v1/items",
    "status=200",
    "status=404",
    "bytes=18231",
    "took=1.7ms",
    "user=anna",
    "cache",
    "hit",
    "miss",
    "retry",
    "queue",
    "connection",
    "closed",
    "opened",
    "from",
    "to",
    "10.0.3.17:51234",
    "session",
    "token",
    "renewed",
    "shard",
    "replica",
    "leader",
    "lag",
    "snapshot",
    "done",
];

/// Appends line `number` to `out`, without its newline; `length` is at least 11.
pub fn line(seed: u64, number: u64, length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    digits(number, 9, out);
    let (mut state, mut bits) = (seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0);
    for place in 0.. {
        if out.len() - start >= length {
            break;
        }
        // Twelve words of five bits each from one random number.
        if place % 12 == 0 {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            bits = mix(state);
        }
        out.push(b' ');
        out.extend_from_slice(WORDS[(bits & 31) as usize].as_bytes());
        bits >>= 5;
    }
    out.truncate(start + length);
}

/// The same with `nanoseconds` as the second word, 19 digits; `length` is at least 31.
pub fn timed_line(seed: u64, number: u64, nanoseconds: u64, length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    line(seed, number, length, out);
    let mut time = Vec::with_capacity(19);
    digits(nanoseconds, 19, &mut time);
    out[start + 10..start + 29].copy_from_slice(&time);
    out[start + 29] = b' ';
}

/// A line's number.
pub fn number_of(line: &[u8]) -> Option<u64> {
    parse(line.get(..9)?)
}

/// A timed line's time.
pub fn time_of(line: &[u8]) -> Option<u64> {
    parse(line.get(10..29)?)
}

fn parse(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Cheaper than `write!`: the writer must be faster than whoever is measured.
fn digits(mut number: u64, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + width, b'0');
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The last step of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_follows_from_seed_and_number_and_holds_both() {
        let of = |seed, number| {
            let mut out = Vec::new();
            line(seed, number, 199, &mut out);
            out
        };
        assert_eq!(of(1, 7), of(1, 7));
        assert_ne!(of(1, 7)[9..], of(2, 7)[9..]);
        assert_ne!(of(1, 7)[9..], of(1, 8)[9..]);
        assert_eq!(of(1, 7).len(), 199);
        assert_eq!(number_of(&of(1, 7)), Some(7));
    }

    #[test]
    fn a_timed_line_holds_its_time() {
        let mut out = Vec::new();
        timed_line(1, 42, 1_767_323_045_000_000_001, 100, &mut out);
        assert_eq!((number_of(&out), time_of(&out)), (Some(42), Some(1_767_323_045_000_000_001)));
        assert_eq!(out.len(), 100);
    }
}
