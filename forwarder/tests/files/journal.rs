//! The journal: files that systemd's own programs write, read by the real `ringward`. Those with journald need root.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::PATIENCE;
use crate::harness::journald::{Journald, Writer};
use crate::harness::receiver::{Receiver, Record};
use crate::harness::ringward::Ringward;
use crate::{Scene, count, messages};

/// Ringward with nothing but the journal in `folders`; `more` are further lines of its configuration.
#[track_caller]
fn read_in(state: tempfile::TempDir, receiver: &str, folders: &[PathBuf], more: &str) -> Ringward {
    let config = crate::harness::folder();
    let path = config.path().join("ringward.yaml");
    let folders: Vec<_> = folders.iter().map(|folder| folder.to_str().unwrap()).collect();
    let text = format!("journal:\n  enabled: true\n  folders: [{}]\n{more}\n", folders.join(", "));
    std::fs::write(&path, text).unwrap();
    let mut arguments = vec!["--no-kernel", "--no-containers", "--config", path.to_str().unwrap()];
    if !more.contains("destinations:") {
        arguments.extend(["--to", receiver]);
    }
    Ringward::start_in(state, &arguments)
}

impl Scene {
    #[track_caller]
    fn read_journal_in(&self, state: tempfile::TempDir, more: &str) -> Ringward {
        read_in(state, &self.receiver.url(), &[self.folder.path().to_owned()], more)
    }

    #[track_caller]
    fn read_journal(&self, more: &str) -> Ringward {
        self.read_journal_in(crate::harness::folder(), more)
    }

    pub(crate) fn journal(&self, name: &str) -> Writer {
        Writer::to(&self.path(name))
    }
}

fn lines(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("line {number}")).collect()
}

/// What `journalctl` reads, as records have it: without what it adds, and with the text as `msg`.
fn journalctl(file: &Path) -> Vec<BTreeMap<String, Value>> {
    let output = Command::new("journalctl").args(["--all", "-o", "json", "--file"]).arg(file).output().unwrap();
    let objects = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let record = |line| {
        let mut object: BTreeMap<String, Value> = serde_json::from_slice(line).unwrap();
        object.retain(|name, _| !name.starts_with("__"));
        let message = object.remove("MESSAGE").unwrap_or_else(|| "".into());
        object.insert("msg".into(), message);
        object
    };
    objects.map(record).collect()
}

#[test]
fn records_are_what_journalctl_shows() {
    let scene = Scene::new();
    let long = "a long text ".repeat(200_000);
    let mut writer = scene.journal("m/system.journal");
    for number in 0..200 {
        let text = format!("line {number}\n\tand \"more\"");
        let pid = (number % 7).to_string();
        let mut fields: Vec<(&str, &[u8])> = vec![
            ("MESSAGE", text.as_bytes()),
            ("PRIORITY", b"5"),
            ("_PID", pid.as_bytes()),
            ("SYSLOG_IDENTIFIER", b"a"),
        ];
        match number % 4 {
            0 => fields.extend([("TAG", b"1".as_slice()), ("TAG", b"2")]),
            1 => drop(fields.remove(0)),
            2 if number % 50 == 2 => fields.push(("LONG", long.as_bytes())),
            _ => {}
        }
        writer.add(number, &fields);
    }
    writer.close();
    let ringward = scene.read_journal("  names: journal\n  max_field: 4MiB");
    let expected = journalctl(&scene.path("m/system.journal"));
    let records = scene.all(ringward, 200);
    for (number, (record, mut expected)) in records.iter().zip(expected).enumerate() {
        let mut fields = record.fields.clone();
        let time = fields.remove("talos-time").unwrap();
        assert_eq!(
            time,
            format!("2023-11-14T22:13:20.{}Z", format!("{number:03}").trim_end_matches('0')).replace(".Z", "Z")
        );
        assert_eq!((record.service.as_str(), fields.remove("talos-level")), ("a", Some("info".into())));
        fields.remove("talos-service");
        // Neither has an order among the values of one field.
        for object in [&mut fields, &mut expected] {
            if let Some(Value::Array(values)) = object.get_mut("TAG") {
                values.sort_by_key(ToString::to_string);
            }
        }
        assert!(fields == expected, "{fields:?}\n{expected:?}");
    }
}

