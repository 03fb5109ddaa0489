//! What Ringward's eBPF programs and its user-space side share.
//!
//! Map keys and values, the records of the per-CPU rings, the kernel offsets that are set before load, and
//! the limits. Everything is `repr(C)`, of a fixed size that is asserted here, and free of padding: the
//! verifier refuses to copy uninitialised bytes.
#![no_std]
#![allow(unsafe_code)] // an ABI crate: `aya::Pod` is an unsafe trait

/// Changed with every incompatible change of what follows; kept in a map beside pinned programs.
pub const ABI_VERSION: u32 = 2;

/// Most bytes of a write that one ring record carries. A power of two. The scratch buffer is three
/// times as large (so that the verifier can bound offset plus length) and must fit a per-CPU map value of 32 KiB.
pub const CHUNK_LEN: usize = 8192;
/// Most bytes of one write that are captured; the rest is a gap.
pub const MAX_WRITE: u64 = 1 << 20;
/// Most segments of one `writev`, the kernel's own UIO_MAXIOV.
pub const MAX_SEGMENTS: u32 = 1024;
/// Most pipes and terminals that are captured at once.
pub const MAX_TARGETS: usize = 16384;
/// Most CPUs with a ring of their own.
pub const MAX_CPUS: usize = 1024;
/// Smallest ring of a CPU, in bytes. A power of two.
pub const MIN_RING_LEN: usize = 256 << 10;
/// Bytes of a CPU's ring that only exec records may fill: output that finds no room is counted by its stream, but the
/// stream of a container whose exec record finds none is never named. Some two hundred container starts.
pub const EXEC_RESERVE: usize = 64 << 10;
/// Bytes of a cgroup's name that an exec record carries.
pub const CGROUP_NAME_LEN: usize = 128;
/// Bytes of a printk text that a console record carries; the kernel's own limit is 1024.
pub const CONSOLE_LEN: usize = 1024;
/// Target ids from here on are given by user space, those below by the exec program.
pub const FIRST_USER_TARGET: u32 = 1 << 31;

/// Identity of a pipe or terminal: the device and inode of what is behind a file descriptor.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PipeKey {
    /// Inode number.
    pub inode: u64,
    /// `s_dev` of the superblock, as the kernel packs it: major << 20 | minor.
    pub device: u32,
    pub zero: u32,
}

/// A captured pipe or terminal and its account. Only the counters change while it exists.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Never used twice while the programs are loaded: the generation of the pipe.
    pub id: u32,
    pub zero: u32,
    /// Bytes of `written` whose record was put into a ring or given up. Stands before `written` because the
    /// kernel copies a value in ascending order: equal numbers in a copy mean that nothing was in flight.
    pub settled: u64,
    /// Bytes that were written, whether captured or not.
    pub written: u64,
    /// Bytes of `settled` that were given up because a ring was full.
    pub lost: u64,
}

/// What the programs could not do for any target, each counted for itself: the index of its counter.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// An exec or printk record found no ring or a full one.
    Record = 0,
    /// A stream of a new container found no room among the targets.
    Target = 1,
    /// A write whose entry or return the kprobe rung could not follow.
    Write = 2,
}

/// Counters of [`Missed`].
pub const MISSED_KINDS: usize = 3;

/// What a ring record is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `length` bytes of a write follow.
    Data = 1,
    /// `length` bytes were written and could not be read; nothing follows.
    Gap = 2,
    /// An [`ExecRecord`] follows.
    Exec = 3,
    /// `length` bytes of a printk text follow.
    Console = 4,
}

impl Kind {
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Data),
            2 => Some(Self::Gap),
            3 => Some(Self::Exec),
            4 => Some(Self::Console),
            _ => None,
        }
    }
}

/// Start of every ring record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkHeader {
    /// CLOCK_MONOTONIC in ns, when the write returned.
    pub time_ns: u64,
    /// Bytes written to the target before this chunk.
    pub offset: u64,
    /// Id of the target; 0 for records without one.
    pub target: u32,
    /// Thread that wrote.
    pub thread: u32,
    /// Bytes of payload, or of the gap.
    pub length: u32,
    /// A [`Kind`].
    pub kind: u8,
    pub zero: [u8; 3],
}

