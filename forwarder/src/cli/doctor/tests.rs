//! Machines that lack something, as directory trees; and this one.

use super::*;
use std::fs;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Tree {
        let tree = Tree(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = tree.host().path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        tree
    }

    fn host(&self) -> Host {
        Host::at(self.0.path())
    }

    fn find(&self, name: &str) -> DoctorItem {
        let items = report(&self.host(), &config());
        items.iter().find(|item| item.name == name).unwrap_or_else(|| panic!("no {name}: {items:#?}")).clone()
    }
}

fn config() -> ResolvedConfig {
    crate::config::from_text("t", "").unwrap()
}

#[test]
fn this_machine_can_be_looked_at() {
    let items = report(&Host::this(), &config());
    for name in
        ["kernel", "btf", "lockdown", "tracefs", "bpffs", "cap_bpf", "kmsg", "cgroups", "state_dir", "open files"]
    {
        assert!(items.iter().any(|item| item.name == name), "{name}: {items:#?}");
    }
    for item in items {
        let needs_advice = matches!(item.status, Status::Degraded | Status::Missing);
        assert_eq!(item.advice.is_some(), needs_advice, "{item:?}");
    }
}

#[test]
fn an_empty_machine_lacks_everything_and_is_told_how_to_get_it() {
    let tree = Tree::new(&[("/proc/sys/kernel/osrelease", "5.4.0-42-generic\n")]);
    for (name, status, advice) in [
        ("kernel", Status::Missing, "5.17 or newer"),
        ("btf", Status::Missing, "CONFIG_DEBUG_INFO_BTF"),
        ("tracefs", Status::Degraded, "mount -t tracefs"),
        ("kmsg", Status::Missing, "--device /dev/kmsg"),
        ("cgroups", Status::Degraded, "/sys/fs/cgroup"),
    ] {
        let item = tree.find(name);
        assert_eq!(item.status, status, "{item:?}");
        assert!(item.advice.as_ref().is_some_and(|text| text.contains(advice)), "{item:?}");
    }
    assert_eq!(tree.find("bpffs").status, Status::Note);
    let tracefs = tree.find("tracefs").advice.unwrap_or_default();
    assert!(!tracefs.contains("printk:console"), "a raw tracepoint needs no tracefs: {tracefs}");
    assert_eq!(tree.find("lockdown").status, Status::Note);
    assert_eq!(tree.find("container runtimes").status, Status::Note);
    assert_eq!(tree.find("state_dir").found, "/var/lib/ringward is not there yet, and can be created");
}

#[test]
fn what_is_there_is_found() {
    let mounts = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                  t /sys/kernel/tracing tracefs rw 0 0\nb /my\\040bpf bpf rw 0 0\n";
    let tree = Tree::new(&[
        ("/proc/self/mounts", mounts),
        ("/proc/12/comm", "dockerd\n"),
        ("/proc/13/comm", "containerd-shim\n"),
        ("/run/crio/crio.sock", ""),
        ("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
        ("/sys/kernel/btf/vmlinux", ""),
        ("/dev/kmsg", ""),
        ("/proc/sys/kernel/printk_devkmsg", "ratelimit\n"),
        ("/proc/sys/kernel/osrelease", "6.12.0\n"),
    ]);
    for (name, found) in [
        ("cgroups", "hybrid: v1, and v2 at /sys/fs/cgroup/unified"),
        ("tracefs", "mounted at /sys/kernel/tracing"),
        ("bpffs", "mounted at /my bpf"),
        ("Docker", "dockerd runs, no socket at its usual place"),
        ("containerd", "containerd-shim runs, no socket at its usual place"),
        ("CRI-O", "socket /run/crio/crio.sock, no process seen"),
        ("lockdown", "integrity (capture is allowed)"),
        ("kernel", "6.12.0"),
        ("kmsg", "/dev/kmsg can be read"),
    ] {
        let item = tree.find(name);
        assert_eq!((item.found.as_str(), item.status), (found, Status::Ok));
    }
    assert_eq!(tree.find("printk_devkmsg").status, Status::Note);
}

#[test]
fn confidentiality_and_cgroup_versions() {
    let tree = Tree::new(&[
        ("/sys/kernel/security/lockdown", "none integrity [confidentiality]"),
        ("/proc/self/mounts", "c /sys/fs/cgroup cgroup2 rw 0 0\n"),
    ]);
    assert_eq!(tree.find("lockdown").status, Status::Degraded);
    assert_eq!(tree.find("cgroups").found, "v2 at /sys/fs/cgroup");
    let v1 = Tree::new(&[("/proc/self/mounts", "c /sys/fs/cgroup/pids cgroup rw 0 0\n")]);
    assert_eq!(v1.find("cgroups").found, "v1");
}

#[test]
fn a_state_dir_below_a_file_is_missing() {
    let tree = Tree::new(&[("/var/lib/ringward", "a file")]);
    let item = tree.find("state_dir");
    assert_eq!(item.status, Status::Missing);
    assert!(item.found.ends_with("/var/lib/ringward is not a directory"), "{item:?}");
}

#[test]
fn json_has_the_documented_shape() {
    let item = DoctorItem::missing("btf", "no file", "get it");
    let json = serde_json::to_string(&item).unwrap();
    assert_eq!(json, r#"{"name":"btf","status":"missing","found":"no file","advice":"get it"}"#);
    assert!(!serde_json::to_string(&DoctorItem::ok("a", "b")).unwrap().contains("advice"));
}
