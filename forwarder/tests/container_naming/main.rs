//! Real containers of real runtimes get their real names: containerd (ctr and CRI), Docker, Podman, runc.
//!
//! Every runtime has its own directories and sockets in a temporary directory, so nothing is found by convention.

mod cri;
mod host;
#[path = "../harness/machine.rs"]
#[expect(dead_code, reason = "these tests share the machine")]
mod machine;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use host::{Cleanup, Daemon, IMAGE, can_run, event, image, run, wait_for};
use ringward::record::Stream;
use ringward::source::container::{
    ContainerIdentity, LogFormat, Named, Namer, Proc, Reason, RunningContainer, Runtime,
};
use ringward::source::logfile::Series;

const FOREVER: &str = "printf 'one\\ntwo'; while :; do sleep 1000; done";

fn namer() -> Namer {
    Namer::new(Proc::new("/proc"))
}

fn name_of(namer: &Namer, event: &ringward::source::container::ExecEvent) -> ContainerIdentity {
    match namer.name(event) {
        Named::Container(identity) => identity,
        Named::NotContainer(reason) => panic!("{event:?} is no container: {reason}"),
    }
}

/// The container of a scan, found by a namer that knows nothing yet.
fn scanned(id: &str) -> RunningContainer {
    let found: Vec<_> = namer().scan_running().into_iter().filter(|c| c.identity.id == id).collect();
    assert_eq!(found.len(), 1, "{id}: {found:?}");
    let container = found.into_iter().next().unwrap();
    let proc = Proc::new("/proc");
    let written = proc.all_written();
    assert!(container.stdio.iter().all(|(_, identity)| written.contains(&(identity.dev, identity.ino))));
    container
}

fn assert_two_pipes(container: &RunningContainer) {
    let streams: Vec<_> = container.stdio.iter().map(|(stream, identity)| (*stream, identity.is_tty)).collect();
    assert_eq!(streams, [(Stream::Stdout, false), (Stream::Stderr, false)]);
}

/// The stream's bytes in the container's log, once there are `length` of them.
fn logged(identity: &ContainerIdentity, length: usize) -> Vec<u8> {
    let log = identity.log.as_ref().unwrap_or_else(|| panic!("no log: {identity:?}"));
    wait_for("the log file", || {
        let mut bytes = Vec::new();
        let mut series = Series::open(log, 0, u64::MAX).ok()?;
        while let Some(chunk) = series.next_chunk().ok()? {
            assert_eq!(chunk.stream, Stream::Stdout);
            bytes.extend_from_slice(&chunk.payload);
        }
        (bytes.len() >= length).then_some(bytes)
    })
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}/ns/mnt")).exists() || fs::read_link(format!("/proc/{pid}/ns/mnt")).is_err()
}

/// containerd with its own everything.
struct Containerd {
    socket: PathBuf,
    _daemon: Daemon,
    directory: tempfile::TempDir,
}

impl Containerd {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"{IMAGE}\"\nrestrict_oom_score_adj = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n",
            at("root"),
            at("state"),
            at("c.sock")
        );
        fs::write(at("config.toml"), config).unwrap();
        let daemon = Daemon::start(Command::new("containerd").arg("-c").arg(at("config.toml")), &at("log"));
        let this = Self { socket: at("c.sock"), _daemon: daemon, directory };
        wait_for("containerd", || this.ctr("default").arg("version").output().ok()?.status.success().then_some(()));
        this
    }

    fn ctr(&self, namespace: &str) -> Command {
        let mut command = Command::new("ctr");
        command.arg("-a").arg(&self.socket).args(["-n", namespace]);
        command
    }

    fn import(&self, namespace: &str) {
        let tar = image(&tempfile::tempdir_in(self.directory.path()).unwrap().keep());
        run(self.ctr(namespace).args(["images", "import", "--snapshotter", "native"]).arg(tar));
    }

    fn pid(&self, namespace: &str, id: &str) -> u32 {
        let list = run(self.ctr(namespace).args(["task", "ls"]));
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(id));
        line.unwrap_or_else(|| panic!("{id}: {list}")).split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Containerd {
    /// Shims outlive containerd: what a failed test left is ended first.
    fn drop(&mut self) {
        for namespace in ["default", "k8s.io"] {
            let Ok(list) = self.ctr(namespace).args(["task", "ls", "-q"]).output() else { continue };
            for id in String::from_utf8_lossy(&list.stdout).lines() {
                let _ = self.ctr(namespace).args(["task", "rm", "-f", id]).output();
            }
        }
        // A pod that was not removed has its /dev/shm mounted below the state directory.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for target in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
            if Path::new(target).starts_with(self.directory.path()) {
                let _ = Command::new("umount").args(["-l", target]).output();
            }
        }
    }
}

