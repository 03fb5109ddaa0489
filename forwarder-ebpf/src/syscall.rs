//! Capture at the exit of system calls: three program types over one body, and the calls that reach a pipe past its
//! write function, for the hooks that sit there.
//!
//! The first three cost every system call of the machine something, which is why the pipe-level hooks come first where the
//! kernel allows them.

use aya_ebpf::{
    bindings::pt_regs,
    helpers::{bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_task_pt_regs},
    macros::{btf_tracepoint, fexit, kretprobe, raw_tracepoint, tracepoint},
    programs::{BtfTracePointContext, FExitContext, RawTracePointContext, RetProbeContext, TracePointContext},
};

use crate::{
    copy::{Data, capture},
    kernel,
    maps::{Scratch, offset},
};

/// Offset of `ret` in the record of `raw_syscalls:sys_exit`: common fields 8 bytes, `id` 8 bytes.
const TRACEPOINT_RET: usize = 16;

/// A system call that can put bytes into a pipe.
struct Call {
    number: u64,
    args: [u64; 4],
}

impl Call {
    /// The descriptor that was written to, and where the bytes are.
    #[inline(always)]
    fn target(&self) -> (u64, Data) {
        let vector = Data::UserVector { array: self.args[1], segments: self.args[2] };
        match self.number {
            arch::WRITE => (self.args[0], Data::Buffer(self.args[1])),
            arch::WRITEV | arch::PWRITEV2 | arch::VMSPLICE => (self.args[0], vector),
            arch::SENDFILE => (self.args[0], Data::Unreadable),
            arch::TEE => (self.args[1], Data::Unreadable),
            _ => (self.args[2], Data::Unreadable),
        }
    }
}

#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_btf(ctx: BtfTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if result > 0 {
        let regs: *const pt_regs = ctx.arg(0);
        // SAFETY: a trusted pointer of the tracepoint: the verifier checks these loads.
        let number = unsafe { arch::number(&*regs) };
        if is_write(number) {
            // SAFETY: as above.
            on_write(&Call { number, args: unsafe { arch::args(&*regs) } }, result as u64);
        }
    }
    0
}

#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn sys_exit_raw(ctx: RawTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if result > 0 {
        on_exit(ctx.arg::<*const pt_regs>(0), result as u64);
    }
    0
}

#[tracepoint(category = "raw_syscalls", name = "sys_exit")]
pub fn sys_exit_tracepoint(ctx: TracePointContext) -> u32 {
    // SAFETY: the offset is that of the tracepoint's format.
    let Ok(result) = (unsafe { ctx.read_at::<i64>(TRACEPOINT_RET) }) else { return 0 };
    if result > 0 {
        // The tracepoint has no arguments; the registers of the call still do.
        // SAFETY: helpers on the current task.
        let regs = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) };
        on_exit(regs as *const pt_regs, result as u64);
    }
    0
}

#[fexit(function = "__x64_sys_sendfile64")]
pub fn sendfile_exit(ctx: FExitContext) -> i32 {
    on_splice(ctx.arg(0), ctx.arg(1))
}

#[fexit(function = "__x64_sys_splice")]
pub fn splice_exit(ctx: FExitContext) -> i32 {
    on_splice(ctx.arg(0), ctx.arg(1))
}

#[fexit(function = "__x64_sys_tee")]
pub fn tee_exit(ctx: FExitContext) -> i32 {
    on_splice(ctx.arg(0), ctx.arg(1))
}

#[fexit(function = "__x64_sys_vmsplice")]
pub fn vmsplice_exit(ctx: FExitContext) -> i32 {
    on_splice(ctx.arg(0), ctx.arg(1))
}

/// On the return of the same four functions, for kernels without fexit.
#[kretprobe]
pub fn splice_return(ctx: RetProbeContext) -> u32 {
    // SAFETY: helpers on the current task.
    let regs = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) };
    on_splice(regs as *const pt_regs, ctx.ret());
    0
}

