use super::*;
use std::fs;

const ID: &str = "3f4b6d0c1e2a59788796a5b4c3d2e1f00112233445566778899aabbccddeeff0";
const SANDBOX: &str = "aaaabbbbccccddddeeeeffff0000111122223333444455556666777788889999";
const UID: &str = "7b5bbf30-1b5a-4c5e-9c2f-2f0a3c1f5d11";

/// A procfs made of files. What processes see below `/` is `<root>/1/root`, except where a test says otherwise.
struct Fixture {
    root: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let this = Self { root: tempfile::tempdir().unwrap() };
        this.process(1, 0, "0::/init.scope\n", &["/sbin/init"]);
        fs::create_dir_all(this.root.path().join("1/root")).unwrap();
        this
    }

    fn process(&self, pid: u32, parent: u32, cgroup: &str, cmdline: &[&str]) {
        let directory = self.root.path().join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("status"), format!("PPid:\t{parent}\nNSpid:\t{pid}\t1\n")).unwrap();
        fs::write(directory.join("cgroup"), cgroup).unwrap();
        fs::write(directory.join("cmdline"), cmdline.join("\0") + "\0").unwrap();
    }

    /// A file as pid 1 sees it.
    fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root.path().join("1/root").join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn annotated(&self, path: &str, annotations: &[(&str, &str)]) {
        let annotations: std::collections::BTreeMap<_, _> = annotations.iter().copied().collect();
        self.file(path, serde_json::json!({ "annotations": annotations }).to_string());
    }

    fn namer(&self) -> Namer {
        Namer::new(Proc::new(self.root.path()))
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.root.path().join("1/root").join(path.trim_start_matches('/'))
    }
}

fn event(pid: u32, parent: u32, leaf: &str) -> ExecEvent {
    ExecEvent { pid, parent, cgroup_leaf: leaf.into(), cgroup_v1_leaf: String::new() }
}

fn container(named: Named) -> ContainerIdentity {
    match named {
        Named::Container(identity) => identity,
        Named::NotContainer(reason) => panic!("{reason}"),
    }
}

/// CRI-O 1.2x: conmon's real command line and the annotations of its bundle.
fn crio(fixture: &Fixture) {
    let bundle = format!("/run/containers/storage/overlay-containers/{ID}/userdata");
    let log = format!("/var/log/pods/shop_web-0_{UID}/app/2.log");
    let name = format!("k8s_app_web-0_shop_{UID}_2");
    let pod = UID.replace('-', "_");
    let slice = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod}.slice");
    fixture.process(
        50,
        1,
        &format!("0::{slice}/crio-conmon-{ID}.scope\n"),
        &[
            "/usr/libexec/crio/conmon",
            "-b",
            &bundle,
            "-c",
            ID,
            "--exit-dir",
            "/var/run/crio/exits",
            "-l",
            &log,
            "--log-level",
            "info",
            "-n",
            &name,
            "-P",
            &format!("{bundle}/conmon-pidfile"),
            "-p",
            &format!("{bundle}/pidfile"),
            "--persist-dir",
            "/var/lib/x",
            "-r",
            "/usr/bin/runc",
            "--runtime-arg",
            "--root=/run/runc",
            "--socket-dir-path",
            "/var/run/crio",
            "-u",
            ID,
            "-s",
        ],
    );
    fixture.process(60, 50, &format!("0::{slice}/crio-{ID}.scope\n"), &["app"]);
    fixture.file(&format!("{bundle}/pidfile"), "60");
    fixture.file(&log, "");
    fixture.annotated(
        &format!("{bundle}/config.json"),
        &[
            ("io.kubernetes.container.name", "app"),
            ("io.kubernetes.cri-o.ContainerID", ID),
            ("io.kubernetes.cri-o.ContainerType", "container"),
            ("io.kubernetes.cri-o.ImageName", "quay.io/shop/app:1"),
            ("io.kubernetes.cri-o.LogPath", &log),
            ("io.kubernetes.cri-o.Name", &name),
            ("io.kubernetes.pod.name", "web-0"),
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.pod.uid", UID),
        ],
    );
}

fn assert_app(identity: &ContainerIdentity) {
    assert_eq!((identity.id.as_str(), identity.name.as_str(), identity.resolved), (ID, "app", true));
    assert_eq!((identity.namespace.as_deref(), identity.pod.as_deref()), (Some("shop"), Some("web-0")));
    assert_eq!((identity.container.as_deref(), identity.sandbox), (Some("app"), false));
    assert_eq!(identity.pod_uid.as_deref().unwrap_or(UID), UID);
}

