//! memlogd's sockets as a part of `ringward run`: descriptors in, TCP and the query socket out.

use std::fmt::Write as _;
use std::io::Write;

use crate::daemon::{DUMP, Entry, Sockets};
use crate::harness::PATIENCE;
use crate::harness::receiver::Receiver;
use crate::harness::ringward::Ringward;

fn configuration(sockets: &Sockets, more: &str) -> String {
    let path = sockets.folder().join("ringward.yaml");
    let mut text = String::from("kernel: { enabled: false }\ncapture: { containers: false }\nring: { bytes: 64MiB }\n");
    let (log, query) = (sockets.log(), sockets.query());
    let _ = writeln!(
        text,
        "memlogd: {{ enabled: true, log_socket: {}, query_socket: {}{more} }}",
        log.display(),
        query.display()
    );
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn descriptors_go_to_tcp_with_service_and_stream() {
    let sockets = Sockets::new();
    let receiver = Receiver::tcp().unwrap();
    let ringward =
        Ringward::start(&["--config", &configuration(&sockets, ", max_line: 1KiB"), "--to", &receiver.url()]);
    let mut out = sockets.pipe("web.out");
    let lines: String = (0..10_000).fold(String::new(), |mut lines, number| {
        let _ = writeln!(lines, "{number}");
        lines
    });
    out.write_all(lines.as_bytes()).unwrap();
    sockets.write("web", format!("{}\npart", "é".repeat(600)).as_bytes());
    drop(out);
    let records = receiver.wait_for("web", PATIENCE, |records| records.len() == 10_002);
    assert_eq!(records.len(), 10_002, "{:?}", receiver.broken());
    let stdout: Vec<&str> =
        records.iter().filter(|record| record.stream == "stdout").map(|record| record.msg.as_str()).collect();
    let expected: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    assert_eq!(stdout, expected);
    let stderr: Vec<_> = records.iter().filter(|record| record.stream == "stderr").collect();
    assert_eq!(stderr[0].msg, "é".repeat(512));
    assert_eq!(stderr[0].fields["cut"], true);
    assert!(stderr[1].msg == "part" && stderr[1].partial, "{stderr:?}");
    assert_eq!(receiver.of("memlogd")[0].msg, "memlogd started");
    assert!(receiver.broken().is_empty(), "{:?}", receiver.broken());
    // The same ring, seen by memlogd's clients.
    let entries: Vec<Entry> = sockets.ask(DUMP).rest().iter().map(|line| Entry::parse(line)).collect();
    assert_eq!(entries.len(), 10_003);
    assert!(entries.iter().any(|entry| entry.is("web.out", "9999")));
    assert!(ringward.stop().status.success());
    assert!(!sockets.log().exists() && !sockets.query().exists());
}

#[test]
fn the_sockets_are_there_or_the_program_is_not() {
    let sockets = Sockets::new();
    std::fs::write(sockets.query(), "not a socket").unwrap();
    let output = Ringward::command(&["run", "--config", &configuration(&sockets, ""), "--to", "tcp://127.0.0.1:9"])
        .args(["--state-dir"])
        .arg(sockets.folder())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there is a file of that name, and it is not a socket"), "{said}");
    // The one that could be made is gone again.
    assert!(!sockets.log().exists() && sockets.query().exists());
}
