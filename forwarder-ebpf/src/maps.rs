//! The maps, and the settings that user space writes before load.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, ArrayOfMaps, HashMap, LruHashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use crate::{copy::Vector, pipe::Back};
use forwarder_common::{
    CHUNK_LEN, ChunkHeader, MAX_CPUS, MAX_TARGETS, MIN_RING_LEN, MISSED_KINDS, NO_OFFSET, Offsets, PipeKey, Settings, Target,
};

/// One ring a CPU: producers never contend. User space puts rings of the configured size into it.
#[btf_map]
pub static RINGS: ArrayOfMaps<RingBuf<ChunkHeader, MIN_RING_LEN>, MAX_CPUS> = ArrayOfMaps::new();

/// What is captured.
#[btf_map]
pub static TARGETS: HashMap<PipeKey, Target, MAX_TARGETS> = HashMap::new();

/// Namespaces whose first exec was seen.
#[btf_map]
pub static SEEN_NAMESPACES: LruHashMap<Namespaces, u8, 32768> = LruHashMap::new();

/// Element 0: 1 while the reader sleeps and wants to be woken. Mapped by user space.
#[btf_map]
pub static SLEEPING: Array<u32, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Element 0: id of the next target that the exec program registers.
#[btf_map]
pub static NEXT_TARGET: Array<u64, 1> = Array::new();

/// What is missing and belongs to no target, by [`forwarder_common::Missed`].
#[btf_map]
pub static MISSED: Array<u64, MISSED_KINDS> = Array::new();

/// Where a record is put together. One a program that can interrupt another: see [`Scratch`].
#[btf_map]
pub static SCRATCH: PerCpuArray<ScratchBuffer, 7> = PerCpuArray::new();

/// Arguments of a pipe write between its kprobe and its kretprobe, by thread.
#[btf_map]
pub static ENTERED: HashMap<u64, Entered, 16384> = HashMap::new();

#[repr(C)]
pub struct ScratchBuffer {
    pub header: ChunkHeader,
    /// A chunk, and room for what the verifier believes an offset and a length could add up to.
    pub data: [u8; 3 * CHUNK_LEN],
    pub vector: Vector,
    pub back: Back,
}

/// Index of a scratch buffer. The kernel never runs one program twice at a time on one CPU, but it may run
/// another one in between.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Scratch {
    Write = 0,
    Tty = 1,
    Exec = 2,
    Console = 3,
    Fifo = 4,
    Uring = 5,
    Splice = 6,
}

/// Where a program is started.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Namespaces {
    /// Sequence number of the mount namespace.
    pub mount: u64,
    /// Inode of the pid namespace whose pid 1 the program is; 0 for any other process.
    pub first_of: u64,
}

/// What a kretprobe needs of its entry.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Entered {
    pub key: PipeKey,
    /// The user buffer, or the kernel's copy of the iovec array.
    pub buffer: u64,
    /// Bytes of the first segment that are done already.
    pub skip: u64,
    /// 0: one buffer; else the number of segments; `u64::MAX`: data that can't be read.
    pub segments: u64,
}

#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets {
    task_files: NO_OFFSET,
    task_nsproxy: NO_OFFSET,
    task_real_parent: NO_OFFSET,
    task_tgid: NO_OFFSET,
    task_pid: NO_OFFSET,
    pid_level: NO_OFFSET,
    pid_numbers: NO_OFFSET,
    number_value: NO_OFFSET,
    number_namespace: NO_OFFSET,
    pid_inum: NO_OFFSET,
    task_cgroups: NO_OFFSET,
    task_status: NO_OFFSET,
    files_fdt: NO_OFFSET,
    fdt_fd: NO_OFFSET,
    fdt_max_fds: NO_OFFSET,
    file_inode: NO_OFFSET,
    inode_mode: NO_OFFSET,
    inode_number: NO_OFFSET,
    inode_super: NO_OFFSET,
    inode_rdev: NO_OFFSET,
    super_device: NO_OFFSET,
    nsproxy_mnt: NO_OFFSET,
    mnt_inum: NO_OFFSET,
    mnt_sequence: NO_OFFSET,
    css_set_default: NO_OFFSET,
    css_set_subsys: NO_OFFSET,
    css_cgroup: NO_OFFSET,
    cgroup_node: NO_OFFSET,
    node_name: NO_OFFSET,
    kiocb_file: NO_OFFSET,
    iter_type: NO_OFFSET,
    iter_offset: NO_OFFSET,
    iter_count: NO_OFFSET,
    iter_buffer: NO_OFFSET,
    iter_segments: NO_OFFSET,
    iter_ubuf: NO_OFFSET,
    iter_iovec: NO_OFFSET,
    request_file: NO_OFFSET,
    request_opcode: NO_OFFSET,
    completion_result: NO_OFFSET,
};

#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings { host_mnt_inum: 0, register_at_exec: 0, wake_above: 0, output_below: 0, max_write: 0 };

/// Reads one offset. Volatile: the compiler must not use the value that stands in the source.
macro_rules! offset {
    ($member:ident) => {
        // SAFETY: a static of this program, read as it is.
        unsafe { core::ptr::read_volatile(&raw const crate::maps::OFFSETS.$member) as usize }
    };
}
/// Reads one setting.
macro_rules! setting {
    ($member:ident) => {
        // SAFETY: a static of this program, read as it is.
        unsafe { core::ptr::read_volatile(&raw const crate::maps::SETTINGS.$member) }
    };
}
pub(crate) use {offset, setting};