#[test]
fn crio_by_conmon_and_after_it() {
    let fixture = Fixture::new();
    crio(&fixture);
    let namer = fixture.namer();
    let first = event(60, 50, &format!("crio-{ID}.scope"));
    let log = fixture.inside(&format!("/var/log/pods/shop_web-0_{UID}/app/2.log"));
    let check = |named| {
        let identity = container(named);
        assert_app(&identity);
        assert_eq!((identity.runtime, identity.image.as_deref()), (Runtime::CriO, Some("quay.io/shop/app:1")));
        assert_eq!(identity.log, Some(LogFile { path: log.clone(), format: LogFormat::Cri }));
        identity
    };
    assert_eq!(check(namer.name(&first)).init_pid, Some(60));
    assert_eq!(namer.name(&event(50, 1, &format!("crio-conmon-{ID}.scope"))), Named::NotContainer(Reason::Monitor));
    // Gone before anybody looked: the bundle is where CRI-O always has it.
    fs::remove_dir_all(fixture.root.path().join("60")).unwrap();
    fs::remove_dir_all(fixture.root.path().join("50")).unwrap();
    check(namer.name(&first));
    check(fixture.namer().name(&first));
}

#[test]
fn kubelets_log_link_names_what_is_gone() {
    let fixture = Fixture::new();
    let target = format!("/var/log/pods/shop_web-0_{UID}/app/0.log");
    fixture.file(&target, "");
    fs::create_dir_all(fixture.inside("/var/log/containers")).unwrap();
    std::os::unix::fs::symlink(&target, fixture.inside(&format!("/var/log/containers/web-0_shop_app-{ID}.log")))
        .unwrap();
    let identity = container(fixture.namer().name(&event(60, 50, &format!("cri-containerd-{ID}.scope"))));
    assert_app(&identity);
    assert_eq!(identity.runtime, Runtime::Containerd);
    assert_eq!(identity.log.unwrap().path, fixture.inside(&target));
}

#[test]
fn only_the_id_is_left() {
    let fixture = Fixture::new();
    for leaf in [format!("docker-{ID}.scope"), ID.to_owned(), format!("libpod-{ID}")] {
        let identity = container(fixture.namer().name(&event(60, 50, &leaf)));
        assert_eq!((identity.id.as_str(), identity.name.as_str(), identity.resolved), (ID, ID, false), "{leaf}");
    }
    // v1: the unified leaf is empty.
    let first = ExecEvent { cgroup_v1_leaf: "box".into(), ..event(60, 50, "") };
    let identity = container(fixture.namer().name(&first));
    assert_eq!((identity.id.as_str(), identity.resolved), ("box", false));
}

#[test]
fn a_pod_of_containerd_shares_one_shim() {
    let fixture = Fixture::new();
    let tasks = "/odd/state/io.containerd.runtime.v2.task/k8s.io";
    fixture.annotated(
        &format!("{tasks}/{SANDBOX}/config.json"),
        &[
            ("io.kubernetes.cri.container-type", "sandbox"),
            ("io.kubernetes.cri.sandbox-name", "web-0"),
            ("io.kubernetes.cri.sandbox-namespace", "shop"),
            ("io.kubernetes.cri.sandbox-log-directory", "/odd/logs"),
        ],
    );
    fixture.annotated(
        &format!("{tasks}/{ID}/config.json"),
        &[
            ("io.kubernetes.cri.container-name", "app"),
            ("io.kubernetes.cri.container-type", "container"),
            ("io.kubernetes.cri.sandbox-id", SANDBOX),
            ("io.kubernetes.cri.sandbox-name", "web-0"),
            ("io.kubernetes.cri.sandbox-namespace", "shop"),
        ],
    );
    fixture.file(&format!("{tasks}/{ID}/init.pid"), "60");
    fixture.file("/odd/logs/app/9.log", "");
    fixture.file("/odd/logs/app/10.log", "");
    fixture.process(
        50,
        1,
        "0::/system.slice/containerd.service\n",
        &["/usr/bin/containerd-shim-runc-v2", "-namespace", "k8s.io", "-id", SANDBOX],
    );
    std::os::unix::fs::symlink(format!("{tasks}/{SANDBOX}"), fixture.root.path().join("50/cwd")).unwrap();
    fixture.process(60, 50, &format!("0::/kubepods/burstable/pod{UID}/{ID}\n"), &["app"]);
    let namer = fixture.namer();
    let identity = container(namer.name(&event(60, 50, ID)));
    assert_app(&identity);
    assert_eq!((identity.pod_uid.as_deref(), identity.init_pid), (Some(UID), Some(60)));
    assert_eq!(identity.log.unwrap().path, fixture.inside("/odd/logs/app/10.log"), "the last restart");

    let pause = container(namer.name(&event(61, 50, SANDBOX)));
    assert_eq!((pause.name.as_str(), pause.container, pause.sandbox), ("web-0", None, true));

    // The container's bundle is gone, the pod's is there.
    fs::remove_dir_all(fixture.inside(&format!("{tasks}/{ID}"))).unwrap();
    assert_eq!(container(namer.name(&event(60, 50, ID))).name, "app", "it was seen before");
    let late = container(fixture.namer().name(&event(60, 50, ID)));
    assert_app(&late);
    assert_eq!(late.log.unwrap().path, fixture.inside("/odd/logs/app/10.log"));
    fixture.file("/odd/logs/sidecar/0.log", "");
    let late = container(fixture.namer().name(&event(60, 50, ID)));
    assert_eq!((late.name.as_str(), late.pod.as_deref(), late.resolved), (ID, Some("web-0"), false));
}

