//! Restarts: in order, by kill -9 at any time, with rotation meanwhile.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::harness::PATIENCE;
use crate::harness::receiver::Receiver;
use crate::harness::ringward::Ringward;
use crate::{Scene, messages, numbered};

#[test]
fn after_a_stop_nothing_is_lost_or_doubled() {
    let scene = Scene::new();
    let mut state = crate::harness::folder();
    for round in 0..4 {
        scene.append("a.log", numbered(round * 1000..round * 1000 + 500));
        let ringward = scene.follow_in(state, "*.log");
        scene.append("a.log", numbered(round * 1000 + 500..round * 1000 + 1000));
        scene.records((round + 1) * 1000);
        let (stopped, kept) = ringward.stop_keeping_state();
        assert!(stopped.status.success(), "{stopped:?}");
        state = kept;
    }
    assert!(scene.receiver.wait_closed(PATIENCE));
    let records = scene.records(4000);
    assert_eq!(messages(&records), numbered(0..4000).lines().collect::<Vec<_>>());
}

/// How often each number came, and how many came at all.
#[derive(Default)]
pub struct Seen {
    pub times: Vec<u32>,
    pub distinct: usize,
}

impl Seen {
    /// A receiver of lines with numbers.
    pub fn receiver() -> Receiver<Seen> {
        let receiver = Receiver::tcp_into(Seen::default(), |seen: &mut Seen, record| {
            let number: usize =
                record.msg.strip_prefix("line ").and_then(|number| number.parse().ok()).expect("a line");
            if seen.times.len() <= number {
                seen.times.resize(number + 1, 0);
            }
            seen.distinct += usize::from(seen.times[number] == 0);
            seen.times[number] += 1;
        });
        receiver.unwrap()
    }
}

#[test]
fn killed_at_any_time_nothing_is_lost_while_a_writer_rotates() {
    let folder = crate::harness::folder();
    let receiver = Seen::receiver();
    let path = folder.path().join("app.log");
    let writer = std::thread::spawn(move || {
        let (mut number, mut generation) = (0, 0);
        while generation < 50 {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
            let until = Instant::now() + Duration::from_millis(100);
            while Instant::now() < until {
                file.write_all(numbered(number..number + 20).as_bytes()).unwrap();
                number += 20;
                // A pace that leaves the receiver, which parses each line, something to do it with.
                std::thread::sleep(Duration::from_millis(1));
            }
            generation += 1;
            std::fs::rename(&path, path.with_file_name(format!("app.log.{generation}"))).unwrap();
        }
        number
    });
    // What is rotated away while nobody looks is found by its new name.
    let glob = folder.path().join("app.log*");
    let url = receiver.url();
    let arguments = ["--no-kernel", "--no-containers", "--file", glob.to_str().unwrap(), "--to", &url];
    let (mut state, mut kills) = (crate::harness::folder(), 0);
    while !writer.is_finished() {
        let before = receiver.with(|seen| seen.distinct);
        let ringward = Ringward::start_in(state, &arguments);
        receiver.wait(Duration::from_secs(1), |seen| seen.distinct > before + 300 * (kills % 5));
        state = ringward.kill();
        kills += 1;
    }
    let lines = writer.join().unwrap();
    let ringward = Ringward::start_in(state, &arguments);
    receiver.wait(PATIENCE, |seen| seen.distinct >= lines);
    let log = ringward.stop().log;
    receiver.with(|seen| {
        let missing: Vec<_> =
            (0..lines).filter(|number| seen.times.get(*number).is_none_or(|times| *times == 0)).collect();
        let some = &missing[..missing.len().min(10)];
        assert!(missing.is_empty(), "{} of {lines} missing after {kills} kills: {some:?}\n{log:?}", missing.len());
        assert_eq!(seen.times.len(), lines, "a line that nobody wrote");
    });
    assert!(kills >= 3, "it was killed {kills} times");
    assert!(receiver.broken().is_empty());
}

#[test]
fn what_was_rotated_away_meanwhile_is_read_on() {
    let scene = Scene::new();
    scene.append("app.log", "1\n");
    let ringward = scene.follow("app.log");
    scene.records(1);
    let (_, state) = ringward.stop_keeping_state();
    scene.append("app.log", "2\n");
    scene.rename("app.log", "app.log.1");
    scene.append("app.log", "3\n");
    let ringward = scene.follow_in(state, "app.log");
    let records = scene.all(ringward, 3);
    let mut seen = messages(&records);
    seen.sort_unstable();
    assert_eq!(seen, ["1", "2", "3"]);
}

#[test]
fn another_file_in_the_same_place_is_read_from_its_beginning() {
    let scene = Scene::new();
    scene.append("a.log", numbered(0..10));
    let ringward = scene.follow("*.log");
    scene.records(10);
    let (_, state) = ringward.stop_keeping_state();
    // The same inode with other content, and longer: as after a copy and truncation, or with an inode used again.
    scene.open("a.log").set_len(0).unwrap();
    scene.append("a.log", numbered(10..40));
    let ringward = scene.follow_in(state, "*.log");
    let records = scene.all(ringward, 40);
    assert_eq!(messages(&records), numbered(0..40).lines().collect::<Vec<_>>());
}

#[test]
fn what_is_known_of_files_that_are_gone_does_not_grow() {
    let scene = Scene::new();
    let ringward = scene.follow("*.log");
    for generation in 0..30 {
        scene.append(&format!("{generation}.log"), format!("{generation}\n"));
        scene.records(generation + 1);
        scene.delete(&format!("{generation}.log"));
    }
    let path = ringward.state().join("state.json");
    let known = || std::fs::read_to_string(&path).map_or(usize::MAX, |state| state.matches("\"inode\"").count());
    let deadline = Instant::now() + PATIENCE;
    // Nothing tells a test when the state is written but the state.
    while known() > 1 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(known() <= 1, "{}", std::fs::read_to_string(&path).unwrap());
    scene.ended(ringward, 30);
}
