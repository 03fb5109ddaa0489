//! `ringward logs` and its like, against a running `ringward run`.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::daemon::wait_until;
use crate::harness::daemon::Daemon;
use crate::harness::receiver::Receiver;
use crate::harness::ringward::Ringward;
use crate::harness::{PATIENCE, folder};

/// What comes by TCP is `in`'s, and ends in a receiver that is not there.
const LISTENING: &str = "\
    shutdown_timeout: 0s\n\
    listen: [{ endpoint: 'tcp://127.0.0.1:0', name: in }]\n";

struct Scene {
    ringward: Ringward,
    /// What its configuration is in.
    _folder: tempfile::TempDir,
}

impl Scene {
    #[track_caller]
    fn new(config: &str, to: &str) -> Self {
        let folder = folder();
        Self { ringward: start(folder.path(), crate::harness::folder(), config, to), _folder: folder }
    }

    fn socket(&self) -> PathBuf {
        self.ringward.state().join("ringward.sock")
    }

    fn send(&self, lines: &str) {
        let ready = self.ringward.said("ready: capturing what is sent to tcp://");
        let (_, address) = ready.split_once("tcp://").unwrap();
        let mut stream = TcpStream::connect(address.split([',', ' ']).next().unwrap()).unwrap();
        stream.write_all(lines.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    }

    fn viewer(&self, arguments: &[&str]) -> Command {
        let mut command = Ringward::command(&arguments[..1]);
        command.arg("--socket").arg(self.socket()).args(&arguments[1..]);
        command
    }

    /// What it prints, and that it ends well.
    #[track_caller]
    fn shown(&self, arguments: &[&str]) -> String {
        let output = self.viewer(arguments).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the ring holds what was sent.
    #[track_caller]
    fn holds(&self, line: &str) {
        wait_until("in the ring", || {
            let output = self.viewer(&["logs"]).output().unwrap();
            String::from_utf8_lossy(&output.stdout).lines().any(|shown| shown == line)
        });
    }

    fn ask(&self, request: &str) -> BufReader<UnixStream> {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        BufReader::new(stream)
    }
}

fn start(folder: &Path, state: tempfile::TempDir, config: &str, to: &str) -> Ringward {
    let path = folder.join("ringward.yaml");
    std::fs::write(&path, config).unwrap();
    let path = path.to_str().unwrap();
    Ringward::start_in(state, &["--no-kernel", "--no-containers", "--config", path, "--to", to])
}

/// Nobody listens there.
const NOWHERE: &str = "tcp://127.0.0.1:9";

#[track_caller]
fn fails(output: &Output, code: i32, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && said.contains(why), "{output:?}");
    assert!(said.starts_with("ringward: error: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn logs_shows_what_came() {
    let scene = Scene::new(LISTENING, NOWHERE);
    let etcd = r#"{"caller":"a.go:7","msg":"took \u003e1s","talos-level":"warn","talos-service":"etcd","talos-time":"2021-10-19T14:53:05.5Z"}"#;
    let mut lines = format!("{etcd}\n");
    for number in 0..10 {
        let _ = writeln!(lines, "line {number}");
    }
    scene.send(&lines);
    scene.holds("in: line 9");
    let all: String = (0..10).map(|number| format!("in: line {number}\n")).collect();
    assert_eq!(scene.shown(&["logs"]), format!("etcd: took >1s caller=a.go:7\n{all}"));
    assert_eq!(scene.shown(&["logs", "etcd"]), "took >1s caller=a.go:7\n");
    assert_eq!(scene.shown(&["logs", "etcd", "--json"]), format!("{etcd}\n"));
    assert_eq!(scene.shown(&["logs", "--tail", "2"]), "in: line 8\nin: line 9\n");
    assert_eq!(scene.shown(&["logs", "--tail", "0"]), "");
    assert_eq!(scene.shown(&["logs", "--tail", "1", "--grep", "e 4"]), "in: line 4\n");
    assert_eq!(scene.shown(&["logs", "--grep", "a.go"]), "etcd: took >1s caller=a.go:7\n");
    assert_eq!(scene.shown(&["logs", "--level", "warn"]), "etcd: took >1s caller=a.go:7\n");
    assert_eq!(scene.shown(&["logs", "--since", "1h"]), all);
    assert_eq!(scene.shown(&["logs", "etcd", "--since", "2021-10-19T14:53:05.5Z"]), "took >1s caller=a.go:7\n");
    assert_eq!(scene.shown(&["logs", "--since", "2200-01-01T00:00:00Z"]), "");
    assert_eq!(scene.shown(&["dmesg"]), "");
    fails(&scene.viewer(&["logs", "nobody"]).output().unwrap(), 1, "log \"nobody\" was not registered");
    assert_eq!(scene.viewer(&["logs", "--level", "loud"]).output().unwrap().status.code(), Some(2));
    // Found by the state directory, too.
    let mut command = Ringward::command(&["logs", "etcd", "--state-dir"]);
    let output = command.arg(scene.ringward.state()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "took >1s caller=a.go:7\n", "{output:?}");
    assert_eq!(std::fs::metadata(scene.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    let socket = scene.socket();
    assert!(scene.ringward.stop().status.success());
    assert!(!socket.exists());
}

#[test]
fn head_ends_who_follows() {
    let scene = Scene::new(LISTENING, NOWHERE);
    scene.send("one\n");
    scene.holds("in: one");
    // Nothing more comes that could tell it that nobody reads.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "\"$0\" logs -f --socket \"$1\" | head -n 1", env!("CARGO_BIN_EXE_ringward")])
        .arg(scene.socket());
    let mut shell = Daemon::spawn(&mut shell);
    assert!(shell.wait_for_stdout(PATIENCE, |line| line == "in: one").is_some());
    assert!(shell.wait(PATIENCE).is_some_and(|status| status.success()), "{:?}", shell.log());
    assert_eq!(shell.log(), [""; 0]);
}

#[test]
fn who_follows_goes_on_after_a_restart() {
    let files = folder();
    let (log, config) = (files.path().join("a.log"), folder());
    let text = format!("shutdown_timeout: 0s\nfiles: [{{ include: ['{}'], name: a }}]\n", log.display());
    std::fs::write(&log, "1\n2\n").unwrap();
    let ringward = start(config.path(), folder(), &text, NOWHERE);
    let socket = ringward.state().join("ringward.sock");
    let viewer = Daemon::spawn(Ringward::command(&["logs", "-f", "--socket"]).arg(&socket));
    assert!(viewer.wait_for_stdout(PATIENCE, |line| line == "a: 2").is_some(), "{:?}", viewer.log());
    let append = |line: &str| std::fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(line.as_bytes());
    append("3\n").unwrap();
    assert!(viewer.wait_for_stdout(PATIENCE, |line| line == "a: 3").is_some(), "{:?}", viewer.log());
    let (stopped, state) = ringward.stop_keeping_state();
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(viewer.wait_for(PATIENCE, |line| line.contains("waiting for the next one")).is_some());
    append("4\n").unwrap();
    // Nothing was delivered: it reads the file again from its beginning.
    let ringward = start(config.path(), state, &text, NOWHERE);
    append("5\n").unwrap();
    assert!(viewer.wait_for_stdout(PATIENCE, |line| line == "a: 5").is_some(), "{:?}", viewer.log());
    // Killed: its socket is left behind, and replaced.
    let state = ringward.kill();
    append("6\n").unwrap();
    let ringward = start(config.path(), state, &text, NOWHERE);
    assert!(viewer.wait_for_stdout(PATIENCE, |line| line == "a: 6").is_some(), "{:?}", viewer.log());
    assert_eq!(viewer.stdout(), (1..=6).map(|number| format!("a: {number}")).collect::<Vec<_>>());
    drop(ringward);
}

#[test]
fn services_and_containers_are_listed() {
    let folder = folder();
    let pod = folder.path().join("pods/default_web-0_0d9a/web");
    std::fs::create_dir_all(&pod).unwrap();
    let line = "2021-11-30T19:13:20.567825192Z stderr F I1130 x";
    std::fs::write(pod.join("0.log"), format!("{line}\n")).unwrap();
    let config = format!("{LISTENING}files: [{{ include: ['{}/pods/**/*.log'] }}]\n", folder.path().display());
    let scene = Scene::new(&config, NOWHERE);
    scene.send("{\"msg\":\"hello\",\"talos-service\":\"etcd\"}\nlast of in\n");
    scene.holds("in: last of in");
    scene.holds("default/web-0:web: I1130 x");
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let words = |text: &str| -> Vec<Vec<String>> {
        text.lines()
            .map(|line| line.split("   ").map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect())
            .collect()
    };
    let services = words(&scene.shown(&["services"]));
    assert_eq!(services[0], ["NODE", "SERVICE", "STATE", "HEALTH", "LAST CHANGE", "LAST EVENT"]);
    let row = |name: &str| services.iter().find(|row| row[1] == name).unwrap_or_else(|| panic!("{services:?}"));
    assert!(row("etcd")[0] == node && row("etcd")[4].ends_with("s ago") && row("etcd")[5] == "hello", "{services:?}");
    assert_eq!(row("in")[5], "last of in");
    assert_eq!(services.len(), 3);
    for arguments in [&["containers"][..], &["containers", "-k"]] {
        let containers = words(&scene.shown(arguments));
        assert_eq!(containers[0], ["NODE", "NAMESPACE", "ID", "IMAGE", "PID", "STATUS"]);
        assert_eq!(containers[1][..3], [&node, "k8s.io", "default/web-0"]);
        assert_eq!(containers[2][..3], [&node, "k8s.io", "└─ default/web-0:web"]);
        assert_eq!(containers.len(), 3);
    }
    let listed: serde_json::Value = serde_json::from_str(&scene.shown(&["containers", "--json"])).unwrap();
    assert_eq!((&listed["id"], &listed["records"]), (&"default/web-0:web".into(), &1.into()));
    for origin in ["web", "default/web-0", "default/web-0:web"] {
        assert_eq!(scene.shown(&["logs", "-k", origin]), format!("{line}\n"));
    }
    assert_eq!(scene.shown(&["logs", "-k"]), format!("default/web-0:web: {line}\n"));
    fails(&scene.viewer(&["logs", "-k", "etcd"]).output().unwrap(), 1, "was not registered");
}

#[test]
fn without_a_daemon_it_says_so() {
    let folder = folder();
    for command in ["logs", "dmesg", "services", "containers"] {
        let output = Ringward::command(&[command, "--state-dir"]).arg(folder.path()).output().unwrap();
        fails(&output, 1, &format!("no Ringward listens on {}/ringward.sock: ", folder.path().display()));
    }
    let output = Ringward::command(&["logs", "--socket"]).arg(folder.path().join("x".repeat(200))).output().unwrap();
    fails(&output, 1, "can't be connected to");
    let output = Ringward::command(&["logs", "--state-dir", "relative"]).output().unwrap();
    fails(&output, 2, "--state-dir: `relative` is not an absolute path");
}

#[test]
fn a_socket_that_is_asked_for_is_there_or_the_program_is_not() {
    let folder = folder();
    let path = folder.path().join("not-a-socket");
    std::fs::write(&path, "precious").unwrap();
    let (state, config) = (folder.path().join("state"), folder.path().join("c.yaml"));
    std::fs::write(&config, format!("view: {{ socket: {} }}\n", path.display())).unwrap();
    let mut command = Ringward::command(&["run", "--no-kernel", "--no-containers", "--listen", "tcp://127.0.0.1:0"]);
    let output = command.arg("--config").arg(&config).arg("--state-dir").arg(&state).output().unwrap();
    fails(&output, 1, "it is not a socket");
    // The one that nobody asked for is missed, and that is all.
    std::fs::create_dir(state.join("ringward.sock"))
        .or_else(|_| std::fs::create_dir_all(state.join("ringward.sock")))
        .unwrap();
    let mut daemon = Daemon::start(
        Ringward::command(&["run", "--no-kernel", "--no-containers", "--listen", "tcp://127.0.0.1:0", "--state-dir"])
            .arg(&state),
        "ready: ",
    );
    assert!(
        daemon.wait_for(PATIENCE, |line| line.contains("`ringward logs` and its like will find nothing")).is_some()
    );
    assert!(daemon.stop(PATIENCE).is_some_and(|status| status.success()));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "precious");
}

#[test]
fn hostile_viewers_are_told_and_forgotten() {
    let scene = Scene::new(LISTENING, NOWHERE);
    scene.send("one\n");
    scene.holds("in: one");
    let refused = |request: &str| {
        let mut line = String::new();
        scene.ask(request).read_line(&mut line).unwrap();
        line
    };
    for garbage in [
        "\n",
        "nothing\n",
        "{\"show\":\"all\"}\n",
        "{\"fallow\":true}\n",
        "\u{0}\u{1b}[\n",
        "[[[[[[[[\n",
        "{\"tail\":-1}\n",
    ] {
        let line = refused(garbage);
        assert!(line.starts_with("#{\"error\":\"this request is not understood: "), "{garbage:?}: {line}");
    }
    // It may be refused before all of it is sent.
    let mut huge = UnixStream::connect(scene.socket()).unwrap();
    let sent = huge.write_all(&vec![b'x'; 8 << 20]);
    assert!(sent.is_ok() || sent.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe));
    let mut said = String::new();
    let _ = BufReader::new(huge).read_line(&mut said);
    assert_eq!(said, "#{\"error\":\"a request has at most 1048576 bytes\"}\n");
    // Gone in the middle of a request, and of an answer.
    drop(scene.ask("{\"show\":\"rec"));
    drop(scene.ask("{\"follow\":true}\n"));
    // Says nothing.
    let silent = scene.ask("");
    assert_eq!(scene.shown(&["logs"]), "in: one\n");
    drop(silent);
}

/// What a viewer saw of numbered lines: how many, and how many it was told it missed.
fn follow(stream: BufReader<UnixStream>, total: u64) -> (u64, u64) {
    // The first one has been read.
    let (mut shown, mut missed) = (1, 0);
    for line in stream.lines() {
        let line = line.unwrap();
        if line.starts_with('#') {
            continue;
        }
        // Not parsed: a hundred that do, in a build that is not optimised, take long.
        let number = |key: &str| -> Option<u64> {
            let (_, rest) = line.split_once(key)?;
            Some(rest.split([' ', ',']).next()?.parse().unwrap())
        };
        if let Some(lost) = number("\"lost-records\":") {
            missed += lost;
            continue;
        }
        shown += 1;
        let number = number("\"msg\":\"").unwrap();
        assert_eq!(number, shown + missed);
        if number == total {
            return (shown, missed);
        }
    }
    panic!("ended after {shown} lines, {missed} missed");
}

#[test]
fn a_hundred_viewers_hold_up_nobody() {
    let total = 6000;
    let receiver = Receiver::tcp_into((0, 0), |(count, last): &mut (u64, u64), record| {
        let number = record.msg.split(' ').next().unwrap().parse().unwrap();
        *count += u64::from(number == *last + 1);
        *last = number;
    })
    .unwrap();
    // Less than what is sent: who does not read misses some of it.
    let scene = Scene::new(&format!("{LISTENING}ring: {{ bytes: 512KiB }}\n"), &receiver.url());
    scene.send("1 x\n");
    receiver.wait(PATIENCE, |state| *state == (1, 1));
    let following = |_| {
        let mut viewer = scene.ask("{\"follow\":true}\n");
        let mut line = String::new();
        viewer.read_line(&mut line).unwrap();
        assert!(line.contains("\"msg\":\"1 x\""), "{line}");
        viewer
    };
    let viewers: Vec<_> = (0..100).map(following).collect();
    let lines: String = (2..=total).map(|number| format!("{number} {}\n", "x".repeat(250))).collect();
    scene.send(&lines);
    // All of them stand still until then.
    receiver.wait(PATIENCE, |state| *state == (total, total));
    assert_eq!(receiver.with(|state| *state), (total, total));
    let threads: Vec<_> = viewers.into_iter().map(|viewer| std::thread::spawn(move || follow(viewer, total))).collect();
    for thread in threads {
        let (shown, missed) = thread.join().unwrap();
        assert!(shown + missed == total && missed > 0, "{shown} shown, {missed} missed");
    }
}

/// Lines are sent until the tap, which shows what comes from now on, has shown `shown`; all that it showed until then.
#[track_caller]
fn tapped(scene: &Scene, arguments: &[&str], shown: &str) -> String {
    let tap = Daemon::spawn(&mut scene.viewer(&[&["tap"], arguments].concat()));
    let begun = std::time::Instant::now();
    loop {
        scene.send("drop me\nkeep me\n");
        let wait = std::time::Duration::from_millis(50);
        if let Some(found) = tap.wait_for_stdout(wait, |line| line == shown) {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{arguments:?} never showed {shown}");
    }
}

#[test]
fn a_tap_shows_what_goes_through_a_stage() {
    let config = format!(
        "{LISTENING}process: [{{drop: {{field: msg, matches: ^drop}}}}, {{add: {{x: y}}}}]\n\
         destinations: [{{name: one, endpoint: '{NOWHERE}'}}]\nroutes: [{{when: {{field: x, exists: true}}, to: [one]}}]\n"
    );
    let scene = Scene::new(&config, "udp://127.0.0.1:9");
    tapped(&scene, &["--at", "source"], "in: drop me");
    tapped(&scene, &["--at", "source", "in"], "drop me");
    tapped(&scene, &["--at", "ring"], "in: keep me x=y");
    tapped(&scene, &["--at", "one", "--grep", "keep"], "in: keep me x=y");
    let logs = scene.shown(&["logs"]);
    assert!(logs.contains("keep me x=y") && !logs.contains("drop me"), "{logs}");
    let there = "there is no stage `two`: there are `source`, `ring`, `one`, `udp://127.0.0.1:9`";
    fails(&scene.viewer(&["tap", "--at", "two"]).output().unwrap(), 1, there);
    // What is routed to the one is not the other's.
    let mut other = Daemon::spawn(&mut scene.viewer(&["tap", "--at", "udp://127.0.0.1:9", "--json"]));
    tapped(&scene, &["--at", "one"], "in: keep me x=y");
    assert!(scene.ringward.stop().status.success());
    other.signal(rustix::process::Signal::TERM);
    assert!(other.wait(PATIENCE).is_some());
    assert!(other.wait_for_stdout(std::time::Duration::ZERO, |_| true).is_none());
}
