//! Every version that is not in `Cargo.lock`, in one place. `docs/ebpf-build.md` says why they are what they are; a
//! test compares the two.

/// bpf-linker 0.11 and later need a system LLVM; 0.10 loads the one that rustc brings.
pub const BPF_LINKER: &str = "0.10.4";

/// What the NEON variant is tested as: Rust brings all that it takes to link for it.
pub const ARM64_TARGET: &str = "aarch64-unknown-linux-musl";

/// LinuxKit v1.8.2, as Go names a commit of a module in a folder that has no versions of its own.
pub const LINUXKIT: &str = "v0.0.0-20250915124940-43200ea63425";

/// The kernel series that the VM boots, oldest first.
pub const KERNELS: [&str; 2] = ["6.1", "6.12"];

/// What the tests need from Debian, as (a command that shows it is there, the package that brings it).
pub const TEST_PACKAGES: [(&str, &str); 19] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("dockerd", "docker.io"),
    ("podman", "podman"),
    ("crun", "crun"),
    ("conmon", "conmon"),
    ("rsyslogd", "rsyslog"),
    ("logger", "bsdutils"),
    ("python3", "python3"),
    ("socat", "socat"),
    ("bpftool", "bpftool"),
    ("tar", "tar"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("qemu-aarch64", "qemu-user"),
    ("busybox", "busybox-static"),
    ("go", "golang-go"),
    ("valgrind", "valgrind"),
];

/// What the VM needs from Debian.
pub const VM_PACKAGES: [(&str, &str); 4] =
    [("qemu-system-x86_64", "qemu-system-x86"), ("cpio", "cpio"), ("busybox", "busybox-static"), ("runc", "runc")];

/// What the benches need from Debian.
pub const BENCH_PACKAGES: [(&str, &str); 3] = [("runc", "runc"), ("valgrind", "valgrind"), ("rsyslogd", "rsyslog")];

/// A syslog daemon beside rsyslog, with the libraries that it may lack: unpacked and not installed, because Debian lets
/// only one of the two be.
pub const SYSLOG_NG: [&str; 5] = ["syslog-ng-core", "libivykis0", "libnet1", "libjson-c5", "libwrap0"];

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_names_the_pinned_versions() {
        let page = include_str!("../../docs/ebpf-build.md");
        assert!(page.contains(&format!("bpf-linker {}", super::BPF_LINKER)), "bpf-linker");
        for crate_name in ["aya", "aya-obj"] {
            let manifest = include_str!("../../Cargo.toml");
            let line = manifest
                .lines()
                .find(|line| line.starts_with(&format!("{crate_name} = ")))
                .expect("a workspace dependency");
            let version = line.split('"').nth(1).expect("a version").trim_start_matches('=');
            assert!(page.contains(&format!("{crate_name} {version}")), "{crate_name} {version}");
        }
    }
}
