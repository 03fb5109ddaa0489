//! Copies what a write has put into a pipe to the ring, in chunks, and accounts for every byte of it.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    helpers::{
        bpf_get_current_pid_tgid, bpf_ktime_get_ns, bpf_loop, bpf_probe_read_user,
        bpf_probe_read_user_buf,
    },
};
use forwarder_common::{CHUNK_LEN, ChunkHeader, Kind, MAX_SEGMENTS, PipeKey, Target};

use crate::{
    emit::{add, bounded, emit},
    maps::{SCRATCH, Scratch, ScratchBuffer, TARGETS, setting},
};

/// Where the bytes of a write are.
#[derive(Clone, Copy)]
pub enum Data {
    /// One buffer of the writing process.
    Buffer(u64),
    /// An iovec array in the process's memory.
    UserVector { array: u64, segments: u64 },
    /// The kernel's copy of an iovec array, with bytes of the first segment to leave out.
    KernelVector { array: u64, segments: u64, skip: u64 },
    /// Not in a process's memory (sendfile, splice): counted by length.
    Unreadable,
}

/// `written` bytes of `data` went into `key`. Nothing happens where that is not a target.
#[inline(always)]
pub fn capture(key: &PipeKey, data: Data, written: u64, which: Scratch) {
    let Some(target) = TARGETS.get_ptr_mut(key) else { return };
    let Some(scratch) = SCRATCH.get_ptr_mut(which as u32) else { return };
    // SAFETY: map values; the scratch buffer is this CPU's and this program's alone.
    let (counters, scratch) = unsafe { (&mut *target, &mut *scratch) };
    let offset = add(&raw mut counters.written, written);
    scratch.header = ChunkHeader {
        // SAFETY: helpers without arguments.
        time_ns: unsafe { bpf_ktime_get_ns() },
        offset,
        target: counters.id,
        thread: bpf_get_current_pid_tgid() as u32,
        length: 0,
        kind: Kind::Data as u8,
        zero: [0; 3],
    };
    let readable = written.min(setting!(max_write));
    let start = Vector { remaining: readable, ..Vector::empty(key) };
    match data {
        Data::Buffer(address) if readable <= CHUNK_LEN as u64 => copy_small(counters, scratch, address, readable),
        Data::Buffer(address) => copy_vector(which, Vector { base: address, left: readable, ..start }),
        Data::UserVector { array, segments } => {
            copy_vector(which, Vector { array, segments, in_user: 1, ..start });
        }
        Data::KernelVector { array, segments, skip } => {
            copy_vector(which, Vector { array, segments, skip, ..start });
        }
        Data::Unreadable => gap(counters, scratch, readable),
    }
    if written > readable {
        rest(key, which, written - readable);
    }
}

/// The part of a write past `max_write`.
#[inline(always)]
fn rest(key: &PipeKey, which: Scratch, length: u64) {
    let Some(target) = TARGETS.get_ptr_mut(key) else { return };
    let Some(scratch) = SCRATCH.get_ptr_mut(which as u32) else { return };
    // SAFETY: as in `capture`.
    unsafe { gap(&mut *target, &mut *scratch, length) };
}

/// The common case: one buffer that fits one record.
#[inline(always)]
fn copy_small(counters: &mut Target, scratch: &mut ScratchBuffer, address: u64, length: u64) {
    let length = bounded(length as u32) as usize;
    // SAFETY: the destination is within the scratch buffer; the helper checks the source.
    let read = unsafe { bpf_probe_read_user_buf(address as *const u8, &mut scratch.data[..length]) };
    if read.is_ok() {
        send(counters, scratch, length as u64);
    } else {
        gap(counters, scratch, length as u64);
    }
}

/// Emits `length` bytes of the scratch buffer and moves the stream's offset past them.
#[inline(always)]
fn send(counters: &mut Target, scratch: &mut ScratchBuffer, length: u64) {
    scratch.header.length = length as u32;
    scratch.header.kind = Kind::Data as u8;
    if !emit(scratch, length as u32) {
        add(&raw mut counters.lost, length);
    }
    scratch.header.offset += length;
    add(&raw mut counters.settled, length);
}

/// Reports `length` bytes that were written and can't be read.
#[inline(always)]
fn gap(counters: &mut Target, scratch: &mut ScratchBuffer, length: u64) {
    scratch.header.length = length as u32;
    scratch.header.kind = Kind::Gap as u8;
    if !emit(scratch, 0) {
        add(&raw mut counters.lost, length);
    }
    scratch.header.offset += length;
    add(&raw mut counters.settled, length);
}

/// State of a copy over several segments or chunks.
///
/// Lives in the scratch buffer and not on the stack: the verifier follows what it knows of stack slots through
/// every iteration of a loop, and never comes to an end; of map values it knows nothing.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Vector {
    key: PipeKey,
    array: u64,
    segments: u64,
    next_segment: u64,
    /// Rest of the current segment.
    base: u64,
    left: u64,
    skip: u64,
    /// Bytes of the write that are still to be copied.
    remaining: u64,
    /// Bytes that wait in the scratch buffer.
    filled: u64,
    /// 1: the array is in the process's memory, 0: in the kernel's.
    in_user: u64,
}