/// The entry whose output the Kata documentation shows, and its neighbours that are not asked for.
#[test]
fn what_is_asked_for_comes_and_nothing_else() {
    let scene = Scene::new();
    let message =
        b"time=\"2020-02-21T10:31:27.810781647Z\" level=info msg=\"release sandbox\" arch=amd64 command=state";
    let entry = |identifier: &'static [u8]| -> Vec<(&str, &[u8])> {
        vec![
            ("PRIORITY", b"6"),
            ("_UID", b"0"),
            ("_SYSTEMD_UNIT", b"crio.service"),
            ("SYSLOG_IDENTIFIER", identifier),
            ("SYSLOG_FACILITY", b"3"),
            ("_PID", b"14314"),
            ("MESSAGE", message),
            ("_SOURCE_REALTIME_TIMESTAMP", b"1582281087810805"),
        ]
    };
    let mut writer = scene.journal("system.journal");
    writer.add(0, &entry(b"kata-runtime"));
    writer.add(1, &entry(b"crio"));
    writer.add(2, &entry(b"kata-shim"));
    writer.add(3, &[("MESSAGE", b"end"), ("END", b"1"), ("_UID", b"0")]);
    writer.close();
    let matches = "  matches: [{SYSLOG_IDENTIFIER: kata-runtime}, {SYSLOG_IDENTIFIER: kata-shim, _UID: '1'}, {END: '1', _UID: '0'}]";
    let ringward = scene.read_journal(matches);
    let records = scene.all(ringward, 2);
    let expected = serde_json::json!({
        "boot_id": "590edceeef5545a784ec8c6181a10400",
        "facility": "daemon",
        "identifier": "kata-runtime",
        "msg": std::str::from_utf8(message).unwrap(),
        "pid": "14314",
        "source_realtime_timestamp": "1582281087810805",
        "talos-level": "info",
        "talos-service": "kata-runtime",
        "talos-time": "2020-02-21T10:31:27.810805Z",
        "uid": "0",
        "unit": "crio.service",
    });
    assert_eq!(serde_json::to_value(&records[0].fields).unwrap(), expected);
    assert_eq!(records[1].msg, "end");
}

#[test]
fn an_entry_is_read_when_it_is_written() {
    let scene = Scene::new();
    let ringward = scene.read_journal("");
    // Neither the file nor its folder is there at the start.
    let mut writer = scene.journal("machine/system.journal");
    for number in 0..5 {
        writer.add_lines(number..number + 1);
        scene.records(number as usize + 1);
    }
    writer.close();
    let records = scene.all(ringward, 5);
    assert_eq!(messages(&records), lines(0..5));
}

#[test]
fn after_a_stop_nothing_of_the_journal_is_lost_or_doubled() {
    let scene = Scene::new();
    let mut state = crate::harness::folder();
    for round in 0..3 {
        let mut writer = scene.journal("system.journal");
        writer.add_lines(round * 200..round * 200 + 100);
        let ringward = scene.read_journal_in(state, "");
        writer.add_lines(round * 200 + 100..round * 200 + 200);
        writer.close();
        scene.records(round as usize * 200 + 200);
        let (stopped, kept) = ringward.stop_keeping_state();
        assert!(stopped.status.success(), "{stopped:?}");
        state = kept;
        // A file is known again by any name.
        if round == 1 {
            scene.rename("system.journal", "system@1.journal");
        }
    }
    assert!(scene.receiver.wait_closed(PATIENCE));
    assert_eq!(messages(&scene.records(600)), lines(0..600));
}

#[test]
fn from_the_end_only_what_is_new_comes_also_after_a_restart() {
    let scene = Scene::new();
    let mut writer = scene.journal("system.journal");
    writer.add_lines(0..10);
    writer.close();
    let (_, state) = scene.read_journal("  read_from: end").stop_keeping_state();
    let mut writer = scene.journal("system.journal");
    writer.add_lines(10..20);
    writer.close();
    let mut other = scene.journal("other.journal");
    let ringward = scene.read_journal_in(state, "  read_from: end");
    scene.records(10);
    other.add_lines(20..30);
    other.close();
    let records = scene.all(ringward, 20);
    assert_eq!(messages(&records), lines(10..30));
}

