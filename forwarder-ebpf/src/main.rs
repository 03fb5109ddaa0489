//! Ringward's eBPF programs: what containers write to their stdout and stderr, and what the kernel prints.
//!
//! ```text
//!  pipe.rs      fexit and kprobe on the pipe and tty write functions ┐
//!  syscall.rs   tp_btf, raw tracepoint, tracepoint on sys_exit       ├─► copy.rs ─► emit.rs ─► per-CPU ring
//!  exec.rs      a container's first exec registers its stdio         │
//!  printk.rs    the console tracepoint                               │
//!  uring.rs     completions of io_uring, counted                     ┘
//! ```
//!
//! Data is read when the write has returned: only what the kernel accepted counts, and its pages are present.
//! User space chooses one capture rung and loads only that rung's programs.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(internal_features)] // for atomic add, see `emit::add`

mod copy;
mod emit;
mod exec;
mod kernel;
mod maps;
mod pipe;
mod printk;
mod syscall;
mod uring;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses programs in which this can be reached.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
