//! A parent that keeps sockets and descriptors while the daemon is restarted, and systemd in its place.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::{BOTH, Entry, Memlogd, Sockets, texts, wait_until};
use crate::harness::PATIENCE;
use crate::harness::daemon::Daemon;

/// The daemon below the holder.
fn child_of(holder: u32) -> Option<Pid> {
    let parent = |stat: String| -> Option<u32> { stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok() };
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        (parent(stat) == Some(holder)).then(|| Pid::from_raw(number))?
    };
    std::fs::read_dir("/proc").unwrap().find_map(of)
}

/// Ends the daemon, and waits until there is another.
pub fn restart(daemon: &Daemon, signal: Signal, meanwhile: impl FnOnce()) {
    restart_when(daemon, signal, "ready: memlogd", meanwhile);
}

/// The same of one that says `said` when it is there.
pub fn restart_when(daemon: &Daemon, signal: Signal, said: &str, meanwhile: impl FnOnce()) {
    let before = child_of(daemon.id()).unwrap();
    let ready = || daemon.log().iter().filter(|line| line.contains(said)).count();
    let started = ready();
    kill_process(before, signal).unwrap();
    wait_until("it has ended", || child_of(daemon.id()) != Some(before));
    meanwhile();
    wait_until("another is there", || ready() > started);
}

/// Pipes that the holder has open.
fn pipes(daemon: &Daemon) -> usize {
    let folder = std::fs::read_dir(format!("/proc/{}/fd", daemon.id())).unwrap();
    let target = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
    folder.filter_map(target).filter(|target| target.to_string_lossy().starts_with("pipe:")).count()
}

#[test]
fn writers_notice_nothing_of_a_restart() {
    let memlogd = Memlogd::start(&["-fd-holder"]);
    let Memlogd { sockets, daemon } = &memlogd;
    let none = pipes(daemon);
    let mut out = sockets.pipe("web.out");
    let mut odd = sockets.pipe("a:b\nc \u{fc}");
    writeln!(out, "one").unwrap();
    writeln!(odd, "odd").unwrap();
    sockets.dump_with(|entry| entry.is("web.out", "one"));
    // Both by a kill and in order; what is written and sent while there is no daemon waits for the next.
    for (signal, text) in [(Signal::KILL, "two"), (Signal::TERM, "three")] {
        restart(daemon, signal, || {
            writeln!(out, "{text}").unwrap();
            sockets.write("new", text.as_bytes());
        });
        let wanted = ["web.out", "new"];
        for name in wanted {
            sockets.dump_with(|entry| entry.is(name, text));
        }
    }
    writeln!(odd, "still odd").unwrap();
    sockets.dump_with(|entry| entry.is("a:b\nc \u{fc}", "still odd"));
    // What has ended is kept no more.
    wait_until("two are kept", || pipes(daemon) == none + 2);
    drop(out);
    wait_until("one is kept", || pipes(daemon) == none + 1);
    restart(daemon, Signal::KILL, || ());
    writeln!(odd, "alone").unwrap();
    sockets.dump_with(|entry| entry.is("a:b\nc \u{fc}", "alone"));
    drop(odd);
    wait_until("none is kept", || pipes(daemon) == none);
    let sockets = memlogd.stop();
    assert!(!sockets.log().exists() && !sockets.query().exists());
}

