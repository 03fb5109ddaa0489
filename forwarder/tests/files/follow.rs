//! Plain files: what was there, what is added, what appears, odd content.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::harness::PATIENCE;
use crate::{Scene, messages, name_of, numbered};

#[test]
fn what_was_there_comes_first_and_what_is_added_follows() {
    let scene = Scene::new();
    scene.append("a.log", numbered(0..1000));
    let ringward = scene.follow("*.log");
    scene.records(1000);
    for number in 1000..1100 {
        scene.append("a.log", numbered(number..number + 1));
    }
    scene.append("other.txt", "not wanted\n");
    let records = scene.all(ringward, 1100);
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record.msg, format!("line {number:08}"));
        assert_eq!(record.service, name_of(&scene.path("a.log")));
        assert!(!record.partial && record.stream.is_empty());
    }
}

#[test]
fn files_and_folders_that_appear_are_found() {
    let scene = Scene::new();
    let ringward = scene.follow("made/later/*/*.log");
    ringward.said("no file matches");
    scene.append("made/later/x/a.log", "first\n");
    scene.records(1);
    scene.append("made/later/x/b.log", "second\n");
    scene.records(2);
    scene.append("made/later/y/c.log", "third\n");
    scene.records(3);
    // The whole way is made again.
    std::fs::remove_dir_all(scene.path("made")).unwrap();
    scene.append("made/later/x/a.log", "fourth\n");
    let records = scene.all(ringward, 4);
    assert_eq!(messages(&records), ["first", "second", "third", "fourth"]);
}

#[test]
fn a_line_is_whole_however_it_is_written() {
    let scene = Scene::new();
    let ringward = scene.follow("*.log");
    let mut file = scene.open("a.log");
    for byte in b"one line, byte by byte\nanother\n" {
        file.write_all(&[*byte]).unwrap();
    }
    let long = "x".repeat(100_000);
    for piece in [&long, &long, "\n", "\n", "end\n"] {
        file.write_all(piece.as_bytes()).unwrap();
    }
    let records = scene.all(ringward, 5);
    assert_eq!(messages(&records), ["one line, byte by byte", "another", &long.repeat(2), "", "end"]);
}

#[test]
fn the_end_of_a_file_without_a_newline_comes_after_a_while_and_once() {
    let scene = Scene::new();
    let ringward = scene.follow_with("- {include: [FOLDER/*.log], idle_flush: 50ms, name: app}");
    scene.append("a.log", "whole\nlast words");
    let records = scene.records(2);
    assert!(records[1].partial && records[1].msg == "last words" && records[1].service == "app", "{records:?}");
    scene.append("a.log", " and more\nnext\n");
    let records = scene.all(ringward, 4);
    assert_eq!(messages(&records), ["whole", "last words", " and more", "next"]);
    assert!(!records[2].partial);
}

#[test]
fn a_line_of_ten_mebibytes_comes_in_parts_and_binary_as_it_can() {
    let scene = Scene::new();
    let long: String = (0..10 << 20).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
    scene.append("a.log", format!("{long}\nafter\n"));
    let ringward = scene.follow("*.log");
    let parts = (10 << 20) / (256 << 10);
    let records = scene.records(parts + 1);
    let joined: String = records[..parts].iter().map(|record| record.msg.as_str()).collect();
    assert!(joined == long, "a byte is missing or doubled");
    assert!(records[..parts - 1].iter().all(|record| record.partial) && !records[parts - 1].partial);
    assert_eq!(records[parts].msg, "after");
    let binary: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    let lines = binary.split(|byte| *byte == b'\n').count();
    scene.append("b.log", &binary);
    scene.append("b.log", "\n");
    let records = scene.all(ringward, parts + 1 + lines);
    let expected: Vec<_> = binary.split(|byte| *byte == b'\n').map(String::from_utf8_lossy).collect();
    for (record, expected) in records[parts + 1..].iter().zip(expected) {
        // How many replacements a run of bad bytes gets is the encoder's; what is text is there.
        let text = |text: &str| text.chars().filter(char::is_ascii).collect::<String>();
        assert_eq!(text(&record.msg), text(&expected));
    }
}

