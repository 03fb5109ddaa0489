//! The loop that all vector variants share.
//!
//! A vector of input is stored to the output as it is, in the same step in which it is searched for what needs
//! care. Mostly there is nothing, and both sides advance by the whole vector. Else the vector becomes a *block*:
//! one bit mask says which lanes are replaced, and the block is written from it, escape by escape where there
//! are few and byte by byte where there are many. The second takes the same time whatever the bytes are.
//!
//! UTF-8 is validated by the masks of the block too (`utf8.rs`): short text is done in one pass, and what is no UTF-8
//! takes no longer than what is. Of long text, a validator (simdutf8, which needs a hundred bytes to get going) says
//! once how far it is valid.

use super::table::{Escape, EscapeStyle, escape_len, itself};
use super::utf8;
use super::vector::{AHEAD, MAX_LANES, Vector};

/// From this length on the validator is faster than the masks.
const LONG: usize = 512;

/// A block with more replaced lanes than this is written byte by byte.
const FEW: u32 = 4;

/// # Safety
/// The machine has `V`'s instruction set.
#[inline(always)]
pub(super) unsafe fn escape<V: Vector>(out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
    let len = input.len();
    out.reserve(len + slack::<V>());
    // SAFETY: inside the vector's allocation, as is every `to` by what follows.
    let mut to = unsafe { out.as_mut_ptr().add(out.len()) };
    let mut at = 0;
    let mut walk = Walk { input, table: style.table(), valid: Valid::Unknown, carry: 0 };
    // All through here: there is room at `to` for what is left of the input and the slack. What stays as it is
    // takes one from both sides; only a block with replaced lanes has to look.
    while at + V::LANES + AHEAD <= len {
        // SAFETY: the loops' conditions for the vectors that are read; there is room for what is left.
        unsafe {
            match walk.valid {
                Valid::Until(until) if at < until => {
                    while at + 2 * V::LANES <= until && store_two::<V>(input.as_ptr().add(at), to, V::both_stay) {
                        (at, to) = (at + 2 * V::LANES, to.add(2 * V::LANES));
                    }
                }
                Valid::Until(_) => {
                    while at + V::LANES + AHEAD <= len {
                        let from = input.as_ptr().add(at);
                        let vector = V::load(from);
                        vector.store(to);
                        if !vector.simple() {
                            break;
                        }
                        let Some(carry) = utf8::check_simple(vector, from, walk.carry) else { break };
                        walk.carry = carry;
                        (at, to) = (at + V::LANES, to.add(V::LANES));
                    }
                    if at + V::LANES + AHEAD > len {
                        break;
                    }
                }
                Valid::Unknown => {
                    while at + 2 * V::LANES <= len && store_two::<V>(input.as_ptr().add(at), to, V::both_plain) {
                        (at, to) = (at + 2 * V::LANES, to.add(2 * V::LANES));
                    }
                }
            }
            // What needs care has neighbours that do: blocks, until one of them does not.
            let mut calm = false;
            while !calm && at + V::LANES + AHEAD <= len {
                let step = walk.block::<V>(input.as_ptr().add(at), V::LANES, at, len - at, to);
                at += step.taken;
                to = with_room(out, step.to, len - at + slack::<V>());
                calm = step.calm;
            }
        }
    }
    // Less than a vector and what is ahead of it.
    // SAFETY: the condition for the vector that is read; there is room for what is left and the slack.
    unsafe {
        if at + V::LANES <= len {
            let vector = V::load(input.as_ptr().add(at));
            vector.store(to);
            if vector.escapes() | vector.high() == 0 {
                (at, to) = (at + V::LANES, to.add(V::LANES));
            }
        }
        if at < len {
            to = walk.rest::<V>(at, out, to);
        }
        out.set_len(to.offset_from_unsigned(out.as_ptr()));
    }
}

/// Copies two vectors and says whether `stay` holds for them; else what is at `to` means nothing.
///
/// # Safety
/// The machine has `V`'s instruction set, and two vectors are readable at `from` and writable at `to`.
#[inline(always)]
unsafe fn store_two<V: Vector>(from: *const u8, to: *mut u8, stay: unsafe fn(V, V) -> bool) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let (first, second) = (V::load(from), V::load(from.add(V::LANES)));
        first.store(to);
        second.store(to.add(V::LANES));
        stay(first, second)
    }
}

/// What one block may write: six bytes for each lane, and whole stores behind the last of them.
#[inline(always)]
const fn slack<V: Vector>() -> usize {
    8 * V::LANES
}

/// How far the input is known to be valid UTF-8.
#[derive(Clone, Copy)]
enum Valid {
    /// It is ASCII as far as it was looked at.
    Unknown,
    /// Up to here, and what follows is checked block by block.
    Until(usize),
}

/// What goes along from block to block.
struct Walk<'a> {
    input: &'a [u8],
    table: &'static [Escape; 256],
    valid: Valid,
    /// The lanes at the beginning of the next block that belong to a character of the one before.
    carry: u64,
}

