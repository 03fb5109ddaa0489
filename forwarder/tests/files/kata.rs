//! The files in config/kata, run by the real `ringward` on a real journal and a real file: what comes out is what the Kata
//! documentation shows of Fluentd, field for field.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Scene;
use crate::harness::receiver::{Receiver, Record};
use crate::harness::ringward::Ringward;

const LINE: &str = "time=\"2020-02-21T10:31:27.810781647Z\" level=info msg=\"release sandbox\" arch=amd64 command=state container=7cdd31660d8705facdadeb8598d2c0bd008e8142c54e3b3069abd392c8d58997 name=kata-runtime pid=14314 sandbox=1c3e77cad66aa2b6d8cc846f818370f79cb0104c0b840f67d0f502fd6562b68c source=virtcontainers subsystem=sandbox";

/// Ringward with one of the files, in which `replaced` stands for what is not on this machine.
#[track_caller]
fn run(config: &str, replaced: &[(&str, &str)]) -> Ringward {
    let folder = crate::harness::folder();
    let path = folder.path().join("ringward.yaml");
    let mut text = config.to_owned();
    for (from, to) in replaced {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    std::fs::write(&path, text).unwrap();
    Ringward::start(&["--no-kernel", "--no-containers", "--config", path.to_str().unwrap()])
}

/// Without what Ringward's own records have besides.
fn without_own(record: &Record, own: &[&str]) -> BTreeMap<String, Value> {
    let mut fields = record.fields.clone();
    for name in own {
        assert!(fields.remove(*name).is_some(), "{name} is missing in {record:?}");
    }
    fields
}

const OWN: [&str; 4] = ["msg", "talos-level", "talos-service", "talos-time"];

#[test]
fn logfmt_in_the_journal_becomes_fields() {
    let scene = Scene::new();
    let raw = format!("<6>Feb 21 10:31:27 kata-runtime[14314]: {LINE}\n");
    let cmdline = "/opt/kata/bin/kata-runtime --config /opt/kata/share/defaults/kata-containers/configuration-qemu.toml --root /run/runc state 7cdd31660d8705facdadeb8598d2c0bd008e8142c54e3b3069abd392c8d58997";
    // `_BOOT_ID` is written by the harness, the same for all.
    let fields = [
        ("_MACHINE_ID", "3dd49df65a1b467bac8d51f2eaa17e92"),
        ("_HOSTNAME", "minikube"),
        ("PRIORITY", "6"),
        ("_UID", "0"),
        ("_GID", "0"),
        ("_SYSTEMD_SLICE", "system.slice"),
        ("_SELINUX_CONTEXT", "kernel"),
        ("_CAP_EFFECTIVE", "3fffffffff"),
        ("_TRANSPORT", "syslog"),
        ("_SYSTEMD_CGROUP", "/system.slice/crio.service"),
        ("_SYSTEMD_UNIT", "crio.service"),
        ("_SYSTEMD_INVOCATION_ID", "f2d99c784e6f406c87742f4bca16a4f6"),
        ("SYSLOG_IDENTIFIER", "kata-runtime"),
        ("_COMM", "kata-runtime"),
        ("_EXE", "/opt/kata/bin/kata-runtime"),
        ("SYSLOG_TIMESTAMP", "Feb 21 10:31:27 "),
        ("_CMDLINE", cmdline),
        ("SYSLOG_PID", "14314"),
        ("_PID", "14314"),
        ("MESSAGE", LINE),
        ("SYSLOG_RAW", &raw),
        ("_SOURCE_REALTIME_TIMESTAMP", "1582281087810805"),
    ];
    let mut writer = scene.journal("system.journal");
    writer.add(0, &[("MESSAGE", b"not Kata's".as_slice()), ("SYSLOG_IDENTIFIER", b"crio")]);
    writer.add(1, &fields.map(|(name, value)| (name, value.as_bytes())));
    writer.close();
    let ringward = run(
        include_str!("../../../config/kata/journal.yaml"),
        &[
            ("/run/log/journal", scene.folder.path().to_str().unwrap()),
            ("tcp://logs.example.org:5044", &scene.receiver.url()),
        ],
    );
    let records = scene.all(ringward, 1);
    let mut expected: BTreeMap<String, Value> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    expected.insert("_BOOT_ID".into(), "590edceeef5545a784ec8c6181a10400".into());
    for (name, value) in [
        ("kata_level", json!("info")),
        ("kata_msg", json!("release sandbox")),
        ("kata_arch", json!("amd64")),
        ("kata_command", json!("state")),
        ("kata_container", json!("7cdd31660d8705facdadeb8598d2c0bd008e8142c54e3b3069abd392c8d58997")),
        ("kata_name", json!("kata-runtime")),
        ("kata_pid", json!(14314)),
        ("kata_sandbox", json!("1c3e77cad66aa2b6d8cc846f818370f79cb0104c0b840f67d0f502fd6562b68c")),
        ("kata_source", json!("virtcontainers")),
        ("kata_subsystem", json!("sandbox")),
    ] {
        expected.insert(name.into(), value);
    }
    assert_eq!(without_own(&records[0], &OWN), expected);
    assert_eq!(records[0].text("talos-time"), "2020-02-21T10:31:27.810781647Z");
}

#[test]
fn a_file_of_json_becomes_fields_with_their_own_time() {
    let object = json!({
        "EndpointProperties": {"Iface": {"Index": 4, "MTU": 1460, "Name": "eth0", "Namespace": null, "Alias": ""}},
        "arch": "amd64", "command": "kill", "container": "7cdd", "name": "kata-runtime", "pid": 14314,
        "source": "virtcontainers", "level": "info",
    });
    let mut written = object.clone();
    written["time"] = "2020-02-21T10:31:27Z".into();
    written["msg"] = "release sandbox".into();
    written["EndpointProperties"]["Iface"]["Statistics"] = json!({"RxPackets": 1, "TxPackets": 5, "RxBytes": 42});
    for (config, prefix) in [
        (include_str!("../../../config/kata/json-file.yaml"), ""),
        (include_str!("../../../config/kata/json-file-prefixed.yaml"), "kata_"),
    ] {
        let scene = Scene::new();
        scene.append("kata-runtime.log", format!("{written}\nno JSON\n"));
        let path = scene.path("kata-runtime.log");
        let ringward = run(
            config,
            &[
                ("/var/log/kata-runtime.log", path.to_str().unwrap()),
                ("tcp://logs.example.org:5044", &scene.receiver.url()),
            ],
        );
        let records = scene.all(ringward, 2);
        let mut expected: BTreeMap<String, Value> = object
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (format!("{prefix}{name}"), value.clone()))
            .collect();
        if !prefix.is_empty() {
            expected.insert("kata_msg".into(), "release sandbox".into());
            expected.insert("kata_EndpointProperties".into(), written["EndpointProperties"].clone());
        }
        assert_eq!(without_own(&records[0], &OWN), expected);
        assert_eq!(
            (records[0].msg.as_str(), records[0].text("talos-time")),
            ("release sandbox", "2020-02-21T10:31:27Z")
        );
        assert_eq!((records[1].msg.as_str(), records[1].fields["unparsed"].as_bool()), ("no JSON", Some(true)));
    }
}

