//! NEON, on arm64.

use std::arch::aarch64::*;

use super::kernel::{self, Vector};
use super::table::EscapeStyle;

/// # Safety
/// The machine has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn escape_neon(out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
    // SAFETY: the caller's promise.
    unsafe { kernel::escape::<Neon>(out, input, style) }
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
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the trait's contract; NEON stores need no alignment.
        unsafe { vst1q_u8(to, self.0) }
    }

    #[inline(always)]
    unsafe fn care(self) -> u64 {
        let v = self.0;
        // SAFETY: NEON is there by the trait's contract; no memory is touched.
        unsafe {
            let control = vcltq_u8(v, vdupq_n_u8(0x20));
            // `"` and `&` differ in bit 2 only, `<` and `>` in bit 1 only.
            let quote = vceqq_u8(vorrq_u8(v, vdupq_n_u8(4)), vdupq_n_u8(b'&'));
            let angle = vceqq_u8(vorrq_u8(v, vdupq_n_u8(2)), vdupq_n_u8(b'>'));
            let backslash = vceqq_u8(v, vdupq_n_u8(b'\\'));
            let high = vcgeq_u8(v, vdupq_n_u8(0x80));
            let any = vorrq_u8(vorrq_u8(vorrq_u8(control, quote), vorrq_u8(angle, backslash)), high);
            // Mostly there is nothing, and one reduction says so.
            if vmaxvq_u8(any) == 0 { 0 } else { lane_bits(any) }
        }
    }

    #[inline(always)]
    unsafe fn high(self) -> u64 {
        // SAFETY: as in `care`.
        unsafe { lane_bits(vcgeq_u8(self.0, vdupq_n_u8(0x80))) }
    }

    #[inline(always)]
    unsafe fn equal(self, byte: u8) -> u64 {
        // SAFETY: as in `care`.
        unsafe { lane_bits(vceqq_u8(self.0, vdupq_n_u8(byte))) }
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