/// A line that is being written while the daemon is restarted stays one; at the end, what there is of it is handed on.
#[test]
fn a_line_goes_on_after_a_restart() {
    let memlogd = Memlogd::start(&["-fd-holder"]);
    let Memlogd { sockets, daemon } = &memlogd;
    let long = "l".repeat(2000);
    let mut out = sockets.pipe("web.out");
    let mut cut = sockets.pipe("cut");
    let is_read = |pipe: &std::io::PipeWriter| rustix::io::ioctl_fionread(pipe).unwrap() == 0;
    for (begun, meanwhile) in [("one ", "two "), ("three ", ""), ("four\r", "\nof another and ")] {
        out.write_all(begun.as_bytes()).unwrap();
        cut.write_all(long.as_bytes()).unwrap();
        wait_until("it is read", || is_read(&out) && is_read(&cut));
        restart(daemon, Signal::TERM, || out.write_all(meanwhile.as_bytes()).unwrap());
    }
    out.write_all(b"the rest\n").unwrap();
    cut.write_all(b"\n").unwrap();
    let mut follower = sockets.ask(BOTH);
    let mut seen: Vec<Entry> = Vec::new();
    while seen.len() < 3 {
        seen.extend(Some(Entry::parse(&follower.line())).filter(|entry| entry.source != "memlogd"));
    }
    seen.sort_by_key(|entry| entry.source.clone());
    let expected = [("cut", &long[..1024]), ("web.out", "one two three four"), ("web.out", "of another and the rest")];
    assert_eq!(texts(&seen), expected);
    assert!(seen[0].cut && !seen[1].cut);
    out.write_all(b"last").unwrap();
    wait_until("it is read", || is_read(&out));
    memlogd.stop();
    let rest: Vec<_> = follower.rest().iter().map(|line| Entry::parse(line).msg).collect();
    assert_eq!(rest, ["last"]);
}

#[test]
fn a_daemon_that_ends_at_once_is_started_with_pauses_and_the_end_is_the_end() {
    let memlogd = Memlogd::start(&["-fd-holder"]);
    for _ in 0..3 {
        restart(&memlogd.daemon, Signal::KILL, || ());
    }
    let pauses = memlogd.daemon.log().iter().filter(|line| line.contains("is started again in")).count();
    assert_eq!(pauses, 3);
    let daemon = child_of(memlogd.daemon.id()).unwrap();
    memlogd.stop();
    wait_until("the daemon has ended too", || !Path::new(&format!("/proc/{}", daemon.as_raw_nonzero())).exists());
}

/// systemd's side of the protocol, as far as it concerns us.
#[test]
fn descriptors_are_given_to_systemds_store_and_taken_from_it() {
    let sockets = Sockets::new();
    let notify = sockets.folder().join("notify");
    let store = UnixDatagram::bind(&notify).unwrap();
    store.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut text = [0; 1024];
        let length = store.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    // The descriptor that systemd has kept: number 3, and its process id is that of the shell that becomes memlogd.
    let (kept, mut writer) = std::io::pipe().unwrap();
    rustix::io::fcntl_setfd(&kept, rustix::io::FdFlags::empty()).unwrap();
    let script = format!(
        "exec 3<&{}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=memlogd.7.web.out exec \"$0\" \"$@\"",
        kept.as_raw_fd()
    );
    let inner = crate::daemon::command(&sockets, &[]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).arg(inner.get_program()).args(inner.get_args()).env("NOTIFY_SOCKET", &notify);
    let mut daemon = Daemon::start(&mut command, "ready: memlogd");
    drop(kept);
    writeln!(writer, "goes on").unwrap();
    sockets.dump_with(|entry| entry.is("web.out", "goes on"));
    let new = sockets.pipe("new");
    assert_eq!(told(), "FDSTORE=1\nFDPOLL=0\nFDNAME=memlogd.8.new");
    drop(new);
    assert_eq!(told(), "FDSTOREREMOVE=1\nFDNAME=memlogd.8.new");
    drop(writer);
    assert_eq!(told(), "FDSTOREREMOVE=1\nFDNAME=memlogd.7.web.out");
    // A file is read to its end at once, and not kept.
    sockets.send(b"file", &[std::fs::File::open("/etc/hostname").unwrap()]);
    let _ = UnixStream::connect(sockets.query()).unwrap();
    daemon.signal(Signal::TERM);
    assert!(daemon.wait(PATIENCE).unwrap().success());
    store.set_nonblocking(true).unwrap();
    assert!(store.recv(&mut [0; 9]).is_err(), "nothing else was said");
}
