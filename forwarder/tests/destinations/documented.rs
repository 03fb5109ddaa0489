//! The receivers of `deploy/receivers/`: each gets records of every kind, and has all of them in the end as its rules say.
//!
//! Readers with the limits and the framing that the receivers have, which say where they would close or throw away. Those
//! that can be installed are run, too (`real_receivers.rs`).

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{TcpStream, UdpSocket};

use ringward::destination::{DestinationConfig, Endpoint};
use ringward::encode::json_lines::{JsonLines, JsonLinesOptions};
use ringward::io::IoMode;
use ringward::record::{Batch, BatchBuilder, FieldValue, Origin, OriginHandle, OriginKind, RecordMeta, Stream};
use serde_json::Value;

use crate::bench::{AMPLE, Bench, PATIENCE, destination};
use crate::receiver::listen;

const OMNI: usize = 4096;
pub const FLUENT_BIT: usize = 32 << 10;
/// Of the documented configurations: Filebeat's `max_message_size` is larger than a datagram, Vector's `max_length` too.
pub const DATAGRAM: usize = 65_507;

/// The kernel's records, a service's with fields, a container's lines: of all lengths, and of all characters. In batches
/// that a socket of the usual size has room for.
pub fn records() -> Vec<Batch> {
    let kernel = OriginHandle::new(Origin::new(OriginKind::Kernel, ""));
    let etcd = OriginHandle::new(Origin::new(OriginKind::Process, "etcd"));
    let container = OriginHandle::new(Origin {
        kind: OriginKind::Container,
        name: "web".into(),
        stream: Stream::Stdout,
        source: String::new(),
        attributes: vec![("namespace".into(), "default".into()), ("pod".into(), "web-0".into())],
    });
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::new(32 << 10);
    let mut seal = |builder: &mut BatchBuilder, bytes| {
        if !builder.is_empty() && !builder.fits(bytes) {
            batches.push(builder.seal_before(bytes));
        }
    };
    let time = |number: i64| RecordMeta::line(1_767_323_045_000_000_000 + number * 123_456_789, b"");
    for number in 0..40 {
        seal(&mut builder, 1000);
        let fields = [
            ("clock", FieldValue::Integer(6_252_819 + number)),
            ("facility", FieldValue::Text(b"user")),
            ("priority", FieldValue::Text(b"warning")),
            ("seq", FieldValue::Integer(number)),
        ];
        let text = format!("[talos] task {number} (1/1): <ok> & \u{1b}[34mINFO\u{1b}[0m\n SUBSYSTEM=acpi\n");
        builder.push_with_fields(&kernel, time(number), text.as_bytes(), &fields);
        let fields = [
            ("caller", FieldValue::Text(b"mvcc/kvstore.go:57")),
            ("nested", FieldValue::Json(br#"{"a":[1,null,0.25,"\u2028"],"b":{}}"#)),
            ("took", FieldValue::Text("\u{e9}\u{1f980}\u{7f}\\\"".as_bytes())),
        ];
        builder.push_with_fields(&etcd, time(number), b"finished scheduled compaction", &fields);
        for body in [&b""[..], b"binary \xff\xfe\x01\t", "\u{1f980}<>&\u{2028}".as_bytes()] {
            builder.push(&container, time(number), body);
        }
    }
    for length in [1000, 4000, 8000, 33_000, 70_000, 200_000] {
        for text in ["x", "\u{1f980}", "<"] {
            // Of `<`, a text six times as long is made.
            seal(&mut builder, 6 * length);
            builder.push(&container, time(1), text.repeat(length / text.len()).as_bytes());
        }
    }
    batches.push(builder.seal());
    batches
}

/// What is sent of them with this limit.
pub fn sent(batches: &[Batch], limit: usize, newline: bool) -> Vec<Value> {
    let options = JsonLinesOptions { newline, max_record_bytes: Some(limit), ..JsonLinesOptions::default() };
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    let mut lines = JsonLines::new(options);
    for batch in batches {
        lines.encode_batch(batch, 0..batch.record_count(), &mut bytes, &mut ends);
    }
    serde_json::Deserializer::from_slice(&bytes).into_iter().map(Result::unwrap).collect()
}

/// Sends the records with the destination's limit; what `receive` has of them, and what was sent.
fn exchange(
    endpoint: &str,
    limit: usize,
    receive: impl FnOnce(usize) -> Vec<Value> + Send + 'static,
) -> (Vec<Value>, Vec<Value>) {
    let batches = records();
    let config = DestinationConfig { max_record_bytes: Some(limit), ..destination("a", endpoint) };
    let newline = !matches!(config.endpoint, Endpoint::Udp { .. });
    let sent = sent(&batches, limit, newline);
    let count = sent.len();
    let receiver = std::thread::spawn(move || receive(count));
    let bench = Bench::start(IoMode::Epoll, AMPLE, vec![config]);
    batches.into_iter().for_each(|batch| bench.send_batch(batch));
    let received = receiver.join().unwrap();
    assert_eq!(bench.counters("a").oversized.value(), 0);
    drop(bench.finish(PATIENCE));
    (received, sent)
}

#[track_caller]
pub fn assert_same(received: &[Value], sent: &[Value]) {
    let differ = received.iter().zip(sent).find(|(received, sent)| received != sent);
    assert!(differ.is_none(), "{differ:?}");
    assert_eq!(received.len(), sent.len());
}

/// Reads objects with a buffer of so many bytes, of which `parse` takes what is whole. One that fills it is the end.
fn with_a_buffer(
    mut stream: TcpStream,
    bytes: usize,
    count: usize,
    parse: impl Fn(&[u8], &mut Vec<Value>) -> usize,
) -> Vec<Value> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut buffer, mut filled, mut records) = (vec![0; bytes], 0, Vec::new());
    while records.len() < count {
        assert!(filled < bytes, "a record is longer than the receiver's buffer: it closes the connection");
        let read = stream.read(&mut buffer[filled..]).unwrap();
        assert!(read > 0, "{} of {count} records came", records.len());
        filled += read;
        let taken = parse(&buffer[..filled], &mut records);
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
    }
    records
}

