//! The escape kernel: any bytes in, the inside of a JSON string out.
//!
//! What comes out is what Go's `encoding/json` (v1, Go 1.22 and later) writes for a string of these bytes,
//! without the quotes around it:
//!
//! ```text
//! " \                      \" \\
//! 08 09 0a 0c 0d           \b \t \n \f \r
//! other bytes below 20     \u00xx, lower-case hex
//! < > &                    \u003c \u003e \u0026      ([`EscapeStyle::Html`] only)
//! U+2028 U+2029            \u2028 \u2029
//! a byte that is not part of valid UTF-8             \ufffd, one for each byte
//! everything else, 7f and valid non-ASCII included   as it is
//! ```
//!
//! "Valid" is `utf8.DecodeRune`'s word, which is also Rust's: surrogates, overlong forms and what lies above
//! U+10FFFF are invalid byte by byte, and so is each byte of a sequence that breaks off.
//!
//! Every instruction set runs the one loop in `kernel.rs` over its own vector type, with UTF-8 checked by `utf8.rs`, or
//! by simdutf8 in long text; `scalar.rs` is written independently of them, for machines without vectors and for the
//! tests to compare with. The variant is chosen once, when it is first needed.
//!
//! Limits: output is at most six times the input. Memory grows with what is written, not with the worst case.
#![allow(unsafe_code)]

mod kernel;
mod marks;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
mod sink;
mod table;
mod utf8;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

pub use marks::{MARKED, mark_strings};
pub use scalar::fitting_prefix;
pub use sink::{Padded, Sink};
pub use table::EscapeStyle;

/// An implementation of the escape kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// 64 bytes a step.
    Avx512,
    /// 32 bytes a step.
    Avx2,
    /// 16 bytes a step; every x86-64 has it.
    Sse2,
    /// 16 bytes a step; every arm64 has it.
    Neon,
    /// Byte by byte.
    Scalar,
}

impl Variant {
    const ALL: [Self; 5] = [Self::Avx512, Self::Avx2, Self::Sse2, Self::Neon, Self::Scalar];

    /// What this machine can run, the fastest first. Never empty.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|variant| variant.is_available())
    }

    /// The variant that [`escape_into`] uses.
    pub fn best() -> Self {
        static BEST: OnceLock<Variant> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().next().unwrap_or(Self::Scalar))
    }

    /// The name for logs and benchmarks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Sse2 => "sse2",
            Self::Neon => "neon",
            Self::Scalar => "scalar",
        }
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Sse2 => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            Self::Scalar => true,
            #[allow(unreachable_patterns, reason = "the other architecture's variants")]
            _ => false,
        }
    }
}

/// A variant that the machine has, for those who escape many texts.
pub trait Escaper: Copy {
    /// Like the function [`escape_into`].
    fn escape_into(self, out: &mut Vec<u8>, input: &[u8], style: EscapeStyle);
}

/// The variant of [`escape_into`], looked up for each text.
#[derive(Clone, Copy)]
pub struct Best;

impl Escaper for Best {
    fn escape_into(self, out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
        escape_into(out, input, style);
    }
}

/// Work with many short texts: what is inlined into [`Work::run`] is compiled for the variant's instruction set.
pub trait Work {
    type Output;

    fn run(self, escaper: impl Escaper) -> Self::Output;
}

/// Does `work` by the variant that [`escape_into`] uses.
pub fn with_best<W: Work>(work: W) -> W::Output {
    match Variant::best() {
        // SAFETY: the best variant is one that the machine can run.
        #[cfg(target_arch = "x86_64")]
        Variant::Avx512 => unsafe { x86::work_avx512(work) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Variant::Avx2 => unsafe { x86::work_avx2(work) },
        _ => work.run(Best),
    }
}

/// Appends `input` to `out`, escaped for a place between two quotes.
pub fn escape_into(out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
    run(Variant::best(), out, input, style);
}

/// [`escape_into`] by a variant of the caller's choice, for tests and benchmarks.
///
/// # Panics
/// Where the machine can't run `variant`.
pub fn escape_into_with(variant: Variant, out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
    assert!(variant.is_available(), "this machine has no {}", variant.name());
    run(variant, out, input, style);
}

/// The caller has made sure that the machine can run `variant`.
#[inline]
fn run(variant: Variant, out: &mut Vec<u8>, input: &[u8], style: EscapeStyle) {
    match variant {
        // SAFETY: both callers checked `is_available`, so the instructions exist.
        #[cfg(target_arch = "x86_64")]
        Variant::Avx512 => unsafe { x86::escape_avx512(out, input, style) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Variant::Avx2 => unsafe { x86::escape_avx2(out, input, style) },
        // SAFETY: SSE2 is part of x86-64.
        #[cfg(target_arch = "x86_64")]
        Variant::Sse2 => unsafe { x86::escape_sse2(out, input, style) },
        // SAFETY: NEON is part of the arm64 targets that Rust has std for.
        #[cfg(target_arch = "aarch64")]
        Variant::Neon => unsafe { neon::escape_neon(out, input, style) },
        _ => scalar::escape(out, input, style),
    }
}

#[cfg(test)]
mod tests;
