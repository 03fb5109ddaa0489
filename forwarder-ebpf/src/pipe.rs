//! Capture at the pipe and tty write functions: costs only those who write to a pipe or terminal.
//!
//! fexit sees the iterator after the write has advanced it, and walks back; the kprobe pair keeps it from the
//! entry. Both see every kind of writer that reaches these functions, io_uring included.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_pid_tgid, bpf_loop},
    macros::{fexit, kprobe, kretprobe},
    programs::{FExitContext, ProbeContext, RetProbeContext},
};
use forwarder_common::{MAX_SEGMENTS, Missed};

use crate::{
    copy::{Data, capture},
    emit::count_missed,
    kernel::{self, read},
    maps::{ENTERED, Entered, SCRATCH, Scratch, offset},
};

const UNREADABLE: u64 = u64::MAX;

#[fexit(function = "pipe_write")]
pub fn pipe_write_exit(ctx: FExitContext) -> i32 {
    on_fexit(&ctx, Scratch::Write);
    0
}

/// The same for the second function where FIFOs have one of their own: a program has one attach point.
#[fexit(function = "fifo_pipe_write")]
pub fn fifo_write_exit(ctx: FExitContext) -> i32 {
    on_fexit(&ctx, Scratch::Fifo);
    0
}

#[fexit(function = "tty_write")]
pub fn tty_write_exit(ctx: FExitContext) -> i32 {
    on_fexit(&ctx, Scratch::Tty);
    0
}

#[kprobe]
pub fn pipe_write_entry(ctx: ProbeContext) -> u32 {
    on_entry(&ctx);
    0
}

#[kretprobe]
pub fn pipe_write_return(ctx: RetProbeContext) -> u32 {
    on_return(&ctx, Scratch::Write);
    0
}

#[kprobe]
pub fn tty_write_entry(ctx: ProbeContext) -> u32 {
    on_entry(&ctx);
    0
}

#[kretprobe]
pub fn tty_write_return(ctx: RetProbeContext) -> u32 {
    on_return(&ctx, Scratch::Tty);
    0
}

/// `ssize_t pipe_write(struct kiocb *, struct iov_iter *)`; tty_write is the same.
#[inline(always)]
fn on_fexit(ctx: &FExitContext, which: Scratch) {
    // The return value follows the two arguments; the helper for it is younger than fexit.
    let written: i64 = ctx.arg(2);
    if written <= 0 {
        return;
    }
    let (iocb, iter): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    let Some(file) = read::<u64>(iocb, offset!(kiocb_file)) else { return };
    let Some(key) = kernel::key_of_file(file) else { return };
    capture(&key, written_data(iter, written as u64, which), written as u64, which);
}

/// Where the last `written` bytes that the iterator has passed are.
#[inline(always)]
fn written_data(iter: u64, written: u64, which: Scratch) -> Data {
    let Some(kind) = read::<u8>(iter, offset!(iter_type)) else { return Data::Unreadable };
    let Some(done) = read::<u64>(iter, offset!(iter_offset)) else { return Data::Unreadable };
    let Some(buffer) = read::<u64>(iter, offset!(iter_buffer)) else { return Data::Unreadable };
    if usize::from(kind) == offset!(iter_ubuf) {
        return Data::Buffer((buffer + done).wrapping_sub(written));
    }
    if usize::from(kind) != offset!(iter_iovec) {
        return Data::Unreadable;
    }
    let mut index = which as u32;
    let Some(scratch) = SCRATCH.get_ptr_mut(index) else { return Data::Unreadable };
    let start = Back { segment: buffer, offset: done, remaining: written, steps: 0 };
    // SAFETY: a map value; `step_back` takes the index it is given, which lives until the loop has ended. The
    // steps change the buffer behind the compiler's back, hence volatile.
    let back = unsafe {
        core::ptr::write_volatile(&raw mut (*scratch).back, start);
        bpf_loop(MAX_SEGMENTS + 1, step_back as *mut c_void, (&raw mut index).cast(), 0);
        core::ptr::read_volatile(&raw const (*scratch).back)
    };
    if back.remaining != 0 {
        return Data::Unreadable;
    }
    Data::KernelVector { array: back.segment, segments: back.steps + 1, skip: back.offset }
}

/// A place in an iovec array that moves towards its start. In the scratch buffer for the same reason as
/// [`crate::copy::Vector`].
#[repr(C)]
pub struct Back {
    segment: u64,
    offset: u64,
    remaining: u64,
    steps: u64,
}

unsafe extern "C" fn step_back(_: u32, index: *mut c_void) -> c_long {
    // SAFETY: `written_data` passes the index of its scratch buffer.
    let Some(scratch) = SCRATCH.get_ptr_mut(unsafe { *index.cast::<u32>() }) else { return 1 };
    // SAFETY: as above.
    let back = unsafe { &mut (*scratch).back };
    if back.remaining <= back.offset {
        back.offset -= back.remaining;
        back.remaining = 0;
        return 1;
    }
    back.remaining -= back.offset;
    back.segment -= 16;
    back.steps += 1;
    match read::<u64>(back.segment, 8) {
        Some(length) => {
            back.offset = length;
            0
        }
        None => 1,
    }
}

#[inline(always)]
fn on_entry(ctx: &ProbeContext) {
    let (Some(iocb), Some(iter)) = (ctx.arg::<u64>(0), ctx.arg::<u64>(1)) else { return };
    let Some(file) = read::<u64>(iocb, offset!(kiocb_file)) else { return };
    let Some(key) = kernel::key_of_file(file) else { return };
    if crate::maps::TARGETS.get_ptr(key).is_none() {
        return;
    }
    let mut entered = Entered { key, buffer: 0, skip: 0, segments: UNREADABLE };
    if let (Some(kind), Some(done), Some(buffer), Some(segments)) = (
        read::<u8>(iter, offset!(iter_type)),
        read::<u64>(iter, offset!(iter_offset)),
        read::<u64>(iter, offset!(iter_buffer)),
        read::<u64>(iter, offset!(iter_segments)),
    ) {
        if usize::from(kind) == offset!(iter_ubuf) {
            entered = Entered { key, buffer: buffer + done, skip: 0, segments: 0 };
        } else if usize::from(kind) == offset!(iter_iovec) {
            entered = Entered { key, buffer, skip: done, segments };
        }
    }
    let thread = bpf_get_current_pid_tgid();
    // A thread is in one write at a time: an entry that is still there belongs to one whose return was not seen,
    // because the kernel had no kretprobe instance left for it.
    if ENTERED.insert(thread, entered, u64::from(BPF_NOEXIST)).is_err() {
        count_missed(Missed::Write);
        let _ = ENTERED.insert(thread, entered, 0);
    }
}

#[inline(always)]
fn on_return(ctx: &RetProbeContext, which: Scratch) {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the entry is this thread's alone.
    let Some(entered) = (unsafe { ENTERED.get(thread) }).copied() else { return };
    let _ = ENTERED.remove(thread);
    let written: i64 = ctx.ret();
    if written <= 0 {
        return;
    }
    let data = match entered.segments {
        0 => Data::Buffer(entered.buffer),
        UNREADABLE => Data::Unreadable,
        segments => Data::KernelVector { array: entered.buffer, segments, skip: entered.skip },
    };
    capture(&entered.key, data, written as u64, which);
}