/// Lines, each with its newline within 4096 bytes, as `ReadSlice` of Go's reader has it.
#[test]
fn omni() {
    let (listener, endpoint) = listen();
    let (received, sent) = exchange(&endpoint, OMNI, move |count| {
        with_a_buffer(listener.accept().unwrap().0, OMNI, count, |bytes, records| {
            let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let lines = bytes[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            records.extend(lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
            end
        })
    });
    assert_same(&received, &sent);
}

/// Objects one behind the other, with a newline at the beginning of the buffer passed over; the last byte of the buffer is
/// not used.
#[test]
fn fluent_bit() {
    let (listener, endpoint) = listen();
    let (received, sent) = exchange(&endpoint, FLUENT_BIT, move |count| {
        with_a_buffer(listener.accept().unwrap().0, FLUENT_BIT - 1, count, |bytes, records| {
            let mut objects = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
            let mut taken = usize::from(bytes[0] == b'\n');
            while let Some(Ok(object)) = objects.next() {
                records.push(object);
                taken = objects.byte_offset();
            }
            taken
        })
    });
    assert_same(&received, &sent);
}

fn datagrams(socket: &UdpSocket, count: usize, most: usize) -> Vec<Value> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut datagram = vec![0; 1 << 16];
    let mut receive = || {
        let len = socket.recv(&mut datagram).unwrap();
        assert!(len <= most, "a datagram of {len} bytes is cut or thrown away");
        serde_json::from_slice(&datagram[..len]).unwrap()
    };
    (0..count).map(|_| receive()).collect()
}

fn roomy_socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 32 << 20).expect("tests run as root");
    socket
}

/// `decode_json_fields`, `timestamp` with its layout, `drop_fields`, `rename`: what Elasticsearch gets.
#[test]
fn filebeat() {
    let socket = roomy_socket();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    let (received, sent) = exchange(&endpoint, DATAGRAM, move |count| datagrams(&socket, count, DATAGRAM));
    assert_same(&received, &sent);
    for record in received {
        let Value::Object(mut event) = record else { panic!("{record}") };
        let time = event.remove("talos-time").unwrap();
        // The layout is RFC 3339 with up to nine digits of a second, of which the last is no zero.
        let time = time.as_str().unwrap();
        assert_eq!(time.parse::<jiff::Timestamp>().unwrap().to_string(), time);
        let message = event.remove("msg").unwrap();
        assert!(message.is_string() && event.insert("message".into(), message).is_none());
    }
}

/// The kernel's records and all others to a source each; labels from `facility` and `talos-service`.
#[test]
fn vector() {
    let socket = roomy_socket();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    let (received, sent) = exchange(&endpoint, DATAGRAM, move |count| datagrams(&socket, count, 102_400));
    assert_same(&received, &sent);
    let labels = |key: &str| {
        let labels = received.iter().filter_map(|record| record.get(key)?.as_str());
        labels.fold(BTreeMap::new(), |mut counts, label| {
            *counts.entry(label).or_insert(0) += 1;
            counts
        })
    };
    assert_eq!(labels("facility"), [("user", 40)].into());
    assert_eq!(labels("talos-service"), [("etcd", 40), ("web", 138)].into());
}
