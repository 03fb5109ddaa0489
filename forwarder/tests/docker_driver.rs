//! Docker's logging driver: a real dockerd, and requests as dockerd sends them for what it does not do on purpose.

mod harness;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::docker::Docker;
use harness::numbered::Numbered;
use harness::process::output;
use harness::receiver::{Receiver, Record};
use harness::ringward::Ringward;
use harness::{Machine, PATIENCE, folder};

/// Ringward with a driver of its own name, and a receiver.
struct Driver {
    ringward: Ringward,
    receiver: Receiver,
    socket: PathBuf,
    configuration: tempfile::TempDir,
}

impl Driver {
    #[track_caller]
    fn start(socket: &Path) -> Self {
        let configuration = folder();
        let path = configuration.path().join("ringward.yaml");
        let text = format!(
            "kernel: {{ enabled: false }}\ncapture: {{ containers: false }}\nring: {{ bytes: 64MiB }}\n\
             docker: {{ enabled: true, socket: {} }}\n",
            socket.display()
        );
        std::fs::write(&path, text).unwrap();
        let receiver = Receiver::tcp().unwrap();
        let ringward = Ringward::start(&["--config", path.to_str().unwrap(), "--to", &receiver.url()]);
        Self { ringward, receiver, socket: socket.to_owned(), configuration }
    }

    /// Another one with the same configuration, receiver and state, after the first has ended in order or by a kill.
    #[track_caller]
    fn again(self, kill: bool, meanwhile: impl FnOnce()) -> Self {
        let Self { ringward, receiver, socket, configuration } = self;
        let state = if kill { ringward.kill() } else { ringward.stop_keeping_state().1 };
        meanwhile();
        let path = configuration.path().join("ringward.yaml");
        let arguments = ["--config", path.to_str().unwrap(), "--to", &receiver.url()];
        let ringward = Ringward::start_in(state, &arguments);
        Self { ringward, receiver, socket, configuration }
    }

    /// What is answered to a request: the status line, and the body.
    #[track_caller]
    fn ask(&self, path: &str, body: &str) -> (String, String) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    /// Every record was JSON, and it ended well.
    #[track_caller]
    fn end(self) {
        let stopped = self.ringward.stop();
        assert!(stopped.status.success(), "{stopped:?}");
        assert!(self.receiver.broken().is_empty(), "{:?}", self.receiver.broken());
        assert!(!self.socket.exists());
    }
}

/// Where dockerd looks for plugins; the name is nobody else's.
fn plugin(name: &str) -> (String, PathBuf) {
    let plugins = Path::new("/run/docker/plugins");
    std::fs::create_dir_all(plugins).unwrap();
    let name = format!("ringward-{name}-{}", std::process::id());
    let socket = plugins.join(format!("{name}.sock"));
    (name, socket)
}

fn texts<'a>(records: &'a [Record], stream: &str) -> Vec<&'a str> {
    records.iter().filter(|record| record.stream == stream).map(|record| record.msg.as_str()).collect()
}

