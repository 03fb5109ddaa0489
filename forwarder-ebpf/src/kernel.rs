//! Walks through the kernel's structures: from a task to the pipe behind a descriptor, to its namespace and to
//! its cgroup. Reads by `bpf_probe_read_kernel`, which works in every program type.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use forwarder_common::{NO_OFFSET, PipeKey};

use crate::maps::offset;

const S_IFMT: u32 = 0o170_000;
const S_IFIFO: u32 = 0o010_000;
const S_IFCHR: u32 = 0o020_000;
/// Major numbers of Unix98 pty slaves (Documentation/admin-guide/devices.txt).
const PTY_SLAVE_MAJORS: core::ops::RangeInclusive<u32> = 136..=143;
const MINOR_BITS: u32 = 20;
/// Size of `struct upid`: an int and a pointer.
const PID_NUMBER_LEN: u64 = 16;

/// Reads a `T` at `base + offset` of kernel memory.
#[inline(always)]
pub fn read<T>(base: u64, offset: usize) -> Option<T> {
    if base == 0 {
        return None;
    }
    // SAFETY: the helper checks the address itself and fails where it can't be read.
    unsafe { bpf_probe_read_kernel((base as usize).wrapping_add(offset) as *const T).ok() }
}

/// The file behind descriptor `fd` of `task`.
#[inline(always)]
pub fn file_of(task: u64, fd: u64) -> Option<u64> {
    let files: u64 = read(task, offset!(task_files))?;
    let table: u64 = read(files, offset!(files_fdt))?;
    let limit: u32 = read(table, offset!(fdt_max_fds))?;
    if fd >= u64::from(limit) {
        return None;
    }
    let array: u64 = read(table, offset!(fdt_fd))?;
    read(array, (fd as usize) << 3)
}

/// Identity of the inode behind a file, whatever kind of file it is.
#[inline(always)]
pub fn key_of_file(file: u64) -> Option<PipeKey> {
    let inode: u64 = read(file, offset!(file_inode))?;
    key_of_inode(inode)
}

/// Identity of a pipe or pty slave and whether it is the latter; `None` for any other file.
#[inline(always)]
pub fn stdio_of_file(file: u64) -> Option<(PipeKey, bool)> {
    let inode: u64 = read(file, offset!(file_inode))?;
    let mode: u16 = read(inode, offset!(inode_mode))?;
    let is_tty = match u32::from(mode) & S_IFMT {
        S_IFIFO => false,
        S_IFCHR => {
            let device: u32 = read(inode, offset!(inode_rdev))?;
            if !PTY_SLAVE_MAJORS.contains(&(device >> MINOR_BITS)) {
                return None;
            }
            true
        }
        _ => return None,
    };
    Some((key_of_inode(inode)?, is_tty))
}

#[inline(always)]
fn key_of_inode(inode: u64) -> Option<PipeKey> {
    let number: u64 = read(inode, offset!(inode_number))?;
    let superblock: u64 = read(inode, offset!(inode_super))?;
    let device: u32 = read(superblock, offset!(super_device))?;
    Some(PipeKey { inode: number, device, zero: 0 })
}

/// Inode number of the task's mount namespace and a number of it that is never used again.
#[inline(always)]
pub fn mount_namespace(task: u64) -> Option<(u32, u64)> {
    let proxy: u64 = read(task, offset!(task_nsproxy))?;
    let namespace: u64 = read(proxy, offset!(nsproxy_mnt))?;
    let inum: u32 = read(namespace, offset!(mnt_inum))?;
    let sequence = if offset!(mnt_sequence) == NO_OFFSET as usize {
        u64::from(inum)
    } else {
        read(namespace, offset!(mnt_sequence))?
    };
    Some((inum, sequence))
}

/// Inode of the pid namespace whose pid 1 the task is; 0 for any other task, and for the machine's own pid 1.
#[inline(always)]
pub fn first_of_pid_namespace(task: u64) -> Option<u64> {
    let pid: u64 = read(task, offset!(task_pid))?;
    let level: u32 = read(pid, offset!(pid_level))?;
    let entry = pid + offset!(pid_numbers) as u64 + u64::from(level) * PID_NUMBER_LEN;
    let number: u32 = read(entry, offset!(number_value))?;
    if level == 0 || number != 1 {
        return Some(0);
    }
    let namespace: u64 = read(entry, offset!(number_namespace))?;
    Some(u64::from(read::<u32>(namespace, offset!(pid_inum))?))
}

/// The task's parent.
#[inline(always)]
pub fn parent_task(task: u64) -> Option<u64> {
    read(task, offset!(task_real_parent))
}

/// Process id of the task's parent, as the host numbers it.
#[inline(always)]
pub fn parent_of(task: u64) -> Option<u32> {
    read(parent_task(task)?, offset!(task_tgid))
}

/// Address of the leaf name of the task's cgroup in the unified hierarchy.
#[inline(always)]
pub fn cgroup_name(task: u64) -> Option<u64> {
    let set: u64 = read(task, offset!(task_cgroups))?;
    name_of_cgroup(read(set, offset!(css_set_default))?)
}

/// Address of the leaf name of the task's cgroup in a version 1 hierarchy.
#[inline(always)]
pub fn cgroup_v1_name(task: u64) -> Option<u64> {
    if offset!(css_set_subsys) == NO_OFFSET as usize {
        return None;
    }
    let set: u64 = read(task, offset!(task_cgroups))?;
    let state: u64 = read(set, offset!(css_set_subsys))?;
    name_of_cgroup(read(state, offset!(css_cgroup))?)
}

#[inline(always)]
fn name_of_cgroup(cgroup: u64) -> Option<u64> {
    let node: u64 = read(cgroup, offset!(cgroup_node))?;
    read(node, offset!(node_name))
}
