//! Streams that nobody connects for: standard input, and what programs print; and entries of journals.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, ExitStatus, Stdio};

use serde_json::json;

use crate::harness::receiver::Receiver;
use crate::harness::ringward::Ringward;
use crate::harness::{PATIENCE, folder};
use crate::{ALONE, address, config, start};

/// `ringward run --stdin`, whose standard input is `input`.
fn with_input(receiver: &Receiver, state: &tempfile::TempDir, input: impl Into<Stdio>) -> Child {
    let mut command = Ringward::command(&["run", "--stdin", "--state-dir"]);
    command.arg(state.path()).args(ALONE).args(["--to", &receiver.url()]).stdin(input).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// How it ended, and what it said.
fn end(mut child: Child) -> (ExitStatus, String) {
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    (child.wait().unwrap(), log)
}

#[test]
fn the_end_of_standard_input_ends_the_run_when_all_is_delivered() {
    let (receiver, state) = (Receiver::tcp().unwrap(), folder());
    let mut child = with_input(&receiver, &state, Stdio::piped());
    let mut input = child.stdin.take().unwrap();
    for number in 0..20_000 {
        writeln!(input, "line {number}").unwrap();
    }
    input.write_all(b"{\"msg\":\"an object\",\"n\":1}\nthe rest").unwrap();
    drop(input);
    let (status, log) = end(child);
    assert!(status.success(), "{log}");
    assert!(receiver.wait(PATIENCE, |records| records.len() == 20_002), "{log}");
    let records = receiver.with(Clone::clone);
    for (number, record) in records[..20_000].iter().enumerate() {
        assert_eq!((record.msg.as_str(), record.service.as_str()), (format!("line {number}").as_str(), "stdin"));
    }
    assert_eq!((records[20_000].msg.as_str(), &records[20_000].fields["n"]), ("an object", &json!(1)));
    assert_eq!((records[20_001].msg.as_str(), records[20_001].partial), ("the rest", true));
}

#[test]
fn standard_input_may_be_a_file_or_empty_and_no_device() {
    let (receiver, state) = (Receiver::tcp().unwrap(), folder());
    let path = state.path().join("input");
    let lines: String = (0..5000).map(|number| format!("line {number}\n")).collect();
    std::fs::write(&path, &lines).unwrap();
    let (status, log) = end(with_input(&receiver, &state, File::open(&path).unwrap()));
    assert!(status.success(), "{log}");
    assert!(receiver.wait(PATIENCE, |records| records.len() == 5000), "{log}");
    let (reading, writing) = std::io::pipe().unwrap();
    drop(writing);
    let (status, log) = end(with_input(&receiver, &state, reading));
    assert!(status.success(), "{log}");
    let (status, log) = end(with_input(&receiver, &state, File::open("/dev/zero").unwrap()));
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("stdin: can't be listened on: it is a device"), "{log}");
}

#[test]
fn a_program_is_read_to_its_end_and_started_again() {
    let (receiver, state) = (Receiver::tcp().unwrap(), folder());
    let count = state.path().join("count");
    let script = format!(
        "n=$(cat {0} 2>/dev/null || echo 0); echo $((n + 1)) > {0}; echo out $n; echo err $n >&2; printf 'rest %s' $n; exit 3",
        count.display()
    );
    let ringward = start(&["--listen", &format!("exec:/bin/sh -c {}", shlex_quote(&script)), "--to", &receiver.url()]);
    let of_run = |number: usize, text: &str| format!("{text} {number}");
    assert!(receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == "rest 2")));
    assert!(ringward.said("exit status: 3").contains("it is started again in"));
    let stopped = ringward.stop();
    assert!(stopped.status.success(), "{stopped:?}");
    let records = receiver.with(Clone::clone);
    for number in 0..3 {
        for text in ["out", "err", "rest"] {
            let found: Vec<_> = records.iter().filter(|record| record.msg == of_run(number, text)).collect();
            let [record] = found[..] else { panic!("{text} {number}: {found:?}") };
            assert_eq!(record.fields.get("stream"), (text == "err").then(|| json!("stderr")).as_ref());
            assert_eq!(record.partial, text == "rest");
            assert_eq!(record.service, "sh");
        }
    }
    let counted = stopped.log.iter().find(|line| line.contains("listener sh:")).unwrap();
    assert!(counted.contains("; ended "), "{counted}");
}

#[test]
fn at_a_stop_a_program_says_its_last_words_or_is_killed() {
    let receiver = Receiver::tcp().unwrap();
    let polite = "trap 'echo last words; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let ringward = start(&["--listen", &format!("exec:/bin/sh -c {}", shlex_quote(polite)), "--to", &receiver.url()]);
    assert!(receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == "ready")));
    assert!(ringward.stop().status.success());
    assert!(receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == "last words")));

    let receiver = Receiver::tcp().unwrap();
    let deaf = "trap '' TERM; echo $$; while :; do sleep 0.01; done";
    let ringward = start(&["--listen", &format!("exec:/bin/sh -c {}", shlex_quote(deaf)), "--to", &receiver.url()]);
    assert!(receiver.wait(PATIENCE, |records| !records.is_empty()));
    let stopped = ringward.stop();
    assert!(stopped.log.iter().any(|line| line.contains("is killed")), "{:?}", stopped.log);
    let id = receiver.with(|records| records[0].msg.clone());
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
}

