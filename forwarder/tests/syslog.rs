//! Syslog from the programs that send it: logger, Python, Go, rsyslog; by UDP, TCP and a socket as /dev/log.

mod harness;

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;

use harness::PATIENCE;
use harness::daemon::Daemon;
use harness::receiver::{Receiver, Record};
use harness::ringward::{Ringward, Stopped};

/// A Ringward that takes syslog in three ways, and where.
struct Intake {
    folder: tempfile::TempDir,
    receiver: Receiver,
    ringward: Ringward,
    udp: String,
    tcp: String,
}

impl Intake {
    /// With more keys for each listener.
    fn start(keys: &str) -> Self {
        let folder = harness::folder();
        let receiver = Receiver::tcp().unwrap();
        let listen = |endpoint: &str, key: &str| format!("- {{endpoint: '{endpoint}', {keys}{key}}}\n");
        let socket = format!("unix://{}", folder.path().join("log").display());
        let text = format!(
            "listen:\n{}{}{}",
            listen(&socket, "name: here"),
            listen("udp://127.0.0.1:0", "name: udp, parse: syslog"),
            listen("tcp://127.0.0.1:0", "name: tcp, parse: syslog"),
        );
        let config = folder.path().join("ringward.yaml");
        std::fs::write(&config, text).unwrap();
        let arguments =
            ["--no-kernel", "--no-containers", "--config", config.to_str().unwrap(), "--to", &receiver.url()];
        let ringward = Ringward::start(&arguments);
        let ready = ringward.said("ready: ");
        let port = |scheme: &str| {
            ready.split_once(scheme).unwrap().1.split([',', ' ']).next().unwrap().rsplit_once(':').unwrap().1.to_owned()
        };
        let (udp, tcp) = (port("udp://"), port("tcp://"));
        Self { folder, receiver, ringward, udp, tcp }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    fn sender(&self) -> UnixDatagram {
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(self.socket()).unwrap();
        sender
    }

    /// The record of this message, when it has come.
    #[track_caller]
    fn record(&self, msg: &str) -> Record {
        let has_come = self.receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == msg));
        assert!(has_come, "`{msg}` has not come: {:#?}", self.receiver.with(Clone::clone));
        self.receiver.with(|records| records.iter().find(|record| record.msg == msg).cloned().unwrap())
    }

    /// The record of this message has these fields, and no others but the time. A process id may be any.
    #[track_caller]
    fn check(&self, msg: &str, fields: &[(&str, &str)]) {
        let mut found = self.record(msg).fields;
        for key in ["msg", "talos-time"] {
            found.remove(key);
        }
        if let Some(pid) = found.get_mut("pid") {
            assert!(pid.as_str().unwrap().parse::<u32>().is_ok(), "{pid}");
            *pid = "-".into();
        }
        let expected = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        assert_eq!(found, expected, "{msg}");
    }

    fn stop(self) -> (Stopped, Vec<Record>) {
        let stopped = self.ringward.stop();
        assert!(stopped.status.success(), "{stopped:?}");
        assert!(self.receiver.wait_closed(PATIENCE));
        assert_eq!(self.receiver.broken(), [""; 0]);
        (stopped, self.receiver.with(Clone::clone))
    }
}

/// Runs a program to its end.
#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// What programs say the name of this machine is.
fn host() -> String {
    rustix::system::uname().nodename().to_str().unwrap().to_owned()
}

/// Of whoever runs the tests.
fn uid() -> serde_json::Value {
    rustix::process::getuid().as_raw().to_string().into()
}

const DAEMON: [(&str, &str); 3] = [("facility", "daemon"), ("priority", "err"), ("talos-level", "error")];

