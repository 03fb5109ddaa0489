//! Real containers, the real binary, real sockets: what a container wrote is what a receiver gets.
//!
//! On this machine's kernel and the rung that Ringward chooses; the same list on every rung is `cargo xtask vm`.
#![cfg(feature = "ebpf")]

mod harness;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use harness::containerd::{Containerd, Options};
use harness::docker::Docker;
use harness::numbered::{self, Numbered};
use harness::podman::Podman;
use harness::process::{Finished, Running};
use harness::receiver::{Receiver, Record};
use harness::ringward::{ROOMY, Ringward};
use harness::runc::Runc;
use harness::{Machine, PATIENCE};

/// A million lines take their time where the tests share two slow cores with the containers.
const LONG: Duration = Duration::from_secs(180);

/// Ringward, a receiver and a containerd: what most of these tests begin with.
struct Bench {
    ringward: Ringward,
    receiver: Receiver,
    containerd: Containerd,
}

impl Bench {
    #[track_caller]
    fn start(arguments: &[&str]) -> Self {
        let containerd = Containerd::start(&["default"]);
        let receiver = Receiver::tcp().unwrap();
        let url = receiver.url();
        let ringward = Ringward::start(&[&["--to", url.as_str(), "--no-kernel"], &ROOMY[..], arguments].concat());
        Self { ringward, receiver, containerd }
    }

    #[track_caller]
    fn run(&self, name: &str, arguments: &[&str]) -> Finished {
        self.containerd.run(name, arguments, Options::default()).finish().succeeded()
    }

    /// The only record of a container.
    #[track_caller]
    fn only(&self, name: &str) -> Record {
        let records = self.receiver.wait_for(name, PATIENCE, |records| !records.is_empty());
        assert_eq!(records.len(), 1, "{name}: {:?}; log:\n{}", messages(&records), self.ringward.log().join("\n"));
        records[0].clone()
    }

    /// SIGTERM; after that nothing may have come late, and every line was JSON.
    #[track_caller]
    fn end(self) {
        let before = self.receiver.with(Vec::len);
        let stopped = self.ringward.stop();
        assert!(stopped.status.success(), "{stopped:?}");
        assert!(self.receiver.wait_closed(PATIENCE), "its connection stayed open");
        let late = self.receiver.with(|records| messages(&records[before..]));
        assert!(late.is_empty(), "came after the test had seen everything: {late:?}");
        assert!(self.receiver.broken().is_empty(), "{:?}", self.receiver.broken());
    }
}

fn messages(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| format!("{}/{}: {:?}", record.service, record.stream, record.msg)).collect()
}

#[track_caller]
fn exactly_once(records: &[Record], stream: &str, count: u64, length: usize) {
    let mut numbered = Numbered::default();
    for record in records.iter().filter(|record| record.stream == stream) {
        assert_eq!(record.lost_bytes, None, "lost after {} lines of {stream}", numbered.next);
        numbered.see(record.msg.as_bytes(), length);
    }
    assert_eq!(numbered.check(count), Ok(()), "{stream}");
}

/// What is known of each (container, stream) of a large run, without keeping the lines.
type Streams = HashMap<(String, String), (Numbered, u64)>;

