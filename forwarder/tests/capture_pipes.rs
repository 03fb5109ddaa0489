//! Capture on this machine's kernel, without a container runtime: `unshare --mount` starts a program in a mount
//! namespace of its own, which is what the exec program looks for.
#![cfg(feature = "ebpf")]

use std::collections::HashSet;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use forwarder_common::{ExecRecord, PipeKey};
use ringward::parse::line::LineKind;
use ringward::record::{FieldValue, Flags, Origin, OriginHandle, OriginKind, Stream};
use ringward::ring::{Cursor, ReaderOptions as RingReader, Ring, RingLimits};
use ringward::source::ebpf::handle::{ReaderHandle, ReaderOptions};
use ringward::source::ebpf::load::{LoadOptions, load};
use ringward::source::ebpf::names::{Known, Names};
use ringward::source::ebpf::reader::start;
use ringward::source::ebpf::stream::StreamLimits;

struct EveryProgram;

/// Never has a name in time.
struct Nobody;

impl Names for Nobody {
    fn name(&mut self, _: &ExecRecord) -> Option<Known> {
        std::thread::sleep(Duration::from_secs(30));
        None
    }

    fn held(&mut self, _: &[PipeKey]) -> HashSet<PipeKey> {
        HashSet::new()
    }
}

impl Names for EveryProgram {
    fn name(&mut self, exec: &ExecRecord) -> Option<Known> {
        let name = format!("p{}", exec.process);
        let origin = |stream| Origin { stream, ..Origin::new(OriginKind::Container, name.clone()) };
        let origins = [Stream::Stdout, Stream::Stderr].map(|stream| OriginHandle::new(origin(stream)));
        Some(Known { origins, log: None })
    }

    fn held(&mut self, _: &[PipeKey]) -> HashSet<PipeKey> {
        HashSet::new()
    }
}

fn capture(ring_bytes: usize) -> (ReaderHandle, Cursor) {
    capture_with(ring_bytes, Box::new(EveryProgram))
}

fn capture_with(ring_bytes: usize, names: Box<dyn Names>) -> (ReaderHandle, Cursor) {
    let options = LoadOptions { hook: None, ring_bytes, max_write: 1 << 20, containers: true, console: false };
    let capture = load(&options).expect("this kernel runs eBPF");
    let ring = Ring::new(RingLimits { bytes: 1 << 30, records: u64::MAX }, 1);
    let cursor = ring.reader(RingReader::new("test"));
    let limits = StreamLimits { max_line: 4 << 20, hold: 64 << 20, ahead: 64 << 20 };
    let options =
        ReaderOptions { idle_flush: Duration::from_secs(1), limits, parse: LineKind::Text, join: None, resumes: false };
    let handle = start(capture, options, ring, names, None).expect("threads can be started");
    handle.confirm();
    (handle, cursor)
}

/// Runs `script` in a mount namespace of its own with stdout in a pipe; returns what came out of the pipe.
fn run(script: &str) -> (String, Vec<u8>) {
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("unshare is part of util-linux");
    let name = format!("p{}", child.id());
    (name, child.wait_with_output().expect("the child ends").stdout)
}

/// The bytes of `name` that were captured: bodies, newlines and the count of lost bytes.
fn captured(cursor: &mut Cursor, name: &str) -> (Vec<u8>, u64) {
    let (mut bytes, mut lost) = (Vec::new(), 0);
    while let Some(found) = cursor.try_next() {
        for record in found.batch.records() {
            let origin = Origin::decode(found.batch.origin_bytes(record.origin)).unwrap();
            if origin.name != name {
                continue;
            }
            if record.flags.contains(Flags::LOSS) {
                let (_, value) = record.fields().find(|(key, _)| *key == b"lost-bytes").unwrap();
                let FieldValue::Json(digits) = value else { panic!("{value:?}") };
                lost += std::str::from_utf8(digits).unwrap().parse::<u64>().unwrap();
                continue;
            }
            bytes.extend_from_slice(record.body);
            if !record.flags.contains(Flags::PARTIAL) {
                bytes.push(b'\n');
            }
        }
    }
    (bytes, lost)
}

