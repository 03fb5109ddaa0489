//! Puts a record into the ring of this CPU, and wakes the reader only when it asked for it.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_smp_processor_id, bpf_ringbuf_output, bpf_ringbuf_query},
};
use forwarder_common::{CHUNK_LEN, ChunkHeader, Kind, Missed};

use crate::maps::{MISSED, RINGS, SLEEPING, ScratchBuffer, setting};

/// Appends the header and `length` bytes of the scratch buffer. `false`: there was no room.
#[inline(always)]
pub fn emit(scratch: &mut ScratchBuffer, length: u32) -> bool {
    // SAFETY: a helper without arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
    let Some(ring) = RINGS.get(cpu) else { return false };
    // The ring's address is all that the helpers want of it.
    let ring = core::ptr::from_ref(ring).cast_mut().cast();
    // SAFETY: `ring` is a ring buffer map.
    let waiting = unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) };
    if waiting > setting!(output_below) && scratch.header.kind != Kind::Exec as u8 {
        return false;
    }
    let size = u64::from(bounded(length)) + size_of::<ChunkHeader>() as u64;
    let record = core::ptr::from_mut(scratch).cast();
    // SAFETY: `record` is valid for `size` bytes: the scratch buffer is larger.
    let sent = unsafe { bpf_ringbuf_output(ring, record, size, wake_flag(waiting)) };
    sent == 0
}

/// The value with a bound that the verifier sees: below twice the chunk length, which every buffer has. The
/// compiler, which knows the value to be smaller, would leave the mask out.
#[inline(always)]
pub fn bounded(length: u32) -> u32 {
    core::hint::black_box(length) & (2 * CHUNK_LEN as u32 - 1)
}

/// The reader sets `SLEEPING`, looks once more at the rings, and only then sleeps, so what is in a ring before
/// the flag is read here is either seen by that look or woken for. The remaining window, a record that is
/// appended between the two by a program that had read the flag earlier, is closed by the reader's timer.
#[inline(always)]
fn wake_flag(waiting: u64) -> u64 {
    let sleeping = SLEEPING.get(0).is_some_and(|flag| {
        // SAFETY: shared with user space, hence volatile.
        unsafe { core::ptr::read_volatile(flag) != 0 }
    });
    if sleeping || waiting > setting!(wake_above) {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// Counts what is missing and belongs to no target.
#[inline(always)]
pub fn count_missed(what: Missed) {
    if let Some(count) = MISSED.get_ptr_mut(what as u32) {
        add(count, 1);
    }
}

/// Atomic add; returns the value before. `core::sync::atomic` has no such operation for this target,
/// although the instruction is there since kernel 5.12.
#[inline(always)]
pub fn add(counter: *mut u64, value: u64) -> u64 {
    // SAFETY: every pointer that comes here is an aligned u64 of a map value.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::AcqRel }>(counter, value) }
}
