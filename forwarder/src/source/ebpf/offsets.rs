//! Finds the members that the programs read in the running kernel's structures.

use forwarder_common::{NO_OFFSET, Offsets};

use super::btf::KernelTypes;

/// A member that every supported kernel has is missing from this one.
#[derive(Debug, thiserror::Error)]
#[error("this kernel has no member {0}")]
pub struct MissingMember(String);

/// `v1_controller`: a cgroup v1 controller whose hierarchy holds the containers, if there is one.
///
/// # Errors
/// Where a member that capture can't do without is missing.
pub fn find(types: &KernelTypes, v1_controller: Option<&str>) -> Result<Offsets, MissingMember> {
    let need = |structure: &str, path: &str| {
        types.offset(structure, path).ok_or_else(|| MissingMember(format!("{structure}.{path}")))
    };
    let may = |structure: &str, path: &str| types.offset(structure, path).unwrap_or(NO_OFFSET);
    let subsystem = v1_controller.and_then(|name| types.enumerator("cgroup_subsys_id", &format!("{name}_cgrp_id")));
    let css_set_subsys = match subsystem {
        Some(index) => need("css_set", "subsys")? + index * 8,
        None => NO_OFFSET,
    };
    // Numbers that are never given again: `seq` until 6.17, then every namespace has an id.
    let mnt_sequence = types.offset("mnt_namespace", "seq").or_else(|| types.offset("mnt_namespace", "ns.ns_id"));
    // `iov` was renamed when it became private in 6.4.
    let iter_buffer = types
        .offset("iov_iter", "__iov")
        .or_else(|| types.offset("iov_iter", "iov"))
        .ok_or_else(|| MissingMember("iov_iter.iov".into()))?;
    Ok(Offsets {
        task_files: need("task_struct", "files")?,
        task_nsproxy: need("task_struct", "nsproxy")?,
        task_real_parent: need("task_struct", "real_parent")?,
        task_tgid: need("task_struct", "tgid")?,
        task_pid: need("task_struct", "thread_pid")?,
        pid_level: need("pid", "level")?,
        pid_numbers: need("pid", "numbers")?,
        number_value: need("upid", "nr")?,
        number_namespace: need("upid", "ns")?,
        pid_inum: need("pid_namespace", "ns.inum")?,
        task_cgroups: need("task_struct", "cgroups")?,
        task_status: may("task_struct", "thread_info.status"),
        files_fdt: need("files_struct", "fdt")?,
        fdt_fd: need("fdtable", "fd")?,
        fdt_max_fds: need("fdtable", "max_fds")?,
        file_inode: need("file", "f_inode")?,
        inode_mode: need("inode", "i_mode")?,
        inode_number: need("inode", "i_ino")?,
        inode_super: need("inode", "i_sb")?,
        inode_rdev: need("inode", "i_rdev")?,
        super_device: need("super_block", "s_dev")?,
        nsproxy_mnt: need("nsproxy", "mnt_ns")?,
        mnt_inum: need("mnt_namespace", "ns.inum")?,
        mnt_sequence: mnt_sequence.unwrap_or(NO_OFFSET),
        css_set_default: need("css_set", "dfl_cgrp")?,
        css_set_subsys,
        css_cgroup: need("cgroup_subsys_state", "cgroup")?,
        cgroup_node: need("cgroup", "kn")?,
        node_name: need("kernfs_node", "name")?,
        kiocb_file: need("kiocb", "ki_filp")?,
        iter_type: need("iov_iter", "iter_type")?,
        iter_offset: need("iov_iter", "iov_offset")?,
        iter_count: need("iov_iter", "count")?,
        iter_buffer,
        iter_segments: need("iov_iter", "nr_segs")?,
        iter_ubuf: types.enumerator("iter_type", "ITER_UBUF").unwrap_or(NO_OFFSET),
        iter_iovec: types.enumerator("iter_type", "ITER_IOVEC").unwrap_or(NO_OFFSET),
        request_file: may("io_kiocb", "file"),
        request_opcode: may("io_kiocb", "opcode"),
        // Since 6.17 the tracepoint passes the completion entry instead of its parts.
        completion_result: completion_result(types),
    })
}

fn completion_result(types: &KernelTypes) -> u32 {
    match types.parameter_count("btf_trace_io_uring_complete") {
        Some(count) if count <= 4 => types.offset("io_uring_cqe", "res").unwrap_or(NO_OFFSET),
        _ => NO_OFFSET,
    }
}
