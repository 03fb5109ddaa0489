//! The receivers of `deploy/receivers/` that can be installed, run with the documented files: only ports, paths, outputs
//! and how long they gather are replaced.

use std::fs::File;
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ringward::destination::{DestinationConfig, Endpoint};
use ringward::io::IoMode;
use serde_json::{Map, Value};

use crate::bench::{AMPLE, Bench, PATIENCE, destination, wait_until};
use crate::documented::{DATAGRAM, FLUENT_BIT, assert_same, records, sent};
use crate::harness::machine::{say_skipped, skip};
use crate::harness::target;
use crate::receiver::listen;

const RSYSLOG: usize = 128 << 10;
const SYSLOG_NG: usize = 64 << 10;

/// A receiver that writes an object a line to the file `out` in its folder.
pub struct Running {
    child: Child,
    folder: tempfile::TempDir,
    /// Of a line.
    records: fn(&Value) -> Vec<Value>,
}

impl Running {
    /// Starts a program with the configuration, whose place follows `arguments`; its standard output goes to `out`,
    /// whatever else it says to the file `log`.
    pub fn start(program: &Path, arguments: &[&str], configuration: &str, folder: tempfile::TempDir) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::run(command, configuration, folder)
    }

    fn run(mut command: Command, configuration: &str, folder: tempfile::TempDir) -> Self {
        let path = folder.path().join("configuration");
        std::fs::write(&path, configuration).unwrap();
        command
            .arg(&path)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("out")).unwrap())
            .stderr(File::create(folder.path().join("log")).unwrap());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, folder, records: |line| vec![line.clone()] }
    }

    /// For one that writes several records a line.
    pub fn with_records(mut self, records: fn(&Value) -> Vec<Value>) -> Self {
        self.records = records;
        self
    }

    /// What it wrote so far, of lines that have ended.
    fn written(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("out")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |at| &text[..at]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
            .flat_map(|line: Value| (self.records)(&line))
            .collect()
    }

    /// Sends it all records, the next batch when it has written the last one; what it wrote, and what was sent.
    pub fn take(&self, endpoint: &str, limit: usize) -> (Vec<Value>, Vec<Value>) {
        let config = DestinationConfig { max_record_bytes: Some(limit), ..destination("a", endpoint) };
        let newline = !matches!(config.endpoint, Endpoint::Udp { .. });
        let bench = Bench::start(IoMode::Epoll, AMPLE, vec![config]);
        let mut all = Vec::new();
        for batch in records() {
            all.extend(sent(std::slice::from_ref(&batch), limit, newline));
            bench.send_batch(batch);
            let waited_for = || format!("{} records are written, not {}", all.len(), self.written().len());
            wait_until(&waited_for(), || self.written().len() >= all.len());
        }
        drop(bench.finish(PATIENCE));
        (self.written(), all)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A peer that `cargo xtask setup` has made; nothing where the registry does not have it.
pub fn peer(name: &str) -> Option<PathBuf> {
    let folder = target().join("peers").join(name);
    let program = folder.join("usr/sbin").join(name);
    if program.is_file() {
        return Some(program);
    }
    match std::fs::read_to_string(folder.join("refused")) {
        Ok(why) => say_skipped(&format!("{name}: {}", why.replace('\n', " "))),
        Err(_) => skip(&format!("{} is not there: `cargo xtask setup --test`", program.display())),
    }
    None
}

/// A port that was free a moment ago.
pub fn free_tcp() -> u16 {
    listen().0.local_addr().unwrap().port()
}

pub fn free_udp() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn accepts(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[track_caller]
pub fn replaced(text: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

#[test]
fn rsyslog() {
    let (tcp, udp) = (free_tcp(), free_udp());
    let folder = tempfile::tempdir().unwrap();
    let configuration = replaced(
        include_str!("../../../deploy/receivers/rsyslog.conf"),
        &[
            ("/var/log/ringward.json", &folder.path().join("out").display().to_string()),
            ("port=\"5044\"", &format!("address=\"127.0.0.1\" port=\"{tcp}\"")),
            ("port=\"12345\"", &format!("address=\"127.0.0.1\" port=\"{udp}\"")),
        ],
    );
    let pid = folder.path().join("pid").display().to_string();
    let rsyslog = Running::start(Path::new("rsyslogd"), &["-n", "-i", &pid, "-f"], &configuration, folder);
    wait_until("rsyslog listens", || accepts(tcp));
    let (written, sent) = rsyslog.take(&format!("tcp://127.0.0.1:{tcp}"), RSYSLOG);
    assert_same(&written, &sent);
}

/// syslog-ng 3 has texts only: numbers become texts, members of objects have names with dots, and a NUL ends a text.
fn as_syslog_ng_has_it(record: Value) -> Value {
    let texts = object(record).into_iter().filter_map(|(key, value)| match value {
        Value::String(text) => Some((key, text.split('\0').next().unwrap_or_default().into())),
        Value::Number(number) => Some((key, number.to_string().into())),
        Value::Bool(flag) => Some((key, flag.to_string().into())),
        _ => None,
    });
    texts.collect::<Map<_, _>>().into()
}

#[test]
fn syslog_ng() {
    let Some(program) = peer("syslog-ng") else { return };
    // Debian's packages, unpacked: two syslog daemons don't go together there.
    let root = program.ancestors().nth(3).unwrap();
    let libraries = root.join("usr/lib/syslog-ng");
    let modules = std::fs::read_dir(&libraries).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
    let others = [libraries, root.join("usr/lib/x86_64-linux-gnu"), root.join("usr/lib/aarch64-linux-gnu")];
    let tcp = free_tcp();
    let folder = tempfile::tempdir().unwrap();
    let configuration = replaced(
        include_str!("../../../deploy/receivers/syslog-ng.conf"),
        &[
            ("port(5044)", &format!("ip(\"127.0.0.1\") port({tcp})")),
            ("/var/log/ringward.json", &folder.path().join("out").display().to_string()),
        ],
    );
    let mut command = Command::new(&program);
    command.env("LD_LIBRARY_PATH", std::env::join_paths(others).unwrap());
    command.args(["-F", "--no-caps", "--module-path"]).arg(modules.expect("it has modules"));
    for (flag, file) in [("-R", "persist"), ("-c", "control"), ("-p", "pid")] {
        command.arg(flag).arg(folder.path().join(file));
    }
    command.arg("-f");
    let syslog_ng = Running::run(command, &configuration, folder);
    wait_until("syslog-ng listens", || accepts(tcp));
    let (written, sent) = syslog_ng.take(&format!("tcp://127.0.0.1:{tcp}"), SYSLOG_NG);
    let expected: Vec<Value> = sent.into_iter().map(as_syslog_ng_has_it).collect();
    let without_nested = |record| {
        let mut members = object(record);
        members.remove("nested");
        Value::from(members)
    };
    let written: Vec<Value> = written.into_iter().map(without_nested).collect();
    assert_same(&written, &expected);
}

/// The part of the custom resource that is Filebeat's own configuration.
fn filebeat_configuration() -> String {
    let resource = include_str!("../../../deploy/receivers/filebeat.yaml");
    let (_, from) = resource.split_once("\n  config:\n").unwrap();
    let (configuration, _) = from.split_once("\n  daemonSet:").unwrap();
    configuration.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap())).collect()
}

#[test]
fn filebeat() {
    let Some(program) = peer("filebeat") else { return };
    let udp = free_udp();
    let mut configuration = replaced(&filebeat_configuration(), &[("127.0.0.1:12345", &format!("127.0.0.1:{udp}"))]);
    configuration += "output.console: { codec.json: { escape_html: false } }\n\
        queue.mem: { events: 4096, flush.min_events: 1, flush.timeout: 0s }\n\
        logging: { level: info, to_stderr: true, metrics.enabled: false }\n";
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().display().to_string();
    let arguments = ["-e", "--strict.perms=false", "--path.home", &home, "-c"];
    let filebeat = Running::start(&program, &arguments, &configuration, folder);
    // From then on datagrams are kept for it.
    wait_until("Filebeat listens", || UdpSocket::bind(("127.0.0.1", udp)).is_err());
    let (written, sent) = filebeat.take(&format!("udp://127.0.0.1:{udp}"), DATAGRAM);
    let expected: Vec<Value> = sent.into_iter().map(as_filebeat_has_it).collect();
    let written: Vec<Value> = written.into_iter().map(without_what_filebeat_adds).collect();
    assert_same(&written, &expected);
}

pub fn object(record: Value) -> Map<String, Value> {
    match record {
        Value::Object(members) => members,
        other => panic!("{other}"),
    }
}

/// The record with its text as `message`, and its time as the event's, which has milliseconds.
fn as_filebeat_has_it(record: Value) -> Value {
    let mut event = object(record);
    let time: jiff::Timestamp = event.remove("talos-time").unwrap().as_str().unwrap().parse().unwrap();
    let message = event.remove("msg").unwrap();
    event.insert("message".into(), message);
    event.insert("@timestamp".into(), milliseconds(&time).into());
    event.into()
}

/// Cut, not rounded, and always three digits.
fn milliseconds(time: &jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn without_what_filebeat_adds(event: Value) -> Value {
    let mut event = object(event);
    for added in ["@metadata", "agent", "ecs", "host", "input", "log"] {
        event.remove(added).unwrap_or_else(|| panic!("no {added}"));
    }
    event.into()
}

#[test]
fn fluent_bit() {
    let Some(program) = peer("fluent-bit") else { return };
    let tcp = free_tcp();
    let configuration = replaced(
        include_str!("../../../deploy/receivers/fluent-bit.conf"),
        &[
            ("Listen        0.0.0.0", "Listen        127.0.0.1"),
            ("Port          12345", &format!("Port          {tcp}")),
            ("Flush         5", "Flush         0.1"),
        ],
    );
    let fluent_bit = Running::start(&program, &["-q", "-c"], &configuration, tempfile::tempdir().unwrap());
    wait_until("Fluent Bit listens", || accepts(tcp));
    let (written, sent) = fluent_bit.take(&format!("tcp://127.0.0.1:{tcp}"), FLUENT_BIT);
    let without_its_time = |record| {
        let mut members = object(record);
        assert!(members.remove("date").is_some());
        Value::from(members)
    };
    let written: Vec<Value> = written.into_iter().map(without_its_time).collect();
    assert_same(&written, &sent);
}
