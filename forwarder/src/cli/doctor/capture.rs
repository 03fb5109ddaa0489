//! Which capture hooks this kernel takes, and which one would be chosen.

use super::{DoctorItem, Host};
use crate::config::ResolvedConfig;

/// Loads and attaches each hook for a moment. Needs the privileges that capture needs.
#[cfg(feature = "ebpf")]
pub fn hooks(_host: &Host, config: &ResolvedConfig) -> Vec<DoctorItem> {
    use crate::source::ebpf::hook::Hook;
    use crate::source::ebpf::load::{LoadError, LoadOptions, load};

    let options = |hook| LoadOptions {
        hook: Some(hook),
        ring_bytes: 0,
        max_write: config.capture.max_write as u64,
        containers: false,
        console: false,
    };
    let mut items = Vec::new();
    let mut chosen: Option<Hook> = None;
    for hook in Hook::LADDER {
        let name = format!("hook {hook}");
        items.push(match load(&options(hook)) {
            Ok(_) if chosen.is_none() => {
                chosen = Some(hook);
                DoctorItem::ok(&name, "works, and would be chosen")
            }
            Ok(_) => DoctorItem::ok(&name, "works"),
            Err(LoadError::Hook { why, .. }) => DoctorItem::note(&name, format!("not possible: {}", first_line(&why))),
            // What is missing is missing for all of them.
            Err(error) => {
                return vec![DoctorItem::missing(
                    "capture",
                    first_line(&error.to_string()),
                    "Output of containers can't be captured by eBPF. It takes root or CAP_BPF, CAP_PERFMON and \
                     CAP_SYS_PTRACE, BTF, and Linux 5.17 or newer. The kernel log works.",
                )];
            }
        });
    }
    if chosen.is_none() {
        items.push(DoctorItem::missing(
            "capture",
            "no hook can be used",
            "Output of containers can't be captured by eBPF; the reasons stand with the hooks. The kernel log works.",
        ));
    }
    items
}

#[cfg(not(feature = "ebpf"))]
pub fn hooks(_host: &Host, _config: &ResolvedConfig) -> Vec<DoctorItem> {
    vec![DoctorItem::missing(
        "capture",
        "this build has no eBPF",
        "Output of containers can't be captured. Build with the default features: `cargo xtask setup` installs what \
         that needs.",
    )]
}

/// Whether io_uring would carry the destinations.
pub fn back_end(_host: &Host, _config: &ResolvedConfig) -> Vec<DoctorItem> {
    let item = match crate::io::probe() {
        crate::io::UringSupport::Available => DoctorItem::ok("io_uring", "allowed"),
        crate::io::UringSupport::Refused(reason) => DoctorItem::degraded(
            "io_uring",
            reason,
            "Everything works by epoll instead, at a little more CPU. Allow io_uring in the seccomp profile of the \
             container, or set the sysctl kernel.io_uring_disabled to 0.",
        ),
    };
    vec![item]
}

#[cfg(feature = "ebpf")]
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(160).collect()
}
