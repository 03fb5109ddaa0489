use super::*;
use std::fs;
use std::path::Path;

/// A process of a fixture; fd 1 is left out, as it can't be made of files.
fn process(root: &Path, pid: u32, command: &str, cgroup: &str) {
    let directory = root.join(pid.to_string());
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("status"), format!("Name:\tx\nPPid:\t1\nNSpid:\t{pid}\n")).unwrap();
    fs::write(directory.join("cmdline"), format!("{command}\0-v\0")).unwrap();
    fs::write(directory.join("cgroup"), cgroup).unwrap();
}

fn pids(found: Vec<Selected>) -> Vec<u32> {
    found.into_iter().map(|selected| selected.pid).collect()
}

#[test]
fn units_and_cgroups() {
    let root = tempfile::tempdir().unwrap();
    process(root.path(), 10, "/usr/sbin/nginx", "0::/system.slice/nginx.service\n");
    process(root.path(), 11, "worker", "0::/system.slice/nginx.service/worker\n");
    process(root.path(), 12, "cron", "1:name=systemd:/system.slice/cron.service\n0::/system.slice/cron.service\n");
    let proc = Proc::new(root.path());

    assert_eq!(pids(by_unit(&proc, "nginx").unwrap()), [10, 11]);
    assert_eq!(pids(by_unit(&proc, "cron.service").unwrap()), [12]);
    for path in [
        "/system.slice/nginx.service",
        "/sys/fs/cgroup/system.slice/nginx.service/",
        "/sys/fs/cgroup/unified/system.slice/nginx.service",
    ] {
        let found = by_cgroup(&proc, path).unwrap();
        assert_eq!(found[0].name, "nginx.service");
        assert_eq!(pids(found), [10, 11], "{path}");
    }
    assert_eq!(pids(by_cgroup(&proc, "/system.slice/nginx.service/worker").unwrap()), [11]);
    assert!(by_cgroup(&proc, "/system.slice/nginx").is_err(), "a part of a name is another cgroup");

    assert_eq!(by_pid(&proc, 10).unwrap().name, "nginx");
    assert_eq!(by_pid(&proc, 99), Err(SelectError::NoProcess(99)));
}

#[test]
fn errors_say_what_there_is() {
    let root = tempfile::tempdir().unwrap();
    process(root.path(), 10, "x", "0::/system.slice/nginx-blue.service\n");
    let error = by_unit(&Proc::new(root.path()), "nginx").unwrap_err();
    assert_eq!(error.to_string(), "no process is in unit nginx.service: units with processes are nginx-blue.service");
}

#[test]
fn a_real_process_with_pipes() {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};
    let mut child =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // An answer proves that it runs; right after exec its command line may still be empty.
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let selected = by_pid(&Proc::new("/proc"), child.id()).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(selected.name, "cat");
    assert_eq!(selected.stdio.len(), 1, "/dev/null is no pipe");
    assert_eq!(selected.stdio[0].0, Stream::Stdout);
    assert!(!selected.stdio[0].1.is_tty);
}
