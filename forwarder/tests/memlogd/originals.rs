//! LinuxKit's own programs against our sockets, and ours against its memlogd.
//!
//! They are Go programs, which `cargo xtask setup --test` installs below the target folder, or says why it can't. Another
//! folder with `memlogd`, `logread`, `logwrite` (the wrapper) and `disk/logwrite` is named by `RINGWARD_LINUXKIT`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::daemon::{Memlogd, Sockets, content, program, wait_until};
use crate::harness::daemon::Daemon;
use crate::harness::machine::{say_skipped, skip};
use crate::harness::process::output;
use crate::harness::target;

/// LinuxKit's program, or nothing where it can't be had: setup has left the reason then.
fn original(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("RINGWARD_LINUXKIT").map_or_else(|| target().join("linuxkit"), PathBuf::from);
    let found = folder.join(name);
    if found.is_file() {
        return Some(found);
    }
    match std::fs::read_to_string(folder.join("refused")) {
        Ok(why) => say_skipped(&format!("LinuxKit's {name}: {}", why.replace('\n', " "))),
        Err(_) => skip(&format!("LinuxKit's {name} is not in {}: `cargo xtask setup --test`", folder.display())),
    }
    None
}

const LINES: &str = "first <html> & \"quotes\" \\ \u{e9}\r\n\n\ttab\nlast";
const READ: [&str; 4] = ["first <html> & \"quotes\" \\ \u{e9}", "", "\ttab", "last"];

#[test]
fn linuxkits_logread_prints_what_ours_does() {
    let Some(logread) = original("logread") else { return };
    let memlogd = Memlogd::start(&[]);
    memlogd.sockets.write("svc;a.out", LINES.as_bytes());
    let entries = memlogd.sockets.dump_with(|entry| entry.msg == "last");
    let expected: String = entries
        .iter()
        .map(|entry| format!("{};{};{}\n", entry.time, entry.source.replace(';', "\\;"), entry.msg))
        .collect();
    let query = memlogd.sockets.query();
    let theirs = Command::new(&logread).arg("-socket").arg(&query).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&theirs.stdout), expected);
    assert_eq!(output(&mut program("logread", &[OsStr::new("-socket"), query.as_os_str()])), expected);
    // Following.
    let mut following = Daemon::spawn(Command::new(&logread).arg("-F").arg("-socket").arg(&query));
    memlogd.sockets.write("later", b"and more\n");
    assert!(following.wait_for_stdout(crate::harness::PATIENCE, |line| line.ends_with(";later;and more")).is_some());
    assert_eq!(following.stdout().len(), expected.lines().count() + 1);
    following.stop(crate::harness::PATIENCE);
}

#[test]
fn linuxkits_wrapper_sends_to_our_log_socket() {
    let Some(wrapper) = original("logwrite") else { return };
    let memlogd = Memlogd::start(&[]);
    let output = Command::new(wrapper)
        .arg("-socket")
        .arg(memlogd.sockets.log())
        .args(["-n", "svc", "sh", "-c", "echo out; echo err >&2; exit 7"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    // Its endings have changed with time.
    let out = memlogd.sockets.dump_with(|entry| entry.msg == "out").pop().unwrap();
    let err = memlogd.sockets.dump_with(|entry| entry.msg == "err").pop().unwrap();
    assert!(["svc.out", "svc.stdout"].contains(&out.source.as_str()), "{out:?}");
    assert!(["svc", "svc.stderr"].contains(&err.source.as_str()), "{err:?}");
}

/// The files that a disk writer makes of `memlogd`'s ring.
fn files(writer: &mut Command, sockets: &Sockets, name: &str) -> Vec<(String, String)> {
    let logs = sockets.folder().join(name);
    std::fs::create_dir(&logs).unwrap();
    writer.arg("-socket").arg(sockets.query()).arg("-log-dir").arg(&logs);
    writer.args(["-max-log-size", "2000", "-max-log-files", "3"]);
    let mut child = writer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("written", || content(&logs.join("end.log")).ends_with("the end\n"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    let mut found: Vec<_> = std::fs::read_dir(&logs)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), content(&entry.path())))
        .collect();
    found.sort();
    found
}

#[test]
fn linuxkits_disk_writer_makes_the_files_that_ours_makes() {
    let Some(disk) = original("disk/logwrite") else { return };
    let memlogd = Memlogd::start(&[]);
    let lines: String = (0..300).map(|number| format!("{number} {}\n", "é<>".repeat(number % 20))).collect();
    memlogd.sockets.write("svc.out", lines.as_bytes());
    memlogd.sockets.write("svc", LINES.as_bytes());
    memlogd.sockets.dump_with(|entry| entry.msg == "last");
    memlogd.sockets.dump_with(|entry| entry.msg.starts_with("299 "));
    memlogd.sockets.write("end", b"the end\n");
    let theirs = files(&mut Command::new(disk), &memlogd.sockets, "theirs");
    let ours = files(&mut program("logwrite", &[]), &memlogd.sockets, "ours");
    assert!(theirs.iter().any(|(name, _)| name == "svc.out.log.2"), "{theirs:?}");
    assert_eq!(theirs, ours);
}

#[test]
fn ours_work_with_linuxkits_memlogd() {
    let Some(memlogd) = original("memlogd") else { return };
    let sockets = Sockets::new();
    let mut daemon = Command::new(memlogd)
        .arg("-socket-log")
        .arg(sockets.log())
        .arg("-socket-query")
        .arg(sockets.query())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("bound", || sockets.log().exists() && sockets.query().exists());
    sockets.write("svc;a.out", LINES.as_bytes());
    let query = sockets.query();
    let mut logread = program("logread", &[OsStr::new("-socket"), query.as_os_str()]);
    let mut text = String::new();
    wait_until("read", || {
        text = output(&mut logread);
        text.ends_with(";last\n")
    });
    let messages: Vec<&str> =
        text.lines().map(|line| line.rsplit_once("\\;a.out;").map_or("", |(_, msg)| msg)).collect();
    assert_eq!(messages[1..], READ, "{text}");
    let log = sockets.log();
    let mut wrapper = program("logwrite", &[OsStr::new("-socket"), log.as_os_str(), OsStr::new("-n=w")]);
    assert!(wrapper.args(["sh", "-c", "echo by the wrapper"]).stdout(Stdio::null()).status().unwrap().success());
    wait_until("read", || output(&mut logread).ends_with(";w.out;by the wrapper\n"));
    sockets.write("end", b"the end\n");
    let files = files(&mut program("logwrite", &[]), &sockets, "ours");
    let wrapped = files.iter().find(|(name, _)| name == "w.out.log").map(|(_, text)| text.as_str());
    assert!(wrapped.is_some_and(|text| text.ends_with("Z w.out by the wrapper\n")), "{files:?}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&daemon), Signal::TERM).unwrap();
    daemon.wait().unwrap();
}