#[test]
fn what_logger_sends() {
    let intake = Intake::start("");
    let (host, long) = (host(), "long ".repeat(900));
    let long = long.trim();
    let socket = intake.socket();
    let socket = ["-u", socket.to_str().unwrap()];
    let udp = ["-d", "-n", "127.0.0.1", "-P", &intake.udp];
    let tcp = ["-T", "-n", "127.0.0.1", "-P", &intake.tcp];
    let mut expected = Vec::new();
    for (way, service) in [(&socket[..], "here"), (&udp, "udp"), (&tcp, "tcp")] {
        for (number, form) in [
            &["--rfc3164"][..],
            &["--rfc5424"],
            &["--rfc5424=notime,notq"],
            &["--rfc5424=notime,notq,nohost"],
            &["--rfc3164", "--octet-count"],
            &["--rfc5424", "--octet-count", "--msgid", "ID7", "--sd-id", "x@1", "--sd-param", "a=\"b \\\"c\\\"\""],
            &["-i"],
            &["-S", "8192"],
        ]
        .into_iter()
        .enumerate()
        {
            let is_counted = form.contains(&"--octet-count");
            // It puts the length before datagrams as well.
            if is_counted && service != "tcp" {
                continue;
            }
            let msg = if form[0] == "-S" { format!("{service} {long}") } else { format!("{service} {number}: é") };
            run(Command::new("logger").args(way).args(form).args(["-p", "daemon.err", "-t", "app", &msg]));
            let mut fields = DAEMON.to_vec();
            fields.extend([("app", "app"), ("talos-service", service)]);
            // The form of syslog(3) is that of a socket where nothing else is asked for.
            let has_host = service != "here" || form[0].starts_with("--");
            if has_host && !form[0].ends_with("nohost") {
                fields.push(("hostname", &host));
            }
            if form.contains(&"--msgid") {
                fields.extend([("msgid", "ID7"), ("sd.x@1.a", "b \"c\"")]);
            }
            expected.push((msg, fields, form));
        }
    }
    for (msg, fields, form) in &expected {
        let mut record = intake.record(msg);
        record.fields.retain(|key, _| !key.starts_with("sd.timeQuality.") && key != "msg" && key != "talos-time");
        // At a socket, the kernel says whose it is where the message does not.
        let is_here = record.service == "here";
        assert_eq!(record.fields.remove("pid").is_some(), is_here || form[0] == "-i", "{msg}");
        assert_eq!(record.fields.remove("uid"), is_here.then(uid), "{msg}");
        let found: Vec<_> = record.fields.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap())).collect();
        let mut fields = fields.clone();
        fields.sort_unstable();
        assert_eq!(found, fields, "{form:?} {msg}");
    }
    let (_, records) = intake.stop();
    assert_eq!(records.len(), expected.len(), "{records:#?}");
}

/// Each line that it reads is a message; by TCP they come behind each other.
#[test]
fn what_logger_sends_of_a_file() {
    let intake = Intake::start("");
    let file = intake.folder.path().join("lines");
    let lines: String = (0..200).map(|number| format!("line {number}\n")).collect();
    std::fs::write(&file, &lines).unwrap();
    for count in [&["--octet-count"][..], &[]] {
        let to = ["-T", "-n", "127.0.0.1", "-P", &intake.tcp, "-t", "app", "-f", file.to_str().unwrap()];
        run(Command::new("logger").args(to).args(count));
        assert!(intake.receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == "line 199")));
    }
    let (_, records) = intake.stop();
    let messages: String = records.iter().map(|record| format!("{}\n", record.msg)).collect();
    assert_eq!(messages, lines.repeat(2));
}