/// What reaches a pipe past its write function. A terminal is not left out by that: splicing to one ends in
/// `tty_write`, which the pipe-level hooks see.
#[inline(always)]
fn on_splice(regs: *const pt_regs, result: i64) -> i32 {
    if result <= 0 {
        return 0;
    }
    // SAFETY: the helper checks the address.
    let Ok(regs) = (unsafe { bpf_probe_read_kernel(regs) }) else { return 0 };
    let call = Call { number: arch::number(&regs), args: arch::args(&regs) };
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task() };
    let (descriptor, data) = call.target();
    let Some(file) = kernel::file_of(task, descriptor & 0xffff_ffff) else { return 0 };
    if let Some((key, false)) = kernel::stdio_of_file(file) {
        capture(&key, data, result as u64, Scratch::Splice);
    }
    0
}

#[inline(always)]
fn on_exit(regs: *const pt_regs, result: u64) {
    // SAFETY: the helper checks the address.
    let Ok(regs) = (unsafe { bpf_probe_read_kernel(regs) }) else { return };
    let number = arch::number(&regs);
    if is_write(number) {
        on_write(&Call { number, args: arch::args(&regs) }, result);
    }
}

#[inline(always)]
fn is_write(number: u64) -> bool {
    matches!(
        number,
        arch::WRITE | arch::WRITEV | arch::PWRITEV2 | arch::SENDFILE | arch::SPLICE | arch::TEE | arch::VMSPLICE
    )
}

#[inline(always)]
fn on_write(call: &Call, written: u64) {
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task() };
    let (descriptor, data) = call.target();
    if arch::is_compat(task) {
        return;
    }
    let Some(file) = kernel::file_of(task, descriptor & 0xffff_ffff) else { return };
    let Some(key) = kernel::key_of_file(file) else { return };
    capture(&key, data, written, Scratch::Write);
}

#[cfg(not(bpf_target_arch = "aarch64"))]
mod arch {
    //! System call numbers and registers of x86-64.

    use super::{kernel, offset, pt_regs};

    pub const WRITE: u64 = 1;
    pub const WRITEV: u64 = 20;
    pub const SENDFILE: u64 = 40;
    pub const SPLICE: u64 = 275;
    pub const TEE: u64 = 276;
    pub const VMSPLICE: u64 = 278;
    pub const PWRITEV2: u64 = 328;

    /// Set in `thread_info.status` during a 32-bit system call, whose numbers mean other things.
    const TS_COMPAT: u32 = 2;

    #[inline(always)]
    pub fn number(regs: &pt_regs) -> u64 {
        regs.orig_rax
    }

    #[inline(always)]
    pub fn args(regs: &pt_regs) -> [u64; 4] {
        [regs.rdi, regs.rsi, regs.rdx, regs.r10]
    }

    #[inline(always)]
    pub fn is_compat(task: u64) -> bool {
        kernel::read::<u32>(task, offset!(task_status)).is_some_and(|status| status & TS_COMPAT != 0)
    }
}

#[cfg(bpf_target_arch = "aarch64")]
mod arch {
    //! System call numbers and registers of arm64: `struct pt_regs` starts with the user registers, and the
    //! first argument, which the result has overwritten, is kept in `orig_x0` behind them.

    use super::pt_regs;

    pub const WRITE: u64 = 64;
    pub const WRITEV: u64 = 66;
    pub const SENDFILE: u64 = 71;
    pub const VMSPLICE: u64 = 75;
    pub const SPLICE: u64 = 76;
    pub const TEE: u64 = 77;
    pub const PWRITEV2: u64 = 287;

    const ORIG_X0: usize = 34 * 8;

    #[inline(always)]
    pub fn number(regs: &pt_regs) -> u64 {
        regs.regs[8]
    }

    #[inline(always)]
    pub fn args(regs: &pt_regs) -> [u64; 4] {
        // SAFETY: `orig_x0` is part of the kernel's pt_regs, behind the part that the bindings know.
        let first = unsafe { core::ptr::from_ref(regs).cast::<u8>().add(ORIG_X0).cast::<u64>().read() };
        [first, regs.regs[1], regs.regs[2], regs.regs[3]]
    }

    #[inline(always)]
    pub fn is_compat(_task: u64) -> bool {
        false
    }
}