#[test]
fn dockers_containers_print_through_it_and_docker_logs_reads_it() {
    let Some(_machine) = Machine::claim() else { return };
    let (name, socket) = plugin("logs");
    let driver = Driver::start(&socket);
    let docker = Docker::start();
    let flags = ["--log-driver", name.as_str()];
    // 70,000 bytes: dockerd cuts the line four times. The last has no newline.
    let script = "echo one; echo two >&2; seq -s , 1 13000; echo; printf end";
    docker.run("web", &flags, &["sh", "-c", script]).finish().succeeded();
    let records = driver.receiver.wait_for("web", PATIENCE, |records| records.len() == 5);
    let long: String = (1..=13_000).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    assert!(long.len() > 64 << 10);
    assert!(texts(&records, "stdout") == ["one", &long, "", "end"], "{} records", records.len());
    assert_eq!(texts(&records, "stderr"), ["two"]);
    assert!(records.iter().all(|record| record.partial == (record.msg == "end")));
    let id = output(docker.docker().args(["inspect", "--format", "{{.Id}}", "web"]));
    assert!(records.iter().all(|record| record.text("container") == id.trim()));

    let logs = |arguments: &[&str]| {
        let finished = docker.docker().arg("logs").args(arguments).arg("web").output().unwrap();
        assert!(finished.status.success(), "{finished:?}");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(finished.stdout), text(finished.stderr))
    };
    let (out, err) = logs(&[]);
    // Too long to be printed.
    assert!(out == format!("one\n{long}\n\nend"), "{} bytes, {:?}", out.len(), &out[out.len() - 20..]);
    assert_eq!(err, "two\n");
    assert_eq!(logs(&["--tail", "2"]), ("\nend".to_owned(), String::new()));
    assert_eq!(logs(&["--tail", "0"]), (String::new(), String::new()));
    assert_eq!(logs(&["--until", "2020-01-01T00:00:00Z"]), (String::new(), String::new()));
    assert_eq!(logs(&["--since", "2020-01-01T00:00:00Z", "--tail", "1"]).0, "end");
    // Of a container that has ended it ends at once.
    assert_eq!(logs(&["--follow", "--tail", "1"]).0, "end");

    // And of one that runs, with the container.
    let waits = "echo first; mkfifo /tmp/f; cat /tmp/f; echo last";
    let container = docker.run("waits", &flags, &["sh", "-c", waits]);
    driver.receiver.wait_for("waits", PATIENCE, |records| !records.is_empty());
    let follow = harness::process::Running::start(docker.docker().args(["logs", "--follow", "waits"]));
    output(docker.docker().args(["exec", "waits", "sh", "-c", "echo middle > /tmp/f"]));
    container.finish().succeeded();
    let followed = follow.finish().succeeded();
    assert_eq!(String::from_utf8_lossy(&followed.stdout), "first\nmiddle\nlast\n");
    drop(docker);
    driver.end();
}

#[test]
fn a_hundred_thousand_lines_come_once_and_in_order() {
    const COUNT: u64 = 100_000;
    const LENGTH: usize = 200;
    let Some(_machine) = Machine::claim() else { return };
    let (name, socket) = plugin("flood");
    let driver = Driver::start(&socket);
    let docker = Docker::start();
    let arguments = ["emit", "lines", "100000", "200"];
    docker.run("flood", &["--log-driver", &name, "--detach"], &arguments).finish().succeeded();
    let records = driver.receiver.wait_for("flood", PATIENCE, |records| records.len() as u64 >= COUNT);
    let mut numbered = Numbered::default();
    for record in &records {
        numbered.see(record.msg.as_bytes(), LENGTH);
    }
    assert_eq!(numbered.check(COUNT), Ok(()));
    drop(docker);
    driver.end();
}