#[test]
fn what_python_sends() {
    let intake = Intake::start("");
    let program = r#"
import logging, logging.handlers, socket, sys
path, udp, tcp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ways = {"here": (path, None), "udp": (("127.0.0.1", udp), None), "tcp": (("127.0.0.1", tcp), socket.SOCK_STREAM)}
for name, (address, kind) in ways.items():
    handler = logging.handlers.SysLogHandler(address=address, facility="local3", socktype=kind)
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    logger.warning("%s: é", name + " plain")
    handler.setFormatter(logging.Formatter("py[%(process)d]: %(message)s"))
    logger.error("%s with a tag\nand a line", name)
    logger.critical("%s" % ("x" * 30000), extra={}) if name != "tcp" else None
    handler.close()
"#;
    let socket = intake.socket();
    run(Command::new("python3").args(["-c", program, socket.to_str().unwrap(), &intake.udp, &intake.tcp]));
    for service in ["here", "udp", "tcp"] {
        let fields = [("facility", "local3"), ("talos-service", service)];
        let warning = [("priority", "warning"), ("talos-level", "warn")];
        let us = uid();
        let ours = [("pid", "-"), ("uid", us.as_str().unwrap())];
        let ours = if service == "here" { &ours[..] } else { &[] };
        intake.check(&format!("{service} plain: é"), &[&fields[..], &warning, ours].concat());
        // A connection's messages end with a NUL or a newline, and this one has both.
        let lines = if service == "tcp" { "" } else { "\nand a line" };
        let mut record = intake.record(&format!("{service} with a tag{lines}"));
        assert!(record.fields.remove("pid").is_some_and(|pid| pid.as_str().unwrap().parse::<u32>().is_ok()));
        assert_eq!((record.text("app"), record.text("priority")), ("py", "err"));
    }
    let (_, records) = intake.stop();
    let long: Vec<_> = records.iter().filter(|record| record.msg.ends_with(&"x".repeat(30_000))).collect();
    assert_eq!((long.len(), records.len()), (2, 9), "{records:#?}");
}

/// Of glibc: it writes to /dev/log and nowhere else, so there is another /dev for it.
#[test]
fn what_syslog_3_writes() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: another /dev takes root");
        return;
    }
    let intake = Intake::start("");
    let inside = format!("mount -t tmpfs none /dev && ln -s {} /dev/log && exec \"$@\"", intake.socket().display());
    let elsewhere = |words: &[&str]| {
        let unshare = ["--mount", "--propagation", "private", "sh", "-c", &inside, "sh"];
        run(Command::new("unshare").args(unshare).args(words));
    };
    let program = "import syslog as s; s.syslog('bare'); s.openlog('ident', s.LOG_PID, s.LOG_CRON); s.syslog(s.LOG_ERR, 'with a pid'); s.syslog('x' * 5000)";
    elsewhere(&["python3", "-c", program]);
    elsewhere(&["logger", "-t", "tag", "by logger"]);
    let record = intake.record("with a pid");
    let by = |key| record.text(key).to_owned();
    assert_eq!((by("app"), by("facility"), by("priority")), ("ident".into(), "cron".into(), "err".into()));
    assert!(by("pid").parse::<u32>().is_ok() && by("hostname").is_empty() && by("timestamp").is_empty());
    assert_eq!(intake.record("bare").text("facility"), "user");
    assert_eq!(intake.record(&"x".repeat(5000)).text("app"), "ident");
    assert_eq!(intake.record("by logger").text("app"), "tag");
    // When it was written is known better than to the second.
    assert!(record.text("talos-time").contains('.'), "{record:?}");
    assert_eq!(intake.stop().1.len(), 4);
}

#[test]
fn what_go_sends() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go/syslog_client.go");
    if Command::new("go").arg("version").output().is_err() {
        eprintln!("skipped: no Go is installed");
        return;
    }
    let intake = Intake::start("");
    let (udp, tcp) = (format!("127.0.0.1:{}", intake.udp), format!("127.0.0.1:{}", intake.tcp));
    let socket = intake.socket();
    run(Command::new("go").args(["run", program, "unixgram", socket.to_str().unwrap(), "udp", &udp, "tcp", &tcp]));
    for (network, service) in [("unixgram", "here"), ("udp", "udp"), ("tcp", "tcp")] {
        let record = intake.record(&format!("by {network}"));
        let by = |key| record.text(key);
        assert_eq!(
            (by("app"), by("facility"), by("priority"), by("talos-service")),
            ("goapp", "daemon", "err", service)
        );
        assert!(by("pid").parse::<u32>().is_ok(), "{record:?}");
        assert_eq!(by("hostname").is_empty(), service == "here", "{record:?}");
    }
    assert_eq!(intake.stop().1.len(), 3);
}

