//! Both sockets, byte for byte.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Instant;

use crate::daemon::{BOTH, Client, DUMP, Entry, FOLLOW, Memlogd, Sockets, command, texts, wait_until};
use crate::harness::PATIENCE;
use crate::harness::daemon::Daemon;

#[test]
fn what_is_written_to_a_descriptor_is_read_from_the_ring() {
    let memlogd = Memlogd::start(&[]);
    let sockets = &memlogd.sockets;
    sockets.write("svc;a,b.out", b"html <a>&'\"\\ \xff\r\n\nlast");
    let entries = sockets.dump_with(|entry| entry.msg == "last");
    assert_eq!(
        texts(&entries),
        [
            ("memlogd", "memlogd started"),
            ("svc;a,b.out", "html <a>&'\"\\ \u{fffd}"),
            ("svc;a,b.out", ""),
            ("svc;a,b.out", "last"),
        ]
    );
    let line = sockets.ask(DUMP).rest().remove(1);
    let time = &entries[1].time;
    let expected = format!(
        "{{\"time\":\"{time}\",\"source\":\"svc;a,b.out\",\"msg\":\"html \\u003ca\\u003e\\u0026'\\\"\\\\ \\ufffd\"}}"
    );
    assert_eq!(String::from_utf8_lossy(&line), expected);
    // Standard output has the same, with the bytes as they were (which the test reads with replacements).
    let printed = memlogd.daemon.wait_for_stdout(PATIENCE, |line| line.ends_with("last")).unwrap();
    assert_eq!(printed, format!("{};svc\\;a,b.out;last", entries[3].time));
    assert_eq!(memlogd.daemon.stdout()[1], format!("{time};svc\\;a,b.out;html <a>&'\"\\ \u{fffd}"));
}

#[test]
fn the_modes_give_what_is_there_and_what_comes() {
    let memlogd = Memlogd::start(&[]);
    let sockets = &memlogd.sockets;
    sockets.write("a", b"one\n");
    sockets.dump_with(|entry| entry.is("a", "one"));
    let (mut follow, mut both) = (sockets.ask(FOLLOW), sockets.ask(BOTH));
    assert_eq!(Entry::parse(&both.line()).msg, "memlogd started");
    assert_eq!(Entry::parse(&both.line()).msg, "one");
    // The follower sees what comes once it is one: at the latest what comes when it has seen something.
    let mut first = String::new();
    let mut number = 0;
    wait_until("followed", || {
        number += 1;
        sockets.write("b", format!("{number}\n").as_bytes());
        follow_ready(&mut follow, &mut first)
    });
    assert_ne!(first, "one");
    for expected in 1..=number {
        assert_eq!(Entry::parse(&both.line()).msg, expected.to_string());
    }
    let first: u32 = first.parse().unwrap();
    for expected in first + 1..=number {
        assert_eq!(Entry::parse(&follow.line()).msg, expected.to_string());
    }
    let dumped = sockets.dump();
    assert_eq!(dumped.len(), 2 + number as usize);
}

/// Whether the follower has an entry already.
fn follow_ready(client: &mut Client, first: &mut String) -> bool {
    let Some(line) = client.line_within(std::time::Duration::from_millis(20)) else { return false };
    *first = Entry::parse(&line).msg;
    true
}

#[test]
fn the_old_text_format_is_what_old_clients_read() {
    let memlogd = Memlogd::start(&["-text"]);
    memlogd.sockets.write("svc;a,b.out", b"body; with, both\n");
    let mut client = memlogd.sockets.ask(BOTH);
    let first = String::from_utf8(client.line()).unwrap();
    assert!(first.ends_with("Z,memlogd;memlogd started"), "{first}");
    let second = String::from_utf8(client.line()).unwrap();
    let (time, rest) = second.split_once(',').unwrap();
    assert_eq!(rest, "svc_a_b.out;body; with, both");
    assert!(time.starts_with("20") && time.ends_with('Z') && time.contains('.'), "{time}");
}

#[test]
fn so_many_lines_are_kept_and_no_more() {
    let memlogd = Memlogd::start(&["-max-lines", "50"]);
    let sockets = &memlogd.sockets;
    let lines: String = (0..1000).map(|number| format!("{number}\n")).collect();
    sockets.write("a", lines.as_bytes());
    sockets.dump_with(|entry| entry.msg == "999");
    let messages: Vec<String> = sockets.dump().into_iter().map(|entry| entry.msg).collect();
    let expected: Vec<String> = (950..1000).map(|number: u32| number.to_string()).collect();
    assert_eq!(messages, expected);
}

