//! What this process may do.

use std::path::Path;

use caps::{CapSet, Capability};
use rustix::fs::{Access, AtFlags, CWD};
use rustix::process::{Resource, getrlimit};

use super::{DoctorItem, Host};
use crate::config::ResolvedConfig;

/// What Ringward uses, and what does not work without it.
const CAPABILITIES: [(Capability, &str); 5] = [
    (Capability::CAP_BPF, "capture by eBPF does not work: programs can't be loaded"),
    (Capability::CAP_PERFMON, "capture by eBPF does not work: programs can't be attached"),
    (Capability::CAP_SYS_PTRACE, "the output of other users' processes can't be recognised (/proc/PID/fd is closed)"),
    (Capability::CAP_SYSLOG, "the kernel's log can't be read where kernel.dmesg_restrict is on"),
    (
        Capability::CAP_SYS_ADMIN,
        "tracefs and bpffs can't be mounted where they are missing, and kernels before 5.8 refuse BPF",
    ),
];

pub fn capabilities(_host: &Host, _config: &ResolvedConfig) -> Vec<DoctorItem> {
    let Ok(held) = caps::read(None, CapSet::Effective) else {
        return vec![DoctorItem::note("capabilities", "can't be read")];
    };
    // The kernel takes CAP_SYS_ADMIN for the two that were split off from it in 5.8 (capabilities(7)).
    let admin = held.contains(&Capability::CAP_SYS_ADMIN);
    let item = |(capability, without): &(Capability, &str)| {
        let name = capability.to_string().to_lowercase();
        if held.contains(capability) {
            return DoctorItem::ok(&name, "held");
        }
        let split_off = matches!(capability, Capability::CAP_BPF | Capability::CAP_PERFMON);
        if admin && split_off {
            return DoctorItem::ok(&name, "not held, but CAP_SYS_ADMIN is, which includes it");
        }
        let advice = format!(
            "Without it {without}. Run as root, or grant {capability} (systemd: AmbientCapabilities=, Docker: --cap-add, \
             Kubernetes: securityContext.capabilities.add)."
        );
        if *capability == Capability::CAP_SYS_ADMIN {
            return DoctorItem::note(&name, format!("not held; {without}"));
        }
        DoctorItem::missing(&name, "not held", advice)
    };
    CAPABILITIES.iter().map(item).collect()
}

pub fn state_dir(host: &Host, config: &ResolvedConfig) -> Vec<DoctorItem> {
    let shown = config.state_dir.display();
    let path = host.path(&config.state_dir.to_string_lossy());
    // The nearest directory that is there: the rest is created at start.
    let existing = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let item = if !existing.is_dir() {
        DoctorItem::missing("state_dir", format!("{} is not a directory", existing.display()), elsewhere())
    } else {
        let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        match rustix::fs::accessat(CWD, existing, access, AtFlags::EACCESS) {
            Ok(()) if existing == path && distrusted(existing).is_some() => {
                let found = format!("{shown} can't be trusted: {}", distrusted(existing).unwrap_or_default());
                DoctorItem::missing("state_dir", found, elsewhere())
            }
            Ok(()) if existing == path => DoctorItem::ok("state_dir", format!("{shown} can be written")),
            Ok(()) => DoctorItem::ok("state_dir", format!("{shown} is not there yet, and can be created")),
            Err(error) => {
                let found = format!("{} can't be written: {}", existing.display(), super::kernel::reason(error));
                DoctorItem::missing("state_dir", found, elsewhere())
            }
        }
    };
    vec![item]
}

/// What `run` would refuse.
fn distrusted(directory: &Path) -> Option<String> {
    crate::sys::files::not_private(&std::fs::metadata(directory).ok()?)
}

fn elsewhere() -> &'static str {
    "Nothing is remembered over a restart, and nothing can be spilled. Make it writable, or name another by --state-dir."
}

pub fn limits(_host: &Host, _config: &ResolvedConfig) -> Vec<DoctorItem> {
    let shown = |value: Option<u64>| value.map_or("unlimited".to_owned(), |value| value.to_string());
    let files = getrlimit(Resource::Nofile);
    // Each container takes a few descriptors while it is found and its log file followed.
    let files = match files.current {
        Some(current) if current < 1024 => DoctorItem::degraded(
            "open files",
            shown(Some(current)),
            "With many containers, their log files can't all be followed. Raise the limit: LimitNOFILE=65536 in the \
             unit, or ulimit -n.",
        ),
        current => DoctorItem::ok("open files", shown(current)),
    };
    let locked = getrlimit(Resource::Memlock).current;
    let locked = DoctorItem::note(
        "locked memory",
        match locked {
            None => "unlimited".to_owned(),
            Some(bytes) => {
                format!("{} (io_uring's fixed buffers count against it)", crate::config::units::Bytes(bytes))
            }
        },
    );
    vec![files, locked]
}
