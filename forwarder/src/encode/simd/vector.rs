//! What the kernel asks of an instruction set.

/// The widest vector there is.
pub(super) const MAX_LANES: usize = 64;

/// What a block reads behind its lanes: a character has up to three more bytes.
pub(super) const AHEAD: usize = 3;

/// A vector type. The methods compile to single instructions only where they are inlined into a function that
/// has the instruction set enabled. Masks have a bit for each lane, the first lane's is the lowest.
pub(super) trait Vector: Copy {
    const LANES: usize;

    /// # Safety
    /// `LANES` bytes are readable at `from` and the machine has the instruction set.
    unsafe fn load(from: *const u8) -> Self;

    /// The first `len` bytes at `from`, then zeros.
    ///
    /// # Safety
    /// `len` is 1 to `LANES - 1`, that many bytes are readable at `from`, and the machine has the instruction set.
    unsafe fn load_part(from: *const u8, len: usize) -> Self;

    /// # Safety
    /// `LANES` bytes are writable at `to` and the machine has the instruction set.
    unsafe fn store(self, to: *mut u8);

    /// Whether all lanes of both are ASCII that stays as it is.
    ///
    /// # Safety
    /// The machine has the instruction set.
    #[inline(always)]
    unsafe fn both_plain(self, other: Self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.escapes() | other.escapes() | self.high() | other.high() == 0 }
    }

    /// Whether all lanes of both stay as they are, if they are valid UTF-8 and 0xe2 begins no separator.
    ///
    /// # Safety
    /// The machine has the instruction set.
    #[inline(always)]
    unsafe fn both_stay(self, other: Self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.escapes() | other.escapes() | self.equal(0xe2) | other.equal(0xe2) == 0 }
    }

    /// Whether no lane is escaped, and the numbers of bytes alone tell whether it is valid UTF-8 without a separator:
    /// there is no lead of four bytes, no 0xe2, and none that is never right or not with every continuation.
    ///
    /// # Safety
    /// The machine has the instruction set.
    #[inline(always)]
    unsafe fn simple(self) -> bool {
        // Two of these comparisons mean two leads, and two that are never wrong besides.
        // SAFETY: the caller's promise.
        unsafe {
            let leads = self.equal(0xe2) | self.equal_with(0x21, 0xe1) | self.equal_with(0x01, 0xed);
            leads | self.at_least(0xf0) | self.escapes() == 0
        }
    }

    /// The lanes below 0x20 and those that are `"`, `\`, `<`, `>` or `&`.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn escapes(self) -> u64;

    /// The lanes below 0x20, those that are `"` or `\`, and those that are not ASCII.
    ///
    /// # Safety
    /// The machine has the instruction set.
    #[inline(always)]
    unsafe fn string_marks(self) -> u64 {
        // SAFETY: the caller's promise.
        unsafe {
            let below = !self.at_least(0x20) & u64::MAX >> (64 - Self::LANES);
            below | self.equal(b'"') | self.equal(b'\\') | self.high()
        }
    }

    /// The lanes that are not ASCII.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn high(self) -> u64;

    /// The lanes from 0x80 to 0xbf.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn continuations(self) -> u64;

    /// The lanes that are `byte` or above.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn at_least(self, byte: u8) -> u64;

    /// The lanes that are `byte`.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn equal(self, byte: u8) -> u64;

    /// The lanes that are `byte` once the bits of `set` are set.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn equal_with(self, set: u8, byte: u8) -> u64;
}

/// The `len` bytes at `from`, fewer than 16, then zeros: from loads that overlap. The first eight are the first number.
///
/// # Safety
/// `len` is 1 to 15 and that many bytes are readable.
#[inline(always)]
pub(super) unsafe fn load_below_16(from: *const u8, len: usize) -> [u64; 2] {
    // SAFETY: the caller's promise: each load is inside of the `len` bytes.
    unsafe {
        if len >= 8 {
            let first = from.cast::<u64>().read_unaligned();
            let last = from.add(len - 8).cast::<u64>().read_unaligned();
            // In two steps: a shift by all 64 bits is none.
            return [first, last >> 1 >> (8 * (16 - len) - 1)];
        }
        if len >= 4 {
            let first = u64::from(from.cast::<u32>().read_unaligned());
            let last = u64::from(from.add(len - 4).cast::<u32>().read_unaligned());
            return [first | last << (8 * (len - 4)), 0];
        }
        let byte = |at: usize| u64::from(*from.add(at)) << (8 * at);
        [byte(0) | byte(len / 2) | byte(len - 1), 0]
    }
}