/// Not the most that there could be, which is 1 GB here.
#[test]
fn memory_follows_the_lines_that_there_are() {
    let memlogd = Memlogd::start(&["-max-lines", "1000", "-max-line-len", "1048576"]);
    let Memlogd { sockets, daemon } = &memlogd;
    sockets.dump();
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB")).unwrap();
        kib.trim().parse::<u64>().unwrap() / 1024
    };
    let before = resident();
    // One by one, so that each is a batch of its own: 0.1 MB.
    let (mut pipe, begun) = (sockets.pipe("a"), Instant::now());
    for number in 0..1000 {
        writeln!(pipe, "{number:0100}").unwrap();
        while rustix::io::ioctl_fionread(&pipe).unwrap() > 0 {
            assert!(begun.elapsed() < PATIENCE, "it is not read");
            std::thread::yield_now();
        }
    }
    let last = format!("{:0100}", 999);
    assert_eq!(sockets.dump_with(|entry| entry.msg == last).len(), 1000);
    let (short, line) = (resident(), "x".repeat(100_000));
    assert!(short - before < 16, "{before} MiB became {short}");
    for _ in 0..200 {
        writeln!(pipe, "{line}").unwrap();
    }
    pipe.write_all(b"the end\n").unwrap();
    sockets.dump_with(|entry| entry.msg == "the end");
    let long = resident();
    assert!((15..200).contains(&(long - before)), "20 MB of lines: {before} MiB became {long}");
}

#[test]
fn long_lines_are_cut_between_characters_or_as_memlogd_does() {
    let text = format!("{}ä tail\nnext\n", "x".repeat(9));
    let memlogd = Memlogd::start(&["-max-line-len=10"]);
    memlogd.sockets.write("a", text.as_bytes());
    let entries = memlogd.sockets.dump_with(|entry| entry.msg == "next");
    let (cut, next) = (&entries[entries.len() - 2], &entries[entries.len() - 1]);
    assert_eq!((cut.msg.as_str(), cut.cut, next.cut), ("xxxxxxxxx", true, false));

    let memlogd = Memlogd::start(&["--max-line-len", "10", "-cut-bytes"]);
    memlogd.sockets.write("a", text.as_bytes());
    let entries = memlogd.sockets.dump_with(|entry| entry.msg == "next");
    let cut = &entries[entries.len() - 2];
    assert_eq!((cut.msg.as_str(), cut.cut), ("xxxxxxxxx\u{fffd}", false));
}

#[test]
fn an_unknown_mode_gets_an_answer_and_the_end() {
    let memlogd = Memlogd::start(&[]);
    let answer = memlogd.sockets.ask(b'0').rest();
    assert_eq!(answer.len(), 1);
    let entry = Entry::parse(&answer[0]);
    assert!(
        entry.is("memlogd", "unknown mode 48: 0 gives what is there, 1 what comes from now on, 2 both"),
        "{entry:?}"
    );
}

