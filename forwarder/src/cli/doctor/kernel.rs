//! What the kernel offers.

use rustix::fs::{Mode, OFlags};

use super::{DoctorItem, Host};
use crate::config::ResolvedConfig;

/// The version that capture needs: `bpf_loop` came with 5.17.
const OLDEST: (u32, u32) = (5, 17);

pub fn version(host: &Host, _config: &ResolvedConfig) -> Vec<DoctorItem> {
    let release = host
        .text("/proc/sys/kernel/osrelease")
        .unwrap_or_else(|_| rustix::system::uname().release().to_string_lossy().into_owned());
    let item = match version_of(&release) {
        Some(version) if version >= OLDEST => DoctorItem::ok("kernel", release),
        Some(_) => DoctorItem::missing(
            "kernel",
            release,
            "Output of containers can't be captured: the programs need Linux 5.17 or newer. The kernel's log \
             works.",
        ),
        None => DoctorItem::note("kernel", format!("{release} (of unknown version)")),
    };
    vec![item]
}

fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

pub fn btf(host: &Host, _config: &ResolvedConfig) -> Vec<DoctorItem> {
    let path = "/sys/kernel/btf/vmlinux";
    let item = match std::fs::metadata(host.path(path)) {
        Ok(metadata) if metadata.is_file() => DoctorItem::ok("btf", path),
        _ => DoctorItem::missing(
            "btf",
            format!("no {path}"),
            "Output of containers can't be captured: where the kernel keeps its data is read from there. Mount sysfs at \
             /sys, or take a kernel built with CONFIG_DEBUG_INFO_BTF=y (Debian 11, Ubuntu 20.10, Fedora 31 and newer).",
        ),
    };
    vec![item]
}

pub fn lockdown(host: &Host, _config: &ResolvedConfig) -> Vec<DoctorItem> {
    let item = match host.text("/sys/kernel/security/lockdown") {
        Err(_) => DoctorItem::note("lockdown", "unknown (securityfs is not mounted, or the kernel has no lockdown)"),
        Ok(text) => match text.split(['[', ']']).nth(1) {
            Some("none") => DoctorItem::ok("lockdown", "none"),
            Some("integrity") => DoctorItem::ok("lockdown", "integrity (capture is allowed)"),
            Some("confidentiality") => DoctorItem::degraded(
                "lockdown",
                "confidentiality",
                "The kernel denies BPF programs to read its memory, so most hooks can't be used; containers' log files \
                 and /dev/kmsg still can. Boot with lockdown=integrity to capture by eBPF.",
            ),
            _ => DoctorItem::note("lockdown", format!("`{text}`")),
        },
    };
    vec![item]
}

pub fn file_systems(host: &Host, config: &ResolvedConfig) -> Vec<DoctorItem> {
    let tracefs = match host.mounted("tracefs") {
        Some(at) => DoctorItem::ok("tracefs", format!("mounted at {at}")),
        None if config.kernel.enabled || config.capture.wants_anything() => DoctorItem::degraded(
            "tracefs",
            "not mounted",
            "The hook `tracepoint` can't be attached; the others don't need it. Get it by: mount -t tracefs tracefs \
             /sys/kernel/tracing",
        ),
        None => DoctorItem::note("tracefs", "not mounted"),
    };
    let bpffs = match host.mounted("bpf") {
        Some(at) => DoctorItem::ok("bpffs", format!("mounted at {at}")),
        None => DoctorItem::note("bpffs", "not mounted (not needed: nothing is pinned)"),
    };
    vec![tracefs, bpffs]
}

pub fn kmsg(host: &Host, config: &ResolvedConfig) -> Vec<DoctorItem> {
    if !config.kernel.enabled {
        return vec![DoctorItem::note("kmsg", "not asked for")];
    }
    let shown = config.kernel.kmsg.display().to_string();
    let opened = rustix::fs::open(
        host.path(&shown),
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY,
        Mode::empty(),
    );
    let item = match opened {
        Ok(_) => DoctorItem::ok("kmsg", format!("{shown} can be read")),
        Err(error) => {
            let advice = match error {
                rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => {
                    "The kernel's log can't be read. Run as root or with CAP_SYSLOG (kernel.dmesg_restrict is on, or the \
                     device's mode forbids it); in a container also let the device through."
                }
                _ => {
                    "The kernel's log can't be read. In a container, pass the device in (--device /dev/kmsg, or a \
                     hostPath volume); `kernel: { kmsg: PATH }` where it is elsewhere; --no-kernel where it is not wanted."
                }
            };
            DoctorItem::missing("kmsg", format!("{shown} can't be opened: {}", reason(error)), advice)
        }
    };
    vec![item]
}

pub(super) fn reason(error: rustix::io::Errno) -> String {
    let text = std::io::Error::from(error).to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

pub fn printk_devkmsg(host: &Host, _config: &ResolvedConfig) -> Vec<DoctorItem> {
    let item = match host.text("/proc/sys/kernel/printk_devkmsg") {
        Err(_) => DoctorItem::note("printk_devkmsg", "unknown"),
        Ok(value) if value == "off" => {
            DoctorItem::note("printk_devkmsg", "off (what programs write to /dev/kmsg is ignored)")
        }
        Ok(value) if value == "on" => DoctorItem::ok("printk_devkmsg", "on"),
        Ok(value) => DoctorItem::note(
            "printk_devkmsg",
            format!("{value} (what programs write to /dev/kmsg is limited in rate; the kernel's own messages are not)"),
        ),
    };
    vec![item]
}

pub fn cgroups(host: &Host, config: &ResolvedConfig) -> Vec<DoctorItem> {
    let mounts = host.mounts();
    let at = |kind: &str| mounts.iter().find(|mount| mount.kind == kind).map(|mount| mount.at.clone());
    let item = match (at("cgroup2"), at("cgroup")) {
        (Some(v2), None) => DoctorItem::ok("cgroups", format!("v2 at {v2}")),
        (Some(v2), Some(_)) => DoctorItem::ok("cgroups", format!("hybrid: v1, and v2 at {v2}")),
        (None, Some(_)) => DoctorItem::ok("cgroups", "v1"),
        (None, None) if config.capture.wants_anything() => DoctorItem::degraded(
            "cgroups",
            "no hierarchy is mounted",
            "Containers are captured, but found and named from /proc only; --cgroup and --unit don't work. Mount \
             /sys/fs/cgroup (in a container: from the host).",
        ),
        (None, None) => DoctorItem::note("cgroups", "no hierarchy is mounted"),
    };
    vec![item]
}
