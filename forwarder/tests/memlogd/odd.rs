//! What nobody should send.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::daemon::{Memlogd, file, send_on, texts};

#[test]
fn every_kind_of_descriptor_is_read_to_its_end() {
    let memlogd = Memlogd::start(&[]);
    let sockets = &memlogd.sockets;
    // Several of one datagram, each a stream of its own.
    let (one, mut to_one) = std::io::pipe().unwrap();
    let (two, mut to_two) = UnixStream::pair().unwrap();
    sockets.send(b"several", &[OwnedFd::from(one), OwnedFd::from(two)]);
    to_one.write_all(b"o").unwrap();
    to_two.write_all(b"t").unwrap();
    to_one.write_all(b"ne\n").unwrap();
    to_two.write_all(b"wo\n").unwrap();
    let entries = sockets.dump_with(|entry| entry.msg == "two");
    assert!(entries.iter().any(|entry| entry.is("several", "one")), "{entries:?}");
    // A FIFO whose read end is sent once the writer has it open.
    let fifo = sockets.folder().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::from_raw_mode(0o600)).unwrap();
    let read = rustix::fs::open(&fifo, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let mut write = File::options().write(true).open(&fifo).unwrap();
    rustix::fs::fcntl_setfl(&read, OFlags::empty()).unwrap();
    sockets.send(b"fifo.out", &[read]);
    write.write_all(b"by fifo\nrest").unwrap();
    drop(write);
    sockets.dump_with(|entry| entry.is("fifo.out", "rest"));
    // A terminal: its lines end with a return and a newline.
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let slave = ptsname(&master, Vec::new()).unwrap();
    let mut terminal = File::options().read(true).write(true).open(slave.to_str().unwrap()).unwrap();
    sockets.send(b"tty", &[master]);
    terminal.write_all(b"by terminal\n").unwrap();
    drop(terminal);
    sockets.dump_with(|entry| entry.is("tty", "by terminal"));
    // A file, which epoll refuses.
    sockets.send(b"file", &[file(sockets.folder(), b"first\nsecond")]);
    let entries = sockets.dump_with(|entry| entry.is("file", "second"));
    assert!(entries.iter().any(|entry| entry.is("file", "first")));
}

#[test]
fn names_may_be_anything() {
    let memlogd = Memlogd::start(&[]);
    let sockets = &memlogd.sockets;
    let send = |name: &[u8], line: &[u8]| {
        let (read, mut write) = std::io::pipe().unwrap();
        sockets.send(name, &[read]);
        write.write_all(line).unwrap();
    };
    send(b"", b"no name\n");
    send(&[b'n'; 600], b"long name\n");
    send(b"\xff\n\0", b"no text\n");
    let find = |msg: &str| sockets.dump_with(|entry| entry.msg == msg).pop().unwrap().source;
    assert_eq!(find("no name"), "");
    assert_eq!(find("long name"), "n".repeat(512));
    assert_eq!(find("no text"), "\u{fffd}\n\0");
}

#[test]
fn what_cannot_be_read_is_told_and_harms_nobody() {
    let memlogd = Memlogd::start(&[]);
    let sockets = &memlogd.sockets;
    let mut steady = sockets.pipe("steady");
    let (read, write) = std::io::pipe().unwrap();
    for (fd, why) in [
        (OwnedFd::from(write), "it can't be read from"),
        (File::open(sockets.folder()).unwrap().into(), "it is a directory"),
        (File::open("/dev/zero").unwrap().into(), "it is a device"),
        (UnixListener::bind(sockets.folder().join("listens")).unwrap().into(), "it is a socket that listens"),
    ] {
        sockets.send(b"odd", &[fd]);
        sockets.dump_with(|entry| {
            entry.source == "memlogd"
                && entry.msg.starts_with(&format!("ERROR: a descriptor of \"odd\" is not read: {why}"))
        });
    }
    drop(read);
    // One that somebody else reads too gives what is left of it, and its reader never waits for more.
    let (mine, mut write) = std::io::pipe().unwrap();
    let mut other = mine.try_clone().unwrap();
    sockets.send(b"shared", &[mine]);
    let thief = std::thread::spawn(move || {
        let mut stolen = Vec::new();
        other.read_to_end(&mut stolen).map(|_| stolen.len())
    });
    for _ in 0..1000 {
        write.write_all(b"shared\n").unwrap();
    }
    drop(write);
    thief.join().unwrap().unwrap();
    steady.write_all(b"still here\n").unwrap();
    sockets.dump_with(|entry| entry.is("steady", "still here"));
}

#[test]
fn datagrams_of_any_length_are_survived() {
    let memlogd = Memlogd::start(&["-max-lines", "100000"]);
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(memlogd.sockets.log()).unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut without = 0;
    for round in 0..2000u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let len = (random >> 33) as usize % 65_001;
        let payload: Vec<u8> = (0..len).map(|index| (random >> (index % 57)) as u8).collect();
        if round % 10 == 0 {
            let (read, mut write) = std::io::pipe().unwrap();
            send_on(&socket, &payload, &[read]);
            write.write_all(format!("line {round}\n").as_bytes()).unwrap();
        } else {
            without += 1;
            let none: [OwnedFd; 0] = [];
            send_on(&socket, &payload, &none);
        }
    }
    memlogd.sockets.write("end", b"the end\n");
    // None is dropped without a word: each is told of, or counted among those that are left out.
    let told = |entries: &[crate::daemon::Entry]| -> u64 {
        let count =
            |entry: &crate::daemon::Entry| match entry.msg.strip_suffix(" more messages like these were left out") {
                Some(count) => count.trim_start_matches("ERROR: ").parse().unwrap(),
                None => u64::from(entry.msg.starts_with("ERROR: a datagram of ")),
            };
        entries.iter().filter(|entry| entry.source == "memlogd").map(count).sum()
    };
    let mut client = memlogd.sockets.ask(crate::daemon::BOTH);
    let mut entries = Vec::new();
    while told(&entries) < without || !entries.iter().any(|entry: &crate::daemon::Entry| entry.msg == "the end") {
        entries.push(crate::daemon::Entry::parse(&client.line()));
    }
    assert_eq!(told(&entries), without);
    let lines = texts(&entries).iter().filter(|(_, msg)| msg.starts_with("line ")).count();
    assert_eq!(lines, 200);
}

#[test]
fn a_thousand_descriptors_are_read_by_one_thread() {
    let memlogd = Memlogd::start(&["-max-lines", "100000"]);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
            ..rustix::process::getrlimit(rustix::process::Resource::Nofile)
        },
    )
    .unwrap();
    let mut pipes: Vec<_> = (0..1000).map(|number| memlogd.sockets.pipe(&format!("s{number}"))).collect();
    for line in 0..5 {
        for pipe in &mut pipes {
            pipe.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    }
    drop(pipes);
    let mut next = std::collections::BTreeMap::<String, u32>::new();
    let mut client = memlogd.sockets.ask(crate::daemon::BOTH);
    let mut seen = 0;
    while seen < 5000 {
        let entry = crate::daemon::Entry::parse(&client.line());
        if entry.source.starts_with('s') {
            let expected = next.entry(entry.source).or_default();
            assert_eq!(entry.msg, expected.to_string());
            *expected += 1;
            seen += 1;
        }
    }
    let threads = std::fs::read_dir(format!("/proc/{}/task", memlogd.daemon.id())).unwrap().count();
    assert!(threads < 10, "{threads} threads");
}
