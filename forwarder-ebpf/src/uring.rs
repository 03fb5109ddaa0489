//! Writes by io_uring: they pass no system call of their own, so the hooks on system calls count their length as a
//! gap when they complete. The pipe-level hooks capture them like any other write, but for splices.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use forwarder_common::NO_OFFSET;

use crate::{
    copy::{Data, capture},
    kernel::{self, read},
    maps::{Scratch, offset},
};

/// Operations that put bytes into the request's file (include/uapi/linux/io_uring.h).
const WRITEV: u8 = 2;
const WRITE_FIXED: u8 = 5;
const WRITE: u8 = 23;
const SPLICE: u8 = 30;
const TEE: u8 = 33;

/// `io_uring_complete(ctx, request, …)`, for the hooks on system calls.
#[raw_tracepoint(tracepoint = "io_uring_complete")]
pub fn uring_complete(ctx: RawTracePointContext) -> i32 {
    on_complete(&ctx, |opcode| matches!(opcode, WRITEV | WRITE_FIXED | WRITE | SPLICE | TEE))
}

/// The same for the hooks on the write functions: they see all but these.
#[raw_tracepoint(tracepoint = "io_uring_complete")]
pub fn uring_splice_complete(ctx: RawTracePointContext) -> i32 {
    on_complete(&ctx, |opcode| matches!(opcode, SPLICE | TEE))
}

#[inline(always)]
fn on_complete(ctx: &RawTracePointContext, is_counted: impl Fn(u8) -> bool) -> i32 {
    let request: u64 = ctx.arg(1);
    let Some(opcode) = read::<u8>(request, offset!(request_opcode)) else { return 0 };
    if !is_counted(opcode) {
        return 0;
    }
    let result = if offset!(completion_result) == NO_OFFSET as usize {
        ctx.arg::<i32>(3)
    } else {
        let entry: u64 = ctx.arg(2);
        match read::<i32>(entry, offset!(completion_result)) {
            Some(result) => result,
            None => return 0,
        }
    };
    if result <= 0 {
        return 0;
    }
    let Some(file) = read::<u64>(request, offset!(request_file)) else { return 0 };
    let Some(key) = kernel::key_of_file(file) else { return 0 };
    capture(&key, Data::Unreadable, result as u64, Scratch::Uring);
    0
}
