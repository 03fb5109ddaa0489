use super::*;
use proptest::prelude::*;

const ID: &str = "3f4b6d0c1e2a59788796a5b4c3d2e1f00112233445566778899aabbccddeeff0";
const OTHER: &str = "aaaabbbbccccddddeeeeffff0000111122223333444455556666777788889999";
const UID: &str = "7b5bbf30-1b5a-4c5e-9c2f-2f0a3c1f5d11";

/// Replaces `ID`, `OTHER`, `UID` and `U_D` (the uid with underscores) in a layout.
fn fill(layout: &str) -> String {
    layout.replace("OTHER", OTHER).replace("ID@", ID).replace("UID", UID).replace("U_D", &UID.replace('-', "_"))
}

fn container(layout: &str) -> ContainerRef {
    match parse_path(&fill(layout)) {
        Membership::Container(found) => found,
        other => panic!("{layout}: {other:?}"),
    }
}

#[test]
fn proven_layouts() {
    use Runtime::*;
    let with_pod = [
        ("/kubepods/burstable/podUID/ID@", Unknown),
        ("/kubepods/podUID/ID@", Unknown),
        ("/kubepods/besteffort/podUID/crio-ID@", CriO),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_D.slice/cri-containerd-ID@.scope",
            Containerd,
        ),
        ("/kubepods.slice/kubepods-podU_D.slice/cri-containerd-ID@.scope", Containerd),
        ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_D.slice/crio-ID@.scope", CriO),
        ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_D.slice/crio-ID@.scope/container", CriO),
        ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_D.slice/docker-ID@.scope", Docker),
        // kind, cgroupfs and systemd.
        ("/docker/OTHER/kubelet/kubepods/burstable/podUID/ID@", Unknown),
        (
            "/system.slice/docker-OTHER.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-podU_D.slice/cri-containerd-ID@.scope",
            Containerd,
        ),
        // A mismatch of kubelet's and containerd's drivers.
        ("/system.slice/containerd.service/kubepods-burstable-podU_D.slice:cri-containerd:ID@", Containerd),
    ];
    for (layout, runtime) in with_pod {
        let found = container(layout);
        assert_eq!((found.id.as_str(), found.runtime, found.certain), (ID, runtime, true), "{layout}");
        let mismatch = layout.contains(':');
        assert_eq!(found.kubernetes, (!mismatch).then(|| PodUid(UID.into())), "{layout}");
    }
    let plain = [
        ("/docker/ID@", Docker),
        ("/docker/ID@/init.scope", Docker),
        ("/system.slice/docker-ID@.scope", Docker),
        ("/system.slice/docker-ID@.scope/system.slice/nginx.service", Docker),
        // Docker in a pod: the pod is not the inner container's.
        ("/kubepods/burstable/podUID/OTHER/docker/ID@", Docker),
        ("/libpod_parent/libpod-ID@", Podman),
        ("/machine.slice/libpod-ID@.scope", Podman),
        ("/machine.slice/libpod-ID@.scope/container", Podman),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID@.scope/container", Podman),
        ("/system.slice/web.service/libpod-payload-ID@", Podman),
        ("/moby/ID@", Docker),
        ("/k8s.io/ID@", Containerd),
        ("/user.slice/nerdctl-ID@.scope", Containerd),
        ("/../../docker/ID@", Docker),
    ];
    for (layout, runtime) in plain {
        let found = container(layout);
        assert_eq!((found.id.as_str(), found.runtime, found.certain), (ID, runtime, true), "{layout}");
        assert_eq!(found.kubernetes, None, "{layout}");
    }
}

#[test]
fn arbitrary_names() {
    for (layout, id, runtime, certain) in [
        ("/default/my.plain_one", "my.plain_one", Runtime::Containerd, false),
        ("/k8s.io/web", "web", Runtime::Containerd, false),
        ("/bare.runc_1", "bare.runc_1", Runtime::Unknown, false),
        ("/user.slice/box", "box", Runtime::Unknown, false),
        ("/user.slice/runc-box.scope", "box", Runtime::Runc, true),
        ("/system.slice/crun-box.1.scope", "box.1", Runtime::Runc, true),
    ] {
        let found = container(layout);
        assert_eq!((found.id.as_str(), found.runtime, found.certain), (id, runtime, certain), "{layout}");
    }
}

