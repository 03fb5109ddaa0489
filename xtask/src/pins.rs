//! Every version that is not in `Cargo.lock`, in one place. `docs/ebpf-build.md` says why they are what they are; a
//! test compares the two.

/// bpf-linker 0.11 and later need a system LLVM; 0.10 loads the one that rustc brings.
pub const BPF_LINKER: &str = "0.10.4";

/// It needs a nightly toolchain, whichever there is.
pub const CARGO_FUZZ: &str = "0.13.2";

/// What the NEON variant is tested as: Rust brings all that it takes to link for it.
pub const ARM64_TARGET: &str = "aarch64-unknown-linux-musl";

/// LinuxKit v1.8.2, as Go names a commit of a module in a folder that has no versions of its own.
pub const LINUXKIT: &str = "v0.0.0-20250915124940-43200ea63425";

/// The last Filebeat of the major version that Talos' documentation configures.
pub const FILEBEAT: &str = "v7.17.28";

/// Fluent Bit's source, as a package of npm has it.
pub const FLUENT_BIT: &str = "1.8.15";
pub const FLUENT_BIT_PACKAGE: &str = "https://registry.npmjs.org/fluent-bit/-/fluent-bit-0.0.3.tgz";
pub const FLUENT_BIT_SHA512: &str = concat!(
    "6a986a6007566c0efccc138967c30c4e188c1912901c5a0f97df3c20dae26519",
    "d33d8aebcb2c8f946f1cb02dd964e7bfc406206ee059e2663de22f91c8344615"
);

/// The OpenTelemetry collector, its builder and its parts; of what follows, the Go module proxy lacks some.
pub const OTELCOL: &str = "0.160.0";
/// What of it has another number.
pub const OTELCOL_CONFMAP: &str = "1.66.0";

/// What it takes to build Filebeat. One that is newer than 1.20 fetches by itself what a module asks for.
pub const GO: &str = "1.22.12";

/// The kernel series that the VM boots, oldest first.
pub const KERNELS: [&str; 2] = ["6.1", "6.12"];

/// What the tests need from Debian, as (a command or file that shows it is there, the package that brings it).
pub const TEST_PACKAGES: [(&str, &str); 21] = [
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
    ("valgrind", "valgrind"),
    ("journalctl", "systemd"),
    ("/lib/systemd/systemd-journal-remote", "systemd-journal-remote"),
    ("xz", "xz-utils"),
];

/// What the VM needs from Debian.
pub const VM_PACKAGES: [(&str, &str); 4] =
    [("qemu-system-x86_64", "qemu-system-x86"), ("cpio", "cpio"), ("busybox", "busybox-static"), ("runc", "runc")];

/// What the benches need from Debian.
pub const BENCH_PACKAGES: [(&str, &str); 3] = [("runc", "runc"), ("valgrind", "valgrind"), ("rsyslogd", "rsyslog")];

/// What peers are built with that Debian does not have.
pub const PEER_PACKAGES: [(&str, &str); 8] = [
    ("go", "golang-go"),
    ("curl", "curl"),
    ("cc", "gcc"),
    ("make", "make"),
    ("cmake", "cmake"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("/usr/include/oniguruma.h", "libonig-dev"),
];

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