#[test]
fn two_containers_print_a_million_lines_each() {
    let Some(_machine) = Machine::claim() else { return };
    let containerd = Containerd::start(&["default"]);
    let receiver = Receiver::tcp_into(Streams::new(), |streams, record| {
        if record.service != "million-a" && record.service != "million-b" {
            // A loss that is not one of a stream is a record of Ringward's own.
            eprintln!("{:?}", record.fields);
            return;
        }
        let (numbered, lost) = streams.entry((record.service.clone(), record.stream.clone())).or_default();
        match record.lost_bytes {
            Some(bytes) => *lost += bytes,
            None => numbered.see(record.msg.as_bytes(), 199),
        }
    })
    .unwrap();
    let url = receiver.url();
    let ringward = Ringward::start(&[&["--to", &url, "--no-kernel"][..], &ROOMY].concat());
    let names = ["million-a", "million-b"];
    let running = names.map(|name| containerd.run(name, &["emit", "lines", "1000000", "199"], Options::default()));
    for running in running {
        assert_eq!(running.finish().succeeded().stdout.len(), 200_000_000);
    }
    let of = |streams: &Streams, name: &str| {
        streams.get(&(name.to_owned(), "stdout".to_owned())).cloned().unwrap_or_default()
    };
    receiver.wait(LONG, |streams| names.iter().all(|name| of(streams, name).0.next >= 1_000_000));
    let stopped = ringward.stop();
    assert!(stopped.status.success());
    assert!(receiver.wait_closed(PATIENCE));
    println!("{}", stopped.log.join("\n"));
    for name in names {
        let (numbered, lost) = receiver.with(|streams| of(streams, name));
        assert_eq!((numbered.check(1_000_000), lost), (Ok(()), 0), "{name}");
    }
}

#[test]
fn every_way_of_writing_is_captured_or_counted() {
    let Some(_machine) = Machine::claim() else { return };
    let bench = Bench::start(&[]);
    bench.run("redirected", &["sh", "-c", "echo no > /file; echo yes"]);
    assert_eq!(bench.only("redirected").msg, "yes");

    bench.run("duplicated", &["sh", "-c", "exec 5>&1; echo x >&5"]);
    assert_eq!(bench.only("duplicated").msg, "x");

    bench.run("both", &["emit", "both", "1000", "99"]);
    let records = bench.receiver.wait_for("both", PATIENCE, |records| records.len() >= 2000);
    exactly_once(&records, "stdout", 1000, 99);
    exactly_once(&records, "stderr", 1000, 99);

    bench.run("cold", &["emit", "cold"]);
    let records = bench.receiver.wait_for("cold", PATIENCE, |records| records.len() >= 8192);
    exactly_once(&records, "stdout", 8192, 127);

    bench.run("parts", &["emit", "writev", "1000", "20"]);
    let records = bench.receiver.wait_for("parts", PATIENCE, |records| records.len() >= 200);
    exactly_once(&records, "stdout", 200, 99);

    bench.run("pieces", &["emit", "slowly", "7"]);
    assert_eq!(bench.only("pieces").msg.as_bytes(), numbered::line(0, 199));

    bench.run("long", &["emit", "line", "65536"]);
    assert_eq!(bench.only("long").msg.as_bytes(), numbered::line(0, 65536));

    let object = r#"{"msg":"m","stream":"mine"}"#;
    bench.run("object", &["echo", object]);
    assert_eq!(bench.only("object").msg, object);

    let binary = bench.run("binary", &["emit", "binary"]).stdout;
    assert_eq!(bench.only("binary").msg, String::from_utf8_lossy(&binary).trim_end_matches('\n'));

    bench.run("no-newline", &["printf", "the end"]);
    let record = bench.only("no-newline");
    assert_eq!((record.msg.as_str(), record.partial), ("the end", true));

    // sendfile: the bytes are in no process's memory, so they may be lost, but never uncounted.
    let written = bench.run("sendfile", &["sh", "-c", "emit file /tmp/big 5000 199; cat /tmp/big"]).stdout.len() as u64;
    accounted(&bench, "sendfile", written);
    // On a busy machine the one thread may have ended before the other begins: then there is nothing to mark.
    let is_marked = (0..10).any(|attempt| {
        let name = format!("race-{attempt}");
        let written = bench.run(&name, &["emit", "race", "2", "5000", "99"]).stdout.len() as u64;
        accounted(&bench, &name, written).iter().any(|record| record.fields.contains_key("overlap"))
    });
    assert!(is_marked, "two threads, and no overlap marked");
    bench.end();
}