#[test]
fn what_is_no_container() {
    for (layout, expected) in [
        ("/", Membership::Root),
        ("", Membership::Root),
        ("/kubepods/burstable/podUID", Membership::Root),
        ("/docker", Membership::Root),
        ("/machine.slice/libpod-conmon-ID@.scope", Membership::Monitor),
        ("/libpod_parent/conmon", Membership::Monitor),
        ("/kubepods.slice/kubepods-podU_D.slice/crio-conmon-ID@.scope", Membership::Monitor),
        ("/system.slice/systemd-resolved.service", Membership::Unit("systemd-resolved.service".into())),
        ("/system.slice/web.service/worker", Membership::Unit("web.service".into())),
        ("/user.slice/user-0.slice/session-3.scope", Membership::Unit("session-3.scope".into())),
        ("/system.slice/docker-short.scope", Membership::Unit("docker-short.scope".into())),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-flatpak-org.gnome.Maps-77.scope",
            Membership::Unit("app-flatpak-org.gnome.Maps-77.scope".into()),
        ),
    ] {
        assert_eq!(parse_path(&fill(layout)), expected, "{layout}");
    }
}

#[test]
fn leaves_of_exec_events() {
    let leaf = |text: &str| match parse_leaf(&fill(text)) {
        Membership::Container(found) => Some((found.id, found.certain)),
        _ => None,
    };
    assert_eq!(leaf("cri-containerd-ID@.scope"), Some((ID.into(), true)));
    assert_eq!(leaf("ID@"), Some((ID.into(), true)));
    assert_eq!(leaf("web"), Some(("web".into(), false)));
    for nothing in ["", "/", "container", "conmon.service", "podUID"] {
        assert_eq!(leaf(nothing), None, "{nothing}");
    }
}

#[test]
fn files_of_v1_v2_and_hybrid() {
    let v1 = fill("12:pids:/docker/ID@\n3:cpu,cpuacct:/docker/ID@\n1:name=systemd:/docker/ID@\n");
    let v2 = fill("0::/system.slice/docker-ID@.scope\n");
    let hybrid = fill("9:name=systemd:/docker/ID@\n4:memory:/process_api/x/docker/ID@\n0::/\n");
    for text in [v1, v2, hybrid] {
        let Membership::Container(found) = parse_proc_cgroup(&text) else { panic!("{text}") };
        assert_eq!((found.id.as_str(), found.runtime), (ID, Runtime::Docker));
    }
    // runc on a hybrid host: an arbitrary name that all hierarchies agree on.
    let Membership::Container(found) =
        parse_proc_cgroup("9:name=systemd:/box\n4:memory:/agent/cd9b/box\n1:cpu:/box\n0::/box\n")
    else {
        panic!()
    };
    assert_eq!((found.id.as_str(), found.certain), ("box", false));
    // The host keeps its own processes in one odd cgroup: that makes no container.
    assert_eq!(parse_proc_cgroup("9:name=systemd:/\n4:memory:/agent/cd9b\n1:cpu:/\n0::/\n"), Membership::Root);
    assert_eq!(parse_proc_cgroup(""), Membership::Root);
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC{0,80}", lines in proptest::collection::vec("[0-9]{0,2}:[a-z,=]{0,8}:(/[a-z0-9._:-]{0,12}){0,5}", 0..6)) {
        let _ = parse_path(&text);
        let _ = parse_leaf(&text);
        let _ = parse_proc_cgroup(&text);
        let _ = parse_proc_cgroup(&lines.join("\n"));
    }

    #[test]
    fn ids_round_trip(id in "[0-9a-f]{64}", uid in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}") {
        for path in [
            format!("/kubepods/burstable/pod{uid}/{id}"),
            format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/cri-containerd-{id}.scope", uid.replace('-', "_")),
        ] {
            let Membership::Container(found) = parse_path(&path) else { panic!() };
            prop_assert_eq!(&found.id, &id);
            prop_assert_eq!(found.kubernetes, Some(PodUid(uid.clone())));
        }
    }
}
