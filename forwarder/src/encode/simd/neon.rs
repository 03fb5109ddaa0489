//! NEON, on arm64.

use std::arch::aarch64::*;

use super::kernel;
use super::marks::{self, MARKED};
use super::table::EscapeStyle;
use super::vector::{self, Vector};

/// # Safety
/// The machine has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn escape_neon(out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
    // SAFETY: the caller's promise.
    unsafe { kernel::escape::<Neon>(out, input, style) }
}

/// # Safety
/// The machine has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn mark_neon(blocks: &[[u8; MARKED]], last: &[u8; MARKED], marks: &mut Vec<u32>) {
    // SAFETY: the caller's promise.
    unsafe { marks::mark_blocks::<Neon>(blocks, last, marks) }
}

#[derive(Clone, Copy)]
struct Neon(uint8x16_t);

impl Vector for Neon {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the trait's contract; NEON loads need no alignment.
        Self(unsafe { vld1q_u8(from) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: the trait's contract.
        unsafe {
            let [low, high] = vector::load_below_16(from, len);
            Self(vcombine_u8(vcreate_u8(low), vcreate_u8(high)))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the trait's contract; NEON stores need no alignment.
        unsafe { vst1q_u8(to, self.0) }
    }

    #[inline(always)]
    unsafe fn both_plain(self, other: Self) -> bool {
        // Only the highest bit of a byte that is not ASCII is looked at.
        // SAFETY: NEON is there by the trait's contract; no memory is touched.
        unsafe {
            let any = vorrq_u8(vorrq_u8(self.escaped(), self.0), vorrq_u8(other.escaped(), other.0));
            vmaxvq_u8(any) < 0x80
        }
    }

    #[inline(always)]
    unsafe fn both_stay(self, other: Self) -> bool {
        // SAFETY: as in `both_plain`.
        unsafe {
            let e2 = vdupq_n_u8(0xe2);
            let separators = vorrq_u8(vceqq_u8(self.0, e2), vceqq_u8(other.0, e2));
            vmaxvq_u8(vorrq_u8(separators, vorrq_u8(self.escaped(), other.escaped()))) == 0
        }
    }

    #[inline(always)]
    unsafe fn simple(self) -> bool {
        // SAFETY: as in `both_plain`.
        unsafe {
            let v = self.0;
            let equal = |set: u8, byte: u8| vceqq_u8(vorrq_u8(v, vdupq_n_u8(set)), vdupq_n_u8(byte));
            let leads = vorrq_u8(vorrq_u8(equal(0, 0xe2), equal(0x21, 0xe1)), equal(0x01, 0xed));
            let four = vcgeq_u8(v, vdupq_n_u8(0xf0));
            vmaxvq_u8(vorrq_u8(vorrq_u8(leads, four), self.escaped())) == 0
        }
    }

    #[inline(always)]
    unsafe fn escapes(self) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { lane_bits(self.escaped()) }
    }

    #[inline(always)]
    unsafe fn string_marks(self) -> u64 {
        // SAFETY: as in `both_plain`; as signed bytes, what is not ASCII is below all others.
        unsafe {
            let below = vcltq_s8(vreinterpretq_s8_u8(self.0), vdupq_n_s8(0x20));
            let quote = vceqq_u8(self.0, vdupq_n_u8(b'"'));
            let backslash = vceqq_u8(self.0, vdupq_n_u8(b'\\'));
            lane_bits(vorrq_u8(vorrq_u8(below, quote), backslash))
        }
    }

    #[inline(always)]
    unsafe fn high(self) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { self.at_least(0x80) }
    }

    #[inline(always)]
    unsafe fn continuations(self) -> u64 {
        // SAFETY: as in `both_plain`; as signed bytes they are below all others.
        unsafe { lane_bits(vcltq_s8(vreinterpretq_s8_u8(self.0), vdupq_n_s8(0xc0u8 as i8))) }
    }

    #[inline(always)]
    unsafe fn at_least(self, byte: u8) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { lane_bits(vcgeq_u8(self.0, vdupq_n_u8(byte))) }
    }

    #[inline(always)]
    unsafe fn equal(self, byte: u8) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { lane_bits(vceqq_u8(self.0, vdupq_n_u8(byte))) }
    }

    #[inline(always)]
    unsafe fn equal_with(self, set: u8, byte: u8) -> u64 {
        // SAFETY: as in `both_plain`.
        unsafe { Self(vorrq_u8(self.0, vdupq_n_u8(set))).equal(byte) }
    }
}

impl Neon {
    /// All ones in the lanes that are escaped.
    ///
    /// # Safety
    /// The machine has NEON.
    #[inline(always)]
    unsafe fn escaped(self) -> uint8x16_t {
        let v = self.0;
        // SAFETY: the caller's promise; no memory is touched.
        unsafe {
            let control = vcltq_u8(v, vdupq_n_u8(0x20));
            // `"` and `&` differ in bit 2 only, `<` and `>` in bit 1 only.
            let quote = vceqq_u8(vorrq_u8(v, vdupq_n_u8(4)), vdupq_n_u8(b'&'));
            let angle = vceqq_u8(vorrq_u8(v, vdupq_n_u8(2)), vdupq_n_u8(b'>'));
            let backslash = vceqq_u8(v, vdupq_n_u8(b'\\'));
            vorrq_u8(vorrq_u8(control, quote), vorrq_u8(angle, backslash))
        }
    }
}

/// A bit for each lane that is all ones: NEON has no instruction for it, so each lane keeps the bit of its
/// number and the eight lanes of a half are added up.
///
/// # Safety
/// The machine has NEON; every lane is 0x00 or 0xff.
#[inline(always)]
unsafe fn lane_bits(lanes: uint8x16_t) -> u64 {
    const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    // SAFETY: NEON is there; the load reads the constant's 16 bytes.
    unsafe {
        let bits = vandq_u8(lanes, vld1q_u8(BITS.as_ptr()));
        u64::from(vaddv_u8(vget_low_u8(bits))) | u64::from(vaddv_u8(vget_high_u8(bits))) << 8
    }
}