#[test]
fn what_rsyslog_forwards() {
    let intake = Intake::start("");
    let folder = intake.folder.path();
    let forward = |port: &str, more: &str| {
        format!("action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" action.resumeRetryCount=\"-1\" {more})\n")
    };
    let config = [
        "module(load=\"imuxsock\" SysSock.Use=\"off\")\nglobal(maxMessageSize=\"64k\")\n".to_owned(),
        format!("input(type=\"imuxsock\" Socket=\"{}/in\" useSysTimeStamp=\"off\")\n", folder.display()),
        forward(&intake.udp, "protocol=\"udp\" template=\"RSYSLOG_ForwardFormat\""),
        forward(
            &intake.tcp,
            "protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\"",
        ),
        forward(&intake.tcp, "protocol=\"tcp\" template=\"RSYSLOG_TraditionalForwardFormat\""),
    ];
    std::fs::write(folder.join("rsyslog.conf"), config.concat()).unwrap();
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut command = Command::new("rsyslogd");
    command.args(["-n", "-i", "NONE", "-f"]).arg(folder.join("rsyslog.conf")).env("PATH", path);
    let mut rsyslog = Daemon::spawn(&mut command);
    let begun = std::time::Instant::now();
    while UnixDatagram::unbound().unwrap().connect(folder.join("in")).is_err() {
        assert!(begun.elapsed() < PATIENCE, "it does not listen: {:?}", rsyslog.log());
        std::thread::yield_now();
    }
    let socket = folder.join("in");
    let long = format!("long {}", "y".repeat(20_000));
    for msg in ["short", &long] {
        let to = ["-u", socket.to_str().unwrap(), "-S", "32768", "-p", "daemon.err", "-t", "app", "--id=77", msg];
        run(Command::new("logger").args(to));
        // With the template for RFC 5424, the space behind the tag is a part of the message.
        let is_it = |record: &&Record| record.msg.trim_start() == msg;
        let forwarded = |records: &Vec<Record>| records.iter().filter(is_it).count() == 3;
        assert!(intake.receiver.wait(PATIENCE, forwarded), "{:#?}", intake.receiver.with(Clone::clone));
    }
    rsyslog.stop(PATIENCE);
    let (_, records) = intake.stop();
    for record in &records {
        // It says when it begins and ends, too.
        if record.text("app") == "rsyslogd" {
            continue;
        }
        let by = |key| record.text(key);
        assert_eq!(
            (by("app"), by("pid"), by("facility"), by("priority")),
            ("app", "77", "daemon", "err"),
            "{record:?}"
        );
        assert!(!by("hostname").is_empty() && !record.partial, "{record:?}");
    }
    assert!(records.iter().all(|record| !record.fields.contains_key("unparsed")), "{records:#?}");
}

/// Pseudo-random bytes, the same in each run.
fn noise() -> impl FnMut(usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252u64;
    move |most| {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 11
        };
        // Small ones as well, and some that begin well.
        let len = if next() % 3 == 0 { next() as usize % 40 } else { next() as usize % (most + 1) };
        let mut bytes: Vec<u8> = (0..len).map(|_| (next() >> 5) as u8).collect();
        let begin: &[u8] = [&b"<13>"[..], b"<13>1 - ", b"<13>Mar  4 05:06:07 ", b""][next() as usize % 4];
        let begin = &begin[..begin.len().min(len)];
        bytes[..begin.len()].copy_from_slice(begin);
        bytes
    }
}

