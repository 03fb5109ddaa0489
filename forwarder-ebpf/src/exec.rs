//! A container's stdio becomes a target before its first instruction runs.
//!
//! The first exec in a mount namespace other than the host's is the runtime starting the container's program:
//! its descriptors 1 and 2 are the container's stdout and stderr. Later programs in the same namespace (shells'
//! pipelines, `kubectl exec`) have pipes of their own, which are not container output. User space confirms,
//! names or rejects what is registered here.
//!
//! A container that shares the host's mount namespace is known by its pid namespace: by whatever its pid 1 executes,
//! since one pid namespace can't be told from a later one of the same number. What is a target already stays that.
//!
//! OCI hooks run in the namespace before the container's program does. They are told apart by who starts them:
//! runc and crun fork them from the process that becomes the container's, so their parent is in the namespace
//! already, while the container's program has the runtime for a parent. A hook that enters the namespace from outside
//! (`nsenter`, `nvidia-container-cli`) is not pid 1 of the container's pid namespace, and pid 1 is looked at
//! whoever came before it.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns, bpf_probe_read_kernel_str_bytes},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use forwarder_common::{CGROUP_NAME_LEN, ChunkHeader, ExecRecord, Kind, Missed, PipeKey, Target};

use crate::{
    emit::{add, count_missed, emit},
    kernel,
    maps::{NEXT_TARGET, Namespaces, SCRATCH, SEEN_NAMESPACES, Scratch, TARGETS, setting},
};

#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn container_exec(_ctx: RawTracePointContext) -> i32 {
    let _ = on_exec();
    0
}

#[inline(always)]
fn on_exec() -> Option<()> {
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task() };
    let (inum, sequence) = kernel::mount_namespace(task)?;
    if setting!(register_at_exec) == 0 {
        return None;
    }
    let first_of = kernel::first_of_pid_namespace(task)?;
    if inum != setting!(host_mnt_inum) {
        first_in_mount_namespace(task, sequence, first_of)?;
    } else if first_of == 0 {
        return None;
    }
    let scratch = SCRATCH.get_ptr_mut(Scratch::Exec as u32)?;
    // SAFETY: this CPU's buffer of this program; an ExecRecord is far smaller than its data.
    let (header, record) = unsafe { (&mut (*scratch).header, &mut *(&raw mut (*scratch).data).cast::<ExecRecord>()) };
    let (stdout, stdout_tty) = register(task, 1);
    let (stderr, stderr_tty) = register(task, 2);
    if stdout.1 == 0 && stderr.1 == 0 {
        return None;
    }
    record.process = (bpf_get_current_pid_tgid() >> 32) as u32;
    record.parent = kernel::parent_of(task).unwrap_or(0);
    record.stdio = [stdout.0, stderr.0];
    record.targets = [stdout.1, stderr.1];
    record.is_tty = [stdout_tty, stderr_tty];
    record.cgroup_v2 = [0; CGROUP_NAME_LEN];
    record.cgroup_v1 = [0; CGROUP_NAME_LEN];
    if let Some(name) = kernel::cgroup_name(task) {
        // SAFETY: the helper checks the address.
        let _ = unsafe { bpf_probe_read_kernel_str_bytes(name as *const u8, &mut record.cgroup_v2) };
    }
    if let Some(name) = kernel::cgroup_v1_name(task) {
        // SAFETY: as above.
        let _ = unsafe { bpf_probe_read_kernel_str_bytes(name as *const u8, &mut record.cgroup_v1) };
    }
    *header = ChunkHeader {
        // SAFETY: a helper without arguments.
        time_ns: unsafe { bpf_ktime_get_ns() },
        offset: 0,
        target: 0,
        thread: bpf_get_current_pid_tgid() as u32,
        length: size_of::<ExecRecord>() as u32,
        kind: Kind::Exec as u8,
        zero: [0; 3],
    };
    // SAFETY: as above; the borrows of its parts have ended.
    if !emit(unsafe { &mut *scratch }, size_of::<ExecRecord>() as u32) {
        count_missed(Missed::Record);
    }
    None
}

/// Something where the task is the first of its kind in its mount namespace, and not started from within it.
#[inline(always)]
fn first_in_mount_namespace(task: u64, sequence: u64, first_of: u64) -> Option<()> {
    if kernel::parent_task(task).and_then(kernel::mount_namespace).is_some_and(|(_, parents)| parents == sequence) {
        return None;
    }
    let own = Namespaces { mount: sequence, first_of };
    SEEN_NAMESPACES.insert(own, 1, u64::from(BPF_NOEXIST)).ok()?;
    // Who enters the namespace once its pid 1 runs is a session (`docker exec`), not the container.
    let any = Namespaces { mount: sequence, first_of: 0 };
    let _ = SEEN_NAMESPACES.insert(any, 1, 0);
    Some(())
}

/// Makes descriptor `fd` a target where it is a pipe or terminal: its key, target id (0: none) and kind.
#[inline(always)]
fn register(task: u64, fd: u64) -> ((PipeKey, u32), u32) {
    let none = ((PipeKey { inode: 0, device: 0, zero: 0 }, 0), 0);
    let Some(file) = kernel::file_of(task, fd) else { return none };
    let Some((key, is_tty)) = kernel::stdio_of_file(file) else { return none };
    // SAFETY: map values are valid; the counters of a target are changed by atomic adds only.
    if let Some(known) = unsafe { TARGETS.get(key) } {
        return ((key, known.id), u32::from(is_tty));
    }
    let Some(counter) = NEXT_TARGET.get_ptr_mut(0) else { return none };
    let id = add(counter, 1) as u32 + 1;
    let target = Target { id, zero: 0, written: 0, settled: 0, lost: 0 };
    match TARGETS.insert(key, target, u64::from(BPF_NOEXIST)) {
        Ok(()) => ((key, id), u32::from(is_tty)),
        Err(_) => {
            count_missed(Missed::Target);
            none
        }
    }
}
