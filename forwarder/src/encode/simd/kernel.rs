//! The loop that all vector variants share.
//!
//! A vector of input is stored to the output as it is, in the same step in which it is searched for bytes that
//! need care. Mostly there are none, and both sides advance by the whole vector. Else each such byte is
//! replaced where it belongs and the bytes behind it are stored again, one vector at a time, so that dense
//! escapes cost a store each and no new search.
//!
//! Non-ASCII bytes need care until a validator (simdutf8) has said how far the input is valid UTF-8 from there
//! on; up to that point only 0xe2, which may begin U+2028 or U+2029, still does. The input is validated once,
//! in the longest possible runs, whatever it holds.

use super::table::{EscapeStyle, INVALID};

/// The widest vector there is.
const MAX_LANES: usize = 64;

/// A vector type. The methods compile to single instructions only where they are inlined into a function that
/// has the instruction set enabled.
pub(super) trait Vector: Copy {
    const LANES: usize;

    /// # Safety
    /// `LANES` bytes are readable at `from` and the machine has the instruction set.
    unsafe fn load(from: *const u8) -> Self;

    /// # Safety
    /// `LANES` bytes are writable at `to` and the machine has the instruction set.
    unsafe fn store(self, to: *mut u8);

    /// A bit for each lane that is below 0x20, `"`, `\`, `<`, `>`, `&`, or not ASCII.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn care(self) -> u64;

    /// A bit for each lane that is not ASCII.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn high(self) -> u64;

    /// A bit for each lane that equals `byte`.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn equal(self, byte: u8) -> u64;

    /// Stores the last `rest` bytes of the input to `to` if it can tell that none of them needs care. Otherwise
    /// returns false, and what is at `to` means nothing.
    ///
    /// # Safety
    /// `rest` is 1 to `LANES - 1` and at most the input's length, `LANES` bytes are writable at `to`, what
    /// precedes `to` is the output of the input that precedes the `rest`, and the machine has the instruction set.
    #[inline(always)]
    unsafe fn store_plain_end(input: &[u8], rest: usize, to: *mut u8) -> bool {
        let Some(before) = input.len().checked_sub(Self::LANES) else { return false };
        // SAFETY: the load is of the input's last vector. Where nothing in it needs care, the part of it that
        // is already written was copied as it is: it ends at `to`, and storing it again changes nothing.
        unsafe {
            let vector = Self::load(input.as_ptr().add(before));
            let plain = vector.care() == 0;
            if plain {
                vector.store(to.sub(Self::LANES - rest));
            }
            plain
        }
    }
}

/// # Safety
/// The machine has `V`'s instruction set.
#[inline(always)]
pub(super) unsafe fn escape<V: Vector>(out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
    let mut writer = Writer { input, style, valid_until: 0 };
    out.reserve(input.len() + slack::<V>());
    let mut at = 0;
    while at + V::LANES <= input.len() {
        writer.make_room::<V>(out, at);
        // SAFETY: the loop's condition for the vector; `make_room` for the store.
        let care = unsafe {
            let vector = V::load(input.as_ptr().add(at));
            vector.store(out.as_mut_ptr().add(out.len()));
            vector.care()
        };
        if care == 0 {
            // SAFETY: these bytes have just been stored.
            unsafe { out.set_len(out.len() + V::LANES) };
            at += V::LANES;
        } else if at + 2 * V::LANES <= input.len() {
            // SAFETY: two vectors are readable by the condition; `make_room` for the rest.
            at = unsafe { writer.step::<V>(out, input.as_ptr().add(at), at, V::LANES) };
        } else {
            break;
        }
    }
    if at == input.len() {
        return;
    }
    writer.make_room::<V>(out, at);
    let rest = input.len() - at;
    // SAFETY: all bytes before `at` are written or escaped in `out`, which has room for a vector.
    if rest < V::LANES && unsafe { V::store_plain_end(input, rest, out.as_mut_ptr().add(out.len())) } {
        // SAFETY: these bytes have just been stored.
        unsafe { out.set_len(out.len() + rest) };
        return;
    }
    // `step` reads a second vector from each lane of the first. What is left, less than two vectors, goes
    // through a copy with a readable margin behind it.
    let mut rest = [0u8; 3 * MAX_LANES];
    let start = at;
    let len = input.len() - start;
    // SAFETY: `len` is below two vectors and `rest` has three.
    unsafe { copy_short::<V>(input.as_ptr().add(start), rest.as_mut_ptr(), len) };
    while at < input.len() {
        writer.make_room::<V>(out, at);
        let lanes = (input.len() - at).min(V::LANES);
        // SAFETY: `at - start` is below two vectors, so one vector is readable behind the one at `at`.
        // Lanes past the input's end are masked away by `lanes`.
        at = unsafe { writer.step::<V>(out, rest.as_ptr().add(at - start), at, lanes) };
    }
}

/// What one step may write: six bytes for each lane, and whole stores behind the last of them.
#[inline(always)]
fn slack<V: Vector>() -> usize {
    8 * V::LANES
}

struct Writer<'a> {
    input: &'a [u8],
    style: EscapeStyle,
    /// The input is valid UTF-8 up to here from the first non-ASCII byte that was met; 0 when nothing is known.
    valid_until: usize,
}

