//! `ringward`'s `logread`, both `logwrite`s and `kmsg`.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use crate::daemon::{Memlogd, Sockets, command, content, program, texts, wait_until};
use crate::harness::PATIENCE;
use crate::harness::daemon::Daemon;
use crate::harness::process::output;

fn flag(text: &str) -> &OsStr {
    OsStr::new(text)
}

#[test]
fn logread_prints_what_is_there_and_what_comes() {
    let memlogd = Memlogd::start(&[]);
    memlogd.sockets.write("svc;a.out", "first <\u{e9}>\n\nlast".as_bytes());
    let entries = memlogd.sockets.dump_with(|entry| entry.msg == "last");
    let printed = output(&mut program("logread", &[flag("-socket"), memlogd.sockets.query().as_os_str()]));
    let expected: String = entries
        .iter()
        .map(|entry| format!("{};{};{}\n", entry.time, entry.source.replace(';', "\\;"), entry.msg))
        .collect();
    assert_eq!(printed, expected);
    // Following, under its own name; it ends well with the daemon.
    let link = memlogd.sockets.folder().join("logread");
    symlink(env!("CARGO_BIN_EXE_ringward"), &link).unwrap();
    let mut following = Daemon::spawn(Command::new(link).arg("-F").arg("--socket").arg(memlogd.sockets.query()));
    following.wait_for_stdout(PATIENCE, |line| line.ends_with("svc\\;a.out;last")).unwrap();
    memlogd.sockets.write("later", b"and more\n");
    following.wait_for_stdout(PATIENCE, |line| line.ends_with(";later;and more")).unwrap();
    memlogd.stop();
    assert!(following.wait(PATIENCE).unwrap().success());
    assert_eq!(following.stdout().len(), expected.lines().count() + 1);
}

