//! Logs of containers: names from the path, streams, times, joined parts.

use std::os::unix::fs::symlink;

use crate::Scene;
use crate::harness::PATIENCE;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const LOG: &str = "log/pods/shop_web-0_6b1c/app/2.log";

fn cri(second: usize, stream: &str, tag: &str, text: &str) -> String {
    format!("2026-01-02T03:04:{second:02}.123456789Z {stream} {tag} {text}\n")
}

#[test]
fn a_pod_has_its_names_stream_and_time() {
    let scene = Scene::new();
    scene.append(LOG, cri(5, "stderr", "F", "hello") + "no CRI line\n" + &cri(6, "stdout", "F", ""));
    let ringward = scene.follow("log/pods/*/*/*.log");
    let records = scene.all(ringward, 3);
    let [hello, text, empty] = &records[..] else { unreachable!() };
    assert_eq!((hello.msg.as_str(), hello.service.as_str(), hello.stream.as_str()), ("hello", "app", "stderr"));
    for (key, value) in
        [("namespace", "shop"), ("pod", "web-0"), ("restarts", "2"), ("talos-time", "2026-01-02T03:04:05.123456789Z")]
    {
        assert_eq!(hello.text(key), value, "{hello:?}");
    }
    assert_eq!((text.msg.as_str(), text.stream.as_str(), text.text("pod")), ("no CRI line", "", "web-0"));
    assert_eq!((empty.msg.as_str(), empty.stream.as_str()), ("", "stdout"));
}

#[test]
fn parts_are_joined_for_each_stream() {
    let scene = Scene::new();
    // VictoriaLogs#1215: these must give 134 and 2.
    scene.append(LOG, cri(1, "stdout", "P", "1") + &cri(2, "stderr", "F", "2"));
    scene.append(LOG, cri(3, "stdout", "P", "3") + &cri(4, "stdout", "F", "4"));
    let ringward = scene.follow("log/pods/*/*/*.log");
    let records = scene.all(ringward, 2);
    assert_eq!((records[0].msg.as_str(), records[0].stream.as_str()), ("2", "stderr"));
    assert_eq!((records[1].msg.as_str(), records[1].stream.as_str()), ("134", "stdout"));
    assert!(records[1].text("talos-time").contains("03:04:01."), "the time of the first part: {:?}", records[1]);
}

#[test]
fn a_last_part_that_stays_one_comes_after_a_while() {
    let scene = Scene::new();
    let ringward = scene.follow_with("- {include: ['FOLDER/log/pods/*/*/*.log'], idle_flush: 50ms}");
    scene.append(LOG, cri(1, "stdout", "P", "last ") + &cri(1, "stdout", "P", "words"));
    let records = scene.records(1);
    assert!(records[0].partial && records[0].msg == "last words", "{records:?}");
    scene.append(LOG, cri(2, "stdout", "F", "!"));
    let records = scene.all(ringward, 2);
    assert!(!records[1].partial && records[1].msg == "!", "{records:?}");
}

#[test]
fn a_joined_line_is_bounded_and_complete() {
    let scene = Scene::new();
    let piece = "abcdefghijklmnop".repeat(1000);
    for number in 0..40 {
        scene.append(LOG, cri(1, "stdout", if number < 39 { "P" } else { "F" }, &piece));
        scene.append(LOG, cri(1, "stderr", "F", "between"));
    }
    // One line of the file that is longer than any joined line may be.
    scene.append(LOG, cri(2, "stdout", "F", &"z".repeat(1 << 20)));
    scene.append(LOG, cri(3, "stdout", "F", "after"));
    let ringward = scene.follow("log/pods/*/*/*.log");
    assert!(scene.receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == "after")));
    ringward.stop();
    let records = scene.receiver.with(Clone::clone);
    let of = |stream: &str| records.iter().filter(|record| record.stream == stream).cloned().collect::<Vec<_>>();
    assert_eq!(of("stderr").len(), 40);
    let stdout = of("stdout");
    let text: String = stdout.iter().map(|record| record.msg.as_str()).collect();
    assert!(text == piece.repeat(40) + &"z".repeat(1 << 20) + "after", "{} bytes", text.len());
    assert!(stdout.iter().all(|record| record.msg.len() <= 256 << 10));
    assert_eq!(stdout.iter().filter(|record| !record.partial).count(), 3);
}

#[test]
fn parts_that_were_unfinished_at_a_restart_are_joined_after_it() {
    let scene = Scene::new();
    scene.append(LOG, cri(1, "stdout", "F", "0") + &cri(1, "stdout", "P", "one ") + &cri(1, "stderr", "F", "between"));
    let ringward = scene.follow("log/pods/*/*/*.log");
    scene.records(2);
    let (_, state) = ringward.stop_keeping_state();
    scene.append(LOG, cri(2, "stderr", "F", "more") + &cri(3, "stdout", "F", "line"));
    let ringward = scene.follow_in(state, "log/pods/*/*/*.log");
    let records = scene.all(ringward, 4);
    assert_eq!(crate::messages(&records), ["0", "between", "more", "one line"]);
}

#[test]
fn the_kubelets_links_give_the_id_and_survive_rotation() {
    let scene = Scene::new();
    scene.append(LOG, cri(1, "stdout", "F", "one"));
    symlink(scene.path(LOG), scene.path(&format!("log/containers/web-0_shop_app-{ID}.log"))).unwrap();
    let ringward = scene.follow("log/containers/*.log");
    scene.records(1);
    scene.append(LOG, cri(2, "stdout", "F", "two"));
    scene.records(2);
    scene.rename(LOG, &format!("{LOG}.20260102-030405"));
    scene.append(LOG, cri(3, "stdout", "F", "three"));
    let records = scene.all(ringward, 3);
    for record in &records {
        assert_eq!((record.text("container"), record.text("pod"), record.service.as_str()), (ID, "web-0", "app"));
    }
}

#[test]
fn dockers_files_are_known_by_their_place() {
    let scene = Scene::new();
    let line = |log: &str| serde_json::json!({"log": log, "stream": "stdout", "time": "2026-01-02T03:04:05.5Z"});
    let name = format!("docker/containers/{ID}/{ID}-json.log");
    scene.append(&name, format!("{}\n{}\n{}\n", line("a\u{1}b\n"), line("part "), line("end\n")));
    let ringward = scene.follow("docker/containers/*/*-json.log");
    let records = scene.all(ringward, 2);
    assert_eq!(crate::messages(&records), ["a\u{1}b", "part end"]);
    assert_eq!(records[0].text("container"), ID);
}