#[test]
fn whatever_a_program_writes_is_captured_to_the_byte() {
    let scripts = [
        "echo one; echo two",
        "printf 'no newline'",
        "echo no > /dev/null; echo yes",
        "exec 5>&1; echo duplicated >&5",
        "head -c 3000000 /dev/urandom",
        "printf 'a\\0b\\n\\377\\n'",
        "python3 -c 'import os; os.writev(1, [b\"x%d\\n\" % i for i in range(1000)])'",
        "python3 -c 'import mmap, os; m = mmap.mmap(-1, 1048576); m[1048575] = 10; os.write(1, m)'",
        "seq 1 200000",
    ];
    for script in scripts {
        let (handle, mut cursor) = capture(32 << 20);
        let (name, expected) = run(script);
        handle.stop();
        let (bytes, lost) = captured(&mut cursor, &name);
        assert_eq!(lost, 0, "{script}");
        assert!(bytes == expected, "{script}: {} bytes instead of {}", bytes.len(), expected.len());
    }
}

#[test]
fn what_can_not_be_read_is_counted_by_its_length() {
    let (handle, mut cursor) = capture(32 << 20);
    let script = "head -c 1000000 /dev/zero > /tmp/ringward-sendfile; python3 -c 'import os
f = os.open(\"/tmp/ringward-sendfile\", 0)
while os.sendfile(1, f, None, 1 << 20): pass'; rm /tmp/ringward-sendfile; echo end";
    let (name, expected) = run(script);
    handle.stop();
    let (bytes, lost) = captured(&mut cursor, &name);
    assert_eq!(bytes.len() as u64 + lost, expected.len() as u64);
    assert!(bytes.ends_with(b"end\n"));
}

#[test]
fn a_ring_that_is_too_small_loses_nothing_silently() {
    let (handle, mut cursor) = capture(1);
    let (name, expected) = run("head -c 50000000 /dev/zero | tr '\\0' 'x' | fold -w 199");
    handle.stop();
    let (bytes, lost) = captured(&mut cursor, &name);
    println!("{} of {} bytes lost", lost, expected.len());
    assert_eq!(bytes.len() as u64 + lost, expected.len() as u64);
}

#[test]
fn a_line_arrives_while_its_program_still_runs() {
    let (handle, mut cursor) = capture(1 << 20);
    let mut child = Command::new("unshare")
        .args(["--mount", "sh", "-c", "echo now; sleep 70"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare is part of util-linux");
    let name = format!("p{}", child.id());
    let started = Instant::now();
    let mut bytes = Vec::new();
    while bytes.is_empty() && started.elapsed() < Duration::from_secs(60) {
        (bytes, _) = captured(&mut cursor, &name);
        std::thread::yield_now();
    }
    child.kill().expect("the child is ours");
    let _ = child.wait();
    handle.stop();
    assert_eq!(bytes, b"now\n");
}

/// The sum of delivered and lost bytes is that of the written ones, however many threads write to the pipe.
#[test]
fn twenty_threads_on_one_pipe_lose_nothing() {
    let (handle, mut cursor) = capture(64 << 20);
    let script = "python3 -c 'import os, threading
def work(name):
    for index in range(3000): os.write(1, b\"%d %d\\n\" % (name, index))
threads = [threading.Thread(target=work, args=(name,)) for name in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]'";
    let (name, expected) = run(script);
    assert!(!expected.is_empty());
    handle.stop();
    let (bytes, lost) = captured(&mut cursor, &name);
    assert_eq!((bytes.len(), lost), (expected.len(), 0));
}

#[test]
fn a_stop_does_not_wait_for_the_containers_to_be_silent() {
    let (handle, mut cursor) = capture(4 << 20);
    let mut child = Command::new("unshare")
        .args(["--mount", "sh", "-c", "x=$(head -c 4000 /dev/zero | tr '\\0' x); yes $x & yes $x"])
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("unshare is part of util-linux");
    let mut out = child.stdout.take().expect("a pipe");
    let drainer = std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let name = format!("p{}", child.id());
    let (started, mut bytes) = (Instant::now(), Vec::new());
    while bytes.is_empty() && started.elapsed() < Duration::from_secs(60) {
        (bytes, _) = captured(&mut cursor, &name);
        std::thread::yield_now();
    }
    let begun = Instant::now();
    handle.stop();
    let took = begun.elapsed();
    let group = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("the group is ours");
    let _ = (child.wait(), drainer.join());
    assert!(took < Duration::from_secs(30) && !bytes.is_empty(), "{took:?}, {} bytes", bytes.len());
}

#[test]
fn a_stop_counts_what_nobody_has_named() {
    let (handle, mut cursor) = capture_with(1 << 20, Box::new(Nobody));
    let (_, expected) = run("seq 1 1000");
    handle.stop();
    let (_, lost) = captured(&mut cursor, "ringward");
    assert_eq!(lost, expected.len() as u64);
}
