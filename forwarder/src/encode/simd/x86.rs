//! SSE2, AVX2 and AVX-512 (F and BW).

use std::arch::x86_64::*;

use super::kernel::{self, Vector};
use super::table::EscapeStyle;

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

// `"` and `&` differ in bit 2 only, `<` and `>` in bit 1 only: set, each pair is one comparison.

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
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the trait's contract; unaligned store.
        unsafe { _mm_storeu_si128(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn care(self) -> u64 {
        let v = self.0;
        // SAFETY: SSE2 is there by the trait's contract; no memory is touched.
        unsafe {
            let control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
            let quote = _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8(4)), _mm_set1_epi8(b'&' as i8));
            let angle = _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8(2)), _mm_set1_epi8(b'>' as i8));
            let backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'\\' as i8));
            let any = _mm_or_si128(_mm_or_si128(control, quote), _mm_or_si128(angle, backslash));
            // The sign bits of the bytes themselves add what is not ASCII.
            _mm_movemask_epi8(_mm_or_si128(any, v)) as u32 as u64
        }
    }

    #[inline(always)]
    unsafe fn high(self) -> u64 {
        // SAFETY: as in `care`.
        unsafe { _mm_movemask_epi8(self.0) as u32 as u64 }
    }

    #[inline(always)]
    unsafe fn equal(self, byte: u8) -> u64 {
        // SAFETY: as in `care`.
        unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(self.0, _mm_set1_epi8(byte as i8))) as u32 as u64 }
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
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the trait's contract; unaligned store.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn care(self) -> u64 {
        let v = self.0;
        // SAFETY: AVX2 is there by the trait's contract; no memory is touched.
        unsafe {
            let control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
            let quote = _mm256_cmpeq_epi8(_mm256_or_si256(v, _mm256_set1_epi8(4)), _mm256_set1_epi8(b'&' as i8));
            let angle = _mm256_cmpeq_epi8(_mm256_or_si256(v, _mm256_set1_epi8(2)), _mm256_set1_epi8(b'>' as i8));
            let backslash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'\\' as i8));
            let any = _mm256_or_si256(_mm256_or_si256(control, quote), _mm256_or_si256(angle, backslash));
            _mm256_movemask_epi8(_mm256_or_si256(any, v)) as u32 as u64
        }
    }

    #[inline(always)]
    unsafe fn high(self) -> u64 {
        // SAFETY: as in `care`.
        unsafe { _mm256_movemask_epi8(self.0) as u32 as u64 }
    }

    #[inline(always)]
    unsafe fn equal(self, byte: u8) -> u64 {
        // SAFETY: as in `care`.
        unsafe { _mm256_movemask_epi8(_mm256_cmpeq_epi8(self.0, _mm256_set1_epi8(byte as i8))) as u32 as u64 }
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
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the trait's contract; unaligned store.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn care(self) -> u64 {
        let v = self.0;
        // SAFETY: AVX-512 F and BW are there by the trait's contract; no memory is touched.
        unsafe {
            let control = _mm512_cmplt_epu8_mask(v, _mm512_set1_epi8(0x20));
            let quote = _mm512_cmpeq_epi8_mask(_mm512_or_si512(v, _mm512_set1_epi8(4)), _mm512_set1_epi8(b'&' as i8));
            let angle = _mm512_cmpeq_epi8_mask(_mm512_or_si512(v, _mm512_set1_epi8(2)), _mm512_set1_epi8(b'>' as i8));
            let backslash = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(b'\\' as i8));
            control | quote | angle | backslash | _mm512_movepi8_mask(v)
        }
    }

    #[inline(always)]
    unsafe fn high(self) -> u64 {
        // SAFETY: as in `care`.
        unsafe { _mm512_movepi8_mask(self.0) }
    }

    #[inline(always)]
    unsafe fn equal(self, byte: u8) -> u64 {
        // SAFETY: as in `care`.
        unsafe { _mm512_cmpeq_epi8_mask(self.0, _mm512_set1_epi8(byte as i8)) }
    }

    /// A masked load needs nothing before the bytes that it wants.
    #[inline(always)]
    unsafe fn store_plain_end(input: &[u8], rest: usize, to: *mut u8) -> bool {
        let inside = u64::MAX >> (64 - rest);
        // SAFETY: only the `rest` last bytes of the input are read; `to` has room for a vector.
        unsafe {
            let vector = Self(_mm512_maskz_loadu_epi8(inside, input.as_ptr().add(input.len() - rest).cast()));
            vector.store(to);
            vector.care() & inside == 0
        }
    }
}