#[test]
fn a_client_that_only_closes_its_sending_still_reads() {
    let memlogd = Memlogd::start(&[]);
    // Before its first byte: a dump, and memlogd says that no mode came.
    let stream = UnixStream::connect(memlogd.sockets.query()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let entries = Client::of(stream).rest();
    assert_eq!(Entry::parse(&entries[0]).msg, "memlogd started");
    memlogd.sockets.dump_with(|entry| entry.is("memlogd", "No mode received: EOF"));
    // After it: a follower all the same.
    let mut stream = UnixStream::connect(memlogd.sockets.query()).unwrap();
    stream.write_all(&[BOTH]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut client = Client::of(stream);
    memlogd.sockets.write("a", b"later\n");
    while Entry::parse(&client.line()).msg != "later" {}
}

#[test]
fn an_idle_client_blocks_nobody() {
    let memlogd = Memlogd::start(&[]);
    let idle: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(memlogd.sockets.query()).unwrap()).collect();
    assert_eq!(memlogd.sockets.dump().len(), 1);
    drop(idle);
}

#[test]
fn sockets_are_removed_at_the_end_and_stale_ones_replaced() {
    let mut memlogd = Memlogd::start(&[]);
    memlogd.sockets.write("a", b"before the end\n");
    memlogd.sockets.dump_with(|entry| entry.msg == "before the end");
    // A second one does not take them away from the first.
    let mut second = Daemon::spawn(&mut command(&memlogd.sockets, &[]));
    let status = second.wait(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(second.log().iter().any(|line| line.contains("a running program listens on it")), "{:?}", second.log());
    // After a kill the files are there; the next one takes their place.
    memlogd.daemon.signal(rustix::process::Signal::KILL);
    memlogd.daemon.wait(PATIENCE);
    assert!(memlogd.sockets.log().exists() && memlogd.sockets.query().exists());
    let sockets = std::mem::replace(&mut memlogd.sockets, Sockets::new());
    let memlogd = Memlogd::start_at(sockets, &[]);
    assert_eq!(texts(&memlogd.sockets.dump()), [("memlogd", "memlogd started")]);
    let mut follower = memlogd.sockets.ask(BOTH);
    follower.line();
    let sockets = memlogd.stop();
    // The follower is told by the end.
    assert_eq!(follower.next_line(), None);
    assert!(!sockets.log().exists() && !sockets.query().exists());
}

#[test]
fn what_was_written_before_the_end_is_read_by_those_who_follow() {
    let memlogd = Memlogd::start(&[]);
    let mut follower = memlogd.sockets.ask(BOTH);
    assert_eq!(Entry::parse(&follower.line()).msg, "memlogd started");
    let mut pipe = memlogd.sockets.pipe("a");
    let lines: String = (0..500).map(|number| format!("{number}\n")).collect();
    pipe.write_all(lines.as_bytes()).unwrap();
    pipe.write_all(b"unfinished").unwrap();
    memlogd.stop();
    let messages: Vec<String> = follower.rest().iter().map(|line| Entry::parse(line).msg).collect();
    let expected: Vec<String> =
        (0..500).map(|number: u32| number.to_string()).chain(["unfinished".to_owned()]).collect();
    assert_eq!(messages, expected);
}

/// As LinuxKit's `startmemlogd` does: it binds both, and starts a container's `memlogd` with them.
#[test]
fn sockets_that_were_bound_before_are_passed_to_it() {
    let sockets = Sockets::new();
    let log = UnixDatagram::bind(sockets.log()).unwrap();
    let query = UnixListener::bind(sockets.query()).unwrap();
    let inherited = [log.as_fd(), query.as_fd()];
    inherited.iter().for_each(|socket| rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).unwrap());
    let link = sockets.folder().join("memlogd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ringward"), &link).unwrap();
    // What is sent before it runs is not lost.
    sockets.write("early", b"before\n");
    let [log, query] = inherited.map(|socket| socket.as_raw_fd());
    let mut memlogd = std::process::Command::new(&link);
    memlogd.args(["-fd-log".into(), log.to_string(), format!("-fd-query={query}"), "-max-lines=50".into()]);
    let mut daemon = Daemon::start(&mut memlogd, "ready: memlogd");
    sockets.dump_with(|entry| entry.is("early", "before"));
    assert!(daemon.stop(PATIENCE).unwrap().success(), "{:?}", daemon.log());
    // They are not its own.
    assert!(sockets.log().exists() && sockets.query().exists());
}

#[test]
fn it_goes_into_the_background_with_its_sockets() {
    let sockets = Sockets::new();
    let status = command(&sockets, &["-daemonize", "-max-lines", "7"]).status().unwrap();
    assert!(status.success());
    // Bound before the parent ended.
    sockets.write("a", b"1\n2\n3\n4\n5\n6\n7\n8\n");
    sockets.dump_with(|entry| entry.msg == "8");
    assert_eq!(sockets.dump().len(), 7);
    let stream = UnixStream::connect(sockets.query()).unwrap();
    rustix::process::kill_process(runs_with(&sockets.query()), rustix::process::Signal::TERM).unwrap();
    // Its end is seen by the end of the connection.
    let mut rest = Vec::new();
    let _ = (&stream).read_to_end(&mut rest);
    wait_until("removed", || !sockets.log().exists() && !sockets.query().exists());
}

/// The process that has `path` among its arguments; there is one.
fn runs_with(path: &std::path::Path) -> rustix::process::Pid {
    use std::os::unix::ffi::OsStrExt;
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        let arguments = std::fs::read(entry.path().join("cmdline")).ok()?;
        let has = arguments.split(|byte| *byte == 0).any(|argument| argument == path.as_os_str().as_bytes());
        if has { rustix::process::Pid::from_raw(number) } else { None }
    };
    let found: Vec<_> = std::fs::read_dir("/proc").unwrap().filter_map(of).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}
