//! A bit for each byte of a text: whether something in a JSON string may end or change there.
//!
//! The strings of a log line are short, and a search for the end of each would cost more than to mark all bytes once,
//! a vector at a time.

use super::Variant;
use super::vector::Vector;

/// Bytes whose marks are one word. With 64, LLVM takes a word for one vector of bits, which AVX2 has not, and makes it bit
/// by bit: ten times as slow.
pub const MARKED: usize = 32;

/// Makes `marks` the marks of `text`: a bit for each quote, backslash, control byte and byte that is not ASCII, the first
/// byte's is the lowest. All bits behind the text are set, and there is one at least.
pub fn mark_strings(text: &[u8], marks: &mut Vec<u32>) {
    mark_strings_with(Variant::best(), text, marks);
}

/// The caller has made sure that the machine can run `variant`.
pub(super) fn mark_strings_with(variant: Variant, text: &[u8], marks: &mut Vec<u32>) {
    marks.clear();
    let (blocks, rest) = text.as_chunks();
    // Zeros are marked.
    let mut last = [0; MARKED];
    last[..rest.len()].copy_from_slice(rest);
    match variant {
        // SAFETY: the caller has made sure of the instructions; one with AVX-512 has AVX2.
        #[cfg(target_arch = "x86_64")]
        Variant::Avx512 | Variant::Avx2 => unsafe { super::x86::mark_avx2(blocks, &last, marks) },
        // SAFETY: SSE2 is part of x86-64.
        #[cfg(target_arch = "x86_64")]
        Variant::Sse2 => unsafe { super::x86::mark_sse2(blocks, &last, marks) },
        // SAFETY: NEON is part of the arm64 targets that Rust has std for.
        #[cfg(target_arch = "aarch64")]
        Variant::Neon => unsafe { super::neon::mark_neon(blocks, &last, marks) },
        _ => {
            marks.extend(blocks.iter().map(mark_bytes));
            marks.push(mark_bytes(&last));
        }
    }
}

fn mark_bytes(block: &[u8; MARKED]) -> u32 {
    let is_marked = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20 | 0x80..);
    block.iter().rev().fold(0, |marks, byte| marks << 1 | u32::from(is_marked(byte)))
}

/// # Safety
/// The machine has `V`'s instruction set.
#[inline(always)]
pub(super) unsafe fn mark_blocks<V: Vector>(blocks: &[[u8; MARKED]], last: &[u8; MARKED], marks: &mut Vec<u32>) {
    marks.resize(blocks.len() + 1, 0);
    for (word, block) in marks.iter_mut().zip(blocks.iter().chain([last])) {
        let mut at = 0;
        while at < MARKED {
            // SAFETY: the caller's promise; a block is a whole number of vectors.
            let vector = unsafe { V::load(block.as_ptr().add(at)) };
            // SAFETY: the caller's promise.
            *word |= unsafe { vector.string_marks() as u32 } << at;
            at += V::LANES;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_variant_marks_what_the_bytes_say(
            text in prop::collection::vec(prop_oneof![6 => 0x1eu8..0x24, 4 => 0x5bu8..0x5e, 9 => b'a'..=b'z', 3 => any::<u8>()], 0..300),
        ) {
            for variant in Variant::available() {
                let mut marks = vec![7];
                mark_strings_with(variant, &text, &mut marks);
                prop_assert_eq!(marks.len(), text.len() / MARKED + 1, "{}", variant.name());
                for at in 0..marks.len() * MARKED {
                    let expected = text.get(at).is_none_or(|byte| matches!(byte, b'"' | b'\\' | 0..0x20 | 0x80..));
                    prop_assert_eq!(marks[at / MARKED] >> (at % MARKED) & 1 == 1, expected, "{} at {}", variant.name(), at);
                }
            }
        }
    }
}