#[test]
fn every_datagram_is_a_record() {
    for keys in ["", "max_line: 1KiB, "] {
        let intake = Intake::start(keys);
        let (sender, mut noise) = (intake.sender(), noise());
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.connect(("127.0.0.1", intake.udp.parse().unwrap())).unwrap();
        let (sent, mut blank) = (150, 0);
        for number in 0..sent {
            let datagram = noise(65_000);
            blank += usize::from(datagram.iter().all(|byte| b"\0\r\n".contains(byte)));
            if number % 2 == 0 { sender.send(&datagram) } else { udp.send(&datagram) }.unwrap();
        }
        let (stopped, records) = intake.stop();
        let lost: u64 = records.iter().filter_map(|record| record.fields.get("lost-records")?.as_u64()).sum();
        // One that comes in parts is one that begins.
        let parts = records.iter().filter(|record| record.partial).count();
        let whole = records.iter().filter(|record| !record.fields.contains_key("lost-records")).count() - parts;
        assert_eq!(whole + blank + lost as usize, sent, "{:#?}", stopped.log);
        assert_eq!(parts > 0, !keys.is_empty());
    }
}

#[test]
fn frames_of_both_kinds_by_one_connection() {
    let intake = Intake::start("max_line: 1KiB, ");
    let mut sender = TcpStream::connect(("127.0.0.1", intake.tcp.parse().unwrap())).unwrap();
    let long = "z".repeat(2500);
    let counted = |message: &str| format!("{} {message}", message.len());
    let stream = [
        counted("<11>counted: one\ntwo"),
        "<12>lined: three\n".to_owned(),
        counted(&format!("<13>long: {long}")),
        "no priority\n".to_owned(),
        format!("<13>long: {long}\n"),
        "40 <13>torn: of".to_owned(),
    ];
    for byte in stream.concat().as_bytes().chunks(7) {
        sender.write_all(byte).unwrap();
    }
    drop(sender);
    let part = "z".repeat(1024 - "<13>long: ".len());
    let rest = 2500 - part.len() - 1024;
    let expected = [
        ("one\ntwo", "counted", false),
        ("three", "lined", false),
        (&part, "long", true),
        (&long[..1024], "", true),
        (&long[..rest], "", false),
        ("no priority", "", false),
        (&part, "long", true),
        (&long[..1024], "", true),
        (&long[..rest], "", false),
        ("of", "torn", true),
    ];
    assert!(intake.receiver.wait(PATIENCE, |records| records.len() >= expected.len()));
    let (_, records) = intake.stop();
    let found: Vec<_> =
        records.iter().map(|record| (record.msg.as_str(), record.text("app"), record.partial)).collect();
    assert_eq!(found, expected);
    assert!(records[5].fields.contains_key("unparsed"));
}

#[test]
fn the_socket_is_there_while_it_runs() {
    let folder = harness::folder();
    let path = folder.path().join("log");
    // What a dead process left.
    drop(UnixDatagram::bind(&path).unwrap());
    let endpoint = format!("unix://{}", path.display());
    let receiver = Receiver::tcp().unwrap();
    let arguments = ["--no-kernel", "--no-containers", "--listen", &endpoint, "--to", &receiver.url()];
    let ringward = Ringward::start(&arguments);
    let metadata = std::fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o666);
    let state = harness::folder();
    let second = [&["run", "--state-dir", state.path().to_str().unwrap()], &arguments[..]].concat();
    let second = Ringward::command(&second).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("a running program listens on it"), "{second:?}");

    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(&path).unwrap();
    // Larger than any of UDP; then what is in the queue at a stop.
    let large = "l".repeat(150_000);
    sender.send(format!("<13>{large}").as_bytes()).unwrap();
    assert!(receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == large)));
    ringward.pause();
    sender.send(b"<13>last").unwrap();
    assert!(ringward.stop_paused().status.success());
    assert!(receiver.wait_closed(PATIENCE));
    assert_eq!(receiver.with(|records| records.last().unwrap().msg.clone()), "last");
    assert!(!path.exists());
}

