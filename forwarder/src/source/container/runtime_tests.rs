use super::*;
use proptest::prelude::*;

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn shim_of_containerd() {
    let line = "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id my.plain_one -address /x/c.sock";
    let Some(Parent::Shim(shim)) = recognise(&words(line)) else { panic!() };
    assert_eq!((shim.namespace.as_str(), shim.id.as_str()), ("k8s.io", "my.plain_one"));
    assert_eq!(recognise(&words("/usr/bin/containerd-shim-runc-v2 -info")), None);
}

#[test]
fn conmon_of_podman() {
    // Podman 4.3 of Debian 12, shortened ids.
    let line = "/usr/bin/conmon --api-version 1 -c e47c -u e47c -r /usr/sbin/runc -b /s/vfs-containers/e47c/userdata \
        -p /r/pidfile -n pod_web --exit-dir /t/exits --full-attach -l k8s-file:/s/e47c/ctr.log --log-level warning \
        --runtime-arg --log-format=json --exit-command /usr/bin/podman --exit-command-arg -n --exit-command-arg evil";
    let Some(Parent::Conmon(conmon)) = recognise(&words(line)) else { panic!() };
    assert_eq!((conmon.id.as_str(), conmon.name.as_str()), ("e47c", "pod_web"));
    assert_eq!(conmon.logs, ["k8s-file:/s/e47c/ctr.log"]);
    assert_eq!(conmon.bundle, Path::new("/s/vfs-containers/e47c/userdata"));
    assert!(conmon.podman && !is_crio(&conmon));
}

#[test]
fn runc_by_hand_and_below_a_shim() {
    let Some(Parent::Runc(runc)) = recognise(&words("runc --root /tmp/r run bare.runc_1")) else { panic!() };
    assert_eq!((runc.root.as_deref(), runc.id.as_str()), (Some(Path::new("/tmp/r")), "bare.runc_1"));
    let line = "runc --root /run/containerd/runc/default --log /l.json --log-format json create --bundle /b \
        --pid-file /b/init.pid --no-pivot x y";
    let Some(Parent::Runc(runc)) = recognise(&words(line)) else { panic!() };
    assert_eq!((runc.bundle.as_deref(), runc.id.as_str()), (Some(Path::new("/b")), "x"));
    assert_eq!(recognise(&words("runc init")), None);
    assert_eq!(recognise(&words("runc list")), None);
    assert_eq!(recognise(&words("/bin/sh -c runc")), None);
}

#[test]
fn ids_cannot_lead_elsewhere() {
    let cwd = Path::new("/s/io.containerd.runtime.v2.task/k8s.io/sandbox");
    assert_eq!(sibling_bundle(cwd, "c1").unwrap(), Path::new("/s/io.containerd.runtime.v2.task/k8s.io/c1"));
    for id in ["", ".", "..", "../../etc", "a/b"] {
        assert_eq!(sibling_bundle(cwd, id), None);
    }
}

proptest! {
    #[test]
    fn any_command_line_is_safe(program in "(containerd-shim-runc-v2|conmon|runc|x)", rest in proptest::collection::vec("[-=a-z/]{0,8}|.{0,8}", 0..12)) {
        let mut line = vec![program];
        line.extend(rest);
        let _ = recognise(&line);
    }

    #[test]
    fn shim_id_round_trips(id in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,70}", namespace in "[a-z0-9.]{1,20}") {
        let line = vec!["containerd-shim-runc-v2".into(), "-namespace".into(), namespace.clone(), "-id".into(), id.clone()];
        prop_assert_eq!(recognise(&line), Some(Parent::Shim(Shim { namespace, id })));
    }
}
