//! What is in `deploy/` is enough: Ringward with the privileges, mounts and arguments of the DaemonSet, and with the
//! capabilities of the systemd unit, captures containers and the kernel's log of the machine.
#![cfg(feature = "ebpf")]

mod harness;

use std::path::Path;
use std::process::Command;

use caps::Capability;
use serde_json::Value;

use harness::daemon::Daemon;
use harness::docker::Docker;
use harness::process::output;
use harness::receiver::Receiver;
use harness::{Machine, PATIENCE, image};

const NODE: &str = "node-7";

/// The documents of the manifest, by kind.
fn manifest(kind: &str) -> Value {
    let text = include_str!("../../deploy/kubernetes/ringward.yaml");
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let found = documents.into_iter().find(|document| document["kind"] == kind);
    found.unwrap_or_else(|| panic!("there is no {kind}"))
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().unwrap().iter()
}

/// `docker run`'s arguments for what the pod's specification says. The state is kept in `folder`, and what the program is
/// linked with comes from this machine: the image has a static one.
fn as_docker_has_it(pod: &Value, folder: &Path) -> Vec<String> {
    let container = &pod["containers"][0];
    let mut arguments = Vec::new();
    let mut add = |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
    assert_eq!((&pod["hostPID"], &pod["hostNetwork"]), (&Value::Bool(true), &Value::Bool(true)));
    add("--pid", "host");
    add("--network", "host");
    for variable in items(&container["env"]) {
        assert_eq!(variable["valueFrom"]["fieldRef"]["fieldPath"], "spec.nodeName");
        add("--env", &format!("{}={NODE}", variable["name"].as_str().unwrap()));
    }
    for mount in items(&container["volumeMounts"]) {
        let volume = items(&pod["volumes"]).find(|volume| volume["name"] == mount["name"]).unwrap();
        let from = match volume["hostPath"]["path"].as_str() {
            Some("/var/lib/ringward") => folder.join("state"),
            Some(path) => path.into(),
            None => folder.join("config"),
        };
        std::fs::create_dir_all(&from).unwrap();
        let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
        add("--volume", &format!("{}:{}:{mode}", from.display(), mount["mountPath"].as_str().unwrap()));
    }
    for libraries in ["/lib", "/lib64"].into_iter().filter(|path| Path::new(path).exists()) {
        add("--volume", &format!("{libraries}:{libraries}:ro"));
    }
    add("--volume", &format!("{}:/ringward:ro", env!("CARGO_BIN_EXE_ringward")));
    add("--entrypoint", "/ringward");
    assert_eq!(container["securityContext"]["privileged"], true);
    arguments.extend(privileged());
    arguments
}

/// `--privileged`, as far as this machine's root is: it can't give what it has not.
fn privileged() -> Vec<String> {
    let held = caps::read(None, caps::CapSet::Effective).unwrap();
    if caps::all().is_subset(&held) {
        return vec!["--privileged".into()];
    }
    println!("this root lacks {:?}", caps::all().difference(&held).collect::<Vec<_>>());
    let options = ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"];
    let mut arguments: Vec<String> = options.iter().map(|option| format!("--security-opt={option}")).collect();
    arguments.push("--device=/dev/kmsg".into());
    arguments.push("--cap-drop=ALL".into());
    // Debian's Docker does not know the newest ones, which CAP_SYS_ADMIN includes.
    let newest = [Capability::CAP_BPF, Capability::CAP_PERFMON, Capability::CAP_CHECKPOINT_RESTORE];
    let known = held.iter().filter(|capability| !newest.contains(capability));
    arguments.extend(known.map(|capability| format!("--cap-add={capability}")));
    arguments
}

/// A container's line and one of the kernel's arrive.
#[track_caller]
fn captures(docker: &Docker, receiver: &Receiver, log: impl Fn() -> String) {
    let mark = format!("deployed-{}", std::process::id());
    docker.run("greeter", &["--rm"], &["echo", &mark]).finish().succeeded();
    std::fs::write("/dev/kmsg", format!("<6>{mark}\n")).unwrap();
    let has_come = |service: &str| {
        receiver.with(|records| records.iter().any(|r| r.service == service && r.msg.trim_end() == mark))
    };
    receiver.wait(PATIENCE, |records| records.iter().filter(|record| record.msg.trim_end() == mark).count() >= 2);
    assert_eq!((has_come("greeter"), has_come("")), (true, true), "of the container and the kernel:\n{}", log());
}

#[test]
fn the_daemonset() {
    let Some(_machine) = Machine::claim() else { return };
    let (docker, folder, receiver) = (Docker::start(), harness::folder(), Receiver::tcp().unwrap());
    let configuration = manifest("ConfigMap")["data"]["ringward.yaml"].as_str().unwrap().to_owned();
    let replaced = configuration.replace("tcp://logs.example.org:5044", &receiver.url());
    assert_ne!(replaced, configuration);
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/ringward.yaml"), replaced).unwrap();
    let pod = manifest("DaemonSet")["spec"]["template"]["spec"].clone();
    let mut run = docker.docker();
    run.args(["run", "--detach", "--name", "ringward"]).args(as_docker_has_it(&pod, folder.path())).arg(image::NAME);
    output(run.args(texts(&pod["containers"][0]["args"])));
    let logs = || {
        let said = docker.docker().args(["logs", "ringward"]).output().unwrap();
        String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned()
    };
    let begun = std::time::Instant::now();
    while !logs().contains("ready: ") {
        assert!(begun.elapsed() < PATIENCE, "it never was ready:\n{}", logs());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    captures(&docker, &receiver, logs);
    assert!(receiver.with(|records| records.iter().all(|record| record.text("node") == NODE)));
    let shown = output(docker.docker().args(["exec", "ringward", "/ringward", "logs", "greeter"]));
    assert!(shown.contains("deployed-"), "{shown}");
    output(docker.docker().args(["stop", "--time", "30", "ringward"]));
    let ended = output(docker.docker().args(["inspect", "--format", "{{.State.ExitCode}}", "ringward"]));
    assert_eq!(ended.trim(), "0", "{}", logs());
}

#[test]
fn the_systemd_unit() {
    let Some(_machine) = Machine::claim() else { return };
    let (docker, folder, receiver) = (Docker::start(), harness::folder(), Receiver::tcp().unwrap());
    let unit = include_str!("../../deploy/systemd/ringward.service");
    let key = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    let capabilities = key("CapabilityBoundingSet").to_lowercase().replace("cap_", "+").replace(' ', ",");
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set=-all,{capabilities}")).arg("--no-new-privs");
    assert!(key("ExecStart").starts_with("/usr/bin/ringward run --config "));
    let (configuration, state) = (folder.path().join("ringward.yaml"), folder.path().join("state"));
    std::fs::write(&configuration, format!("destinations: [{{ endpoint: '{}' }}]\n", receiver.url())).unwrap();
    command.arg(env!("CARGO_BIN_EXE_ringward")).args(["run", "--config"]).arg(configuration);
    let mut ringward = Daemon::start(command.env("STATE_DIRECTORY", state), "ready: ");
    captures(&docker, &receiver, || ringward.log().join("\n"));
    let refused = ringward.log().into_iter().filter(|line| line.contains("ERROR")).collect::<Vec<_>>();
    assert_eq!(refused, [""; 0]);
    assert!(ringward.stop(PATIENCE).is_some_and(|status| status.success()));
}