/// glibc's syslog(3), and others, try a stream where datagrams are refused.
#[test]
fn a_stream_socket_takes_lines_and_counted_messages() {
    let folder = harness::folder();
    let path = folder.path().join("log");
    let endpoint = format!("unix-stream://{}", path.display());
    let receiver = Receiver::tcp().unwrap();
    let ringward = Ringward::start(&["--no-kernel", "--no-containers", "--listen", &endpoint, "--to", &receiver.url()]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    let mut first = UnixStream::connect(&path).unwrap();
    let mut second = UnixStream::connect(&path).unwrap();
    first.write_all(b"<13>app: a line\n<11>app: with a NUL\0").unwrap();
    first.write_all(b"12 <13>app: x\ny").unwrap();
    second.write_all(b"<13>other: in two").unwrap();
    let has = |text: &str| receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == text));
    assert!(has("x\ny"));
    second.write_all(b" pieces\n<13>other: unfinished").unwrap();
    assert!(has("in two pieces"));
    drop(second);
    assert!(has("unfinished"));
    // What was sent when it was told to stop, by one that it has not accepted yet.
    ringward.pause();
    let mut last = UnixStream::connect(&path).unwrap();
    last.write_all(b"<13>app: last\n").unwrap();
    assert!(ringward.stop_paused().status.success());
    assert!(has("last") && !path.exists());
    let records = receiver.with(Clone::clone);
    let of_app = records.iter().filter(|record| record.text("app") == "app");
    let found: Vec<_> = of_app.map(|record| (record.msg.as_str(), record.text("talos-level"))).collect();
    assert_eq!(found, [("a line", "info"), ("with a NUL", "error"), ("x\ny", "info"), ("last", "info")]);
    assert!(records.iter().find(|record| record.msg == "unfinished").unwrap().partial);
}

#[test]
fn the_kernel_says_who_has_sent_a_message() {
    let folder = harness::folder();
    let receiver = Receiver::tcp().unwrap();
    let at = |name: &str| folder.path().join(name);
    let listen = |scheme: &str, name: &str, parse: &str| {
        format!("- {{endpoint: '{scheme}://{}', name: {name}, parse: {parse}}}\n", at(name).display())
    };
    let text = format!(
        "listen:\n{}{}{}{}",
        listen("unix", "datagrams", "syslog"),
        listen("unix-stream", "connections", "syslog"),
        listen("unix", "talos", "talos_syslog"),
        listen("unix", "lines", "auto"),
    );
    let config = at("ringward.yaml");
    std::fs::write(&config, text).unwrap();
    let arguments = ["--no-kernel", "--no-containers", "--config", config.to_str().unwrap(), "--to", &receiver.url()];
    let ringward = Ringward::start(&arguments);
    let messages = ["<13>app[7]: its own", "<13>app: none", "anything", "<13>1 - - app 8 - - by RFC 5424"];
    let mut connection = UnixStream::connect(at("connections")).unwrap();
    for message in messages {
        connection.write_all(format!("{message}\n").as_bytes()).unwrap();
        for name in ["datagrams", "lines"] {
            UnixDatagram::unbound().unwrap().send_to(message.as_bytes(), at(name)).unwrap();
        }
    }
    let talos = "<4>Nov 21 20:00:00 kata[2569]: VM started";
    UnixDatagram::unbound().unwrap().send_to(talos.as_bytes(), at("talos")).unwrap();
    let has_come = receiver.wait(PATIENCE, |records| records.len() > 3 * messages.len());
    assert!(has_come, "{:#?}", receiver.with(Clone::clone));
    assert!(ringward.stop().status.success());
    let us = (std::process::id().to_string(), uid());
    for name in ["datagrams", "connections"] {
        let found = receiver.of(name);
        let pids: Vec<_> = found.iter().map(|record| record.text("pid")).collect();
        assert_eq!(pids, ["7", &us.0, &us.0, "8"], "{found:#?}");
        assert!(found.iter().all(|record| record.fields["uid"] == us.1), "{found:#?}");
    }
    // What has a form of its own stays as it is.
    let others = receiver.with(|records| {
        let is_other = |record: &&Record| !matches!(record.service.as_str(), "datagrams" | "connections");
        records.iter().filter(is_other).cloned().collect::<Vec<_>>()
    });
    assert_eq!(others.len(), messages.len() + 1);
    assert!(others.iter().all(|record| !record.fields.contains_key("uid") && !record.fields.contains_key("pid")));
}