#[test]
fn entries_of_kata_and_of_containerd_part() {
    let scene = Scene::new();
    let containerd = Receiver::tcp().unwrap();
    let mut writer = scene.journal("system.journal");
    let unit: (&str, &[u8]) = ("_SYSTEMD_UNIT", b"containerd.service");
    writer.add(0, &[unit, ("SYSLOG_IDENTIFIER", b"kata"), ("MESSAGE", LINE.as_bytes())]);
    writer.add(1, &[unit, ("SYSLOG_IDENTIFIER", b"containerd"), ("MESSAGE", b"starting containerd")]);
    writer.add(2, &[unit, ("SYSLOG_IDENTIFIER", b"containerd"), ("MESSAGE", b"")]);
    writer.add(3, &[("_SYSTEMD_UNIT", b"cron.service".as_slice()), ("MESSAGE", b"not asked for")]);
    writer.add(4, &[unit, ("SYSLOG_IDENTIFIER", b"containerd"), ("MESSAGE", b"started")]);
    writer.add(5, &[unit, ("SYSLOG_IDENTIFIER", b"kata"), ("MESSAGE", b"last")]);
    writer.close();
    let ringward = run(
        include_str!("../../../config/kata/containerd.yaml"),
        &[
            ("/run/log/journal", scene.folder.path().to_str().unwrap()),
            ("tcp://kata-logs.example.org:5044", &scene.receiver.url()),
            ("tcp://containerd-logs.example.org:5044", &containerd.url()),
        ],
    );
    containerd.wait(crate::harness::PATIENCE, |records| records.len() >= 2);
    let kata = scene.all(ringward, 2);
    assert_eq!(crate::messages(&kata), [LINE, "last"]);
    assert_eq!(kata[0].text("SYSLOG_IDENTIFIER"), "kata");
    let others = containerd.with(Clone::clone);
    assert_eq!(crate::messages(&others), ["starting containerd", "started"]);
}