/// What became of a block.
struct Step {
    /// Nothing in it needed care.
    calm: bool,
    /// Bytes of the input that are done: its lanes, and what belongs to a separator in the last of them.
    taken: usize,
    /// The end of what was written.
    to: *mut u8,
}

impl Walk<'_> {
    /// Writes the block of `lanes` bytes at `from`, which are those at `at` of the input.
    ///
    /// # Safety
    /// The machine has `V`'s instruction set. `V::LANES + AHEAD` and `readable` bytes are readable at `from`, and
    /// `slack::<V>()` bytes are writable at `to`.
    #[inline(always)]
    unsafe fn block<V: Vector>(
        &mut self,
        from: *const u8,
        lanes: usize,
        at: usize,
        readable: usize,
        to: *mut u8,
    ) -> Step {
        // SAFETY: the caller's promise.
        unsafe {
            let vector = V::load(from);
            vector.store(to);
            let inside = u64::MAX >> (64 - lanes);
            let high = vector.high() & inside;
            let mut replaced = vector.escapes() & inside;
            let mut separators = 0;
            let mut calm = replaced == 0;
            if high != 0 {
                let until = self.valid_until(at, high);
                if at + lanes > until {
                    replaced |= self.check(vector, from, high, until.saturating_sub(at));
                    calm &= replaced == 0;
                }
                if vector.equal(0xe2) & inside != 0 {
                    separators = find_separators(vector, from) & inside;
                    replaced |= separators;
                    calm = false;
                }
            }
            if replaced == 0 {
                return Step { calm, taken: lanes, to: to.add(lanes) };
            }
            if separators == 0 && replaced.count_ones() > FEW {
                let to = write_bytes(from, lanes, replaced, high, to, self.table);
                return Step { calm, taken: lanes, to };
            }
            // From a copy where less than a vector can be read behind the last lane.
            let mut copy = [0u8; 2 * MAX_LANES];
            let runs = if readable >= 2 * V::LANES + AHEAD {
                from
            } else {
                vector.store(copy.as_mut_ptr());
                copy.as_ptr()
            };
            let (to, taken) = write_runs::<V>(from, runs, lanes, replaced, separators, to, self.table);
            self.carry >>= taken - lanes;
            Step { calm, taken, to }
        }
    }

    /// The invalid bytes of a block of which only the first `known` are known to be valid, fewer than its lanes.
    ///
    /// # Safety
    /// As for [`Walk::block`].
    #[inline(always)]
    unsafe fn check<V: Vector>(&mut self, vector: V, from: *const u8, high: u64, known: usize) -> u64 {
        // SAFETY: the caller's promise.
        let found = unsafe {
            if known > 0 {
                // What continues a character there is right: it began in the block before, which was not looked at.
                self.carry = first_run(vector.continuations() & ((1 << known) - 1));
            }
            utf8::check(vector, from, high, self.carry)
        };
        self.carry = found.carry;
        found.invalid
    }

    /// How far the input is known to be valid. At the first block with bytes that are not ASCII, `high`, this is
    /// looked up for all that is left: in long text a validator is faster than the masks.
    #[inline(always)]
    fn valid_until(&mut self, at: usize, high: u64) -> usize {
        match self.valid {
            Valid::Until(until) => until,
            Valid::Unknown => {
                let begin = at + high.trailing_zeros() as usize;
                let until =
                    if self.input.len() - begin < LONG { 0 } else { begin + valid_prefix(&self.input[begin..]) };
                self.valid = Valid::Until(until);
                until
            }
        }
    }

    /// Writes what is left from `at` on, at most a vector and `AHEAD` bytes. Returns its end.
    ///
    /// # Safety
    /// The machine has `V`'s instruction set. At least one byte is left, and there is room for the slack at `to`, which
    /// is in `out`'s allocation.
    #[inline(always)]
    unsafe fn rest<V: Vector>(&mut self, mut at: usize, out: &mut Vec<u8>, mut to: *mut u8) -> *mut u8 {
        let (start, left) = (at, self.input.len() - at);
        // SAFETY: `left` bytes are readable at `from`, and there is room for a vector.
        unsafe {
            let from = self.input.as_ptr().add(at);
            if left < V::LANES {
                let vector = V::load_part(from, left);
                vector.store(to);
                let valid = matches!(self.valid, Valid::Until(until) if until == self.input.len());
                let care = vector.escapes() | if valid { vector.equal(0xe2) } else { vector.high() };
                if care & (u64::MAX >> (64 - left)) == 0 {
                    return to.add(left);
                }
            }
        }
        // Zeros follow, which end every character. Not made before they are needed: that takes as long as all of the above.
        let mut rest = [0u8; 3 * MAX_LANES];
        // SAFETY: `left` bytes are readable at `from`, which are one vector and a part of `AHEAD`, or less. `rest` is
        // longer than two of them.
        unsafe {
            let from = self.input.as_ptr().add(at);
            if left < V::LANES {
                V::load_part(from, left).store(rest.as_mut_ptr());
            } else {
                V::load(from).store(rest.as_mut_ptr());
                V::load(from.add(left - V::LANES)).store(rest.as_mut_ptr().add(left - V::LANES));
            }
        }
        while at < self.input.len() {
            let lanes = (self.input.len() - at).min(V::LANES);
            // SAFETY: at most two vectors are left, and `rest` has three; there is room for a block.
            unsafe {
                let step = self.block::<V>(rest.as_ptr().add(at - start), lanes, at, 2 * V::LANES, to);
                at += step.taken;
                to = with_room(out, step.to, slack::<V>());
            }
        }
        to
    }
}

