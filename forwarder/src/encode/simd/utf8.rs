//! Which bytes of a block are not part of valid UTF-8, from bit masks.
//!
//! A byte that begins a character is never one that continues one, so no decision depends on the one before it: a
//! byte is valid if it begins a character that is complete, or continues one. What a block says about the first
//! lanes of the next one is carried over.

use super::vector::{AHEAD, Vector};

/// What was found in a block.
pub(super) struct Found {
    /// The lanes that are not part of valid UTF-8.
    pub(super) invalid: u64,
    /// The lanes of the next block that belong to a character of this one.
    pub(super) carry: u64,
}

/// Checks the block that is at `from` and in `vector`. `high` are its lanes that are not ASCII, `carry` those that
/// belong to a character of the block before it.
///
/// # Safety
/// The machine has `V`'s instruction set. `V::LANES + AHEAD` bytes are readable at `from`.
#[inline(always)]
pub(super) unsafe fn check<V: Vector>(vector: V, from: *const u8, high: u64, carry: u64) -> Found {
    // SAFETY: the caller's promise.
    unsafe {
        let continuations = vector.continuations() & high;
        let leads = high & !continuations;
        let three = vector.at_least(0xe0);
        let four = vector.at_least(0xf0);
        // Each lead claims the lanes behind it. Lane `i + AHEAD` as lane `i`, for those that are in the next block.
        let third = V::load(from.add(AHEAD)).continuations();
        let ahead = third >> (V::LANES - AHEAD);
        let expected = carry | leads << 1 | three << 2 | four << 3;
        let beyond = over::<V>(leads, 1) | over::<V>(three, 2) | over::<V>(four, 3);
        // 0xc0, 0xc1, 0xe0, 0xed and what is from 0xf0 need a look at the byte or the one behind it.
        // These comparisons mean some others too, which are rare enough.
        let suspicious = vector.equal_with(0x21, 0xe1) | vector.equal_with(0x01, 0xed) | four;
        if (expected & lanes::<V>()) == continuations && beyond & !ahead == 0 && suspicious & high == 0 {
            return Found { invalid: 0, carry: beyond };
        }
        exact(vector, V::load(from.add(1)), Masks { high, continuations, leads, three, four, third }, carry)
    }
}

/// Checks a block that is [`Vector::simple`]. Returns what it carries over, or `None` where it is not valid.
///
/// # Safety
/// As for [`check`].
#[inline(always)]
pub(super) unsafe fn check_simple<V: Vector>(vector: V, from: *const u8, carry: u64) -> Option<u64> {
    // SAFETY: the caller's promise.
    unsafe {
        let continuations = vector.continuations();
        let leads = vector.high() & !continuations;
        let three = vector.at_least(0xe0);
        let ahead = V::load(from.add(AHEAD)).continuations() >> (V::LANES - AHEAD);
        let expected = carry | leads << 1 | three << 2;
        let beyond = over::<V>(leads, 1) | over::<V>(three, 2);
        ((expected & lanes::<V>()) == continuations && beyond & !ahead == 0).then_some(beyond)
    }
}

struct Masks {
    high: u64,
    continuations: u64,
    leads: u64,
    /// Leads of three bytes and more, of four and more.
    three: u64,
    four: u64,
    /// The lanes whose third next is a continuation.
    third: u64,
}

/// `next` is the vector one byte further.
///
/// # Safety
/// The machine has `V`'s instruction set.
#[inline(always)]
unsafe fn exact<V: Vector>(vector: V, next: V, masks: Masks, carry: u64) -> Found {
    let Masks { high, continuations, leads, three, four, third } = masks;
    let ahead = third >> (V::LANES - AHEAD);
    let first = continuations >> 1 | ahead << (V::LANES - 1);
    // What is binary has few leads that a continuation follows.
    if leads & first == 0 {
        return Found { invalid: high & !carry, carry: 0 };
    }
    let second = continuations >> 2 | ahead << (V::LANES - 2);
    // The Unicode Standard, table 3-7, "Well-Formed UTF-8 Byte Sequences": these leads are never right, or only
    // with some of the continuations.
    // SAFETY: the caller's promise.
    let bad = unsafe {
        vector.equal_with(0x01, 0xc1)
            | vector.at_least(0xf5)
            | vector.equal(0xe0) & !next.at_least(0xa0)
            | vector.equal(0xed) & next.at_least(0xa0)
            | vector.equal(0xf0) & !next.at_least(0x90)
            | vector.equal(0xf4) & next.at_least(0x90)
    };
    let complete = leads & !bad & first & (second | !three) & (third | !four);
    let (three, four) = (complete & three, complete & four);
    let covered = carry | complete << 1 | three << 2 | four << 3;
    Found {
        invalid: high & !(complete | covered),
        carry: over::<V>(complete, 1) | over::<V>(three, 2) | over::<V>(four, 3),
    }
}

/// The lanes that there are.
#[inline(always)]
const fn lanes<V: Vector>() -> u64 {
    u64::MAX >> (64 - V::LANES)
}

/// What is shifted out of the block.
#[inline(always)]
const fn over<V: Vector>(mask: u64, by: usize) -> u64 {
    (mask & lanes::<V>()) >> (V::LANES - by)
}
