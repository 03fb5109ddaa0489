//! An OpenTelemetry collector, run with the documented file: each log record is what was sent.

use std::net::UdpSocket;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::bench::wait_until;
use crate::documented::{DATAGRAM, assert_same};
use crate::real_receivers::{Running, accepts, free_tcp, free_udp, object, peer, replaced};

/// `max_log_size`.
const LINE: usize = 1 << 20;

/// It, and its ports of TCP and UDP. Both listen.
fn start() -> Option<(Running, u16, u16)> {
    let program = peer("otelcol")?;
    let (tcp, udp) = (free_tcp(), free_udp());
    let folder = tempfile::tempdir().unwrap();
    let configuration = replaced(
        include_str!("../../../deploy/receivers/otelcol.yaml"),
        &[
            ("0.0.0.0:5044", &format!("127.0.0.1:{tcp}")),
            ("0.0.0.0:12345", &format!("127.0.0.1:{udp}")),
            ("/var/log/ringward.json", &folder.path().join("out").display().to_string()),
            ("flush_interval: 1s", "flush_interval: 50ms"),
            // Its own figures would want a port.
            ("service:\n", "service:\n  telemetry: { metrics: { level: none } }\n"),
        ],
    );
    let running = Running::start(&program, &["--config"], &configuration, folder).with_records(log_records);
    wait_until("the collector listens", || accepts(tcp) && UdpSocket::bind(("127.0.0.1", udp)).is_err());
    Some((running, tcp, udp))
}

/// Of a line, which has the log records of a batch.
fn log_records(line: &Value) -> Vec<Value> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let scopes = list(line, "resourceLogs").into_iter().flat_map(|resource| list(&resource, "scopeLogs"));
    scopes.flat_map(|scope| list(&scope, "logRecords")).collect()
}

/// What Ringward sends, as this configuration has it.
fn as_sent(record: Value) -> Value {
    let mut attributes = object(record);
    let time: Timestamp = attributes.remove("talos-time").unwrap().as_str().unwrap().parse().unwrap();
    let level = attributes.remove("talos-level").unwrap();
    let body = attributes.remove("msg").unwrap();
    json!({ "time": time.as_nanosecond().to_string(), "severity": level, "body": body, "attributes": attributes })
}

fn as_written(record: Value) -> Value {
    let numbers = [("debug", 5), ("info", 9), ("warn", 13), ("error", 17), ("fatal", 21)];
    let level = numbers.iter().find(|(_, number)| record["severityNumber"] == *number);
    let (level, text) = (level.map(|(level, _)| *level), record["severityText"].as_str());
    assert_eq!(level, text, "{record}");
    json!({
        "time": record["timeUnixNano"],
        "severity": text,
        "body": plain(&record["body"]),
        "attributes": members(&record["attributes"]),
    })
}

/// OTLP's values as JSON's.
fn plain(value: &Value) -> Value {
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else { return Value::Null };
    match kind.as_str() {
        "stringValue" | "boolValue" | "doubleValue" => value.clone(),
        "intValue" => value.as_str().unwrap().parse::<i64>().unwrap().into(),
        "arrayValue" => value["values"].as_array().into_iter().flatten().map(plain).collect(),
        "kvlistValue" => members(&value["values"]),
        other => panic!("{other}"),
    }
}

fn members(pairs: &Value) -> Value {
    let pairs = pairs.as_array().into_iter().flatten();
    let member = |pair: &Value| (pair["key"].as_str().unwrap().to_owned(), plain(&pair["value"]));
    pairs.map(member).collect::<Map<_, _>>().into()
}

#[track_caller]
fn assert_has(written: Vec<Value>, sent: Vec<Value>) {
    let written: Vec<_> = written.into_iter().map(as_written).collect();
    let sent: Vec<_> = sent.into_iter().map(as_sent).collect();
    assert_same(&written, &sent);
}

#[test]
fn over_tcp() {
    let Some((collector, tcp, _)) = start() else { return };
    let (written, sent) = collector.take(&format!("tcp://127.0.0.1:{tcp}"), LINE);
    assert_has(written, sent);
}

#[test]
fn over_udp() {
    let Some((collector, _, udp)) = start() else { return };
    let (written, sent) = collector.take(&format!("udp://127.0.0.1:{udp}"), DATAGRAM);
    assert_has(written, sent);
}