impl Writer<'_> {
    #[inline(always)]
    fn make_room<V: Vector>(&self, out: &mut Vec<u8>, at: usize) {
        if out.capacity() - out.len() < slack::<V>() {
            grow(out, self.input.len() - at + slack::<V>());
        }
    }

    /// Writes the input from `at` on, at least one byte and less than a vector and a character of it.
    /// Returns where the next step begins.
    ///
    /// # Safety
    /// Two vectors are readable at `from`; the first `lanes` bytes there are `input[at..]`, and so is what
    /// follows them, as far as the input reaches. `out` has room for `slack::<V>()` more bytes.
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, out: &mut Vec<u8>, from: *const u8, at: usize, lanes: usize) -> usize {
        // SAFETY: the caller's promise; the pointer stays inside the room that it names.
        unsafe {
            let base = out.as_mut_ptr().add(out.len());
            let vector = V::load(from);
            vector.store(base);
            let inside = u64::MAX >> (64 - lanes);
            let mut care = vector.care() & inside;
            if care == 0 {
                out.set_len(out.len() + lanes);
                return at + lanes;
            }
            if self.valid_until > at {
                care = self.without_valid(vector, care, at);
            }
            let mut to = base;
            let mut done = 0;
            while care != 0 {
                let lane = care.trailing_zeros() as usize;
                to = to.add(lane - done);
                let byte = *from.add(lane);
                if byte < 0x80 {
                    let escape = self.style.table()[usize::from(byte)];
                    to.cast::<[u8; 8]>().write_unaligned(escape);
                    to = to.add(usize::from(escape[7]));
                    done = lane + 1;
                    care &= care - 1;
                } else {
                    let known = self.valid_until;
                    let (taken, made) = self.not_ascii(to, at + lane);
                    to = to.add(made);
                    done = lane + taken;
                    if done >= lanes {
                        break;
                    }
                    care &= care - 1;
                    if self.valid_until > known {
                        // What has just been validated needs no care any more.
                        care = self.without_valid(vector, care, at);
                    }
                }
                V::load(from.add(done)).store(to);
            }
            to = to.add(lanes.saturating_sub(done));
            out.set_len(to.offset_from_unsigned(out.as_ptr()));
            at + lanes.max(done)
        }
    }

    /// `care` less the lanes of non-ASCII bytes that are known to be valid and not U+2028 or U+2029.
    ///
    /// # Safety
    /// The machine has `V`'s instruction set.
    #[inline(always)]
    unsafe fn without_valid<V: Vector>(&self, vector: V, care: u64, at: usize) -> u64 {
        let known = self.valid_until.saturating_sub(at);
        let valid = if known >= 64 { u64::MAX } else { (1 << known) - 1 };
        // SAFETY: the caller's promise.
        unsafe { care & !(vector.high() & !vector.equal(0xe2) & valid) }
    }

    /// Writes the character or the invalid byte at `at`, which is not ASCII, in a vector with other bytes.
    /// Returns how many bytes it took and made.
    ///
    /// # Safety
    /// Eight bytes are writable at `to`.
    unsafe fn not_ascii(&mut self, to: *mut u8, at: usize) -> (usize, usize) {
        if at >= self.valid_until {
            self.valid_until = at + valid_prefix(&self.input[at..]);
        }
        if at >= self.valid_until {
            // SAFETY: six bytes, the caller promises eight.
            unsafe { to.cast::<[u8; 6]>().write_unaligned(*INVALID) };
            return (1, INVALID.len());
        }
        if let [0xe2, 0x80, last @ (0xa8 | 0xa9), ..] = self.input[at..] {
            // SAFETY: six bytes, the caller promises eight.
            unsafe { to.cast::<[u8; 6]>().write_unaligned(*b"\\u2028") };
            // SAFETY: the last of those six.
            unsafe { *to.add(5) = last - 0xa8 + b'8' };
            return (3, 6);
        }
        // Only this byte; its continuation bytes are known to be valid now and pass with what follows.
        // SAFETY: one byte, the caller promises eight.
        unsafe { *to = self.input[at] };
        (1, 1)
    }
}

/// Length of the valid UTF-8 at the start of `input`.
fn valid_prefix(input: &[u8]) -> usize {
    // Bytes that begin no character are common in binary data: not worth a call.
    if matches!(input.first(), Some(0x80..=0xc1 | 0xf5..)) {
        return 0;
    }
    match simdutf8::compat::from_utf8(input) {
        Ok(text) => text.len(),
        Err(error) => error.valid_up_to(),
    }
}

/// Doubles at least, so that dense escapes in a long input don't move it often.
#[cold]
#[inline(never)]
fn grow(out: &mut Vec<u8>, more: usize) {
    out.reserve(more);
}

/// Copies fewer than two vectors without calling out where it can.
///
/// # Safety
/// `len` bytes are readable at `from` and writable at `to`, the two don't overlap, and the machine has `V`'s
/// instruction set.
#[inline(always)]
unsafe fn copy_short<V: Vector>(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: each copy lies inside the `len` bytes that the caller promises.
    unsafe {
        if len >= V::LANES {
            V::load(from).store(to);
            V::load(from.add(len - V::LANES)).store(to.add(len - V::LANES));
        } else {
            from.copy_to_nonoverlapping(to, len);
        }
    }
}
