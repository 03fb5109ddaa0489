//! The real binary, given wrong input: the exit code, the message with its place and what is accepted, and that
//! nothing was opened.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use rustix::process::{Pid, Signal, kill_process};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs in the directory, so that messages show names without their path.
    fn ringward(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("ringward").unwrap();
        command.current_dir(self.dir.path()).args(arguments);
        for name in ["RINGWARD_LOG", "STATE_DIRECTORY", "NO_COLOR"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.ringward(arguments).output().unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `text` as a file is refused by `run` and `check` alike: exit code 2, nothing on standard output, and `message`.
fn refused(text: impl AsRef<[u8]>, message: &str) {
    let place = Place::new();
    place.file("r.yaml", text);
    for command in ["check", "run"] {
        let state = place.dir.path().join("state");
        let output = place.run(&[command, "--state-dir", state.to_str().unwrap(), "--config", "r.yaml"]);
        assert_eq!(output.status.code(), Some(2), "{command}: {output:?}");
        assert_eq!(stdout(&output), "", "{command}");
        let wanted = format!("ringward: error: {message}");
        assert!(stderr(&output).contains(&wanted), "{command} said\n{}\nnot\n{wanted}", stderr(&output));
        assert!(!state.exists(), "{command} created the state_dir");
    }
}

/// As [`refused`], for flags.
fn refused_flags(arguments: &[&str], message: &str) {
    let place = Place::new();
    let output = place.run(&[&["check"], arguments].concat());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let wanted = format!("ringward: error: {message}");
    assert!(stderr(&output).starts_with(&wanted), "said\n{}\nnot\n{wanted}", stderr(&output));
}

const ENDPOINTS: &str = "udp://HOST:PORT, tcp://HOST:PORT, unix:///PATH, exec:COMMAND ARGUMENT... or stdout:";

#[test]
fn wrong_endpoints() {
    refused(
        "destinations:\n  - endpoint: tpc://127.0.0.1:5044\n",
        &format!(
            "r.yaml:2:15: destinations[0].endpoint: `tpc://127.0.0.1:5044` has the unknown scheme `tpc` (did you mean `tcp`?); accepted: {ENDPOINTS}"
        ),
    );
    refused(
        "destinations:\n  - endpoint: udp://127.0.0.1\n",
        &format!("r.yaml:2:15: destinations[0].endpoint: `udp://127.0.0.1` has no port; accepted: {ENDPOINTS}"),
    );
    refused(
        "destinations:\n  - name: x\n",
        &format!("r.yaml:2:5: destinations[0]: has no `endpoint`; accepted: {ENDPOINTS}"),
    );
    refused("destinations:\n  - endpoint: stdout:\n", "r.yaml:2:21: not valid YAML: ");
    refused_flags(
        &["--to", "http://h:1"],
        &format!("--to: `http://h:1` has the unknown scheme `http`; accepted: {ENDPOINTS}"),
    );
    refused_flags(&["--to", "udp://:1"], "--to: `udp://:1` has no host");
    refused_flags(&["--to", ""], "--to: the endpoint is empty");
}

#[test]
fn unknown_keys_are_located_and_suggested() {
    refused(
        "io: auto\ncapture:\n  idle_flsh: 1s\n",
        "r.yaml:3:3: capture.idle_flsh: unknown key (did you mean `idle_flush`?); accepted: `from`, `hook`, `ring_bytes`",
    );
    refused("sources: []\n", "r.yaml:1:1: sources: unknown key; accepted: `state_dir`, `io`");
}

#[test]
fn destinations_with_one_name() {
    refused(
        "destinations:\n- {endpoint: 'udp://h:1', name: a}\n- {endpoint: 'tcp://h:1', name: a}\n",
        "r.yaml:3:3: destinations[1]: has the name `a`, like the destination at r.yaml:2:3; accepted: a different `name`",
    );
    refused_flags(
        &["--to", "udp://h:1", "--to", "udp://h:1"],
        "--to: has the name `udp://h:1`, like the destination at --to",
    );
}

#[test]
fn wrong_tags() {
    refused_flags(&["--tag", "x"], "--tag: `x` has no `=`; accepted: KEY=VALUE, as server=s03-rack07");
    refused_flags(&["--tag", "=x"], "--tag: `=x` has no key before the `=`");
    refused_flags(&["--tag", "a=1", "--tag", "a=2"], "--tag: `a` is given twice");
    refused(
        "destinations: [{endpoint: 'udp://h:1', extraTags: [a]}]\n",
        "r.yaml:1:51: destinations[0].extraTags: is a list; accepted: a mapping",
    );
}

#[test]
fn wrong_sizes_durations_and_words() {
    refused(
        "ring: { bytes: 16 elephants }\n",
        "r.yaml:1:16: ring.bytes: `16 elephants` has the unknown unit `elephants`; accepted: a size",
    );
    refused("ring: { bytes: 1 }\n", "r.yaml:1:16: ring.bytes: `1` is too small; accepted: 64KiB to 64GiB");
    refused(
        "shutdown_timeout: 10\n",
        "r.yaml:1:19: shutdown_timeout: `10` has no unit; accepted: a duration with its unit",
    );
    refused_flags(&["--spill", "lots"], "--spill: `lots` does not start with a number; accepted: a size");
    refused_flags(&["--spill", "-1"], "--spill: `-1` is negative");
    refused_flags(
        &["--capture-hook", "tpbtf2"],
        "--capture-hook: `tpbtf2` is unknown (did you mean `tp_btf`?); accepted: `auto`, `fexit`",
    );
    refused_flags(&["--io", "kqueue"], "--io: `kqueue` is unknown; accepted: `auto`, `uring`, `epoll`");
    refused_flags(&["--pid", "0"], "--pid: `0` is not a process id");
    refused_flags(&["--cgroup", "x"], "--cgroup: `x` is not the path of a cgroup");
    refused_flags(&["--unit", "a b"], "--unit: `a b` is not the name of a unit");
    refused_flags(&["--state-dir", "x"], "--state-dir: `x` is not an absolute path");
    refused_flags(
        &["--log-level", "loud"],
        "--log-level: `loud` is not a level; accepted: off, error, warn, info, debug, trace",
    );
}

#[test]
fn what_is_not_yaml_or_not_text() {
    refused("io: [auto\nring: x\n", "r.yaml:");
    refused("io: auto\nio: epoll\n", "r.yaml:2:1: not valid YAML: duplicate mapping key: io\n");
    refused("just words\n", "r.yaml:1:1: is a single value; accepted: a mapping with the keys `state_dir`");
    refused(b"\x7fELF\x02\x01\x01\0\0", "r.yaml:1:5: the byte 0x02 is not text; accepted: YAML in UTF-8");
    refused(b"io: auto\n# \xff\n", "r.yaml:2:3: the byte 0xff is not text");
    refused(
        "# words\n".repeat(10 << 20 >> 3),
        "r.yaml: is larger than 1MiB; accepted: a configuration in YAML, at most 1MiB",
    );
}

#[test]
fn files_that_cannot_be_read() {
    refused_flags(
        &["--config", "no.yaml"],
        "no.yaml: can't be read: no such file or directory; accepted: a readable file",
    );
    refused_flags(&["--config", "/"], "/: can't be read: is a directory");
}

#[test]
fn everything_at_once() {
    let place = Place::new();
    place.file("a.yaml", "rign: {}\ndestinations:\n- endpoint: udp://h\n");
    place.file("b.yaml", "io: 5\n");
    let arguments = ["run", "-c", "a.yaml", "-c", "b.yaml", "-c", "c.yaml", "--tag", "x", "--log-level", "y"];
    let output = place.ringward(&arguments).env("STATE_DIRECTORY", "z").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    let starts: Vec<_> = said.lines().map(|line| line.split(": ").nth(2).unwrap()).collect();
    let expected = [
        "--log-level",
        "c.yaml",
        "a.yaml:1:1",
        "a.yaml:3:13",
        "b.yaml:1:5",
        "--tag",
        "$STATE_DIRECTORY",
        "7 problems, nothing was started",
    ];
    assert_eq!(starts, expected, "{said}");
}

#[test]
fn a_wrong_level_in_the_environment() {
    let place = Place::new();
    let output = place.ringward(&["check"]).env("RINGWARD_LOG", "loud").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("ringward: error: $RINGWARD_LOG: `loud` is not a level; accepted: off, error"));
    let output = place.ringward(&["check"]).env("RINGWARD_LOG", "info,ringward::ring=debug").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn usage_errors_look_like_the_others() {
    let place = Place::new();
    for (arguments, message) in [
        (&["check", "--frob"][..], "unexpected argument '--frob'"),
        (&["chekc"], "unrecognized subcommand 'chekc'"),
        (&["run", "--to"], "a value is required for '--to <URL>'"),
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).starts_with(&format!("ringward: error: {message}")), "{}", stderr(&output));
    }
    let output = place.run(&[]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("Exit codes:"), "{}", stderr(&output));
}