#[test]
fn a_program_that_floods_waits_and_nothing_is_lost() {
    let receiver = Receiver::tcp().unwrap();
    // It prints far more than the ring holds.
    let config =
        config("ring: {bytes: 1MiB}\nlisten:\n- {endpoint: \"exec:seq -f %0200g 50000\", name: seq, parse: text}");
    let ringward = Ringward::start(
        &[&ALONE[..], &["--config", config.path().to_str().unwrap(), "--to", &receiver.url()]].concat(),
    );
    assert!(receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg.ends_with("50000"))));
    assert!(ringward.stop().status.success());
    let records = receiver.with(Clone::clone);
    let numbers: Vec<u32> = records.iter().map(|record| record.msg.parse().unwrap()).take(50_000).collect();
    assert!(numbers.into_iter().eq(1..=50_000));
}

#[test]
fn a_program_that_is_not_there_is_tried_again() {
    let receiver = Receiver::tcp().unwrap();
    let ringward = start(&["--listen", "exec:/no/such/program -x", "--to", &receiver.url()]);
    let said = ringward.said("could not be started");
    assert!(said.contains("No such file") && said.contains("again in 100ms"), "{said}");
    ringward.said("again in 200ms");
    assert!(ringward.stop().status.success());
}

#[test]
fn entries_of_a_journal_come_by_a_connection() {
    let receiver = Receiver::tcp().unwrap();
    let config =
        config("listen: [{endpoint: 'tcp://127.0.0.1:0', parse: journal_export, name: export, max_line: 1KiB}]");
    let ringward = Ringward::start(
        &[&ALONE[..], &["--config", config.path().to_str().unwrap(), "--to", &receiver.url()]].concat(),
    );
    let mut sender = TcpStream::connect(address(&ringward)).unwrap();
    let binary =
        |name: &str, value: &[u8]| [name.as_bytes(), b"\n", &(value.len() as u64).to_le_bytes(), value, b"\n"].concat();
    let stream = [
        b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1582281087810805\n__MONOTONIC_TIMESTAMP=1\n_PID=7\nPRIORITY=3\n"
            .to_vec(),
        binary("MESSAGE", b"two\nlines"),
        b"SYSLOG_IDENTIFIER=kata-runtime\nTAG=1\nTAG=2\n\n".to_vec(),
        b"not a field\nMESSAGE=second\n\n\n".to_vec(),
        binary("MESSAGE", &[b'x'; 2000]),
        b"\nMESSAGE=never ended\n".to_vec(),
    ];
    // In pieces that cut it anywhere.
    for piece in stream.concat().chunks(7) {
        sender.write_all(piece).unwrap();
    }
    drop(sender);
    assert!(receiver.wait(PATIENCE, |records| records.len() == 5), "{:?}", receiver.with(Clone::clone));
    assert!(ringward.stop().status.success());
    let records = receiver.with(Clone::clone);
    let first = &records[0];
    assert_eq!((first.msg.as_str(), first.service.as_str()), ("two\nlines", "kata-runtime"));
    assert_eq!((first.text("talos-time"), first.text("talos-level")), ("2020-02-21T10:31:27.810805Z", "error"));
    assert_eq!((first.text("pid"), &first.fields["tag"]), ("7", &json!(["1", "2"])));
    assert!(first.fields.keys().all(|key| !key.starts_with("__")));
    assert_eq!((records[1].msg.as_str(), &records[1].fields["unparsed"]), ("not a field", &json!(true)));
    assert_eq!((records[1].service.as_str(), records[2].msg.as_str()), ("export", "second"));
    assert_eq!((records[3].msg.len(), &records[3].fields["cut"]), (1024, &json!(true)));
    assert_eq!((records[4].msg.as_str(), records[4].partial), ("never ended", true));
}

/// What systemd itself writes.
#[test]
fn journalctl_is_read_as_its_journal_is() {
    let (receiver, state) = (Receiver::tcp().unwrap(), folder());
    let file = state.path().join("test.journal");
    let mut writer = crate::harness::journald::Writer::to(&file);
    writer.add_lines(0..100);
    writer.add(100, &[("MESSAGE", b"bytes \x01\nand lines"), ("PRIORITY", b"4")]);
    writer.close();
    let command = format!("exec:journalctl -o export --file {}", file.display());
    let config = config(&format!("listen: [{{endpoint: '{command}', parse: journal_export}}]"));
    let ringward = Ringward::start(
        &[&ALONE[..], &["--config", config.path().to_str().unwrap(), "--to", &receiver.url()]].concat(),
    );
    assert!(receiver.wait(PATIENCE, |records| records.len() >= 101));
    assert!(ringward.stop().status.success());
    let records = receiver.with(Clone::clone);
    for (number, record) in records[..100].iter().enumerate() {
        assert_eq!((record.msg.as_str(), record.service.as_str()), (format!("line {number}").as_str(), "app"));
    }
    assert_eq!(records[100].msg, "bytes \u{1}\nand lines");
    assert_eq!(records[100].text("talos-level"), "warn");
    assert_eq!(records[1].text("talos-time"), "2023-11-14T22:13:20.001Z");
}

fn shlex_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