#[test]
fn a_container_goes_on_while_ringward_is_restarted() {
    let Some(_machine) = Machine::claim() else { return };
    let (name, socket) = plugin("again");
    let driver = Driver::start(&socket);
    let docker = Docker::start();
    // Prints what it is told to.
    let script = "mkfifo /tmp/f; echo ready; while :; do cat /tmp/f; done";
    let flags = ["--log-driver", name.as_str(), "--detach"];
    docker.run("on", &flags, &["sh", "-c", script]).finish().succeeded();
    let say = |text: &str| {
        output(docker.docker().args(["exec", "on", "sh", "-c", &format!("echo {text} > /tmp/f")]));
    };
    let wait = |driver: &Driver, count| {
        let records = driver.receiver.wait_for("on", PATIENCE, |records| records.len() >= count);
        assert_eq!(records.len(), count, "{records:?}");
        texts(&records, "stdout").join(" ")
    };
    say("one");
    assert_eq!(wait(&driver, 2), "ready one");
    let driver = driver.again(false, || say("two"));
    assert_eq!(wait(&driver, 3), "ready one two");
    let driver = driver.again(true, || say("three"));
    assert_eq!(wait(&driver, 4), "ready one two three");
    say("four");
    assert_eq!(wait(&driver, 5), "ready one two three four");
    output(docker.docker().args(["kill", "on"]));
    // Now its FIFO is nobody's, and nothing is kept of it.
    let kept = driver.ringward.state().join("docker.json");
    let begin = std::time::Instant::now();
    while std::fs::read_to_string(&kept).unwrap() != "[]" {
        assert!(begin.elapsed() < PATIENCE, "{}", std::fs::read_to_string(&kept).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(docker);
    driver.end();
}

/// An entry of stdout, as dockerd writes it.
fn entry(line: &[u8]) -> Vec<u8> {
    let length = u8::try_from(line.len()).unwrap();
    let mut entry = vec![0x0a, 6];
    entry.extend(b"stdout");
    // 1,500,000,000 s after the epoch, in ns.
    entry.extend([0x10, 0x80, 0x80, 0xd8, 0xd8, 0xd7, 0xc1, 0xc4, 0xe8, 0x14, 0x1a, length]);
    entry.extend(line);
    [&u32::try_from(entry.len()).unwrap().to_be_bytes()[..], &entry].concat()
}

#[test]
fn odd_requests_are_answered_and_odd_entries_counted() {
    let folder = folder();
    let driver = Driver::start(&folder.path().join("plugin.sock"));
    let ok = "HTTP/1.1 200 OK".to_owned();
    assert_eq!(driver.ask("/Plugin.Activate", ""), (ok.clone(), r#"{"Implements":["LogDriver"]}"#.to_owned()));
    assert_eq!(driver.ask("/LogDriver.Capabilities", "{}"), (ok.clone(), r#"{"Cap":{"ReadLogs":true}}"#.to_owned()));
    let (status, body) = driver.ask("/LogDriver.Nothing", "{}");
    assert!(status.contains("404") && body.contains("/LogDriver.Nothing"), "{status} {body}");
    let (status, body) = driver.ask("/LogDriver.StartLogging", "{\"File\":");
    assert!(status.contains("400") && body.contains("not understood"), "{status} {body}");

    let start = |file: &Path| {
        let info = r#"{"Config":{},"ContainerID":"c0ffee","ContainerName":"/odd","ContainerEnv":null}"#;
        driver.ask("/LogDriver.StartLogging", &format!(r#"{{"File":"{}","Info":{info}}}"#, file.display())).1
    };
    let stop = |file: &Path| driver.ask("/LogDriver.StopLogging", &format!(r#"{{"File":"{}"}}"#, file.display())).1;
    let nothing = r#"{"Err":""}"#;
    let (missing, plain, fifo) = (folder.path().join("none"), folder.path().join("plain"), folder.path().join("fifo"));
    File::create(&plain).unwrap();
    output(Command::new("mkfifo").arg(&fifo));
    assert!(start(&missing).contains("No such file"), "{}", start(&missing));
    assert!(start(&plain).contains("it is no FIFO"), "{}", start(&plain));
    assert_eq!(stop(&missing), nothing);

    assert_eq!(start(&fifo), nothing);
    assert!(start(&fifo).contains("is read already"));
    let mut writer = OpenOptions::new().write(true).open(&fifo).unwrap();
    writer.write_all(&entry(b"good \xff")).unwrap();
    // No entry, then one; then none, with no other behind it.
    writer.write_all(&[0, 0, 0, 2, 0xff, 0xff]).unwrap();
    writer.write_all(&entry(b"better")).unwrap();
    writer.write_all(b"{\"log\":\"plain\\n\"}").unwrap();
    // Everything that was written is read before it is answered.
    assert_eq!(stop(&fifo), nothing);
    let records = driver.receiver.wait_for("odd", PATIENCE, |records| records.len() == 3);
    let messages: Vec<&str> = records.iter().take(2).map(|record| record.msg.as_str()).collect();
    assert_eq!(messages, ["good \u{fffd}", "better"]);
    assert_eq!(records[2].lost_bytes, Some(6 + 17), "{:?}", records[2]);
    let read = r#"{"Config":{"Tail":-1},"Info":{"ContainerID":"c0ffee"}}"#;
    let (_, logs) = driver.ask("/LogDriver.ReadLogs", read);
    assert!(logs.contains("better\n") && logs.contains("23 bytes were lost between dockerd"), "{logs:?}");
    assert_eq!(records[0].text("talos-time"), "2017-07-14T02:40:00Z");

    // What was cut off in the middle of an entry by the end of dockerd.
    assert_eq!(start(&fifo), nothing);
    drop(writer);
    let mut writer = OpenOptions::new().write(true).open(&fifo).unwrap();
    writer.write_all(&entry(b"last")).unwrap();
    writer.write_all(&entry(b"never whole")[..9]).unwrap();
    drop(writer);
    let records = driver.receiver.wait_for("odd", PATIENCE, |records| records.len() == 5);
    assert_eq!((records[3].msg.as_str(), records[4].lost_bytes), ("last", Some(9)));
    driver.end();
}
