//! SSE2, AVX2 and AVX-512 (F and BW).

use std::arch::x86_64::*;

use super::marks::{self, MARKED};
use super::table::EscapeStyle;
use super::vector::{self, Vector};
use super::{Escaper, Work, kernel};

/// # Safety
/// The machine has AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn escape_avx512(out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
    // SAFETY: the caller's promise.
    unsafe { kernel::escape::<Avx512>(out, input, style) }
}

/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn escape_avx2(out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
    // SAFETY: the caller's promise.
    unsafe { kernel::escape::<Avx2>(out, input, style) }
}

/// # Safety
/// None beyond x86-64; unsafe for the sake of one signature.
pub(super) unsafe fn escape_sse2(out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { kernel::escape::<Sse2>(out, input, style) }
}

/// # Safety
/// The machine has AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn work_avx512<W: Work>(work: W) -> W::Output {
    work.run(ByAvx512(()))
}

/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn work_avx2<W: Work>(work: W) -> W::Output {
    work.run(ByAvx2(()))
}

/// Made by [`work_avx512`] alone.
#[derive(Clone, Copy)]
struct ByAvx512(());

/// Made by [`work_avx2`] alone.
#[derive(Clone, Copy)]
struct ByAvx2(());

impl Escaper for ByAvx512 {
    #[inline(always)]
    fn escape_into(self, out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
        // SAFETY: whoever made it has AVX-512 F and BW.
        unsafe { kernel::escape::<Avx512>(out, input, style) }
    }
}

impl Escaper for ByAvx2 {
    #[inline(always)]
    fn escape_into(self, out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
        // SAFETY: whoever made it has AVX2.
        unsafe { kernel::escape::<Avx2>(out, input, style) }
    }
}

/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn mark_avx2(blocks: &[[u8; MARKED]], last: &[u8; MARKED], marks: &mut Vec<u32>) {
    // SAFETY: the caller's promise.
    unsafe { marks::mark_blocks::<Avx2>(blocks, last, marks) }
}

/// # Safety
/// None beyond x86-64; unsafe for the sake of one signature.
pub(super) unsafe fn mark_sse2(blocks: &[[u8; MARKED]], last: &[u8; MARKED], marks: &mut Vec<u32>) {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { marks::mark_blocks::<Sse2>(blocks, last, marks) }
}

/// [`vector::load_below_16`] as a vector.
///
/// # Safety
/// `len` is 1 to 15 and that many bytes are readable.
#[inline(always)]
unsafe fn load_below_16(from: *const u8, len: usize) -> __m128i {
    // SAFETY: the caller's promise; SSE2 is part of x86-64.
    unsafe {
        let [low, high] = vector::load_below_16(from, len);
        _mm_set_epi64x(high as i64, low as i64)
    }
}

/// Sixteen of these from `n` on move a vector down by `n` bytes.
static DOWN: [u8; 32] = {
    let mut indices = [0x80; 32];
    let mut at = 0;
    while at < 16 {
        indices[at] = at as u8;
        at += 1;
    }
    indices
};

#[derive(Clone, Copy)]
struct Sse2(__m128i);

impl Vector for Sse2 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the trait's contract; unaligned load.
        Self(unsafe { _mm_loadu_si128(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { load_below_16(from, len) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the trait's contract; unaligned store.
        unsafe { _mm_storeu_si128(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn both_plain(self, other: Self) -> bool {
        // SAFETY: SSE2 is there by the trait's contract; no memory is touched.
        unsafe { Self(_mm_or_si128(self.care(), other.care())).bits() == 0 }
    }

    #[inline(always)]
    unsafe fn both_stay(self, other: Self) -> bool {
        // SAFETY: as in `both_plain`.
        unsafe {
            let e2 = _mm_set1_epi8(0xe2u8 as i8);
            let escapes = _mm_or_si128(_mm_andnot_si128(self.0, self.care()), _mm_andnot_si128(other.0, other.care()));
            let separators = _mm_or_si128(_mm_cmpeq_epi8(self.0, e2), _mm_cmpeq_epi8(other.0, e2));
            Self(_mm_or_si128(escapes, separators)).bits() == 0
        }
    }

    #[inline(always)]
    unsafe fn simple(self) -> bool {
        // SAFETY: as in `both_plain`.
        unsafe {
            let v = self.0;
            let equal = |set: u8, byte: u8| {
                _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8(set as i8)), _mm_set1_epi8(byte as i8))
            };
            let leads = _mm_or_si128(_mm_or_si128(equal(0, 0xe2), equal(0x21, 0xe1)), equal(0x01, 0xed));
            let four = _mm_cmpeq_epi8(_mm_max_epu8(v, _mm_set1_epi8(0xf0u8 as i8)), v);
            let escapes = _mm_andnot_si128(v, self.care());
            Self(_mm_or_si128(_mm_or_si128(leads, four), escapes)).bits() == 0
        }
    }

    #[inline(always)]
    unsafe fn escapes(self) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { Self(_mm_andnot_si128(self.0, self.care())).bits() }
    }

    #[inline(always)]
    unsafe fn string_marks(self) -> u64 {
        // What is not ASCII is below all others as a signed byte.
        // SAFETY: as in `both_plain`.
        unsafe {
            let v = self.0;
            let below = _mm_cmpgt_epi8(_mm_set1_epi8(0x20), v);
            let quote = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'"' as i8));
            let backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'\\' as i8));
            Self(_mm_or_si128(_mm_or_si128(below, quote), backslash)).bits()
        }
    }

    #[inline(always)]
    unsafe fn high(self) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { self.bits() }
    }

    #[inline(always)]
    unsafe fn continuations(self) -> u64 {
        // As signed bytes they are below all others.
        // SAFETY: as in `both_plain`.
        unsafe { Self(_mm_cmpgt_epi8(_mm_set1_epi8(0xc0u8 as i8), self.0)).bits() }
    }

    #[inline(always)]
    unsafe fn at_least(self, byte: u8) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { Self(_mm_cmpeq_epi8(_mm_max_epu8(self.0, _mm_set1_epi8(byte as i8)), self.0)).bits() }
    }

    #[inline(always)]
    unsafe fn equal(self, byte: u8) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { Self(_mm_cmpeq_epi8(self.0, _mm_set1_epi8(byte as i8))).bits() }
    }

    #[inline(always)]
    unsafe fn equal_with(self, set: u8, byte: u8) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { Self(_mm_or_si128(self.0, _mm_set1_epi8(set as i8))).equal(byte) }
    }
}

