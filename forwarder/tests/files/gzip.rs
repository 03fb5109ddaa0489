//! Compressed files: what was read before it was compressed, what was not, and what is none.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::harness::PATIENCE;
use crate::harness::ringward::Ringward;
use crate::restart::Seen;
use crate::{Record, Scene, count, messages, numbered};

const FILES: &str = "- {include: ['FOLDER/app.log*'], gzip: true}";

/// As logrotate and the container runtimes do it: the plain file is removed when the compressed one is whole.
fn gzip(path: &Path) {
    assert!(Command::new("gzip").arg(path).status().unwrap().success());
}

fn packed(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn assert_each_once(records: &[Record], lines: usize) {
    let (seen, expected) = (count(records), numbered(0..lines));
    for line in expected.lines() {
        assert_eq!(seen.get(line), Some(&1), "{line}");
    }
}

/// Stops it in order; its state, for the next one.
fn stop(ringward: Ringward) -> tempfile::TempDir {
    let (stopped, state) = ringward.stop_keeping_state();
    assert!(stopped.status.success(), "{stopped:?}");
    state
}

#[test]
fn what_was_read_before_it_was_compressed_does_not_come_again() {
    let scene = Scene::new();
    scene.append("app.log", numbered(0..1000));
    let ringward = scene.follow_with(FILES);
    scene.records(1000);
    scene.rename("app.log", "app.log.1");
    scene.append("app.log", numbered(1000..1100));
    scene.records(1100);
    gzip(&scene.path("app.log.1"));
    // The plain file is still looked at for a while. The next one finds the compressed one only.
    let state = stop(ringward);
    let ringward = scene.follow_with_in(state, FILES);
    ringward.said("app.log.1.gz is what ");
    scene.rename("app.log.1.gz", "app.log.2.gz");
    let state = stop(ringward);
    let ringward = scene.follow_with_in(state, FILES);
    // What is added shows that it was read to its end.
    scene.append("app.log.2.gz", packed(numbered(1100..1101)));
    let records = scene.all(ringward, 1101);
    assert_each_once(&records, 1101);
}

#[test]
fn copied_truncated_and_compressed_it_does_not_come_again() {
    let scene = Scene::new();
    scene.append("app.log", numbered(0..1000));
    let ringward = scene.follow_with(FILES);
    scene.records(1000);
    // The copy has a line that was not read.
    let copy = packed(numbered(0..1001));
    let (first, rest) = copy.split_at(copy.len() / 2);
    scene.append("app.log.1.gz", first);
    scene.open("app.log").set_len(0).unwrap();
    scene.append("app.log", numbered(1001..1002));
    scene.records(1001);
    scene.append("app.log.1.gz", rest);
    ringward.said("app.log.1.gz is what ");
    let records = scene.all(ringward, 1002);
    assert_each_once(&records, 1002);
    assert!(records.iter().all(|record| record.service.ends_with("/app.log")), "{:?}", records.last());
}

#[test]
fn what_was_written_and_compressed_meanwhile_is_read_from_there() {
    let scene = Scene::new();
    scene.append("app.log", numbered(0..1000));
    let ringward = scene.follow_with(FILES);
    scene.records(1000);
    let state = stop(ringward);
    scene.append("app.log", numbered(1000..10_000));
    scene.rename("app.log", "app.log.1");
    gzip(&scene.path("app.log.1"));
    // One that was made and compressed meanwhile, and is whole.
    scene.append("app.log.2", numbered(10_000..10_500));
    gzip(&scene.path("app.log.2"));
    scene.append("app.log", numbered(10_500..11_000));
    let ringward = scene.follow_with_in(state, FILES);
    let records = scene.all(ringward, 11_000);
    assert_each_once(&records, 11_000);
}

#[test]
fn generations_that_begin_alike_are_told_apart() {
    let scene = Scene::new();
    let banner = "the same banner, for more than a fingerprint\n".repeat(50);
    for (name, line) in [("app.log.2", "line 00000000\n"), ("app.log.1", "line 00000001\n")] {
        scene.append(name, banner.clone() + line);
    }
    let ringward = scene.follow_with(FILES);
    scene.records(102);
    let state = stop(ringward);
    scene.append("app.log.1", numbered(2..3));
    for name in ["app.log.1", "app.log.2"] {
        gzip(&scene.path(name));
    }
    // And one that nobody has read.
    scene.append("app.log.3.gz", packed(banner + &numbered(3..4)));
    let ringward = scene.follow_with_in(state, FILES);
    let records = scene.all(ringward, 102 + 1 + 51);
    assert_each_once(&records, 4);
}

#[test]
fn killed_within_a_large_one_it_is_read_on() {
    let (folder, receiver) = (crate::harness::folder(), Seen::receiver());
    let path = folder.path().join("app.log.1.gz");
    std::fs::write(&path, packed(numbered(0..60_000))).unwrap();
    let config = folder.path().join("ringward.yaml");
    std::fs::write(&config, format!("files: [{{include: [{}], gzip: true}}]\n", path.display())).unwrap();
    let (config, url) = (config.to_str().unwrap(), receiver.url());
    let start =
        |state| Ringward::start_in(state, &["--no-kernel", "--no-containers", "--config", config, "--to", &url]);
    let mut state = crate::harness::folder();
    for part in 1..4 {
        let ringward = start(state);
        assert!(receiver.wait(PATIENCE, |seen| seen.distinct >= part * 8_000));
        state = ringward.kill();
    }
    let add = |number: usize| {
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&packed(numbered(number..number + 1))).unwrap();
    };
    let ringward = start(state);
    // What the earlier ones have sent may still come. This is from the last one.
    add(60_000);
    assert!(receiver.wait(PATIENCE, |seen| seen.distinct == 60_001), "{}", receiver.with(|seen| seen.distinct));
    let state = stop(ringward);
    assert!(receiver.wait_closed(PATIENCE));
    let before = receiver.with(|seen| seen.times.clone());
    assert!(before.len() == 60_001 && before.iter().all(|times| (1..=4).contains(times)));
    // What was read to its end is not read again for what is added.
    let ringward = start(state);
    add(60_001);
    assert!(receiver.wait(PATIENCE, |seen| seen.distinct == 60_002));
    stop(ringward);
    assert!(receiver.wait_closed(PATIENCE));
    let after = receiver.with(|seen| seen.times.clone());
    let again: Vec<_> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    assert!(again.is_empty(), "{} from {:?} on came again", again.len(), again.first());
}

