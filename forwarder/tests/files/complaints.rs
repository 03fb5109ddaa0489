//! What users of other forwarders have lost lines by, where no other test has it. docs/complaints.md has all of them.

use std::io::Write;

use rustix::process::Signal;

use crate::harness::PATIENCE;
use crate::{Scene, messages, numbered};

/// elastic/beats#44749 (files below 1,024 bytes never read), #51559 (all that have no fingerprint are one),
/// opentelemetry-collector-contrib#46496 (two files that begin alike are one).
#[test]
fn files_that_begin_alike_are_each_read_however_short_they_are() {
    let scene = Scene::new();
    let banner = "the same for more than a fingerprint\n".repeat(40);
    for name in ["short-1", "short-2"] {
        scene.append(&format!("{name}.log"), "x\n");
    }
    for name in ["empty-1", "empty-2"] {
        scene.append(&format!("{name}.log"), "");
    }
    for name in ["long-1", "long-2"] {
        scene.append(&format!("{name}.log"), format!("{banner}{name}\n"));
    }
    let ringward = scene.follow("*.log");
    scene.records(84);
    scene.append("empty-1.log", "x\n");
    scene.append("empty-2.log", "x\n");
    scene.append("short-2.log", "y\n");
    scene.records(87);
    let (stopped, state) = ringward.stop_keeping_state();
    assert!(stopped.status.success(), "{stopped:?}");
    // Who is who is known after a restart, too.
    for name in ["short-1", "short-2", "empty-1", "empty-2", "long-1", "long-2"] {
        scene.append(&format!("{name}.log"), format!("{name} again\n"));
    }
    let ringward = scene.follow_in(state, "*.log");
    let records = scene.all(ringward, 93);
    for record in &records[87..] {
        let name = record.msg.strip_suffix(" again").unwrap_or_else(|| panic!("{record:?}"));
        assert!(record.service.ends_with(&format!("/{name}.log")), "{record:?}");
    }
}

/// fluent/fluent-bit#11455 (an offset behind the file's end: nothing is read until it has grown so far), #8025, #4895.
#[test]
fn a_file_that_is_shorter_than_what_was_read_of_it_is_read_from_its_beginning() {
    let scene = Scene::new();
    scene.append("a.log", numbered(0..100));
    let ringward = scene.follow("*.log");
    scene.records(100);
    let (stopped, state) = ringward.stop_keeping_state();
    assert!(stopped.status.success(), "{stopped:?}");
    // The same inode, and the same beginning.
    scene.open("a.log").set_len(0).unwrap();
    scene.append("a.log", numbered(0..2));
    let ringward = scene.follow_in(state, "*.log");
    scene.append("a.log", numbered(2..3));
    let records = scene.all(ringward, 103);
    assert!(messages(&records[100..]).into_iter().eq(numbered(0..3).lines()));
}

/// vectordotdev/vector#18710, #12014 (a file stops being read until a restart): what inotify could not tell is looked for.
#[test]
fn what_happened_while_inotify_overflowed_is_found() {
    let scene = Scene::new();
    scene.append("a.log", "1\n");
    scene.append("kept.log", "");
    let ringward = scene.follow("*.log");
    scene.records(1);
    let most = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let most: usize = most.trim().parse().unwrap();
    ringward.pause();
    let (mut one, mut other) = (scene.open("one.txt"), scene.open("other.txt"));
    // What follows its like is no event of its own.
    for _ in 0..most / 2 + 100 {
        one.write_all(b"1").unwrap();
        other.write_all(b"2").unwrap();
    }
    scene.append("a.log", "2\n");
    scene.rename("a.log", "a.log.1");
    scene.append("a.log.1", "3\n");
    scene.append("a.log", "4\n");
    scene.append("b.log", "5\n");
    scene.append("kept.log", "6\n");
    ringward.signal(Signal::CONT);
    ringward.said("too much happened at once");
    scene.records(6);
    // And all of them are followed on.
    for name in ["a.log", "b.log", "kept.log"] {
        scene.append(name, format!("{name}\n"));
    }
    let records = scene.all(ringward, 9);
    assert!(scene.receiver.wait_closed(PATIENCE));
    let mut seen = messages(&records);
    seen.sort_unstable();
    assert_eq!(seen, ["1", "2", "3", "4", "5", "6", "a.log", "b.log", "kept.log"]);
}

#[test]
fn the_page_names_tests_that_there_are() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../docs/complaints.md")).unwrap();
    let named: Vec<_> = page.split('`').filter_map(|part| part.split_once(".rs: ")).collect();
    assert!(named.len() > 40, "{named:?}");
    for (file, function) in named {
        let text = std::fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
        assert!(text.contains(&format!("fn {function}(")), "{file}.rs has no {function}");
    }
}
