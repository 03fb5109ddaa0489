//! What a destination costs beside the kernel's part: UDP and TCP into a local receiver that throws away what comes,
//! and in the same run the same bytes from prepared buffers, by `sendmmsg` and `write`.
//!
//! Everything is CPU time of the thread that sends, so that what else runs on the machine decides little. Encoding is
//! part of a destination's time, and not of the prepared buffers'. A destination sends batches that the caches still
//! hold, as it does when it keeps up.
//!
//! UDP goes to a socket that nobody reads: the kernel does all but wake a reader. TCP also goes to several receivers at a
//! time: what grows with their number is to be the sending, as it does for the prepared bytes.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringward::destination::{DestinationConfig, Endpoint};
use ringward_benches::sending::{Encoded, Input, TcpSink, measure, send_beside};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

/// As destinations write.
const WRITE_BYTES: usize = 256 << 10;
const DATAGRAMS: usize = 256;
/// Interleaved rounds, of which the best counts: noise only ever adds.
const ROUNDS: usize = 7;

/// Runs destinations until they have sent everything, on this thread.
fn send(input: &Input, configs: Vec<DestinationConfig>) -> Duration {
    send_beside(input, configs, None)
}

/// A socket that nobody reads.
struct UdpSink(UdpSocket);

impl UdpSink {
    fn new() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").expect("a local port"))
    }

    fn destination(&self, pad_segments: bool) -> DestinationConfig {
        let address = self.0.local_addr().expect("bound");
        let endpoint = Endpoint::Udp { host: address.ip().to_string(), port: address.port() };
        DestinationConfig { pad_segments, ..DestinationConfig::new("udp", endpoint) }
    }

    /// The same datagrams, as many a call as the destination has.
    fn raw(&self, encoded: &Encoded) -> Duration {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a local port");
        socket.connect(self.0.local_addr().expect("bound")).expect("connected");
        let parts = encoded.datagrams();
        let mut controls: Vec<_> = parts.iter().map(|_| SendAncillaryBuffer::new(&mut [])).collect();
        let mut messages: Vec<_> = parts
            .iter()
            .zip(&mut controls)
            .map(|(part, control)| MMsgHdr::new(std::slice::from_ref(part), control))
            .collect();
        measure(|| {
            for _ in 0..encoded.repeats {
                for call in messages.chunks_mut(DATAGRAMS) {
                    assert_eq!(sendmmsg(&socket, call, SendFlags::DONTWAIT).ok(), Some(call.len()));
                }
            }
        })
    }
}

/// The same bytes to each receiver, by one thread.
fn raw_tcp(encoded: &Encoded, receivers: usize) -> Duration {
    let sink = TcpSink::new(receivers);
    let mut streams: Vec<_> = (0..receivers)
        .map(|_| {
            let stream = TcpStream::connect(sink.address).expect("connected");
            stream.set_nodelay(true).expect("a TCP socket");
            stream
        })
        .collect();
    let took = measure(|| {
        for _ in 0..encoded.repeats {
            for piece in encoded.bytes.chunks(WRITE_BYTES) {
                for stream in &mut streams {
                    stream.write_all(piece).expect("the sink reads");
                }
            }
        }
    });
    drop(streams);
    sink.end();
    took
}

fn tcp(input: &Input, destinations: usize) -> Duration {
    let sink = TcpSink::new(destinations);
    let configs = (0..destinations).map(|number| sink.destination(&format!("tcp {number}"))).collect();
    let took = send(input, configs);
    sink.end();
    took
}

/// Each way to send, by name, with what one call of it costs.
type Way<'a> = (&'static str, Box<dyn Fn() -> Duration + 'a>);

fn destinations(criterion: &mut Criterion) {
    let input = Input::default();
    let (datagrams, lines) = (input.encoded(false), input.encoded(true));
    let sink = UdpSink::new();
    let ways: [(&str, &Encoded, Vec<Way<'_>>); 2] = [
        (
            "udp",
            &datagrams,
            vec![
                ("raw sendmmsg", Box::new(|| sink.raw(&datagrams))),
                ("destination", Box::new(|| send(&input, vec![sink.destination(false)]))),
                ("destination, segment: pad", Box::new(|| send(&input, vec![sink.destination(true)]))),
            ],
        ),
        (
            "tcp",
            &lines,
            vec![
                ("raw write", Box::new(|| raw_tcp(&lines, 1))),
                ("raw write to 8", Box::new(|| raw_tcp(&lines, 8))),
                ("1 destination", Box::new(|| tcp(&input, 1))),
                ("2 destinations", Box::new(|| tcp(&input, 2))),
                ("4 destinations", Box::new(|| tcp(&input, 4))),
                ("8 destinations", Box::new(|| tcp(&input, 8))),
            ],
        ),
    ];
    for (name, encoded, ways) in &ways {
        let mut group = criterion.benchmark_group(*name);
        group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
        group.throughput(Throughput::ElementsAndBytes { elements: input.records, bytes: encoded.total_bytes() });
        for (way, run) in ways {
            group.bench_function(*way, |bencher| bencher.iter_custom(|lives| (0..lives).map(|_| run()).sum()));
        }
        group.finish();
    }
    for (name, encoded, ways) in &ways {
        compare(name, ways, input.records, encoded.total_bytes());
    }
}

/// Prints what a record costs each way, and the first way's time as a part of it.
fn compare(name: &str, ways: &[Way<'_>], records: u64, bytes: u64) {
    let mut best = vec![Duration::MAX; ways.len()];
    for _ in 0..ROUNDS {
        for (best, (_, run)) in best.iter_mut().zip(ways) {
            *best = run().min(*best);
        }
    }
    for (took, (way, _)) in best.iter().zip(ways) {
        let ns = took.as_nanos() as f64 / records as f64;
        let ratio = best[0].as_secs_f64() / took.as_secs_f64();
        let bar = match (name, *way) {
            ("udp", "destination") => "   bar: 0.95",
            ("udp", "destination, segment: pad") => "   bar: 3.0",
            _ => "",
        };
        let (rate, speed) = (1000.0 / ns, bytes as f64 / took.as_nanos() as f64);
        println!(
            "{name:<4} {way:<28} {ns:>8.1} ns a record  {rate:>6.2} M/s {speed:>6.2} GB/s  {ratio:>5.2} x raw{bar}"
        );
    }
}

criterion_group!(benches, destinations);
criterion_main!(benches);