#[track_caller]
fn accounted(bench: &Bench, name: &str, written: u64) -> Vec<Record> {
    let total = |records: &[&Record]| records.iter().map(|record| record.stream_bytes()).sum::<u64>();
    let records = bench.receiver.wait_for(name, PATIENCE, |records| total(records) >= written);
    let lost = records.iter().filter_map(|record| record.lost_bytes).sum::<u64>();
    let sum = total(&records.iter().collect::<Vec<_>>());
    assert_eq!(sum, written, "{name}: {} delivered and {lost} reported lost", sum - lost);
    records
}

#[test]
fn objects_become_fields_where_that_is_asked_for() {
    let Some(_machine) = Machine::claim() else { return };
    let folder = harness::folder();
    let file = folder.path().join("parse.yaml");
    std::fs::write(&file, "capture: {parse: talos}\n").unwrap();
    let bench = Bench::start(&["--config", &file.display().to_string()]);
    let object = r#"{"level":"warn","ts":1.5,"msg":"whole","n":{"b":1,"a":2},"stream":"its own","talos-service":"no"}"#;
    let script =
        format!("echo '{object}'; echo; echo '{{\"not\": json'; echo 'behind text: {{\"n\":7}}'; printf '{object}'");
    bench.run("objects", &["sh", "-c", &script]);
    let records = bench.receiver.wait_for("objects", PATIENCE, |records| records.len() >= 5);
    let messages = records.iter().map(|record| record.msg.as_str()).collect::<Vec<_>>();
    assert_eq!(messages, ["whole", "", r#"{"not": json"#, "behind text:", "whole"]);
    for record in [&records[0], &records[4]] {
        let text = |key| record.text(key);
        assert_eq!((text("talos-level"), text("talos-time")), ("warn", "1970-01-01T00:00:01.5Z"));
        assert_eq!(record.fields["n"], serde_json::json!({"a": 2, "b": 1}));
        // What Ringward knows stands: nobody passes itself off as somebody else.
        assert_eq!((record.stream.as_str(), record.partial), ("stdout", false));
    }
    assert_eq!(records[3].fields["n"], 7);
    bench.end();
}

#[test]
fn an_echo_is_reported_and_an_excluded_container_is_silent() {
    let Some(_machine) = Machine::claim() else { return };
    let folder = harness::folder();
    let file = folder.path().join("exclude.yaml");
    std::fs::write(&file, "capture: {exclude: ['quiet-*']}\n").unwrap();
    let bench = Bench::start(&["--config", &file.display().to_string()]);
    bench.run("quiet-one", &["echo", "nobody hears this"]);
    let sent = r#"{"container":"echoing","msg":"m","talos-service":"echoing","talos-time":"2026-01-01T00:00:00Z"}"#;
    bench.run("echoing", &["sh", "-c", &format!("for i in $(seq 100); do echo '{sent}'; done")]);
    bench.receiver.wait_for("echoing", PATIENCE, |records| records.len() >= 100);
    let reports = bench.receiver.wait_for("ringward", PATIENCE, |records| !records.is_empty());
    assert_eq!(reports.len(), 1, "{:?}", messages(&reports));
    assert!(reports[0].msg.contains("an echo: echoing prints what Ringward sends"), "{}", reports[0].msg);
    assert_eq!(bench.receiver.with(|records| records.iter().filter(|r| r.service == "quiet-one").count()), 0);
    bench.end();
}

#[test]
fn a_terminal_gives_what_was_written_to_it() {
    let Some(_machine) = Machine::claim() else { return };
    let bench = Bench::start(&[]);
    let terminal = Options { tty: true, ..Options::default() };
    bench.containerd.run("terminal", &["echo", "on a terminal"], terminal).finish().succeeded();
    let record = bench.only("terminal");
    assert_eq!((record.msg.as_str(), record.stream.as_str()), ("on a terminal", "tty"));
    bench.end();
}

/// The reader is stopped while the container writes far more than the rings hold.
#[test]
fn with_rings_too_small_every_missing_byte_is_reported() {
    let Some(_machine) = Machine::claim() else { return };
    let folder = harness::folder();
    let file = folder.path().join("small.yaml");
    std::fs::write(&file, "capture: {ring_bytes: 256KiB}\n").unwrap();
    let bench = Bench::start(&["--config", &file.display().to_string()]);
    bench.ringward.pause();
    let written = bench.run("small-ring", &["emit", "both", "20000", "199"]).stdout.len() as u64;
    // The rings are full: there is no room for its line, but there is for its name.
    let late = bench.run("full-ring", &["echo", "late"]).stdout.len() as u64;
    bench.ringward.signal(rustix::process::Signal::CONT);
    accounted(&bench, "full-ring", late);
    let records = accounted(&bench, "small-ring", 2 * written);
    for stream in ["stdout", "stderr"] {
        let own = records.iter().filter(|record| record.stream == stream).collect::<Vec<_>>();
        assert_eq!(own.iter().map(|record| record.stream_bytes()).sum::<u64>(), written, "{stream}");
        assert!(own.iter().any(|record| record.lost_bytes.is_some()), "{stream}: nothing was lost, nothing was tested");
    }
    bench.end();
}

#[test]
fn two_hundred_containers_of_one_line_are_all_named() {
    let Some(_machine) = Machine::claim() else { return };
    let bench = Bench::start(&[]);
    let names = (0..200).map(|number| format!("short-{number}")).collect::<Vec<_>>();
    for some in names.chunks(10) {
        let running = some.iter().map(|name| bench.containerd.run(name, &["echo", name], Options::default()));
        running.collect::<Vec<_>>().into_iter().for_each(|running| drop(running.finish().succeeded()));
    }
    let missing = |records: &Vec<Record>| {
        let came = records.iter().map(|record| record.msg.as_str()).collect::<HashSet<_>>();
        names.iter().filter(|name| !came.contains(name.as_str())).cloned().collect::<Vec<_>>()
    };
    bench.receiver.wait(LONG, |records| missing(records).is_empty());
    assert_eq!(bench.receiver.with(missing), Vec::<String>::new(), "log:\n{}", bench.ringward.log().join("\n"));
    for name in &names {
        assert_eq!(bench.only(name).msg, *name);
    }
    assert_eq!(bench.receiver.with(Vec::len), 200);
    bench.end();
}

#[test]
fn a_container_that_runs_already_misses_no_line_after_the_start() {
    let Some(_machine) = Machine::claim() else { return };
    let containerd = Containerd::start(&["default"]);
    // `dd` of one byte waits for us: a line comes for each byte that we write into the FIFO, none before.
    let folder = harness::folder();
    let fifo = folder.path().join("go");
    harness::process::output(std::process::Command::new("mkfifo").arg(&fifo));
    let mount = format!("type=bind,src={},dst=/tmp,options=rbind:rw", folder.path().display());
    let options = Options { extra: &["--mount", &mount], ..Options::default() };
    let script = "echo before; while read -r line; do echo \"after $line\"; done < /tmp/go";
    let running = containerd.run("already", &["sh", "-c", script], options);
    // Opening blocks until the container has opened its end, which it does after its first line.
    let mut go = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    let receiver = Receiver::tcp().unwrap();
    let ringward = Ringward::start(&["--to", &receiver.url(), "--no-kernel"]);
    for number in 0..100 {
        std::io::Write::write_all(&mut go, format!("{number}\n").as_bytes()).unwrap();
    }
    drop(go);
    running.finish().succeeded();
    let records = receiver.wait_for("already", PATIENCE, |records| records.len() >= 100);
    let expected = (0..100).map(|number| format!("after {number}")).collect::<Vec<_>>();
    let seen = records.into_iter().map(|record| record.msg).collect::<Vec<_>>();
    assert_eq!(seen, expected, "log:\n{}", ringward.log().join("\n"));
    ringward.stop();
}

#[test]
fn containers_of_docker_podman_and_bare_runc_are_named() {
    let Some(_machine) = Machine::claim() else { return };
    let (docker, podman, runc) = (Docker::start(), Podman::start(), Runc::start());
    let receiver = Receiver::tcp().unwrap();
    let ringward = Ringward::start(&["--to", &receiver.url(), "--no-kernel"]);
    let names = ["by-docker", "by-podman", "by-runc"];
    let hello = ["sh", "-c", "echo out; echo err >&2"];
    let running = [docker.run(names[0], &[], &hello), podman.run(names[1], &[], &hello), runc.run(names[2], &hello)];
    running.into_iter().for_each(|running| drop(running.finish().succeeded()));
    for name in names {
        let records = receiver.wait_for(name, PATIENCE, |records| records.len() >= 2);
        let mut seen = records.iter().map(|r| (r.stream.as_str(), r.msg.as_str())).collect::<Vec<_>>();
        seen.sort_unstable();
        let all = receiver.with(|records| messages(records));
        assert_eq!(seen, [("stderr", "err"), ("stdout", "out")], "{name}; all that came: {all:?}");
        assert!(!records[0].text("container").is_empty(), "{name} has no container id: {:?}", records[0].fields);
    }
    // Chrooted in the host's mount namespace, by a runtime that is told so: only the pid namespace is its own.
    let sharing = |specification: &mut serde_json::Value| {
        specification["linux"]["namespaces"] = serde_json::json!([{"type": "pid"}]);
        for key in ["maskedPaths", "readonlyPaths"] {
            specification["linux"][key] = serde_json::json!([]);
        }
        let proc = serde_json::json!({"destination": "/proc", "type": "proc", "source": "proc"});
        specification["mounts"] = serde_json::json!([proc]);
        specification.as_object_mut().unwrap().remove("hostname");
    };
    runc.run_with("by-pid-alone", &["sh", "-c", "echo out; exec echo again"], sharing).finish().succeeded();
    let records = receiver.wait_for("by-pid-alone", PATIENCE, |records| records.len() >= 2);
    assert_eq!(messages(&records), [r#"by-pid-alone/stdout: "out""#, r#"by-pid-alone/stdout: "again""#]);
    ringward.stop();
}

#[test]
fn fifty_containers_that_block_on_full_pipes_hold_up_nobody() {
    let Some(_machine) = Machine::claim() else { return };
    let bench = Bench::start(&[]);
    // Each writes more than the pipes on the way to us hold, and we don't read.
    let names = (0..50).map(|number| format!("blocked-{number}")).collect::<Vec<_>>();
    let mut blocked = names
        .iter()
        .map(|name| bench.containerd.run_command(name, &["emit", "lines", "2000", "199"], Options::default()))
        .map(|mut command| Running::start_unread(&mut command))
        .collect::<Vec<_>>();
    let missing = |records: &Vec<Record>| {
        let begun = records.iter().map(|record| record.service.as_str()).collect::<HashSet<_>>();
        names.iter().filter(|name| !begun.contains(name.as_str())).cloned().collect::<Vec<_>>()
    };
    bench.receiver.wait(LONG, |records| missing(records).is_empty());
    let silent = bench.receiver.with(missing);
    assert!(silent.is_empty(), "nothing came of {silent:?}; log:\n{}", bench.ringward.log().join("\n"));
    bench.run("free", &["echo", "free"]);
    assert_eq!(bench.only("free").msg, "free");
    blocked.iter_mut().for_each(Running::read);
    blocked.into_iter().for_each(|running| drop(running.finish().succeeded()));
    for name in &names {
        let records = bench.receiver.wait_for(name, PATIENCE, |records| records.len() >= 2000);
        exactly_once(&records, "stdout", 2000, 199);
    }
    bench.end();
}