impl Sse2 {
    /// All ones in the lanes that need care: escapes, and what is not ASCII, which as signed bytes is below 0x20.
    ///
    /// # Safety
    /// None beyond x86-64.
    #[inline(always)]
    unsafe fn care(self) -> __m128i {
        let v = self.0;
        // SAFETY: SSE2 is part of x86-64; no memory is touched.
        unsafe {
            let below = _mm_cmpgt_epi8(_mm_set1_epi8(0x20), v);
            // `"` and `&` differ in bit 2 only, `<` and `>` in bit 1 only: set, each pair is one comparison.
            let quote = _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8(4)), _mm_set1_epi8(b'&' as i8));
            let angle = _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8(2)), _mm_set1_epi8(b'>' as i8));
            let backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'\\' as i8));
            _mm_or_si128(_mm_or_si128(below, quote), _mm_or_si128(angle, backslash))
        }
    }

    /// The sign bits.
    ///
    /// # Safety
    /// None beyond x86-64.
    #[inline(always)]
    unsafe fn bits(self) -> u64 {
        // SAFETY: SSE2 is part of x86-64; no memory is touched.
        unsafe { u64::from(_mm_movemask_epi8(self.0) as u32) }
    }
}

#[derive(Clone, Copy)]
struct Avx2(__m256i);

impl Vector for Avx2 {
    const LANES: usize = 32;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the trait's contract; unaligned load.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: the trait's contract. In the second case both loads are inside of the `len` bytes; the last 16 are
        // moved down over what the first have, and zeros follow: an index of 0x80 makes one.
        unsafe {
            if len < 16 {
                return Self(_mm256_zextsi128_si256(load_below_16(from, len)));
            }
            let last = _mm_loadu_si128(from.add(len - 16).cast());
            let moved = _mm_loadu_si128(DOWN.as_ptr().add(32 - len).cast());
            Self(_mm256_set_m128i(_mm_shuffle_epi8(last, moved), _mm_loadu_si128(from.cast())))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the trait's contract; unaligned store.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn both_plain(self, other: Self) -> bool {
        // SAFETY: AVX2 is there by the trait's contract; no memory is touched.
        unsafe { Self(_mm256_or_si256(self.care(), other.care())).bits() == 0 }
    }

    #[inline(always)]
    unsafe fn both_stay(self, other: Self) -> bool {
        // SAFETY: as in `both_plain`.
        unsafe {
            let e2 = _mm256_set1_epi8(0xe2u8 as i8);
            let escapes =
                _mm256_or_si256(_mm256_andnot_si256(self.0, self.care()), _mm256_andnot_si256(other.0, other.care()));
            let separators = _mm256_or_si256(_mm256_cmpeq_epi8(self.0, e2), _mm256_cmpeq_epi8(other.0, e2));
            Self(_mm256_or_si256(escapes, separators)).bits() == 0
        }
    }

    #[inline(always)]
    unsafe fn simple(self) -> bool {
        // SAFETY: as in `both_plain`.
        unsafe {
            let v = self.0;
            let equal = |set: u8, byte: u8| {
                _mm256_cmpeq_epi8(_mm256_or_si256(v, _mm256_set1_epi8(set as i8)), _mm256_set1_epi8(byte as i8))
            };
            let leads = _mm256_or_si256(_mm256_or_si256(equal(0, 0xe2), equal(0x21, 0xe1)), equal(0x01, 0xed));
            let four = _mm256_cmpeq_epi8(_mm256_max_epu8(v, _mm256_set1_epi8(0xf0u8 as i8)), v);
            let escapes = _mm256_andnot_si256(v, self.care());
            Self(_mm256_or_si256(_mm256_or_si256(leads, four), escapes)).bits() == 0
        }
    }

