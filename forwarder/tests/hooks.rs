//! Containers with OCI hooks: the hook is the first that is executed in the container's namespaces, and must not be
//! taken for the container.
#![cfg(feature = "ebpf")]

mod harness;

use harness::receiver::Receiver;
use harness::ringward::Ringward;
use harness::runc::Runc;
use harness::{Machine, PATIENCE};
use serde_json::{Value, json};

/// The hook says something too: that is not the container's output.
fn hook(kind: &str, path: &str) -> impl FnOnce(&mut Value) {
    let hooks = json!({ kind: [{"path": path, "args": ["sh", "-c", "echo hook; echo hook >&2; true"]}] });
    move |specification| specification["hooks"] = hooks
}

/// Namespaces that the container shares with the host.
fn without(namespace: &'static str, specification: &mut Value) {
    let namespaces = specification["linux"]["namespaces"].as_array_mut().expect("runc spec makes a list");
    namespaces.retain(|entry| entry["type"] != namespace);
}

#[test]
fn a_container_with_hooks_is_captured_from_its_first_line() {
    let Some(_machine) = Machine::claim() else { return };
    let runc = Runc::start();
    let receiver = Receiver::tcp().unwrap();
    let ringward = Ringward::start(&["--to", &receiver.url(), "--no-kernel"]);
    for kind in ["createContainer", "startContainer"] {
        for shares_pids in [false, true] {
            let name = format!("hook-{}-{shares_pids}", kind.to_lowercase());
            let change = |specification: &mut Value| {
                hook(kind, "/bin/sh")(specification);
                if shares_pids {
                    without("pid", specification);
                }
            };
            let hello = ["sh", "-c", "echo out; echo err >&2"];
            runc.run_with(&name, &hello, change).finish().succeeded();
            let records = receiver.wait_for(&name, PATIENCE, |records| records.len() >= 2);
            let mut seen = records.iter().map(|r| (r.stream.as_str(), r.msg.as_str())).collect::<Vec<_>>();
            seen.sort_unstable();
            let log = ringward.log().join("\n");
            assert_eq!(seen, [("stderr", "err"), ("stdout", "out")], "{name}; log:\n{log}");
        }
    }
    ringward.stop();
    let strays = receiver.with(|records| records.iter().filter(|record| record.msg == "hook").count());
    assert_eq!(strays, 0, "what a hook prints is not container output");
}

/// `runc exec`, which the kernel sees as it sees the start of a container: by a parent outside of the namespaces.
#[test]
fn a_session_in_a_container_is_not_captured() {
    let Some(_machine) = Machine::claim() else { return };
    let runc = Runc::start();
    let receiver = Receiver::tcp().unwrap();
    let ringward = Ringward::start(&["--to", &receiver.url(), "--no-kernel"]);
    let script = "echo begun; while [ ! -e /tmp/end ]; do sleep 0.05; done; echo ended";
    let running = runc.run_with("entered", &["sh", "-c", script], hook("startContainer", "/bin/sh"));
    receiver.wait_for("entered", PATIENCE, |records| !records.is_empty());
    for script in ["echo session; sleep 0.1; echo session >&2", "touch /tmp/end; echo session"] {
        let mut session = runc.runc();
        session.args(["exec", "entered", "sh", "-c", script]);
        harness::process::output(&mut session);
    }
    running.finish().succeeded();
    receiver.wait_for("entered", PATIENCE, |records| records.iter().any(|record| record.msg == "ended"));
    ringward.stop();
    let seen = receiver.with(|records| records.iter().map(|record| record.msg.clone()).collect::<Vec<_>>());
    assert_eq!(seen, ["begun", "ended"]);
}
