//! A record's position in its file, as checkpoints hold it.
//!
//! ```text
//!  bits 16..64   offset in the file just after the record's last byte
//!  bits  0..16   65535 − how far before that offset reading has to start again, in blocks of 4 KiB, rounded up
//! ```
//!
//! Most records need no going back. But where lines of stdout and stderr alternate, one stream may have an unfinished
//! line (CRI's `P`) while records of the other one are sent: whoever starts again after such a record needs the
//! beginning of the unfinished line, too. Positions of one file grow strictly: the offset does, and where two records
//! end at the same offset, the second one is sent because less is unfinished after it.
//!
//! Limits: offsets below 256 TiB; going back at most 256 MiB (what would need more starts in the middle of a line).

/// Bytes that one step of going back stands for.
const BLOCK: u64 = 4096;
const BACK_BITS: u32 = 16;
const MOST_BACK: u64 = (1 << BACK_BITS) - 1;
const MOST_OFFSET: u64 = (1 << (64 - BACK_BITS)) - 1;

/// The position of a record that ends at `offset`, where what begins at `unfinished` has not been sent.
#[inline]
pub(super) fn pack(offset: u64, unfinished: Option<u64>) -> u64 {
    // What begins at the offset itself needs no going back.
    let back = unfinished.map_or(0, |from| offset.saturating_sub(from).div_ceil(BLOCK)).min(MOST_BACK);
    (offset.min(MOST_OFFSET) << BACK_BITS) | (MOST_BACK - back)
}

/// Where reading starts again after the record at `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Restart {
    /// Everything before it has been sent, but for what is unfinished.
    pub(super) offset: u64,
    /// Nothing unfinished begins before it. It need not be the beginning of a line where it is less than `offset`.
    pub(super) from: u64,
}

pub(super) fn unpack(position: u64) -> Restart {
    let (offset, back) = (position >> BACK_BITS, MOST_BACK - (position & MOST_BACK));
    // Position 0 is what a destination has that has acknowledged nothing.
    let from = if position == 0 { 0 } else { offset.saturating_sub(back * BLOCK) };
    Restart { offset, from }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_sent_later_has_the_higher_position() {
        let order = [pack(20, Some(0)), pack(20, None), pack(21, Some(3)), pack(8192, Some(0)), pack(8192, Some(4100))];
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
        assert_eq!(unpack(0), Restart { offset: 0, from: 0 });
        assert_eq!(unpack(pack(20, None)), Restart { offset: 20, from: 20 });
    }

    proptest! {
        #[test]
        fn going_back_is_far_enough_and_not_much_too_far(offset in 1..=MOST_OFFSET, back in 0..=MOST_BACK * BLOCK) {
            let from = offset.saturating_sub(back);
            let restart = unpack(pack(offset, Some(from)));
            prop_assert_eq!(restart.offset, offset);
            prop_assert!(restart.from <= from && from - restart.from <= BLOCK);
            prop_assert_eq!(unpack(pack(offset, None)), Restart { offset, from: offset });
        }
    }
}
