//! Which container runtimes are here. Capture does not need to know; names, and log files from before the start, do.

use std::collections::BTreeSet;

use super::{DoctorItem, Host};
use crate::config::ResolvedConfig;

struct Runtime {
    name: &'static str,
    /// Where its socket usually is.
    sockets: &'static [&'static str],
    /// How its processes are called; the kernel keeps 15 characters.
    processes: &'static [&'static str],
}

const RUNTIMES: [Runtime; 4] = [
    Runtime {
        name: "containerd",
        sockets: &[
            "/run/containerd/containerd.sock",
            "/run/k3s/containerd/containerd.sock",
            "/run/k0s/containerd.sock",
            "/var/snap/microk8s/common/run/containerd.sock",
        ],
        processes: &["containerd", "containerd-shim"],
    },
    Runtime { name: "CRI-O", sockets: &["/run/crio/crio.sock"], processes: &["crio"] },
    Runtime { name: "Docker", sockets: &["/run/docker.sock"], processes: &["dockerd"] },
    Runtime { name: "Podman", sockets: &["/run/podman/podman.sock"], processes: &["podman", "conmon"] },
];

pub fn runtimes(host: &Host, config: &ResolvedConfig) -> Vec<DoctorItem> {
    let running: BTreeSet<String> = host.process_names().into_iter().collect();
    let mut items: Vec<_> = RUNTIMES.iter().filter_map(|runtime| look(runtime, host, &running)).collect();
    if items.is_empty() {
        let found = if config.capture.containers {
            "none found (containers of any runtime are captured when they start)"
        } else {
            "none found"
        };
        items.push(DoctorItem::note("container runtimes", found));
    }
    items
}

fn look(runtime: &Runtime, host: &Host, running: &BTreeSet<String>) -> Option<DoctorItem> {
    let socket = runtime.sockets.iter().find(|socket| host.path(socket).exists());
    // `containerd-shim-runc-v2` is kept as `containerd-shim`.
    let process = runtime.processes.iter().find(|name| running.contains(**name));
    let found = match (socket, process) {
        (Some(socket), Some(process)) => format!("{process} runs, socket {socket}"),
        (Some(socket), None) => format!("socket {socket}, no process seen"),
        (None, Some(process)) => format!("{process} runs, no socket at its usual place"),
        (None, None) => return None,
    };
    Some(DoctorItem::ok(runtime.name, found))
}