#[test]
fn logread_without_a_daemon_says_so() {
    let sockets = Sockets::new();
    let output = program("logread", &[flag("-socket"), sockets.query().as_os_str()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("can't be read: No such file"), "{output:?}");
    let output = program("logread", &[flag("-x")]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_wrapper_passes_the_commands_output_to_memlogd_and_on() {
    let memlogd = Memlogd::start(&[]);
    let script = "echo out; echo err >&2; printf 'no newline'; exit 7";
    let run = |name: &[&str]| {
        let mut wrapper = program("logwrite", &[flag("-socket"), memlogd.sockets.log().as_os_str()]);
        wrapper.args(name).args(["sh", "-c", script]).output().unwrap()
    };
    let output = run(&["-n", "svc"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\nno newline"[..], &b"err\n"[..]));
    let entries = memlogd.sockets.dump_with(|entry| entry.msg == "no newline");
    assert!(entries.iter().any(|entry| entry.is("svc.out", "out")));
    assert!(entries.iter().any(|entry| entry.is("svc.out", "no newline")));
    memlogd.sockets.dump_with(|entry| entry.is("svc", "err"));
    // Without a name it is the command's; `--` ends our flags.
    assert_eq!(run(&["--"]).status.code(), Some(7));
    memlogd.sockets.dump_with(|entry| entry.is("sh.out", "no newline"));
    // A command that is not there, one that a signal ends, and no memlogd.
    let status = |arguments: &[&str]| {
        let mut wrapper = program("logwrite", &[flag("-socket"), memlogd.sockets.log().as_os_str()]);
        wrapper.args(arguments).stderr(Stdio::null()).status().unwrap().code()
    };
    assert_eq!(status(&["/nonexistent"]), Some(1));
    assert_eq!(status(&["sh", "-c", "kill -9 $$"]), Some(255));
    let nobody = Sockets::new();
    let log = nobody.log();
    let output = program("logwrite", &[flag("-socket"), log.as_os_str(), flag("true")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("can't be reached"), "{output:?}");
}

#[test]
fn the_two_logwrites_are_told_apart() {
    for wrong in [&["-n", "x"][..], &["-log-dir", "/tmp", "true"]] {
        let words: Vec<&OsStr> = wrong.iter().map(|word| flag(word)).collect();
        assert_eq!(program("logwrite", &words).output().unwrap().status.code(), Some(2), "{wrong:?}");
    }
}

/// A disk writer into `logs` of the sockets' folder.
fn disk_writer(sockets: &Sockets, arguments: &[&str]) -> Daemon {
    let logs = sockets.folder().join("logs");
    std::fs::create_dir_all(&logs).unwrap();
    let mut command = program("logwrite", &[flag("-socket"), sockets.query().as_os_str()]);
    Daemon::spawn(command.arg("-log-dir").arg(logs).args(arguments))
}

#[test]
fn the_disk_writer_keeps_and_rotates_files() {
    let memlogd = Memlogd::start(&[]);
    let sockets = &memlogd.sockets;
    sockets.write("a.out", b"one\ntwo\n");
    sockets.write("../evil", b"inside\n");
    sockets.write("logwrite", b"our own\n");
    let _writer = disk_writer(sockets, &["-max-log-size", "100", "-max-log-files", "2"]);
    let logs = sockets.folder().join("logs");
    wait_until("written", || content(&logs.join("..%2Fevil.log")).ends_with("Z ../evil inside\n"));
    let text = content(&logs.join("a.out.log"));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    let (time, rest) = lines[1].split_once(' ').unwrap();
    assert_eq!((time.len(), rest), ("2026-11-20T22:56:37Z".len(), "a.out two"));
    assert!(!sockets.folder().join("evil.log").exists() && !logs.join("logwrite.log").exists());
    // 36 bytes a line: three pass the limit.
    let lines: String = (0..9).map(|number| format!("{number:0>12}\n")).collect();
    sockets.write("b", lines.as_bytes());
    wait_until("rotated", || content(&logs.join("b.log.1")).ends_with("5\n"));
    wait_until("rotated", || content(&logs.join("b.log.0")).ends_with("8\n"));
    assert_eq!(content(&logs.join("b.log")), "");
    assert!(!logs.join("b.log.2").exists());
}

#[test]
fn the_disk_writer_goes_on_with_the_next_daemon() {
    let memlogd = Memlogd::start(&[]);
    let mut writer = disk_writer(&memlogd.sockets, &[]);
    let log = memlogd.sockets.folder().join("logs/a.log");
    memlogd.sockets.write("a", b"1\n2\n");
    wait_until("written", || content(&log).lines().count() == 2);
    let sockets = memlogd.stop();
    writer.wait_for(PATIENCE, |line| line.contains("is away, and is asked again")).expect("it says so");
    let memlogd = Memlogd::start_at(sockets, &[]);
    memlogd.sockets.write("a", b"3\n");
    wait_until("written again", || content(&log).lines().count() == 3);
    // It waited, and did not ask all the time: its log says it once.
    assert_eq!(writer.log().iter().filter(|line| line.contains("is away")).count(), 1);
    assert!(writer.stop(PATIENCE).is_some());
}

#[test]
fn the_disk_writer_resumes_where_the_connection_broke() {
    // A daemon that hangs up in the middle of an entry, and gives its ring again.
    let sockets = Sockets::new();
    let listener = UnixListener::bind(sockets.query()).unwrap();
    let entry = |number: u32| {
        format!("{{\"time\":\"2026-11-20T22:56:37.{number:0>9}Z\",\"source\":\"a\",\"msg\":\"{number}\"}}\n")
    };
    let _writer = disk_writer(&sockets, &[]);
    let serve = |from: u32, until: u32, rest: &str| {
        let (mut stream, _) = listener.accept().unwrap();
        let mut mode = [0];
        stream.read_exact(&mut mode).unwrap();
        assert_eq!(mode, [2]);
        let text: String = (from..until).map(entry).collect();
        stream.write_all(format!("{text}{rest}").as_bytes()).unwrap();
    };
    serve(0, 5, &entry(5)[..20]);
    serve(2, 8, "");
    serve(7, 10, "");
    let log = sockets.folder().join("logs/a.log");
    wait_until("written", || content(&log).ends_with(" 9\n"));
    let numbers: Vec<u32> =
        content(&log).lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
}

#[test]
fn old_text_is_read_too() {
    let memlogd = Memlogd::start(&["-text"]);
    memlogd.sockets.write("a.out", b"x;y,z\n");
    let printed = || output(&mut program("logread", &[flag("-socket"), memlogd.sockets.query().as_os_str()]));
    wait_until("printed", || printed().ends_with("Z;a.out;x;y,z\n"));
}

#[test]
fn kmsg_prints_records_as_linuxkits_does() {
    let sockets = Sockets::new();
    // One record of the device in a file, which is read at once.
    let device = sockets.folder().join("kmsg");
    std::fs::write(&device, "6,339,5140900,-;NET: \\x09x\n SUBSYSTEM=acpi\n").unwrap();
    let output = program("kmsg", &[flag("-device"), device.as_os_str()]).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    let (number, rest) = text.split_once(" - ").unwrap();
    let (time, rest) = rest.split_once(": ").unwrap();
    assert_eq!((number, rest), ("(339)", "NET: \\x09x\n SUBSYSTEM=acpi\n"));
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    let missing = program("kmsg", &[flag("-device=/nonexistent")]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn a_blocked_standard_output_does_not_block_the_daemon() {
    let sockets = Sockets::new();
    let (read, write) = std::io::pipe().unwrap();
    // As it is started by an init that does not read what it prints.
    let mut child = command(&sockets, &["-max-lines", "1000"]).stdout(write).stderr(Stdio::null()).spawn().unwrap();
    wait_until("bound", || sockets.log().exists() && sockets.query().exists());
    let lines: String = (0..20_000).map(|number| format!("{number:0>50}\n")).collect();
    sockets.write("a", lines.as_bytes());
    let last = format!("{:0>50}", 19_999);
    let entries = sockets.dump_with(|entry| entry.msg == last);
    assert!(texts(&entries).len() >= 1000);
    // Whoever reads at last is told what is missing.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        { read }.read_to_string(&mut text).map(|_| text)
    });
    wait_until("ended", || {
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.try_wait().unwrap().is_some()
    });
    let text = reader.join().unwrap().unwrap();
    let lost: u64 = text
        .lines()
        .filter_map(|line| line.split_once(" records were lost before they could be sent to standard output"))
        .map(|(count, _)| count.rsplit(';').next().unwrap().parse::<u64>().unwrap())
        .sum();
    let shown = text.lines().filter(|line| line.contains(";a;")).count() as u64;
    assert!(lost > 0);
    assert_eq!(shown + lost, 20_000);
}