#[test]
fn five_thousand_files_and_a_line_in_any_of_them() {
    let scene = Scene::new();
    for number in 0..5000 {
        scene.append(&format!("{}/{number}.log", number % 50), format!("{number} a\n{number} b\n"));
    }
    let ringward = scene.follow("*/*.log");
    assert!(ringward.said("ready: ").contains("5000 files"), "{:?}", ringward.log());
    scene.records(10_000);
    for number in (0..5000).step_by(100) {
        scene.append(&format!("{}/{number}.log", number % 50), format!("{number} c\n"));
    }
    let records = scene.all(ringward, 10_050);
    let mut seen = messages(&records);
    seen.sort_unstable();
    let mut expected: Vec<_> = (0..5000).flat_map(|number| [format!("{number} a"), format!("{number} b")]).collect();
    expected.extend((0..5000).step_by(100).map(|number| format!("{number} c")));
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[test]
fn one_that_cannot_be_read_is_said_once_and_the_others_go_on() {
    let scene = Scene::new();
    let is_root = rustix::process::geteuid().is_root();
    let allow = |mode| std::fs::set_permissions(scene.path("secret.log"), std::fs::Permissions::from_mode(mode));
    scene.append("secret.log", "secret\n");
    allow(0).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, scene.path("fifo.log"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    std::fs::create_dir(scene.path("folder.log")).unwrap();
    symlink("/nowhere", scene.path("dangling.log")).unwrap();
    scene.append("a.log", "one\n");
    let ringward = scene.follow("*.log");
    scene.append("a.log", "two\n");
    ringward.said("fifo.log: it is no regular file");
    if is_root {
        eprintln!("root reads every file: that one without permission is said is not looked at");
    } else {
        scene.records(2);
        ringward.said("secret.log: Permission denied");
        allow(0o600).unwrap();
    }
    scene.records(3);
    let log = ringward.log();
    assert_eq!(log.iter().filter(|line| line.contains("fifo.log")).count(), 1, "{log:?}");
    scene.ended(ringward, 3);
}

#[test]
fn patterns_exclude_and_links_are_followed_once() {
    let scene = Scene::new();
    scene.append("real/a.txt", "by link\n");
    symlink(scene.path("real/a.txt"), scene.path("links/a.log")).unwrap();
    symlink(scene.path("real/a.txt"), scene.path("links/b.log")).unwrap();
    scene.append("links/skip.log", "excluded\n");
    let ringward = scene.follow_with("- {include: ['FOLDER/links/*.log'], exclude: ['FOLDER/*/skip*']}");
    scene.records(1);
    scene.append("real/a.txt", "more\n");
    let records = scene.all(ringward, 2);
    assert_eq!(messages(&records), ["by link", "more"]);
}

#[test]
fn from_the_end_and_too_old() {
    let scene = Scene::new();
    scene.append("end/a.log", "before\n");
    scene.append("old/a.log", "long ago\n");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    scene.open("old/a.log").set_modified(long_ago).unwrap();
    let ringward = scene.follow_with(
        "- {include: ['FOLDER/end/*.log'], read_from: end}\n- {include: ['FOLDER/old/*.log'], ignore_older: 1h}",
    );
    scene.append("end/a.log", "1\n");
    scene.records(1);
    scene.append("end/new.log", "2\n");
    scene.records(2);
    scene.append("old/a.log", "3\n");
    let records = scene.all(ringward, 3);
    assert_eq!(messages(&records), ["1", "2", "3"]);
}

#[test]
fn far_more_than_the_ring_holds_waits_for_the_receiver() {
    let scene = Scene::new();
    // Ten times what the ring holds, and faster than the receiver parses: without waiting most of it would be lost.
    let line = "y".repeat(1000);
    let mut file = scene.open("a.log");
    for number in 0..40_000 {
        writeln!(file, "{number} {line}").unwrap();
    }
    let ringward = scene.follow("*.log");
    assert!(scene.receiver.wait(PATIENCE, |records| records.len() >= 40_000));
    let records = scene.all(ringward, 40_000);
    for (number, record) in records.iter().enumerate() {
        assert!(record.msg.starts_with(&format!("{number} ")), "{number}: {}", &record.msg[..20]);
    }
}