    #[inline(always)]
    unsafe fn escapes(self) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { Self(_mm256_andnot_si256(self.0, self.care())).bits() }
    }

    #[inline(always)]
    unsafe fn string_marks(self) -> u64 {
        // What is not ASCII is below all others as a signed byte.
        // SAFETY: as in `both_plain`.
        unsafe {
            let v = self.0;
            let below = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), v);
            let quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'"' as i8));
            let backslash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'\\' as i8));
            Self(_mm256_or_si256(_mm256_or_si256(below, quote), backslash)).bits()
        }
    }

    #[inline(always)]
    unsafe fn high(self) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { self.bits() }
    }

    #[inline(always)]
    unsafe fn continuations(self) -> u64 {
        // As signed bytes they are below all others.
        // SAFETY: as in `both_plain`.
        unsafe { Self(_mm256_cmpgt_epi8(_mm256_set1_epi8(0xc0u8 as i8), self.0)).bits() }
    }

    #[inline(always)]
    unsafe fn at_least(self, byte: u8) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { Self(_mm256_cmpeq_epi8(_mm256_max_epu8(self.0, _mm256_set1_epi8(byte as i8)), self.0)).bits() }
    }

    #[inline(always)]
    unsafe fn equal(self, byte: u8) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { Self(_mm256_cmpeq_epi8(self.0, _mm256_set1_epi8(byte as i8))).bits() }
    }

    #[inline(always)]
    unsafe fn equal_with(self, set: u8, byte: u8) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { Self(_mm256_or_si256(self.0, _mm256_set1_epi8(set as i8))).equal(byte) }
    }
}

impl Avx2 {
    /// All ones in the lanes that need care: escapes, and what is not ASCII, which as signed bytes is below 0x20.
    ///
    /// # Safety
    /// The machine has AVX2.
    #[inline(always)]
    unsafe fn care(self) -> __m256i {
        let v = self.0;
        // SAFETY: the caller's promise; no memory is touched.
        unsafe {
            let below = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), v);
            // Each low half of a byte looks up the one byte that it belongs to. `\` shares its half with `<`.
            let (q, a, l, g) = (b'"' as i8, b'&' as i8, b'<' as i8, b'>' as i8);
            let half = _mm_setr_epi8(-1, -1, q, -1, -1, -1, a, -1, -1, -1, -1, -1, l, -1, g, -1);
            let one_of = _mm256_cmpeq_epi8(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(half), v), v);
            let backslash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'\\' as i8));
            _mm256_or_si256(_mm256_or_si256(below, one_of), backslash)
        }
    }

    /// The sign bits.
    ///
    /// # Safety
    /// The machine has AVX2.
    #[inline(always)]
    unsafe fn bits(self) -> u64 {
        // SAFETY: the caller's promise; no memory is touched.
        unsafe { u64::from(_mm256_movemask_epi8(self.0) as u32) }
    }
}

#[derive(Clone, Copy)]
struct Avx512(__m512i);

impl Vector for Avx512 {
    const LANES: usize = 64;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the trait's contract; unaligned load.
        Self(unsafe { _mm512_loadu_si512(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: the trait's contract; lanes that are masked away are not read.
        Self(unsafe { _mm512_maskz_loadu_epi8(u64::MAX >> (64 - len), from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the trait's contract; unaligned store.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn escapes(self) -> u64 {
        // SAFETY: AVX-512 F and BW are there by the trait's contract; no memory is touched.
        unsafe {
            let control = _mm512_cmplt_epu8_mask(self.0, _mm512_set1_epi8(0x20));
            control | self.equal_with(4, b'&') | self.equal_with(2, b'>') | self.equal(b'\\')
        }
    }

    #[inline(always)]
    unsafe fn high(self) -> u64 {
        // SAFETY: as in `escapes`.
        unsafe { _mm512_movepi8_mask(self.0) }
    }

    #[inline(always)]
    unsafe fn continuations(self) -> u64 {
        // As signed bytes they are below all others.
        // SAFETY: as in `escapes`.
        unsafe { _mm512_cmplt_epi8_mask(self.0, _mm512_set1_epi8(0xc0u8 as i8)) }
    }

    #[inline(always)]
    unsafe fn at_least(self, byte: u8) -> u64 {
        // SAFETY: as in `escapes`.
        unsafe { _mm512_cmpge_epu8_mask(self.0, _mm512_set1_epi8(byte as i8)) }
    }

    #[inline(always)]
    unsafe fn equal(self, byte: u8) -> u64 {
        // SAFETY: as in `escapes`.
        unsafe { _mm512_cmpeq_epi8_mask(self.0, _mm512_set1_epi8(byte as i8)) }
    }

    #[inline(always)]
    unsafe fn equal_with(self, set: u8, byte: u8) -> u64 {
        // SAFETY: as in `escapes`.
        unsafe {
            _mm512_cmpeq_epi8_mask(_mm512_or_si512(self.0, _mm512_set1_epi8(set as i8)), _mm512_set1_epi8(byte as i8))
        }
    }
}