#[test]
fn the_hosts_own_sandboxes_are_refused() {
    let fixture = Fixture::new();
    let slice = "/user.slice/user-1000.slice/user@1000.service/app.slice";
    for (cgroup, expected) in [
        ("/system.slice/systemd-timesyncd.service", Reason::HostUnit("systemd-timesyncd.service".into())),
        (&*format!("{slice}/snap.firefox.firefox-1f.scope"), Reason::Snap("snap.firefox.firefox-1f.scope".into())),
        (&*format!("{slice}/app-flatpak-org.x.Y-7.scope"), Reason::Flatpak("app-flatpak-org.x.Y-7.scope".into())),
        ("/user.slice/user-0.slice/session-3.scope", Reason::HostUnit("session-3.scope".into())),
        ("/", Reason::NoCgroup),
    ] {
        fixture.process(60, 1, &format!("0::{cgroup}\n"), &["bwrap"]);
        let leaf = cgroup.rsplit('/').next().unwrap();
        assert_eq!(fixture.namer().name(&event(60, 1, leaf)), Named::NotContainer(expected.clone()));
        fs::remove_dir_all(fixture.root.path().join("60")).unwrap();
        assert_eq!(fixture.namer().name(&event(60, 1, leaf)), Named::NotContainer(expected), "after its end");
    }
    // A cgroup that the parent, a process of the host, is in as well.
    fixture.process(50, 1, "0::/openrc.sshd\n", &["sshd"]);
    fixture.process(60, 50, "0::/openrc.sshd\n", &["sandbox"]);
    assert_eq!(fixture.namer().name(&event(60, 50, "openrc.sshd")), Named::NotContainer(Reason::NoCgroup));
}

#[test]
fn a_reused_pid_does_not_rename() {
    let fixture = Fixture::new();
    fixture.process(60, 1, &format!("0::/docker/{SANDBOX}\n"), &["another"]);
    let identity = container(fixture.namer().name(&event(60, 50, &format!("docker-{ID}.scope"))));
    assert_eq!(identity.id, ID);
}

#[test]
fn conmon_of_another_container_is_not_believed() {
    let fixture = Fixture::new();
    fixture.process(50, 1, "0::/\n", &["conmon", "-c", "fake", "-n", "innocent"]);
    fixture.process(60, 50, &format!("0::/docker/{ID}\n"), &["x"]);
    assert_eq!(container(fixture.namer().name(&event(60, 50, ID))).id, ID);
}

#[test]
fn podman_keeps_names_of_ended_containers() {
    let fixture = Fixture::new();
    let place = "/var/lib/containers/storage/overlay-containers";
    fixture.file(&format!("{place}/containers.json"), format!(r#"[{{"id":"x"}},{{"id":"{ID}","names":["pod_web"]}}]"#));
    fixture.file(&format!("{place}/{ID}/userdata/ctr.log"), "");
    let identity = container(fixture.namer().name(&event(60, 50, &format!("libpod-{ID}.scope"))));
    assert_eq!((identity.name.as_str(), identity.runtime, identity.resolved), ("pod_web", Runtime::Podman, true));
    assert_eq!(identity.log.unwrap().format, LogFormat::K8sFile);
}