impl Vector {
    #[inline(always)]
    fn empty(key: &PipeKey) -> Self {
        Self {
            key: *key,
            array: 0,
            segments: 0,
            next_segment: 0,
            base: 0,
            left: 0,
            skip: 0,
            remaining: 0,
            filled: 0,
            in_user: 0,
        }
    }
}

/// Steps that any copy ends within: two a segment, and two a chunk.
const MAX_STEPS: u32 = 2 * MAX_SEGMENTS + 2 * (forwarder_common::MAX_WRITE / CHUNK_LEN as u64) as u32 + 2;

/// The loop's steps change the scratch buffer behind the compiler's back, hence the raw pointers and the second
/// look-up.
#[inline(always)]
fn copy_vector(which: Scratch, start: Vector) {
    let mut index = which as u32;
    let Some(scratch) = SCRATCH.get_ptr_mut(index) else { return };
    // SAFETY: a map value; `step` takes the index it is given, which lives until the loop has ended.
    unsafe {
        core::ptr::write_volatile(&raw mut (*scratch).vector, start);
        bpf_loop(MAX_STEPS, step as *mut c_void, (&raw mut index).cast(), 0);
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(which as u32) else { return };
    // SAFETY: this CPU's and this program's alone, and the loop has ended.
    let scratch = unsafe { &mut *scratch };
    let remaining = scratch.vector.remaining;
    if remaining == 0 {
        return;
    }
    // Segments that could not be read: what is left of the write is a gap.
    let Some(target) = TARGETS.get_ptr_mut(scratch.vector.key) else { return };
    // SAFETY: as in `capture`.
    let counters = unsafe { &mut *target };
    flush(counters, scratch);
    gap(counters, scratch, remaining);
}

/// Copies the next piece: the rest of a segment or of a chunk. 1 ends the loop.
unsafe extern "C" fn step(_: u32, index: *mut c_void) -> c_long {
    // SAFETY: `copy_vector` passes the index of its scratch buffer.
    let Some(scratch) = SCRATCH.get_ptr_mut(unsafe { *index.cast::<u32>() }) else { return 1 };
    // SAFETY: as in `capture`.
    let scratch = unsafe { &mut *scratch };
    if scratch.vector.left == 0 {
        return c_long::from(!next_segment(&mut scratch.vector));
    }
    let Some(target) = TARGETS.get_ptr_mut(scratch.vector.key) else { return 1 };
    // SAFETY: as in `capture`.
    let counters = unsafe { &mut *target };
    let at = (scratch.vector.filled & (CHUNK_LEN as u64 - 1)) as usize;
    let room = CHUNK_LEN as u64 - at as u64;
    let length = u64::from(bounded(scratch.vector.left.min(scratch.vector.remaining).min(room) as u32));
    let read = {
        // SAFETY: `at` is below one CHUNK_LEN and `length`, as the verifier sees it, below two of them.
        let destination = unsafe { core::slice::from_raw_parts_mut(scratch.data.as_mut_ptr().add(at), length as usize) };
        // SAFETY: the helper checks the source.
        unsafe { bpf_probe_read_user_buf(scratch.vector.base as *const u8, destination) }
    };
    scratch.vector.base += length;
    scratch.vector.left -= length;
    if read.is_ok() {
        scratch.vector.filled += length;
        scratch.vector.remaining -= length;
        if scratch.vector.filled >= CHUNK_LEN as u64 || scratch.vector.remaining == 0 {
            flush(counters, scratch);
        }
    } else {
        flush(counters, scratch);
        gap(counters, scratch, length);
        scratch.vector.remaining -= length;
    }
    c_long::from(scratch.vector.remaining == 0)
}

#[inline(always)]
fn flush(counters: &mut Target, scratch: &mut ScratchBuffer) {
    let filled = scratch.vector.filled;
    if filled > 0 {
        send(counters, scratch, filled);
        scratch.vector.filled = 0;
    }
}

#[inline(always)]
fn next_segment(vector: &mut Vector) -> bool {
    if vector.next_segment >= vector.segments {
        return false;
    }
    let mut entry = [0u64; 2];
    let address = vector.array + vector.next_segment * 16;
    let read = if vector.in_user == 1 {
        // SAFETY: the helper checks the address.
        match unsafe { bpf_probe_read_user(address as *const [u64; 2]) } {
            Ok(value) => {
                entry = value;
                true
            }
            Err(_) => false,
        }
    } else {
        match crate::kernel::read::<[u64; 2]>(address, 0) {
            Some(value) => {
                entry = value;
                true
            }
            None => false,
        }
    };
    vector.next_segment += 1;
    let skip = vector.skip.min(entry[1]);
    vector.base = entry[0] + skip;
    vector.left = entry[1] - skip;
    vector.skip -= skip;
    read
}