/// Only root can send one that is too large.
#[test]
fn of_what_is_too_large_the_end_is_told() {
    let intake = Intake::start("");
    let sender = intake.sender();
    if rustix::net::sockopt::set_socket_send_buffer_size_force(&sender, 4 << 20).is_err() {
        eprintln!("skipped: a datagram of a megabyte takes CAP_NET_ADMIN");
        return;
    }
    let message = format!("<13>big: {}", "b".repeat(1 << 20));
    sender.send(message.as_bytes()).unwrap();
    sender.send(b"<13>next").unwrap();
    intake.record("next");
    let (stopped, records) = intake.stop();
    let bodies: usize = records.iter().filter(|record| record.msg.ends_with('b')).map(|record| record.msg.len()).sum();
    let lost: u64 = records.iter().filter_map(|record| record.lost_bytes).sum();
    assert_eq!("<13>big: ".len() + bodies + lost as usize, message.len(), "{:#?}", stopped.log);
    assert!(lost > 0 && records.iter().any(|record| record.fields.contains_key("cut")));
}

#[test]
fn as_talos_takes_it() {
    let folder = harness::folder();
    let path = folder.path().join("log");
    let text = format!("listen: [{{endpoint: 'unix://{}', parse: talos_syslog}}]", path.display());
    let config = folder.path().join("ringward.yaml");
    std::fs::write(&config, text).unwrap();
    let receiver = Receiver::tcp().unwrap();
    let ringward = Ringward::start(&[
        "--no-kernel",
        "--no-containers",
        "--config",
        config.to_str().unwrap(),
        "--to",
        &receiver.url(),
    ]);
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(&path).unwrap();
    let long = format!("<6>Mar  3 12:55:18 t[1]: {}", "x".repeat(2000));
    for message in [
        "<165>1 2003-10-11T22:14:15.003Z box app - ID47 [x iut=\"3\"] An event",
        "<14>2026-01-02T03:04:05Z host app: dropped",
        "hi",
        &long,
    ] {
        sender.send(message.as_bytes()).unwrap();
    }
    assert!(receiver.wait(PATIENCE, |records| records.len() >= 3));
    ringward.said("1 messages were discarded, as Talos does");
    let stopped = ringward.stop();
    assert!(
        stopped.log.iter().any(|line| line.contains("3 records") && line.contains("1 cut and 1 discarded")),
        "{stopped:#?}"
    );
    let records = receiver.with(Clone::clone);
    let mut first = records[0].fields.clone();
    first.remove("talos-time");
    let expected = r#"{"app_name":"app","facility":20,"hostname":"box","message":"An event","msg":"","msg_id":"ID47","priority":165,"proc_id":"-","severity":5,"structured_data":"[x iut=\"3\"]","talos-level":"info","talos-service":"syslogd","timestamp":"2003-10-11T22:14:15.003Z","version":1}"#;
    assert_eq!(serde_json::to_string(&first).unwrap(), expected);
    assert_eq!((records[1].msg.as_str(), records[2].msg.as_str()), ("hi", ""));
    assert_eq!(records[2].text("content").len(), 1024 - "<6>Mar  3 12:55:18 t[1]: ".len());
}

/// The page's examples are what comes out.
#[test]
fn the_page_tells_the_truth() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/syslog.md")).unwrap();
    let mut seen = 0;
    for example in page.split("```console\n$ ").skip(1) {
        let (command, rest) = example.split_once('\n').unwrap();
        let expected = rest.split_once("```").unwrap().0;
        let folder = Path::new(env!("CARGO_BIN_EXE_ringward")).parent().unwrap().display().to_string();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        let output = Command::new("sh").args(["-c", command]).env("PATH", path).env("TZ", "UTC").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{command}: {output:?}");
        seen += 1;
    }
    assert!(seen >= 3);
}
