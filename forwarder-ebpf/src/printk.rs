//! The text of every printk, as the `console` tracepoint gives it: no level, facility or sequence.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel_buf},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use forwarder_common::{CONSOLE_LEN, ChunkHeader, Kind, Missed};

use crate::{
    emit::{bounded, count_missed, emit},
    maps::{SCRATCH, Scratch},
};

/// `console(const char *text, size_t len)`
#[raw_tracepoint(tracepoint = "console")]
pub fn console(ctx: RawTracePointContext) -> i32 {
    let text: *const u8 = ctx.arg(0);
    let length = bounded(ctx.arg::<u64>(1).min(CONSOLE_LEN as u64) as u32);
    let Some(scratch) = SCRATCH.get_ptr_mut(Scratch::Console as u32) else { return 0 };
    // SAFETY: this CPU's buffer of this program.
    let scratch = unsafe { &mut *scratch };
    // SAFETY: the helper checks the source; the destination is within the buffer.
    let read = unsafe { bpf_probe_read_kernel_buf(text, &mut scratch.data[..length as usize]) };
    scratch.header = ChunkHeader {
        // SAFETY: a helper without arguments.
        time_ns: unsafe { bpf_ktime_get_ns() },
        offset: 0,
        target: 0,
        thread: 0,
        length,
        kind: Kind::Console as u8,
        zero: [0; 3],
    };
    if read.is_err() || !emit(scratch, length) {
        count_missed(Missed::Record);
    }
    0
}
