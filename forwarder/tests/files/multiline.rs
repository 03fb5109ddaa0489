//! Lines that belong together.

use crate::{Scene, messages};

const TRACE: &str = "panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/x.go:4 +0x25";

#[test]
fn a_group_that_was_open_at_a_kill_comes_whole_afterwards() {
    let scene = Scene::new();
    scene.append("a.log", format!("before\n{TRACE}\n"));
    let files = "- {include: [FOLDER/a.log], multiline: {traces: go, timeout: TIMEOUT}}";
    let ringward = scene.follow_with(&files.replace("TIMEOUT", "1h"));
    // Both were read at once: the group is open when the line before it has come.
    assert_eq!(messages(&scene.records(1)), ["before"]);
    let state = ringward.kill();
    let ringward = scene.follow_with_in(state, &files.replace("TIMEOUT", "10ms"));
    scene.receiver.wait(crate::harness::PATIENCE, |records| records.iter().any(|record| record.msg == TRACE));
    scene.append("a.log", "behind\n");
    scene.receiver.wait(crate::harness::PATIENCE, |records| records.iter().any(|record| record.msg == "behind"));
    let (stopped, _) = ringward.stop_keeping_state();
    assert!(stopped.status.success(), "{stopped:?}");
    let records = scene.records(3);
    // What could not be proven to have arrived may come again, but nothing in other pieces.
    let pieces: Vec<_> = messages(&records).into_iter().skip_while(|text| *text == "before").collect();
    assert_eq!(pieces, [TRACE, "behind"]);
}

#[test]
fn a_group_that_is_open_at_a_stop_is_read_by_the_next_run() {
    let scene = Scene::new();
    let files = "- {include: [FOLDER/a.log], multiline: {continuation: '^ ', timeout: 1h}}";
    scene.append("a.log", "a\n 1\nb\n 2\n");
    let ringward = scene.follow_with(files);
    assert_eq!(messages(&scene.records(1)), ["a\n 1"]);
    let (stopped, state) = ringward.stop_keeping_state();
    assert!(stopped.status.success(), "{stopped:?}");
    scene.append("a.log", " 3\nc\n");
    let ringward = scene.follow_with_in(state, files);
    let records = scene.all(ringward, 2);
    assert_eq!(messages(&records), ["a\n 1", "b\n 2\n 3"]);
}

#[test]
fn in_the_log_of_a_container_what_it_printed_is_joined_and_parsed() {
    let scene = Scene::new();
    let log = "pods/ns_pod_1/app/0.log";
    let line = |stream: &str, tag: &str, text: &str| format!("2026-01-02T03:04:05.1Z {stream} {tag} {text}\n");
    let printed: String = TRACE.split('\n').map(|text| line("stderr", "F", text)).collect();
    scene.append(log, line("stdout", "P", "level=warn msg=\"in ") + &printed + &line("stdout", "F", "parts\" n=1"));
    let ringward =
        scene.follow_with("- {include: [FOLDER/pods/*/*/*.log], parse: logfmt, multiline: {traces: all, timeout: 1h}}");
    let records = scene.all(ringward, 2);
    assert_eq!(messages(&records), [TRACE, "in parts"]);
    assert_eq!(records[1].fields["n"], 1);
    assert_eq!(records[1].fields["talos-level"], "warn");
}