/// The first program that runs in a mount namespace other than the host's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecRecord {
    /// Process, as the host numbers it.
    pub process: u32,
    /// Its parent: the runtime's shim or monitor.
    pub parent: u32,
    /// Identity of stdout and of stderr; inode 0 where it is neither a pipe nor a terminal.
    pub stdio: [PipeKey; 2],
    /// Target ids of the two, 0 where there is none.
    pub targets: [u32; 2],
    /// 1 where the stream is a terminal.
    pub is_tty: [u32; 2],
    /// Leaf name of the cgroup in the unified hierarchy, NUL-padded.
    pub cgroup_v2: [u8; CGROUP_NAME_LEN],
    /// Leaf name of the cgroup in a version 1 hierarchy, NUL-padded; empty where there is none.
    pub cgroup_v1: [u8; CGROUP_NAME_LEN],
}

/// Offsets in the running kernel's structures, read from its BTF and set before load.
/// A byte offset each, [`NO_OFFSET`] where this kernel does not have the member.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    pub task_files: u32,
    pub task_nsproxy: u32,
    pub task_real_parent: u32,
    pub task_tgid: u32,
    pub task_pid: u32,
    pub pid_level: u32,
    /// `pid.numbers[0]`: one entry a nested pid namespace.
    pub pid_numbers: u32,
    pub number_value: u32,
    pub number_namespace: u32,
    /// `pid_namespace.ns.inum`
    pub pid_inum: u32,
    pub task_cgroups: u32,
    /// `thread_info.status`, for 32-bit system calls on x86.
    pub task_status: u32,
    pub files_fdt: u32,
    pub fdt_fd: u32,
    pub fdt_max_fds: u32,
    pub file_inode: u32,
    pub inode_mode: u32,
    pub inode_number: u32,
    pub inode_super: u32,
    pub inode_rdev: u32,
    pub super_device: u32,
    pub nsproxy_mnt: u32,
    /// `mnt_namespace.ns.inum`
    pub mnt_inum: u32,
    /// A number of the mount namespace that is never used again; `inum` where there is none.
    pub mnt_sequence: u32,
    pub css_set_default: u32,
    /// `css_set.subsys[i]` of the version 1 hierarchy to read, [`NO_OFFSET`] on a pure version 2 host.
    pub css_set_subsys: u32,
    pub css_cgroup: u32,
    pub cgroup_node: u32,
    pub node_name: u32,
    pub kiocb_file: u32,
    pub iter_type: u32,
    pub iter_offset: u32,
    pub iter_count: u32,
    /// `ubuf` and `__iov` share their place.
    pub iter_buffer: u32,
    pub iter_segments: u32,
    /// Values of `enum iter_type`.
    pub iter_ubuf: u32,
    pub iter_iovec: u32,
    pub request_file: u32,
    pub request_opcode: u32,
    /// `io_uring_cqe.res`, where the completion tracepoint passes the completion entry; else the result
    /// is an argument and this is [`NO_OFFSET`].
    pub completion_result: u32,
}

/// The kernel has no such member.
pub const NO_OFFSET: u32 = u32::MAX;

/// Settings of this run, set before load.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Inode of the host's mount namespace.
    pub host_mnt_inum: u32,
    /// 1: register the stdio of new containers at exec.
    pub register_at_exec: u32,
    /// Bytes waiting in a ring past which the reader is woken even if it is awake.
    pub wake_above: u64,
    /// Bytes waiting in a ring past which only exec records are put there.
    pub output_below: u64,
    /// Most bytes of a write to capture; at most [`MAX_WRITE`].
    pub max_write: u64,
}

const _: () = {
    assert!(size_of::<PipeKey>() == 16);
    assert!(size_of::<Target>() == 32);
    assert!(size_of::<ChunkHeader>() == 32);
    assert!(size_of::<ExecRecord>() == 56 + 2 * CGROUP_NAME_LEN);
    assert!(size_of::<Offsets>() == 40 * 4);
    assert!(size_of::<Settings>() == 32);
    assert!(EXEC_RESERVE + 2 * CHUNK_LEN <= MIN_RING_LEN / 2);
    assert!(CHUNK_LEN.is_power_of_two() && 3 * CHUNK_LEN + 1024 <= 32 << 10);
};

#[cfg(feature = "user")]
mod user {
    use super::{ExecRecord, Offsets, PipeKey, Settings, Target};

    // SAFETY: each is repr(C), Copy, without padding and without pointers, so any bytes are a value.
    unsafe impl aya::Pod for PipeKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Target {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Offsets {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Settings {}

    impl ExecRecord {
        /// Reads the record from the start of `bytes`.
        pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
            // SAFETY: the length is checked, and any bytes are a value.
            (bytes.len() >= size_of::<Self>()).then(|| unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
        }
    }

    impl super::ChunkHeader {
        /// Reads the header from the start of `bytes`.
        pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
            // SAFETY: the length is checked, and any bytes are a value.
            (bytes.len() >= size_of::<Self>()).then(|| unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
        }
    }
}