#[test]
fn containerd_by_ctr() {
    let Some(_machine) = can_run(&["containerd", "ctr", "runc"]) else { return };
    let containerd = Containerd::start();
    let id = "my.plain_one";
    containerd.import("default");
    let mut command = containerd.ctr("default");
    run(command.args(["run", "-d", "--null-io", "--snapshotter", "native", IMAGE, id, "/bin/sh", "-c", FOREVER]));
    let pid = containerd.pid("default", id);
    let namer = namer();
    let first = event(pid);
    let identity = name_of(&namer, &first);
    assert_eq!((identity.id.as_str(), identity.name.as_str()), (id, id));
    assert_eq!((identity.runtime, identity.resolved, identity.init_pid), (Runtime::Containerd, true, Some(pid)));
    assert_eq!((&identity.namespace, &identity.log), (&None, &None), "a namespace of containerd is none of Kubernetes");
    assert_eq!(identity.attributes(), [("container".to_owned(), id.to_owned())]);

    // A session in the container is recognised as such, and is no second container.
    run(containerd.ctr("default").args(["task", "exec", "-d", "--exec-id", "e1", id, "/bin/sleep", "1000"]));
    let session = wait_for("its shell", || {
        scanned(id).pids.into_iter().find(|&other| {
            other != pid
                && fs::read_to_string(format!("/proc/{other}/cmdline"))
                    .is_ok_and(|line| line.ends_with("1000\0") && event(other).parent != pid)
        })
    });
    let in_session = name_of(&namer, &event(session));
    assert_eq!((in_session.id.as_str(), in_session.init_pid), (id, Some(pid)));
    assert_eq!(scanned(id).init, pid);

    // The process is gone, the shim is there.
    kill(pid);
    wait_for("the end of the container", || is_gone(pid).then_some(()));
    let identity = name_of(&namer, &first);
    assert_eq!((identity.id.as_str(), identity.resolved), (id, true));

    // The shim and its files are gone as well.
    run(containerd.ctr("default").args(["task", "rm", "-f", id]));
    wait_for("the end of the shim", || (!Path::new(&format!("/proc/{}", first.parent)).exists()).then_some(()));
    let identity = name_of(&namer, &first);
    assert_eq!((identity.id.as_str(), identity.name.as_str(), identity.resolved), (id, id, false));
}

#[test]
fn kubernetes_by_cri() {
    let Some(_machine) = can_run(&["containerd", "ctr", "runc", "curl"]) else { return };
    let containerd = Containerd::start();
    containerd.import("k8s.io");
    let directory = containerd.directory.path().join("cri");
    let uid = "7b5bbf30-1b5a-4c5e-9c2f-2f0a3c1f5d11";
    let logs = containerd.directory.path().join(format!("pods/shop_web-0_{uid}"));
    fs::create_dir_all(&directory).unwrap();
    fs::create_dir_all(&logs).unwrap();
    let cri = cri::Cri { socket: containerd.socket.clone(), directory };
    let pod = cri::Pod { name: "web-0", uid, namespace: "shop", log_directory: &logs };
    let sandbox = cri.run_pod_sandbox(&pod);
    let id = cri.start_container(&pod, &sandbox, "app", IMAGE, FOREVER);
    let namer = namer();

    let pid = containerd.pid("k8s.io", &id);
    let first = event(pid);
    let identity = name_of(&namer, &first);
    let running = scanned(&id);
    let pause = name_of(&namer, &event(containerd.pid("k8s.io", &sandbox)));
    let text = logged(&identity, 4);
    kill(pid);
    wait_for("the end of the container", || is_gone(pid).then_some(()));
    let gone = name_of(&namer, &first);
    // containerd removes the bundle at once, so whoever comes later sees the pod and its logs only.
    let bundle = containerd.directory.path().join("state/io.containerd.runtime.v2.task/k8s.io").join(&id);
    wait_for("the end of the bundle", || (!bundle.exists()).then_some(()));
    let late = name_of(&self::namer(), &first);
    cri.remove_pod_sandbox(&sandbox);

    assert_eq!((identity.id.as_str(), identity.name.as_str()), (id.as_str(), "app"));
    assert_eq!((identity.namespace.as_deref(), identity.pod.as_deref()), (Some("shop"), Some("web-0")));
    assert_eq!((identity.container.as_deref(), identity.pod_uid.as_deref()), (Some("app"), Some(uid)));
    assert_eq!(identity.image.as_deref(), Some(IMAGE));
    assert_eq!((identity.runtime, identity.resolved, identity.init_pid), (Runtime::Containerd, true, Some(pid)));
    let log = identity.log.clone().unwrap();
    assert_eq!((log.path, log.format), (logs.join("app/0.log"), LogFormat::Cri));
    assert!(text.starts_with(b"one\n"), "{text:?}");
    let attributes = identity.attributes();
    let keys: Vec<_> = attributes.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["container", "namespace", "pod"]);
    assert_eq!(running.identity, identity);
    assert_two_pipes(&running);
    for late in [gone, late] {
        assert_eq!((late.name.as_str(), late.pod.as_deref(), late.resolved), ("app", Some("web-0"), true));
        assert_eq!(late.log, identity.log);
    }

    assert!(pause.sandbox);
    assert_eq!((pause.name.as_str(), pause.container.as_deref()), ("web-0", None));
    assert_eq!((pause.pod.as_deref(), pause.log), (Some("web-0"), None));
}