#[test]
fn killed_at_any_time_nothing_is_lost_while_a_writer_rotates_and_compresses() {
    let (folder, receiver) = (crate::harness::folder(), Seen::receiver());
    let path = folder.path().join("app.log");
    let writer = std::thread::spawn(move || {
        let mut number = 0;
        for generation in 1..=20 {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
            for _ in 0..40 {
                file.write_all(numbered(number..number + 25).as_bytes()).unwrap();
                number += 25;
                // A pace that leaves time to be killed in.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            let plain = path.with_file_name(format!("app.log.{generation}"));
            std::fs::rename(&path, &plain).unwrap();
            let content = packed(std::fs::read(&plain).unwrap());
            std::fs::write(path.with_file_name(format!("app.log.{generation}.gz")), content).unwrap();
            std::fs::remove_file(&plain).unwrap();
        }
        number
    });
    let config = folder.path().join("ringward.yaml");
    let glob = folder.path().join("app.log*");
    std::fs::write(&config, format!("files: [{{include: ['{}'], gzip: true}}]\n", glob.display())).unwrap();
    let (config, url) = (config.to_str().unwrap(), receiver.url());
    let start =
        |state| Ringward::start_in(state, &["--no-kernel", "--no-containers", "--config", config, "--to", &url]);
    let mut state = crate::harness::folder();
    while !writer.is_finished() {
        let before = receiver.with(|seen| seen.distinct);
        let ringward = start(state);
        receiver.wait(std::time::Duration::from_millis(300), |seen| seen.distinct > before + 500);
        state = ringward.kill();
    }
    let lines = writer.join().unwrap();
    let ringward = start(state);
    let are_there = receiver.wait(PATIENCE, |seen| seen.distinct == lines);
    let missing = receiver.with(|seen| seen.times.iter().position(|times| *times == 0));
    assert!(are_there, "{missing:?} of {lines}: {:?}", ringward.log());
    stop(ringward);
}

#[test]
fn one_that_is_being_written_is_waited_for() {
    let scene = Scene::new();
    let whole = packed(numbered(0..30_000));
    let ringward = scene.follow_with("- {include: ['FOLDER/app.log*'], gzip: true, idle_flush: 1h}");
    let mut file = scene.open("app.log.1.gz");
    file.write_all(&whole[..whole.len() / 2]).unwrap();
    scene.records(1000);
    file.write_all(&whole[whole.len() / 2..whole.len() - 1]).unwrap();
    scene.records(25_000);
    file.write_all(&whole[whole.len() - 1..]).unwrap();
    let records = scene.all(ringward, 30_000);
    assert!(messages(&records).into_iter().eq(numbered(0..30_000).lines()));
}

#[test]
fn more_than_are_unpacked_at_a_time_some_of_them_unfinished() {
    let scene = Scene::new();
    let whole = packed(numbered(0..1000));
    for number in 0..30 {
        let len = if number % 2 == 0 { whole.len() } else { whole.len() - 9 };
        scene.append(&format!("app.log.{number}.gz"), &whole[..len]);
    }
    let ringward = scene.follow_with("- {include: ['FOLDER/app.log*'], gzip: true, idle_flush: 1h}");
    scene.records(15_000);
    for number in (1..30).step_by(2) {
        scene.append(&format!("app.log.{number}.gz"), &whole[whole.len() - 9..]);
    }
    let records = scene.all(ringward, 30_000);
    assert!(count(&records).values().all(|times| *times == 30));
}

#[test]
fn a_damaged_one_is_read_as_far_as_it_can_and_the_rest_is_counted_once() {
    let scene = Scene::new();
    // Stored in blocks of less than 64 KiB: where one begins can't be read.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(numbered(0..30_000).as_bytes()).unwrap();
    let mut bytes = encoder.finish().unwrap();
    let (middle, len) = (bytes.len() / 2, bytes.len());
    bytes[middle..middle + (64 << 10)].fill(0xff);
    scene.append("app.log.1.gz", &bytes);
    scene.append("app.log.2.gz", [packed("whole\n"), b"and no gzip".to_vec()].concat());
    let ringward = scene.follow_with(FILES);
    ringward.said("app.log.1.gz is damaged");
    ringward.said("app.log.2.gz is damaged");
    let lost = |records: &Vec<Record>| records.iter().filter_map(|record| record.lost_bytes).collect::<Vec<_>>();
    assert!(scene.receiver.wait(PATIENCE, |records| lost(records).len() == 2));
    let state = stop(ringward);
    assert!(scene.receiver.wait_closed(PATIENCE));
    let before = scene.records(3);
    let mut lost = lost(&before);
    lost.sort_unstable();
    assert!(lost[0] == 11 && lost[1] > (len / 3) as u64 && lost[1] <= (len - middle) as u64, "{lost:?} of {len}");
    assert!(before.len() > 10_000 && messages(&before).contains(&"whole"), "{}", before.len());
    // Nothing of it is tried again.
    let ringward = scene.follow_with_in(state, FILES);
    scene.append("app.log", "after\n");
    let records = scene.all(ringward, before.len() + 1);
    assert_eq!(records.last().unwrap().msg, "after");
}

#[test]
fn it_is_its_beginning_that_tells_and_not_its_name() {
    let scene = Scene::new();
    scene.append("app.log.1.gz", "text\n");
    scene.append("app.log.2", packed("packed\n"));
    scene.append("app.log.3.gz", "");
    scene.append("app.log.4.gz", packed(""));
    scene.append("app.log.5.gz", ["first\n", "", "second\n", "no newline"].map(packed).concat());
    let ringward = scene.follow_with(FILES);
    scene.records(5);
    scene.append("app.log.3.gz", packed("later\n"));
    scene.records(6);
    // One that is made anew in its place is another one.
    scene.open("app.log.4.gz").set_len(0).unwrap();
    scene.append("app.log.4.gz", "plain now\n");
    let records = scene.all(ringward, 7);
    let mut seen = messages(&records);
    seen.sort_unstable();
    assert_eq!(seen, ["first", "later", "no newline", "packed", "plain now", "second", "text"]);
    assert!(records.iter().all(|record| record.partial == (record.msg == "no newline")));
}

#[test]
fn not_asked_for_it_is_not_read_and_that_is_said_once() {
    let scene = Scene::new();
    scene.append("app.log", "1\n");
    scene.append("app.log.1.gz", packed("packed\n"));
    let ringward = scene.follow("app.log*");
    let said = ringward.said("is compressed, and not read");
    assert!(said.contains("app.log.1.gz") && said.contains("`gzip: true`"), "{said}");
    scene.append("app.log.2.gz", packed("packed\n"));
    scene.append("app.log", "2\n");
    let records = scene.all(ringward, 2);
    assert_eq!(messages(&records), ["1", "2"]);
}

#[test]
fn from_the_end_only_what_follows_what_was_read() {
    let scene = Scene::new();
    let files = "- {include: ['FOLDER/app.log*'], gzip: true, read_from: end}";
    scene.append("app.log", "before\n");
    scene.append("app.log.1.gz", packed("long before\n"));
    let ringward = scene.follow_with(files);
    let state = stop(ringward);
    scene.append("app.log", "1\n");
    scene.rename("app.log", "app.log.0");
    gzip(&scene.path("app.log.0"));
    let ringward = scene.follow_with_in(state, files);
    scene.records(1);
    scene.append("app.log.3.gz", packed("2\n"));
    let records = scene.all(ringward, 2);
    assert_eq!(messages(&records), ["1", "2"]);
}

#[test]
fn of_containers_by_their_runtimes_names() {
    let scene = Scene::new();
    let id = "0123456789abcdef".repeat(4);
    let (pod, docker) = ("log/pods/shop_web-0_6b1c/app/0.log", format!("docker/containers/{id}/{id}-json.log"));
    let cri = |text: &str| format!("2026-01-02T03:04:05.123456789Z stderr {text}\n");
    scene.append(pod, cri("P be") + &cri("F gin"));
    scene.append(&docker, "{\"log\":\"one\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.1Z\"}\n");
    let files = "- {include: ['FOLDER/log/pods/*/*/*.log*', 'FOLDER/docker/containers/*/*-json.log*'], gzip: true}";
    let ringward = scene.follow_with(files);
    scene.records(2);
    let state = stop(ringward);
    let rotate = |name: &str, to: &str, more: &str| {
        scene.append(name, more);
        scene.rename(name, to);
        gzip(&scene.path(to));
    };
    rotate(pod, "log/pods/shop_web-0_6b1c/app/0.log.20260101-120000", &(cri("P mid") + &cri("F dle")));
    let more = "{\"log\":\"two\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:06.1Z\"}\n";
    rotate(&docker, &format!("{docker}.1"), more);
    let ringward = scene.follow_with_in(state, files);
    let records = scene.all(ringward, 4);
    let mut seen: Vec<_> = records.iter().map(|r| (&*r.service, &*r.stream, &*r.msg)).collect();
    seen.sort_unstable();
    let id = &*id;
    let expected =
        [(id, "stdout", "one"), (id, "stdout", "two"), ("app", "stderr", "begin"), ("app", "stderr", "middle")];
    assert_eq!(seen, expected);
    assert!(records.iter().filter(|record| record.service == "app").all(|record| record.text("pod") == "web-0"));
}
