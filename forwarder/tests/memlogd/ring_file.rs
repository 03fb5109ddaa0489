//! The ring in files: what entered it outlives the daemon, however that ends, and goes on to whom it has not reached.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use rustix::process::Signal;

use crate::daemon::{Entry, Memlogd, Sockets};
use crate::harness::PATIENCE;
use crate::harness::daemon::Daemon;
use crate::harness::receiver::{Receiver, Record};
use crate::harness::ringward::Ringward;
use crate::held::{restart, restart_when};

/// The numbers that came from the source `web.out`.
fn numbers(entries: &[Entry]) -> Vec<u64> {
    entries.iter().filter(|entry| entry.source == "web.out").map(|entry| entry.msg.parse().unwrap()).collect()
}

/// Writes numbered lines, and waits until the last of them is in the ring.
fn print(out: &mut impl Write, sockets: &Sockets, numbers: std::ops::Range<u64>) {
    let last = (numbers.end - 1).to_string();
    let lines = numbers.fold(String::new(), |mut lines, number| {
        let _ = writeln!(lines, "{number}");
        lines
    });
    out.write_all(lines.as_bytes()).unwrap();
    sockets.dump_with(|entry| entry.is("web.out", &last));
}

#[test]
fn memlogd_goes_on_with_what_was_in_the_ring() {
    let sockets = Sockets::new();
    let ring = sockets.folder().join("ring");
    let memlogd = Memlogd::start_at(sockets, &["-fd-holder", "-ring-file", ring.to_str().unwrap()]);
    let Memlogd { sockets, daemon } = &memlogd;
    let mut out = sockets.pipe("web.out");
    let mut written = 0;
    for signal in [Signal::TERM, Signal::KILL, Signal::KILL] {
        print(&mut out, sockets, written..written + 1000);
        // What is written meanwhile waits in the pipe.
        restart(daemon, signal, || writeln!(out, "{}", written + 1000).unwrap());
        written += 1001;
        let last = (written - 1).to_string();
        let entries = sockets.dump_with(|entry| entry.is("web.out", &last));
        assert_eq!(numbers(&entries), (0..written).collect::<Vec<_>>());
    }
    memlogd.stop();
}

/// `ringward run` with memlogd's sockets, the ring in files and one destination.
fn command(sockets: &Sockets, state: &Path, endpoint: &str, more: &[&str]) -> std::process::Command {
    let path = sockets.folder().join("ringward.yaml");
    let (log, query, ring) = (sockets.log(), sockets.query(), sockets.folder().join("ring"));
    let text = format!(
        "kernel: {{ enabled: false }}\ncapture: {{ containers: false }}\nring: {{ bytes: 8MiB, file: {} }}\n\
         memlogd: {{ enabled: true, log_socket: {}, query_socket: {} }}\n\
         destinations:\n- {{ name: a, endpoint: '{endpoint}', retry: {{ max: 100ms }} }}\n",
        ring.display(),
        log.display(),
        query.display()
    );
    std::fs::write(&path, text).unwrap();
    let mut command = Ringward::command(&["run", "--config", path.to_str().unwrap(), "--state-dir"]);
    command.arg(state).args(more);
    command
}

fn number(record: &Record) -> u64 {
    record.msg.parse().unwrap_or_else(|_| panic!("{record:?}"))
}

#[test]
fn destinations_go_on_where_they_were() {
    let (sockets, state) = (Sockets::new(), crate::harness::folder());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut daemon = Daemon::start(&mut command(&sockets, state.path(), &format!("tcp://{nobody}"), &[]), "ready: ");
    print(&mut sockets.pipe("web.out"), &sockets, 0..5000);
    daemon.signal(Signal::KILL);
    daemon.wait(PATIENCE);
    // Everything that had entered the ring arrives, once: none of it had been sent.
    let receiver = Receiver::tcp().unwrap();
    let arrived = |count: u64| {
        let records = receiver.wait_for("web", PATIENCE, |records| records.len() as u64 >= count);
        assert_eq!(records.iter().map(number).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
    };
    let mut written = 5000;
    for _ in 0..3 {
        let mut daemon = Daemon::start(&mut command(&sockets, state.path(), &receiver.url(), &[]), "ready: ");
        print(&mut sockets.pipe("web.out"), &sockets, written..written + 500);
        written += 500;
        // Nothing is lost by SIGTERM, and nothing comes twice.
        assert!(daemon.stop(PATIENCE).unwrap().success(), "{:?}", daemon.log());
        arrived(written);
    }
    assert!(receiver.of("ringward").is_empty(), "{:?}", receiver.of("ringward"));
}

#[test]
fn writers_notice_nothing_of_a_kill_below_the_holder() {
    let (sockets, state) = (Sockets::new(), crate::harness::folder());
    let receiver = Receiver::tcp().unwrap();
    let mut command = command(&sockets, state.path(), &receiver.url(), &["--fd-holder"]);
    let mut daemon = Daemon::start(&mut command, "ready: ");
    let mut out = sockets.pipe("web.out");
    let mut written = 0;
    for signal in [Signal::KILL, Signal::TERM, Signal::KILL] {
        print(&mut out, &sockets, written..written + 1000);
        restart_when(&daemon, signal, "ready: ", || {
            writeln!(out, "{}", written + 1000).unwrap();
            // Who comes while there is no daemon is let in by the next.
            sockets.write("new.out", b"here\n");
        });
        written += 1001;
    }
    let records =
        receiver.wait_for("web", PATIENCE, |records| records.iter().any(|record| number(record) == written - 1));
    // Some may come twice after a kill, from where its last checkpoint was.
    let mut seen: Vec<u64> = records.iter().map(number).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..written).collect::<Vec<_>>());
    receiver.wait_for("new", PATIENCE, |records| records.len() >= 3);
    assert!(daemon.stop(PATIENCE).unwrap().success(), "{:?}", daemon.log());
    assert!(!sockets.log().exists() && !sockets.query().exists());
}
