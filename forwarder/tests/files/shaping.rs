//! `process` and `routes` over restarts: what was discarded, what is repeated, and routes that change.

use std::path::Path;

use crate::harness::PATIENCE;
use crate::harness::receiver::Receiver;
use crate::harness::ringward::Ringward;
use crate::{Scene, messages};

/// Ringward with a configuration of its own.
#[track_caller]
fn run_in(state: tempfile::TempDir, folder: &Path, config: &str) -> Ringward {
    let path = folder.join("ringward.yaml");
    std::fs::write(&path, config).unwrap();
    Ringward::start_in(state, &["--no-kernel", "--no-containers", "--config", path.to_str().unwrap()])
}

/// What is read, and where all of it goes.
fn config(scene: &Scene, more: &str) -> String {
    let (files, url) = (scene.path("app.log"), scene.receiver.url());
    format!("files: [{{include: [{}]}}]\ndestinations: [{{name: a, endpoint: '{url}'}}]\n{more}\n", files.display())
}

/// What was discarded is not read again; what went on comes once.
#[test]
fn discarded_lines_stay_discarded_after_a_restart() {
    let scene = Scene::new();
    let folder = crate::harness::folder();
    scene.append("app.log", "keep 1\ndrop 1\ndrop 2\n");
    let config = config(&scene, "process: [{drop: {field: msg, matches: ^drop}}]");
    let ringward = run_in(crate::harness::folder(), folder.path(), &config);
    scene.records(1);
    let (_, state) = ringward.stop_keeping_state();
    scene.append("app.log", "drop 3\nkeep 2\n");
    let ringward = run_in(state, folder.path(), &config);
    scene.records(2);
    let stopped = ringward.stop();
    let counted = stopped.log.iter().find(|line| line.contains("process: ")).unwrap();
    assert!(
        counted.contains("process: 2 records, 0 changed, 0 failures, 1 discarded: 1 by process[0].drop"),
        "{counted}"
    );
    let records = scene.receiver.with(Clone::clone);
    assert_eq!(messages(&records), ["keep 1", "keep 2"]);
}

/// After a kill, what was discarded may be read again: it is discarded again, and nothing else comes twice or not at all.
#[test]
fn killed_among_discarded_lines_nothing_is_lost() {
    let scene = Scene::new();
    let folder = crate::harness::folder();
    let config = config(&scene, "process: [{drop: {field: msg, matches: ^drop}}]");
    let mut state = crate::harness::folder();
    for round in 0..5 {
        scene.append("app.log", format!("drop\ndrop\nkeep {round}\ndrop\n"));
        let ringward = run_in(state, folder.path(), &config);
        scene.receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == format!("keep {round}")));
        state = ringward.kill();
    }
    let records = scene.receiver.with(Clone::clone);
    assert!(records.iter().all(|record| record.msg.starts_with("keep ")), "{records:?}");
    assert_eq!(crate::count(&records).len(), 5);
}

#[test]
fn repeats_are_told_at_the_end() {
    let scene = Scene::new();
    let folder = crate::harness::folder();
    scene.append("app.log", "same\nsame\nsame\nother\n");
    let config = config(&scene, "process: [{deduplicate: {window: 1h}}]");
    let ringward = run_in(crate::harness::folder(), folder.path(), &config);
    scene.records(2);
    let records = scene.ended(ringward, 3);
    assert_eq!(messages(&records), ["same", "other", "same"]);
    assert_eq!(records[2].fields["repeated"], 2);
}

/// A destination is down while records are routed to it, and there are other routes when it is back: what it has not got is
/// read again and goes by the new routes, or comes out of its spill.
#[test]
fn what_was_routed_to_one_that_was_down_is_lost_by_no_other_routes() {
    for (spill, in_files) in [("", false), (", spill: {bytes: 64MiB}", false), ("", true)] {
        let (scene, down) = (Scene::new(), Receiver::tcp().unwrap());
        let folder = crate::harness::folder();
        let ring = if in_files {
            format!("ring: {{file: {}}}\n", folder.path().join("ring").display())
        } else {
            String::new()
        };
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = |endpoint: &str, routes: &str| {
            format!(
                "{ring}files: [{{include: [{}]}}]\nshutdown_timeout: 100ms\ndestinations:\n\
                 - {{name: a, endpoint: '{}'}}\n- {{name: b, endpoint: '{endpoint}'{spill}}}\nroutes: {routes}\n",
                scene.path("app.log").display(),
                scene.receiver.url(),
            )
        };
        scene.append("app.log", "x 1\ny 1\nx 2\ny 2\n");
        let by_name = |x: &str, y: &str| {
            format!(
                "[{{when: {{field: msg, matches: ^x}}, to: [{x}]}}, {{when: {{field: msg, matches: ^y}}, to: [{y}]}}]"
            )
        };
        let before = config(&format!("tcp://{nobody}"), &by_name("b", "a"));
        let ringward = run_in(crate::harness::folder(), folder.path(), &before);
        scene.records(2);
        let (_, state) = ringward.stop_keeping_state();
        scene.append("app.log", "x 3\ny 3\n");
        let ringward = run_in(state, folder.path(), &config(&down.url(), &by_name("a", "b")));
        for (receiver, last) in [(&scene.receiver, "x 3"), (&down, "y 3")] {
            assert!(receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == last)), "{last}");
        }
        let mut both = scene.receiver.with(Clone::clone);
        both.extend(down.with(Clone::clone));
        for line in ["x 1", "x 2", "x 3", "y 1", "y 2", "y 3"] {
            assert!(both.iter().any(|record| record.msg == line), "{line} is missing in {both:?}");
        }
        let log = ringward.stop().log;
        assert!(log.iter().any(|line| line.contains("routes have changed")), "{log:#?}");
    }
}