#[test]
fn docker() {
    let Some(_machine) = can_run(&["dockerd", "docker", "containerd", "runc"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let address = format!("unix://{}", at("d.sock").display());
    let mut command = Command::new("dockerd");
    command.args(["--storage-driver", "vfs", "--iptables=false", "--bridge=none", "-H", &address]);
    command.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec")).arg("--pidfile").arg(at("pid"));
    let mut daemon = Daemon::start(&mut command, &at("log"));
    let docker = || {
        let mut command = Command::new("docker");
        command.args(["-H", &address]);
        command
    };
    wait_for("dockerd", || {
        assert!(!daemon.has_ended(), "{}", fs::read_to_string(at("log")).unwrap());
        docker().arg("version").output().ok()?.status.success().then_some(())
    });
    run(docker().args(["load", "-i"]).arg(image(directory.path())));
    let start = |name: &str, tty: &str| {
        run(docker().args(["run", "-d", tty, "--network", "none", "--name", name, "bb:1", "/bin/sh", "-c", FOREVER]))
    };
    let (id, terminal) = (start("web_1", "-t=false"), start("term", "-t"));
    let pid_of = |id: &str| run(docker().args(["inspect", "-f", "{{.State.Pid}}", id])).parse::<u32>().unwrap();
    let pid = pid_of(&id);

    let namer = namer();
    let first = event(pid);
    let identity = name_of(&namer, &first);
    let running = scanned(&id);
    let in_terminal = scanned(&terminal);
    let text = logged(&identity, 4);
    kill(pid);
    wait_for("the end of the container", || is_gone(pid).then_some(()));
    wait_for("the end of the shim", || (!Path::new(&format!("/proc/{}", first.parent)).exists()).then_some(()));
    // The shim is gone, and the data root is nowhere to be guessed: it is learned from the other container.
    let late = self::namer();
    name_of(&late, &event(pid_of(&terminal)));
    let gone = name_of(&late, &first);
    let tail = logged(&identity, 7);
    run(docker().args(["rm", "-f", &id, &terminal]));

    assert_eq!((identity.id.as_str(), identity.name.as_str()), (id.as_str(), "web_1"));
    assert_eq!((identity.runtime, identity.resolved, identity.init_pid), (Runtime::Docker, true, Some(pid)));
    assert_eq!(identity.image.as_deref(), Some("bb:1"));
    assert_eq!(identity.log.as_ref().unwrap().format, LogFormat::DockerJson);
    assert_eq!(text, b"one\n", "Docker holds back what has no newline");
    assert_eq!(tail, b"one\ntwo");
    assert_eq!(running.identity, identity);
    assert_two_pipes(&running);
    assert_eq!((gone.name.as_str(), gone.runtime, gone.resolved), ("web_1", Runtime::Docker, true));

    assert_eq!(in_terminal.identity.name, "term");
    let [(stream, identity)] = in_terminal.stdio[..] else { panic!("{in_terminal:?}") };
    assert_eq!((stream, identity.is_tty, rustix::fs::major(identity.rdev)), (Stream::Tty, true, 136));
}

#[test]
fn podman() {
    let Some(_machine) = can_run(&["podman", "conmon", "runc"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let podman = || {
        let mut command = Command::new("podman");
        command.arg("--root").arg(at("root")).arg("--runroot").arg(at("run")).arg("--tmpdir").arg(at("tmp"));
        // crun refuses hybrid cgroups, and Podman's default limits need CAP_SYS_RESOURCE.
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "/usr/sbin/runc"]);
        command
    };
    run(podman().args(["load", "-i"]).arg(image(directory.path())));
    let _cleanup = Cleanup(|| {
        let mut remove = podman();
        remove.args(["rm", "-f", "-a", "-t", "0"]);
        vec![remove]
    });
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    let start = |name: &str| {
        let mut command = podman();
        command.args(["run", "-d", "--network", "none", "--log-driver", "k8s-file", "--name", name]).args(limits);
        run(command.args([IMAGE, "/bin/sh", "-c", FOREVER]))
    };
    let (id, other) = (start("pod_web"), start("other"));
    let pid_of = |id: &str| run(podman().args(["inspect", "-f", "{{.State.Pid}}", id])).parse::<u32>().unwrap();
    let pid = pid_of(&id);

    let namer = namer();
    let first = event(pid);
    let identity = name_of(&namer, &first);
    let running = scanned(&id);
    let text = logged(&identity, 7);
    let conmon = namer.name(&event(first.parent));
    kill(pid);
    wait_for("the end of conmon", || (!Path::new(&format!("/proc/{}", first.parent)).exists()).then_some(()));
    // conmon is gone, and the storage is nowhere to be guessed: it is learned from the other container.
    let late = self::namer();
    name_of(&late, &event(pid_of(&other)));
    let ended = name_of(&late, &first);
    run(podman().args(["rm", "-f", "-t", "0", &id]));
    let gone = name_of(&self::namer(), &first);
    let remembered = name_of(&namer, &first);

    assert_eq!((identity.id.as_str(), identity.name.as_str()), (id.as_str(), "pod_web"));
    assert_eq!((identity.runtime, identity.resolved, identity.init_pid), (Runtime::Podman, true, Some(pid)));
    assert_eq!(identity.log.as_ref().unwrap().format, LogFormat::K8sFile);
    assert_eq!(text, b"one\ntwo");
    assert_eq!(running.identity, identity);
    assert_two_pipes(&running);
    assert!(matches!(conmon, Named::NotContainer(_)), "{conmon:?}");
    assert_eq!((ended.name.as_str(), ended.resolved), ("pod_web", true), "by the storage");
    assert_eq!((remembered.name.as_str(), remembered.resolved), ("pod_web", true));
    assert_eq!(ended.log, identity.log);
    assert_eq!((gone.id.as_str(), gone.runtime, gone.resolved), (id.as_str(), Runtime::Podman, false));
}

#[test]
fn runc_by_hand() {
    let Some(_machine) = can_run(&["runc"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    host::root_fs(directory.path());
    run(Command::new("runc").arg("spec").arg("--bundle").arg(directory.path()));
    let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(at("config.json")).unwrap()).unwrap();
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = serde_json::json!(["/bin/sh", "-c", FOREVER]);
    fs::write(at("config.json"), spec.to_string()).unwrap();

    let id = format!("bare.runc_{}", std::process::id());
    let runc = || {
        let mut command = Command::new("runc");
        command.arg("--root").arg(at("state"));
        command
    };
    let _cleanup = Cleanup(|| {
        let mut delete = runc();
        delete.args(["delete", "-f", &id]);
        vec![delete]
    });
    let mut command = runc();
    let daemon = Daemon::start(command.arg("run").arg("--bundle").arg(directory.path()).arg(&id), &at("out"));
    let pid = wait_for("runc", || {
        let state: serde_json::Value =
            serde_json::from_slice(&runc().arg("state").arg(&id).output().ok()?.stdout).ok()?;
        (state["status"] == "running").then(|| state["pid"].as_u64().unwrap() as u32)
    });
    let namer = namer();
    let first = event(pid);
    let identity = name_of(&namer, &first);
    let running = scanned(&id);
    run(runc().args(["delete", "-f", &id]));
    drop(daemon);
    let gone = name_of(&namer, &first);

    assert_eq!((identity.id.as_str(), identity.name.as_str()), (id.as_str(), id.as_str()));
    assert_eq!((identity.runtime, identity.resolved, identity.init_pid), (Runtime::Runc, true, Some(pid)));
    assert_eq!(running.identity, identity);
    assert_two_pipes(&running);
    assert_eq!((gone.id.as_str(), gone.resolved), (id.as_str(), false));
}

#[test]
fn a_private_mount_namespace_is_no_container() {
    let Some(_machine) = can_run(&["unshare"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let own = fs::read_link("/proc/self/ns/mnt").unwrap();
    let sandboxed = |arguments: &[&str]| {
        let daemon = Daemon::start(Command::new("unshare").args(arguments).args(["sleep", "1000"]), &log);
        let pid = daemon.id();
        wait_for("unshare", || {
            let moved = fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()? != own;
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            (moved && line.starts_with("sleep")).then_some(())
        });
        (daemon, pid)
    };
    let (_daemon, pid) = sandboxed(&["--mount"]);
    let named = namer().name(&event(pid));
    assert!(matches!(named, Named::NotContainer(Reason::NoCgroup | Reason::HostUnit(_))), "{named:?}");
    assert!(namer().scan_running().iter().all(|container| !container.pids.contains(&pid)));
}