/// The lowest run of ones.
#[inline(always)]
const fn first_run(mask: u64) -> u64 {
    mask & !mask.wrapping_add(1)
}

/// Length of the valid UTF-8 at the start of `input`.
#[inline(always)]
fn valid_prefix(input: &[u8]) -> usize {
    // The fast one does not know where the error is.
    if simdutf8::basic::from_utf8(input).is_ok() {
        return input.len();
    }
    match simdutf8::compat::from_utf8(input) {
        Ok(text) => text.len(),
        Err(error) => error.valid_up_to(),
    }
}

/// The lanes at which U+2028 or U+2029 begins.
///
/// # Safety
/// As for [`block`].
#[inline(always)]
unsafe fn find_separators<V: Vector>(vector: V, from: *const u8) -> u64 {
    // SAFETY: two bytes ahead of the block are readable.
    unsafe { vector.equal(0xe2) & V::load(from.add(1)).equal(0x80) & V::load(from.add(2)).equal_with(1, 0xa9) }
}

/// Writes a block that is mostly escapes: eight bytes for each lane, of which its length says how many stay.
/// Nothing here waits for a guess, and only the sum of the lengths for what was before.
///
/// # Safety
/// `lanes` bytes are readable at `from`, and eight times as many are writable at `to`.
#[inline(always)]
unsafe fn write_bytes(
    from: *const u8,
    lanes: usize,
    replaced: u64,
    high: u64,
    mut to: *mut u8,
    table: &[Escape; 256],
) -> *mut u8 {
    // SAFETY: the caller's promise: each lane writes eight bytes and advances by at most six.
    unsafe {
        if high & !replaced == 0 {
            for lane in 0..lanes {
                to = put(to, table[usize::from(*from.add(lane))]);
            }
        } else {
            // The table takes what is not ASCII for invalid.
            for lane in 0..lanes {
                let byte = *from.add(lane);
                let stays = replaced >> lane & 1 == 0;
                to = put(to, if stays { itself(byte) } else { table[usize::from(byte)] });
            }
        }
        to
    }
}

/// Writes a block of which few lanes are replaced. What is behind each of them is stored again, a vector at a time.
/// Returns the end of what was written, and of the input that is done.
///
/// # Safety
/// The machine has `V`'s instruction set. The block is at `from` and at `runs`, and is stored at `to`; `AHEAD` bytes
/// are readable behind it at `from`, a vector at `runs`. As much as a block may write is writable at `to`.
#[inline(always)]
unsafe fn write_runs<V: Vector>(
    from: *const u8,
    runs: *const u8,
    lanes: usize,
    mut replaced: u64,
    separators: u64,
    mut to: *mut u8,
    table: &[Escape; 256],
) -> (*mut u8, usize) {
    let mut done = 0;
    // SAFETY: the caller's promise. A separator in the last lanes ends at most `AHEAD` bytes behind them.
    unsafe {
        while replaced != 0 {
            let lane = replaced.trailing_zeros() as usize;
            to = to.add(lane - done);
            if separators >> lane & 1 == 0 {
                to = put(to, table[usize::from(*from.add(lane))]);
                done = lane + 1;
            } else {
                let last = *from.add(lane + 2) - 0xa8 + b'8';
                to = put(to, Escape::from_le_bytes([b'\\', b'u', b'2', b'0', b'2', last, 0, 6]));
                done = lane + 3;
            }
            if done >= lanes {
                return (to, done);
            }
            V::load(runs.add(done)).store(to);
            replaced &= replaced - 1;
        }
        (to.add(lanes - done), lanes)
    }
}

/// # Safety
/// Eight bytes are writable at `to`.
#[inline(always)]
unsafe fn put(to: *mut u8, escape: Escape) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        to.cast::<Escape>().write_unaligned(escape.to_le());
        to.add(escape_len(escape))
    }
}

/// `to`, or where it is after the vector had to grow to have `more` bytes behind it.
///
/// # Safety
/// `to` is in `out`'s allocation and everything before it was written.
#[inline(always)]
unsafe fn with_room(out: &mut Vec<u8>, to: *mut u8, more: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        let written = to.offset_from_unsigned(out.as_ptr());
        if out.capacity() - written >= more {
            return to;
        }
        out.set_len(written);
        grow(out, more);
        out.as_mut_ptr().add(written)
    }
}

/// Doubles at least, so that dense escapes in a long input don't move it often.
#[cold]
#[inline(never)]
fn grow(out: &mut Vec<u8>, more: usize) {
    out.reserve(more);
}
