//! Rotation, while a writer writes: by renaming, by copying and truncating, by deleting.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use crate::harness::receiver::Record;
use crate::harness::ringward::Ringward;
use crate::{Scene, count, harness, messages, name_of, numbered};

/// Every line once, whatever the order across generations.
fn assert_each_once(records: &[crate::Record], lines: usize) {
    let seen = count(records);
    for number in 0..lines {
        let line = format!("line {number:08}");
        assert_eq!(seen.get(line.as_str()), Some(&1), "{line}");
    }
}

#[test]
fn by_renaming_fifty_generations_are_kept() {
    let scene = Scene::new();
    let ringward = scene.follow("app.log");
    for generation in 0..50 {
        let mut file = scene.open("app.log");
        for part in 0..20 {
            let from = generation * 1000 + part * 50;
            file.write_all(numbered(from..from + 50).as_bytes()).unwrap();
        }
        for old in (0..generation).rev() {
            scene.rename(&format!("app.log.{old}"), &format!("app.log.{}", old + 1));
        }
        scene.rename("app.log", "app.log.0");
        // The writer does not know yet.
        file.write_all(numbered(50_000 + generation..50_001 + generation).as_bytes()).unwrap();
    }
    let records = scene.all(ringward, 50_050);
    assert_each_once(&records, 50_050);
}

#[test]
fn a_renamed_file_that_goes_on_growing_is_read_under_its_new_name() {
    let scene = Scene::new();
    scene.append("app.log", "1\n");
    let ringward = scene.follow("app.log");
    scene.records(1);
    scene.rename("app.log", "app.log.1");
    scene.append("app.log", "2\n");
    scene.records(2);
    scene.append("app.log.1", "3\n");
    scene.records(3);
    let other = crate::harness::folder();
    std::fs::rename(scene.path("app.log.1"), other.path().join("elsewhere")).unwrap();
    scene.append("app.log", "4\n");
    let records = scene.all(ringward, 4);
    assert!(records.iter().all(|record| record.service.ends_with("/app.log")), "{records:?}");
}

#[test]
fn a_file_that_is_deleted_is_read_to_its_end() {
    let scene = Scene::new();
    let ringward = scene.follow("*.log");
    let mut file = scene.open("a.log");
    file.write_all(numbered(0..100).as_bytes()).unwrap();
    scene.records(100);
    scene.delete("a.log");
    file.write_all(numbered(100..150_000).as_bytes()).unwrap();
    file.write_all(b"no newline").unwrap();
    drop(file);
    // Its last words, when it is closed.
    let records = scene.all(ringward, 150_001);
    assert_each_once(&records, 150_000);
    let last = records.last().unwrap();
    assert!(last.partial && last.msg == "no newline", "{last:?}");
}

/// A receiver that takes nothing, until a file that was deleted under it is given up.
fn deleted_and_given_up(bound: &str) {
    let scene = Scene::new();
    // More than ring and sockets hold.
    let content = numbered(0..3_000_000);
    scene.append("a.log", &content);
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = scene.path("config.yaml");
    std::fs::write(&config, format!("files: [{{include: [{}], {bound}}}]", name_of(&scene.path("*.log")))).unwrap();
    let url = format!("tcp://{}", receiver.local_addr().unwrap());
    let arguments = ["--no-kernel", "--no-containers", "--config", name_of(&config), "--to", &url];
    let ringward = Ringward::start_in(harness::folder(), &arguments);
    let (stream, _) = receiver.accept().unwrap();
    scene.delete("a.log");
    let said = ringward.said("is not waited for any longer");
    let reading = std::thread::spawn(move || {
        let lines = BufReader::new(stream).split(b'\n');
        lines.map(|line| Record::parse(&line.unwrap()).unwrap().stream_bytes()).sum::<u64>()
    });
    let stopped = ringward.stop();
    assert!(stopped.status.success(), "{stopped:?}");
    assert_eq!(reading.join().unwrap(), content.len() as u64, "{said}");
}

#[test]
fn what_was_deleted_and_is_given_up_after_a_while_is_counted() {
    deleted_and_given_up("deleted_time: 1s");
}

#[test]
fn what_was_deleted_and_is_too_much_is_counted() {
    deleted_and_given_up("deleted_bytes: 100KiB");
}

#[test]
fn a_truncated_file_begins_anew() {
    let scene = Scene::new();
    scene.append("a.log", numbered(0..1000));
    let ringward = scene.follow("*.log");
    scene.records(1000);
    std::fs::copy(scene.path("a.log"), scene.path("a.log.1")).unwrap();
    scene.open("a.log").set_len(0).unwrap();
    scene.append("a.log", numbered(1000..1500));
    scene.records(1500);
    // Longer than before at once: only its beginning tells.
    let mut file = scene.open("a.log");
    file.set_len(0).unwrap();
    file.write_all(numbered(1500..5000).as_bytes()).unwrap();
    let records = scene.all(ringward, 5000);
    assert_each_once(&records, 5000);
}

#[test]
fn what_is_truncated_before_it_was_put_is_counted() {
    let scene = Scene::new();
    scene.append("a.log", "whole\nhalf a line");
    let ringward = scene.follow("*.log");
    scene.records(1);
    scene.open("a.log").set_len(0).unwrap();
    scene.append("a.log", "n\n");
    let records = scene.all(ringward, 3);
    assert_eq!((records[1].lost_bytes, records[2].msg.as_str()), (Some(11), "n"), "{records:?}");
}

#[test]
fn an_inode_that_is_used_again_is_another_file() {
    let scene = Scene::new();
    let ringward = scene.follow("*.log");
    for generation in 0..20 {
        scene.append("a.log", format!("generation {generation}\n"));
        scene.records(generation + 1);
        scene.delete("a.log");
    }
    let records = scene.all(ringward, 20);
    assert_eq!(messages(&records)[19], "generation 19");
}