#[test]
fn a_file_that_was_set_back_is_read_again() {
    let scene = Scene::new();
    let add = |numbers| {
        let mut writer = scene.journal("system.journal");
        writer.add_lines(numbers);
        writer.close();
    };
    add(0..10);
    let before = std::fs::read(scene.path("system.journal")).unwrap();
    add(10..20);
    let ringward = scene.read_journal("");
    scene.records(20);
    let (_, mut state) = ringward.stop_keeping_state();
    // What comes then has numbers that were read: fewer of them first, and then more.
    for (round, more) in [(1, 100..103), (2, 200..220)] {
        std::fs::write(scene.path("system.journal"), &before).unwrap();
        add(more.clone());
        let ringward = scene.read_journal_in(state, "");
        wait_for_lines(&scene.receiver, more);
        ringward.said("is not what was read of it");
        (_, state) = ringward.stop_keeping_state();
        assert_eq!(scene.receiver.with(|records| count(records)["line 0"]), round + 1);
    }
    // And is known from then on.
    let ringward = scene.read_journal_in(state, "");
    add(300..301);
    wait_for_lines(&scene.receiver, 300..301);
    ringward.stop();
    assert!(scene.receiver.with(|records| count(records).get("line 219") == Some(&1)));
}

#[test]
fn files_are_read_as_one_by_time() {
    let scene = Scene::new();
    let mut writers = [scene.journal("m/system.journal"), scene.journal("m/user-1000.journal")];
    for number in 0..100 {
        writers[number as usize % 2].add_lines(number..number + 1);
    }
    writers.into_iter().for_each(Writer::close);
    let ringward = scene.read_journal("");
    let records = scene.all(ringward, 100);
    assert_eq!(messages(&records), lines(0..100));
}

#[test]
fn a_damaged_file_gives_what_is_whole_and_says_what_is_not() {
    let scene = Scene::new();
    for (name, from) in [("damaged.journal", 0), ("whole.journal", 1000)] {
        let mut writer = scene.journal(name);
        writer.add_lines(from..from + 300);
        writer.close();
    }
    let path = scene.path("damaged.journal");
    let bytes = std::fs::read(&path).unwrap();
    let find = |text: &str| bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap() as u64;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    // The text of one entry has its object's type changed, and all objects after another one are gone.
    file.write_all_at(&[9], (find("MESSAGE=line 7") - 64) & !7).unwrap();
    file.set_len(find("MESSAGE=line 200")).unwrap();
    let ringward = scene.read_journal("");
    scene.receiver.wait(PATIENCE, |records| {
        let lost = records.iter().any(|record| record.fields.contains_key("lost-records"));
        lost && records.iter().filter(|record| record.msg.starts_with("line 1")).count() >= 400
    });
    ringward.said("damaged.journal: damaged at offset");
    ringward.stop();
    assert!(scene.receiver.wait_closed(PATIENCE));
    let records = scene.receiver.with(Clone::clone);
    let lost: u64 = records.iter().filter_map(|record| record.fields.get("lost-records")?.as_u64()).sum();
    let given = records.iter().filter(|record| !record.fields.contains_key("lost-records")).count() as u64;
    assert_eq!((given + lost, lost > 50), (600, true), "{lost} lost");
    let seen = count(&records);
    assert!(lines(1000..1300).iter().all(|line| seen.get(line.as_str()) == Some(&1)));
}