#[test]
fn an_empty_file_holds_but_is_remarked() {
    let place = Place::new();
    place.file("r.yaml", "");
    let output = place.run(&["check", "-c", "r.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).starts_with("ringward: warning: r.yaml: says nothing"), "{}", stderr(&output));
    assert!(stdout(&output).contains("sends to\n  stdout:, json_lines\n"), "{}", stdout(&output));
}

#[test]
fn check_shows_what_a_configuration_means() {
    let place = Place::new();
    place.file(
        "r.yaml",
        "state_dir: /s\ndestinations:\n- {endpoint: 'tcp://h:5044', name: far, spill: {bytes: 1GiB}}\n",
    );
    let output =
        place.run(&["check", "-v", "-c", "r.yaml", "--to", "udp://127.0.0.1:12345", "--tag", "a=b=c", "--no-kernel"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for line in [
        "  tcp://h:5044 (far), json_lines, tagged a=b=c, spilling up to 1GiB to /s/spill/far\n",
        "  udp://127.0.0.1:12345, json_lines, tagged a=b=c\n    max_record_bytes 65507",
        "  capture.ring_bytes         16MiB\n",
    ] {
        assert!(text.contains(line), "{text}\nlacks\n{line}");
    }
    assert!(!text.contains("kernel's log") && !text.contains('\x1b'), "{text}");
}

#[test]
fn standard_input_is_a_file_too() {
    let place = Place::new();
    let output = place.ringward(&["check", "--config", "-"]).write_stdin("io: x\n").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("ringward: error: <stdin>:1:5: io: `x` is unknown; accepted: `auto`"));
    let output = place.ringward(&["check", "-v", "--config", "-"]).write_stdin("io: epoll\n").output().unwrap();
    assert!(stdout(&output).contains("epoll"), "{output:?}");
}

#[test]
fn help_version_and_doctor_end_well() {
    let place = Place::new();
    let help = place.run(&["--help"]);
    assert!(help.status.success() && stdout(&help).contains("Examples:") && stdout(&help).contains("Exit codes:"));
    let version = place.run(&["--version"]);
    assert_eq!(stdout(&version), format!("ringward {}\n", env!("CARGO_PKG_VERSION")));
    let doctor = place.run(&["doctor", "--json"]);
    assert!(doctor.status.success());
    let items: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let names: Vec<_> = items.as_array().unwrap().iter().filter_map(|item| item["name"].as_str()).collect();
    assert!(names.contains(&"kernel") && names.contains(&"cap_bpf"), "{names:?}");
}

/// `ringward ARGUMENTS` with `stderr` as its standard error; killed where it is still there after a while.
fn ends_with_stderr(place: &Place, arguments: &[&str], stderr: Stdio, signalled: impl FnOnce(&Child)) -> Option<i32> {
    // Under nohup it would rightly take no notice of a hangup.
    let mut command = std::process::Command::new("env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_ringward")]);
    command.current_dir(place.dir.path()).args(arguments).env("RINGWARD_LOG", "trace");
    let mut child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    signalled(&child);
    ended(&mut child)
}

fn ended(child: &mut Child) -> Option<i32> {
    for _ in 0..1200 {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("it was still there after a minute");
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// The kernel's log to a receiver that never reads; `None` where that log can't be read.
fn unread(place: &Place, shutdown_timeout: &str) -> Option<(TcpListener, Vec<String>)> {
    fs::File::open("/dev/kmsg").ok()?;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = "capture: {containers: false}\nkernel: {console_tracepoint: false}\n";
    place.file("r.yaml", format!("shutdown_timeout: {shutdown_timeout}\n{settings}"));
    let to = format!("tcp://{}", listener.local_addr().unwrap());
    let state = place.dir.path().join("state").to_str().unwrap().to_owned();
    let arguments = ["run", "-c", "r.yaml", "--to", &to, "--state-dir", &state].map(str::to_owned).to_vec();
    Some((listener, arguments))
}

fn wait_until(what: impl Fn() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < Duration::from_secs(60), "what was waited for did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nobody_at_stderr_changes_no_exit_code() {
    let place = Place::new();
    for (arguments, code) in
        [(&["check", "--to", "x"][..], 2), (&["check", "--frob"], 2), (&["run", "--no-kernel", "--no-containers"], 1)]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(ends_with_stderr(&place, arguments, writer.into(), |_| ()), Some(code), "{arguments:?}");
    }
}

#[test]
fn a_full_stderr_that_nobody_reads_holds_up_nothing() {
    let place = Place::new();
    let Some((_listener, arguments)) = unread(&place, "1s") else { return };
    let (_reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let state = place.dir.path().join("state/state.json");
    let code = ends_with_stderr(&place, &arguments, writer.into(), |child| {
        wait_until(|| state.exists());
        signal(child, Signal::TERM);
    });
    assert_eq!(code, Some(0));
}

#[test]
fn a_hangup_drains_and_a_second_signal_ends_at_once() {
    let place = Place::new();
    let Some((_listener, arguments)) = unread(&place, "1m") else { return };
    let _ = fs::write("/dev/kmsg", "<14>ringward-signal-test\n");
    let log = place.dir.path().join("log");
    let said = |what: &str| fs::read_to_string(&log).is_ok_and(|text| text.contains(what));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut second = None;
    let code = ends_with_stderr(&place, &arguments, fs::File::create(&log).unwrap().into(), |child| {
        wait_until(|| said("ready: "));
        signal(child, Signal::HUP);
        wait_until(|| said("stopping on SIGHUP: delivering what was captured (a second SIGTERM"));
        signal(child, Signal::INT);
        second = Some(Instant::now());
    });
    assert!(second.unwrap().elapsed() < Duration::from_secs(30), "it went on delivering");
    assert_eq!(code, Some(1));
    assert!(said("ringward: error: ended at once by a second signal"), "{:?}", fs::read_to_string(&log));
}

#[test]
fn a_state_dir_that_others_may_write_to_is_refused() {
    let place = Place::new();
    fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let state = place.dir.path().to_str().unwrap();
    let output = place.run(&["run", "--no-containers", "--to", "udp://127.0.0.1:9", "--state-dir", state]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("others may write to it (mode 0777)"), "{}", stderr(&output));
}

#[test]
fn what_can_not_work_is_refused() {
    refused_flags(
        &["--to", "udp://h:1", "--tag", &format!("a={}", "x".repeat(70_000))],
        "--tag: a record with these tags",
    );
    refused_flags(&["--spill", "1GiB"], "--spill: stdout can't be spilled");
    refused(
        "destinations: [{endpoint: 'stdout:', spill: {bytes: 1GiB}}]\n",
        "r.yaml:1:45: destinations[0].spill: stdout can't be spilled",
    );
    refused_flags(&["--to", "udp://-h:80"], "--to: `udp://-h:80` has the host `-h`, which can't be one");
}

#[test]
fn stdout_that_dies_is_told_at_once_and_its_error_is_said_once() {
    let place = Place::new();
    let Some((_listener, mut arguments)) = unread(&place, "1s") else { return };
    arguments.extend(["--to".to_owned(), "stdout:".to_owned()]);
    let _ = fs::write("/dev/kmsg", "<14>ringward-stdout-test\n");
    let log = place.dir.path().join("log");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringward"));
    command.current_dir(place.dir.path()).args(&arguments).stdout(writer).stderr(fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let text = || fs::read_to_string(&log).unwrap_or_default();
    wait_until(|| text().contains("destination `stdout:` has failed, the others go on: nobody reads stdout any more"));
    signal(&child, Signal::TERM);
    assert_eq!(ended(&mut child), Some(1));
    let text = text();
    let last = text.lines().last().unwrap_or_default();
    let whole = "ringward: error: destination `stdout:`: nobody reads stdout any more: Broken pipe (os error 32)";
    assert_eq!(last, whole, "{text}");
    assert!(text.contains("stopped before everything was delivered"), "the other destination's rest: {text}");
}

#[test]
fn a_state_dir_that_is_gone_is_told_once_and_so_is_its_return() {
    let place = Place::new();
    let Some((_listener, mut arguments)) = unread(&place, "1s") else { return };
    // A datagram is acknowledged when it was sent, so that there is something to save.
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    arguments.extend(["--to".to_owned(), format!("udp://{}", receiver.local_addr().unwrap())]);
    let log = place.dir.path().join("log");
    let state = place.dir.path().join("state");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringward"));
    command.current_dir(place.dir.path()).args(&arguments).stderr(fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let count = |what: &str| fs::read_to_string(&log).unwrap_or_default().matches(what).count();
    let something_new = || drop(fs::write("/dev/kmsg", "<14>ringward-state-test\n"));
    wait_until(|| count("ready: ") == 1 && state.join("state.json").exists());
    fs::remove_dir_all(&state).unwrap();
    for _ in 0..7 {
        something_new();
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(count("checkpoints can't be saved"), 1, "{:?}", fs::read_to_string(&log));
    fs::create_dir(&state).unwrap();
    wait_until(|| {
        something_new();
        std::thread::sleep(Duration::from_millis(200));
        count("checkpoints are saved again") == 1
    });
    signal(&child, Signal::TERM);
    assert_eq!(ended(&mut child), Some(0));
}

#[test]
fn a_hangup_that_is_ignored_stays_so() {
    let place = Place::new();
    let Some((_listener, arguments)) = unread(&place, "1s") else { return };
    let log = place.dir.path().join("log");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_ringward")]).args(&arguments);
    let mut child = command.current_dir(place.dir.path()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let said = |what: &str| fs::read_to_string(&log).is_ok_and(|text| text.contains(what));
    wait_until(|| said("ready: "));
    signal(&child, Signal::HUP);
    std::thread::sleep(Duration::from_millis(500));
    assert!(!said("stopping"));
    signal(&child, Signal::TERM);
    assert_eq!(ended(&mut child), Some(0));
}

#[test]
fn documents_of_talos_are_a_configuration() {
    let place = Place::new();
    place.file("talos.yaml", include_str!("../../config/talos.yaml"));
    let output = place.run(&["check", "-v", "--config", "talos.yaml"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for line in [
        "  tcp://host:5044, json_lines, all but the kernel's records\n",
        "  tcp://host:5044 (remote-log), json_lines, only the kernel's records\n",
        "ignores, of Talos' documents\n  talos.yaml:27:3: machine.install\n",
    ] {
        assert!(said.contains(line), "{said}\nlacks {line}");
    }
    refused(
        "machine:\n  logging:\n    destinations:\n      - endpoint: tcp://\n        format: syslog\n",
        "r.yaml:4:19: machine.logging.destinations[0].endpoint: empty logging endpoint's host; accepted: udp://HOST:PORT",
    );
    refused(
        "apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: x\nurl: tcp://h:1/x\n",
        "r.yaml:4:6: KmsgLogConfig.url: url path must be empty; accepted: udp://HOST:PORT",
    );
}

/// `ringward encode` with an input; its standard output.
fn encoded(arguments: &[&str], input: &[u8]) -> String {
    let output = Place::new().ringward(&[&["encode"], arguments].concat()).write_stdin(input).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{arguments:?}");
    stdout(&output)
}

#[test]
fn encode_says_what_would_be_sent() {
    let pairs = include_bytes!("data/talos_service_lines.txt");
    let of = |prefix: &[u8]| -> Vec<u8> {
        let lines = pairs.split_inclusive(|byte| *byte == b'\n');
        lines.filter_map(|line| line.strip_prefix(prefix)).flatten().copied().collect()
    };
    let (input, expected) = (of(b"IN  "), String::from_utf8(of(b"OUT ")).unwrap());
    let service = ["--as", "talos-service", "--service", "svc", "--now", "2026-01-02T03:04:05.123456789Z"];
    // Recorded with a Go that wrote these two the long way.
    let expected = expected.replace("\\u0008", "\\b").replace("\\u000c", "\\f");
    assert_eq!(encoded(&service, &input), expected);
    // The end of the input ends a line as a newline does; blank lines are none.
    assert_eq!(encoded(&service, input.strip_suffix(b"\n").unwrap()), expected);
    assert_eq!(encoded(&service, b" \n\n\t\r\n"), "");
    let tagged = encoded(&[&service[..], &["--tag", "a=b", "--tag", "msg=m"]].concat(), b"x");
    assert!(tagged.starts_with(r#"{"a":"b","msg":"m","talos-level""#), "{tagged}");
    let long = vec![b'y'; 1 << 20];
    assert_eq!(encoded(&service, &long).len(), long.len() - 1 + encoded(&service, b"y").len());

    let kmsg = ["--as", "kmsg", "--boot-time", "2021-11-26T16:53:15.073050981Z"];
    let record = b"94,1,2,-,caller=T7;ftp\n SUBSYSTEM=x\n\x006,2,3,-;y\n";
    let expected = [
        r#"{"clock":2,"facility":"ftp","msg":"ftp\n SUBSYSTEM=x\n","priority":"info","seq":1,"talos-level":"info","talos-time":"2021-11-26T16:53:15.073052981Z"}"#,
        r#"{"clock":3,"facility":"kern","msg":"y\n","priority":"info","seq":2,"talos-level":"info","talos-time":"2021-11-26T16:53:15.073053981Z"}"#,
    ];
    assert_eq!(encoded(&kmsg, record), format!("{}\n{}\n", expected[0], expected[1]));
    let talos = encoded(&[&kmsg[..], &["--facility-names", "talos"]].concat(), record);
    assert_eq!(talos, format!("{}\n{}\n", expected[0].replace("\"ftp\"", "\"local0\""), expected[1]));
}

#[test]
fn encode_says_what_becomes_of_syslog() {
    let syslog = ["--as", "syslog", "--now", "2026-03-04T05:06:07.5Z"];
    let input = b"<30>1 2026-03-04T06:06:07+01:00 box app 7 - [a b=\"c\"] one\n16 <13>it: two\nmorehi\n\n<11>last";
    let expected = [
        r#"{"app":"app","facility":"daemon","hostname":"box","msg":"one","pid":"7","priority":"info","sd.a.b":"c","talos-level":"info","talos-service":"syslogd","talos-time":"2026-03-04T05:06:07Z"}"#,
        r#"{"app":"it","facility":"user","msg":"two\nmore","priority":"notice","talos-level":"info","talos-service":"syslogd","talos-time":"2026-03-04T05:06:07.5Z"}"#,
        r#"{"msg":"hi","talos-level":"info","talos-service":"syslogd","talos-time":"2026-03-04T05:06:07.5Z","unparsed":true}"#,
        r#"{"facility":"user","msg":"last","priority":"err","talos-level":"error","talos-service":"syslogd","talos-time":"2026-03-04T05:06:07.5Z"}"#,
        "",
    ];
    assert_eq!(encoded(&syslog, input), expected.join("\n"));

    // Recorded from Talos' syslogd; what machined adds, and what that program ends at is text.
    let (mut input, mut expected) = (Vec::new(), String::new());
    let mut lines = include_str!("data/talos_syslogd.txt").lines();
    while let (Some(message), Some(answer)) = (lines.next(), lines.next()) {
        let message: String = serde_json::from_str(message.strip_prefix("IN  ").unwrap()).unwrap();
        let counts = message.ends_with('\n');
        input.extend(if counts { format!("{} {message}", message.len()) } else { message.clone() + "\n" }.bytes());
        let mut object = serde_json::Map::new();
        let msg = if answer.starts_with("PANIC") { &message } else { "" };
        for (key, value) in [
            ("msg", msg),
            ("talos-level", "info"),
            ("talos-service", "syslogd"),
            ("talos-time", "2026-03-04T05:06:07.5Z"),
        ] {
            object.insert(key.into(), value.into());
        }
        if let Some(answer) = answer.strip_prefix("OUT ") {
            object.extend(serde_json::from_str::<serde_json::Map<_, _>>(answer).unwrap());
        }
        if !answer.starts_with("DROP") {
            expected +=
                &(serde_json::to_string(&object).unwrap().replace('<', "\\u003c").replace('>', "\\u003e") + "\n");
        }
    }
    assert_eq!(encoded(&[&syslog[..], &["--talos"]].concat(), &input), expected);
}

#[test]
fn encode_refuses_what_it_can_not_do() {
    for (arguments, message) in [
        (&["encode"][..], "required arguments were not provided"),
        (&["encode", "--as", "kmsg"], "--boot-time <RFC3339>"),
        (&["encode", "--as", "talos-service"], "--service <NAME>"),
        (&["encode", "--as", "csv"], "possible values: talos-service, kmsg, syslog"),
        (&["encode", "--as", "kmsg", "--boot-time", "yesterday"], "this is no time as 2021-11-26T16:53:15Z"),
        (&["encode", "--as", "kmsg", "--boot-time", "9999-01-01T00:00:00Z"], "this is too far from now"),
        (
            &["encode", "--as", "kmsg", "--boot-time", "2021-01-01T00:00:00Z", "--service", "x", "--tag", "y"],
            "--service: means nothing with `--as kmsg`; accepted: with `--as talos-service` or `--as syslog`",
        ),
        (
            &["encode", "--as", "kmsg", "--boot-time", "2021-01-01T00:00:00Z", "--talos"],
            "--talos: means nothing with `--as kmsg`",
        ),
        (&["encode", "--as", "talos-service", "--service", "x", "--tag", "y"], "--tag: `y` has no `=`"),
    ] {
        let output = Place::new().run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(stderr(&output).contains(message), "{arguments:?} said\n{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

/// A line is answered before the next is written, and nobody has to read to the end.
#[test]
fn encode_answers_each_line_and_ends_with_its_reader() {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("ringward"));
    command.args(["encode", "--as", "talos-service", "--service", "x"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut output = std::io::BufReader::new(output);
    for number in 0..5 {
        input.write_all(format!("line {number}\n").as_bytes()).unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert!(line.starts_with(&format!(r#"{{"msg":"line {number}","talos-level":"info""#)), "{line}");
    }
    drop(output);
    // It ends at its first write that nobody reads.
    while input.write_all(b"more\n").is_ok() {}
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The files of the documentation, also for those who come from Fluentd: each holds, and does what its own cases say.
#[test]
fn the_examples_of_shaping_hold_and_pass_their_cases() {
    let place = Place::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config");
    let kata = fs::read_dir(format!("{folder}/kata")).unwrap();
    let mut files: Vec<_> = kata.map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 4, "{files:?}");
    files.push(format!("{folder}/shaping.yaml").into());
    for file in files {
        let file = file.to_str().unwrap();
        let checked = place.run(&["check", "--config", file]);
        assert!(checked.status.success(), "{}", stderr(&checked));
        let tested = place.run(&["test", file]);
        assert!(tested.status.success(), "{}{}", stdout(&tested), stderr(&tested));
        assert!(!stdout(&tested).contains("FAIL") && stdout(&tested).contains("ok "), "{}", stdout(&tested));
    }
}

#[test]
fn cases_that_fail_say_what_differs() {
    let place = Place::new();
    let config = "process: [{drop: {field: msg, matches: healthz}}]
tests:
- {name: it goes, input: [GET /healthz], dropped: true}
- {name: it stays, input: [GET /healthz, GET /], expect: [{msg: GET /healthz}]}
- {name: all of it, input: [{msg: x, pid: 7}], expect: ['{\"pid\": 7, \"msg\": \"x\"}'], exact: true}
";
    place.file("r.yaml", config);
    let output = place.run(&["test", "r.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "ok    it goes
FAIL  it stays (r.yaml:4:3)
      record 1: msg is \"GET /\", expected \"GET /healthz\"
FAIL  all of it (r.yaml:5:3)
      record 1: pid is \"7\", expected 7
      record 1: talos-level is \"info\", and not expected
      record 1: talos-service is \"test\", and not expected
1 of 3 passed
";
    assert_eq!(stdout(&output), expected);
    assert_eq!(stderr(&output), "ringward: error: 2 of 3 cases failed\n");
    place.file("none.yaml", "ring: {}\n");
    let output = place.run(&["test", "none.yaml"]);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(1), "ringward: error: the configuration has no `tests`\n".to_owned())
    );
}
