//! Many followers, some of them stopped: nobody waits for anybody.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::daemon::{BOTH, Client, Entry, Memlogd};

/// What a follower saw of the numbered lines: how many, and how many it was told it missed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    lines: u64,
    missed: u64,
}

/// Follows the numbered lines of `n` to the last one, which is `total`. Entries are not parsed: fifty that do, in a build
/// that is not optimised, are not fast enough.
fn follow(client: Client, total: u64) -> Seen {
    follow_telling(client, total, &AtomicU64::new(0))
}

/// The same; `at` is the number of the last line.
fn follow_telling(mut client: Client, total: u64, at: &AtomicU64) -> Seen {
    let mut seen = Seen::default();
    loop {
        let line = client.line();
        let text = std::str::from_utf8(&line).unwrap();
        if let Some((_, line)) = text.split_once("\",\"source\":\"n\",\"msg\":\"") {
            seen.lines += 1;
            let number: u64 = line.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(number, seen.lines + seen.missed, "{seen:?}");
            at.store(number, Ordering::Relaxed);
            if number == total {
                return seen;
            }
            continue;
        }
        let entry = Entry::parse(&line);
        let (count, times) =
            entry.msg.split_once(" records were lost before they could be sent to client ").expect("a report");
        assert!(entry.source == "ringward" && times.contains(", written between 20"), "{entry:?}");
        seen.missed += count.parse::<u64>().unwrap();
    }
}

/// Starts a follower that has read the first entry, so that it is one.
fn following(memlogd: &Memlogd) -> Client {
    let mut client = memlogd.sockets.ask(BOTH);
    assert_eq!(Entry::parse(&client.line()).msg, "memlogd started");
    client
}

#[test]
fn fifty_followers_of_which_one_has_stopped() {
    // So many that only one who stopped falls behind, and he does.
    let memlogd = Memlogd::start(&["-max-lines", "24000"]);
    let total = 4000 * 10;
    let followers: Vec<_> = (0..49)
        .map(|_| {
            let client = following(&memlogd);
            let at = Arc::new(AtomicU64::new(0));
            let telling = Arc::clone(&at);
            (at, std::thread::spawn(move || follow_telling(client, total, &telling)))
        })
        .collect();
    let stopped = following(&memlogd);
    let mut pipe = memlogd.sockets.pipe("n");
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    for block in 0..total / 40 {
        // On a machine that does much else all of them are late. Nobody waits for the one that has stopped.
        let slowest = || followers.iter().map(|(at, _)| at.load(Ordering::Relaxed)).min();
        while slowest().is_some_and(|slowest| slowest + 12_000 < block * 40) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let lines: String = (1..=40).map(|line| format!("{} {}\n", block * 40 + line, "x".repeat(100))).collect();
        let before = Instant::now();
        pipe.write_all(lines.as_bytes()).unwrap();
        longest = longest.max(before.elapsed());
        let due = start + Duration::from_millis((block + 1) * 10);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    for (_, follower) in followers {
        assert_eq!(follower.join().unwrap(), Seen { lines: total, missed: 0 });
    }
    let stopped = follow(stopped, total);
    assert_eq!(stopped.lines + stopped.missed, total);
    assert!(stopped.missed > 0, "{stopped:?}");
    println!("the longest write took {longest:?}; the stopped follower missed {}", stopped.missed);
}

#[test]
fn two_followers_at_two_hundred_thousand_lines_a_second() {
    let memlogd = Memlogd::start(&["-max-lines", "1000000"]);
    let total = 400_000;
    let start = Arc::new(Barrier::new(2));
    let followers: Vec<_> = (0..2)
        .map(|_| {
            let client = following(&memlogd);
            std::thread::spawn(move || follow(client, total))
        })
        .collect();
    let written = Arc::new(AtomicU64::new(0));
    let writer = {
        let (start, written) = (Arc::clone(&start), Arc::clone(&written));
        let mut pipe = memlogd.sockets.pipe("n");
        std::thread::spawn(move || {
            start.wait();
            let begun = Instant::now();
            for block in 0..total / 200 {
                let lines: String =
                    (1..=200).map(|line| format!("{} {}\n", block * 200 + line, "x".repeat(90))).collect();
                pipe.write_all(lines.as_bytes()).unwrap();
                written.fetch_add(200, Ordering::Relaxed);
                let due = begun + Duration::from_millis(block + 1);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            begun.elapsed()
        })
    };
    start.wait();
    let took = writer.join().unwrap();
    for follower in followers {
        assert_eq!(follower.join().unwrap(), Seen { lines: total, missed: 0 });
    }
    println!("{} lines were written in {took:?}", written.load(Ordering::Relaxed));
}

/// What one read takes is whole sends: the buffer is larger than what a socket holds.
#[test]
fn an_entry_is_never_split_over_two_sends() {
    let memlogd = Memlogd::start(&["-max-lines", "100000", "-max-line-len", "20000"]);
    let mut stream = UnixStream::connect(memlogd.sockets.query()).unwrap();
    stream.write_all(&[BOTH]).unwrap();
    stream.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    let mut pipe = memlogd.sockets.pipe("n");
    let writer = std::thread::spawn(move || {
        for number in 0..5000usize {
            let len = number * 7919 % if number.is_multiple_of(50) { 20_000 } else { 300 };
            pipe.write_all(format!("{number} {}\n", "<".repeat(len / 6)).as_bytes()).unwrap();
        }
        pipe.write_all(b"the end\n").unwrap();
    });
    let mut buffer = vec![0; 4 << 20];
    loop {
        let read = stream.read(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..read]).unwrap();
        assert!(text.ends_with("\"}\n"), "split after {:?}", &text[text.len().saturating_sub(100)..]);
        if text.ends_with("\"msg\":\"the end\"}\n") {
            break;
        }
        // As a client that is busy: its socket is full meanwhile.
        std::thread::sleep(Duration::from_millis(40));
    }
    writer.join().unwrap();
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    let memlogd = Memlogd::start(&[]);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", memlogd.daemon.id())).unwrap().count();
    memlogd.sockets.dump();
    let before = open();
    for round in 0..200 {
        let mut stream = UnixStream::connect(memlogd.sockets.query()).unwrap();
        if round % 2 == 0 {
            stream.write_all(&[BOTH]).unwrap();
        }
        drop(stream);
        memlogd.sockets.write("a", format!("{round}\n").as_bytes());
    }
    memlogd.sockets.dump_with(|entry| entry.is("a", "199"));
    crate::daemon::wait_until("closed", || open() <= before + 2);
}