/// Waits until the state says `what`: nothing tells a test when it is saved but the state.
#[track_caller]
fn wait_for_state(folder: &Path, what: &str) {
    let begun = std::time::Instant::now();
    let state = || std::fs::read_to_string(folder.join("state.json")).unwrap_or_default();
    while !state().contains(what) {
        assert!(begun.elapsed() < PATIENCE, "no {what} in {}", state());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A report of a loss, to come.
#[track_caller]
fn lost(receiver: &Receiver) -> u64 {
    let amount = |record: &Record| record.fields.get("lost-records")?.as_u64();
    receiver.wait(PATIENCE, |records| records.iter().any(|record| amount(record).is_some()));
    receiver.with(|records| records.iter().filter_map(amount).sum())
}

#[test]
fn what_was_deleted_before_it_was_sent_is_counted() {
    let scene = Scene::new();
    let mut writer = scene.journal("system@1.journal");
    writer.add_lines(0..100);
    writer.close();
    let to = |url: &str| format!("destinations: [{{name: logs, endpoint: '{url}'}}]");
    let ringward = scene.read_journal(&to("tcp://127.0.0.1:1"));
    wait_for_state(ringward.state(), "\"seen\": 100");
    let state = ringward.kill();
    scene.delete("system@1.journal");
    let ringward = scene.read_journal_in(state, &to(&scene.receiver.url()));
    assert_eq!(lost(&scene.receiver), 100);
    let (stopped, state) = ringward.stop_keeping_state();
    assert!(stopped.log.iter().any(|line| line.contains("deleted before they were read")), "{stopped:?}");
    // It is said once, and the file forgotten.
    let ringward = scene.read_journal_in(state, &to(&scene.receiver.url()));
    scene.ended(ringward, 1);
}

/// What journald writes, from both its folders.
#[track_caller]
fn read_journald(state: tempfile::TempDir, receiver: &str, journald: &Journald) -> Ringward {
    read_in(state, receiver, &journald.folders(), "  matches: [{SYSLOG_IDENTIFIER: app}]")
}

#[track_caller]
fn wait_for_lines(receiver: &Receiver, numbers: std::ops::Range<u64>) {
    let wanted = lines(numbers);
    receiver.wait(PATIENCE, |records| {
        let seen = count(records);
        wanted.iter().all(|line| seen.contains_key(line.as_str()))
    });
}

#[test]
fn what_journald_copies_from_run_to_var_comes_once() {
    let journald = Journald::start("Storage=persistent");
    let receiver = Receiver::tcp().unwrap();
    journald.send_lines(0..50);
    let ringward = read_journald(crate::harness::folder(), &receiver.url(), &journald);
    wait_for_lines(&receiver, 0..50);
    journald.send_lines(50..100);
    journald.flush();
    journald.wait_for_files(|files| files.iter().all(|file| !file.to_str().unwrap().contains("/run/")));
    journald.send_lines(100..150);
    wait_for_lines(&receiver, 0..150);
    let (stopped, state) = ringward.stop_keeping_state();
    assert!(stopped.status.success(), "{stopped:?}");
    let ringward = read_journald(state, &receiver.url(), &journald);
    journald.send_lines(150..160);
    wait_for_lines(&receiver, 0..160);
    assert!(ringward.stop().status.success());
    assert!(receiver.wait_closed(PATIENCE));
    let records = receiver.with(Clone::clone);
    assert_eq!(messages(&records), lines(0..160), "{:?}", journald.files());
    assert!(
        records.iter().all(|record| record.fields["talos-level"] == "warn" && record.fields["identifier"] == "app")
    );
}

#[test]
fn what_journald_copied_while_nobody_read_comes_once() {
    let journald = Journald::start("Storage=persistent");
    let receiver = Receiver::tcp().unwrap();
    journald.send_lines(0..50);
    let ringward = read_journald(crate::harness::folder(), &receiver.url(), &journald);
    wait_for_lines(&receiver, 0..50);
    let (stopped, state) = ringward.stop_keeping_state();
    assert!(stopped.status.success(), "{stopped:?}");
    journald.flush();
    journald.wait_for_files(|files| files.iter().all(|file| !file.to_str().unwrap().contains("/run/")));
    journald.send_lines(50..60);
    let ringward = read_journald(state, &receiver.url(), &journald);
    wait_for_lines(&receiver, 0..60);
    assert!(ringward.stop().status.success());
    assert!(receiver.wait_closed(PATIENCE));
    assert_eq!(messages(&receiver.with(Clone::clone)), lines(0..60));
}

#[test]
fn what_journald_deleted_while_nobody_read_is_counted() {
    let journald = Journald::start("Storage=volatile\nRuntimeMaxFiles=2");
    let receiver = Receiver::tcp().unwrap();
    let archived = |files: &[PathBuf]| files.iter().filter(|file| file.to_str().unwrap().contains('@')).count();
    journald.send_lines(0..50);
    let ringward = read_journald(crate::harness::folder(), &receiver.url(), &journald);
    wait_for_lines(&receiver, 0..50);
    let (_, state) = ringward.stop_keeping_state();
    let mut last = 50;
    let known = journald.files();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        journald.send_lines(last..last + 20);
        last += 20;
        journald.rotate();
        journald.wait_for_files(|files| {
            let before = seen.len();
            seen.extend(
                files.iter().filter(|file| file.to_str().unwrap().contains('@') && !known.contains(file)).cloned(),
            );
            seen.len() > before && archived(files) <= 2
        });
    }
    journald.send_lines(last..last + 5);
    let ringward = read_journald(state, &receiver.url(), &journald);
    wait_for_lines(&receiver, last..last + 5);
    let lost = lost(&receiver);
    ringward.stop();
    assert!(receiver.wait_closed(PATIENCE));
    let records = receiver.with(Clone::clone);
    let seen = count(&records);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    let missing = lines(0..last + 5).iter().filter(|line| !seen.contains_key(line.as_str())).count() as u64;
    // journald has entries of its own among those that are lost.
    assert!(missing >= 20 && (missing..missing + 20).contains(&lost), "{missing} missing, {lost} said to be lost");
}

#[test]
fn killed_at_any_time_nothing_is_lost_while_journald_rotates() {
    let journald = Journald::start("Storage=volatile\nRuntimeMaxUse=500M\nRuntimeMaxFiles=1000");
    let receiver = Receiver::tcp().unwrap();
    let (mut state, mut last) = (crate::harness::folder(), 0);
    for round in 0..6 {
        let ringward = read_journald(state, &receiver.url(), &journald);
        for _ in 0..3 {
            journald.send_lines(last..last + 100);
            last += 100;
            journald.rotate();
        }
        receiver.wait(PATIENCE, |records| records.len() as u64 >= last * round / 6);
        state = ringward.kill();
    }
    let ringward = read_journald(state, &receiver.url(), &journald);
    wait_for_lines(&receiver, 0..last);
    let log = ringward.stop().log;
    let seen = receiver
        .with(|records| records.iter().map(|record| record.msg.clone()).collect::<std::collections::BTreeSet<_>>());
    let missing: Vec<_> = lines(0..last).into_iter().filter(|line| !seen.contains(line)).collect();
    assert!(missing.is_empty(), "{} of {last} missing: {missing:?}\n{log:?}", missing.len());
    assert_eq!(seen.len() as u64, last, "a line that nobody wrote: {seen:?}");
}

#[test]
fn an_inode_that_is_used_again_is_another_journal() {
    let scene = Scene::new();
    let archived = |name: &str, numbers| {
        let mut writer = scene.journal(name);
        writer.add_lines(numbers);
        writer.close();
        let file = OpenOptions::new().write(true).open(scene.path(name)).unwrap();
        // As journald marks a file that it will not add to.
        file.write_all_at(&[2], 16).unwrap();
    };
    archived("m/system@1.journal", 0..10);
    let ringward = scene.read_journal("");
    scene.records(10);
    archived("deep/er/system@2.journal", 10..20);
    let content = std::fs::read(scene.path("deep/er/system@2.journal")).unwrap();
    std::fs::write(scene.path("m/system@1.journal"), content).unwrap();
    scene.rename("m/system@1.journal", "m/system@2.journal");
    let records = scene.all(ringward, 20);
    assert_eq!(messages(&records), lines(0..20));
}

#[test]
fn what_journald_deletes_under_a_reader_that_is_late_is_counted() {
    let journald = Journald::start("Storage=volatile\nRuntimeMaxFiles=3");
    let receiver = Receiver::tcp().unwrap();
    journald.send_lines(0..50);
    let ringward = read_journald(crate::harness::folder(), &receiver.url(), &journald);
    wait_for_lines(&receiver, 0..50);
    ringward.pause();
    let mut seen = std::collections::BTreeSet::new();
    let mut last = 50;
    while seen.len() < 6 {
        journald.send_lines(last..last + 20);
        last += 20;
        let before = seen.len();
        journald.rotate();
        journald.wait_for_files(|files| {
            seen.extend(files.iter().filter(|file| file.to_str().unwrap().contains('@')).cloned());
            seen.len() > before
        });
    }
    journald.send_lines(last..last + 5);
    last += 5;
    ringward.signal(rustix::process::Signal::CONT);
    wait_for_lines(&receiver, last - 5..last);
    assert!(ringward.stop().status.success());
    assert!(receiver.wait_closed(PATIENCE));
    let records = receiver.with(Clone::clone);
    let lost: u64 = records.iter().filter_map(|record| record.fields.get("lost-records")?.as_u64()).sum();
    let seen = count(&records);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    let missing = lines(0..last).iter().filter(|line| !seen.contains_key(line.as_str())).count() as u64;
    assert!(missing > 0 && (missing..missing + 40).contains(&lost), "{missing} missing, {lost} said to be lost");
}
