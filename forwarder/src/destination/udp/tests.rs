use std::os::fd::AsFd;

use super::*;
use crate::destination::{Encoders, Endpoint, stop_channel};
use crate::io::{IoMode, run as run_io};
use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::ring::{ReaderOptions, Ring, RingLimits};
use crate::sys::leave_out_checksums;

/// Sends one record of each size by a socket that `prepare` has seen, with no limit to what is encoded; what came.
fn deliver(
    sizes: &[usize],
    pad_segments: bool,
    prepare: impl Fn(&UdpConnection),
) -> (Vec<Vec<u8>>, DestinationCounters, Option<usize>) {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    let endpoint = Endpoint::Udp { host: address.ip().to_string(), port: address.port() };
    let config = DestinationConfig { pad_segments, ..DestinationConfig::new("a", endpoint) };
    let ring = Ring::new(RingLimits { bytes: 64 << 20, records: u64::MAX }, 1);
    let origin = OriginHandle::new(Origin::new(OriginKind::Service, "test"));
    let mut builder = BatchBuilder::new(64 << 10);
    for size in sizes {
        let body = vec![b'x'; *size];
        builder.push(&origin, RecordMeta::line(0, &body), &body);
    }
    ring.append(builder.seal());
    ring.close();
    let counters = DestinationCounters::default();
    let mut cursor = ring.reader(ReaderOptions::new("a"));
    let (_handle, stop) = stop_channel();
    let encoder = Encoders::default().encoder(JsonLinesOptions::default(), crate::ring::Selection::All);
    let task = Task { config: &config, cursor: &mut cursor, counters: &counters, stop: &stop, encoder };
    let limit = run_io(IoMode::Epoll, async {
        let mut sender = Sender::new(task);
        let socket = UdpConnection::connect(address).unwrap();
        prepare(&socket);
        assert!(sender.try_first(&socket).await.is_ok());
        assert!(matches!(sender.pump(&socket).await, Stopped::Ended));
        assert_eq!(sender.outbox.left(), Left::default());
        sender.runs.largest()
    });
    let mut buffer = vec![0; 1 << 16];
    let came = sizes.iter().map(|_| {
        let received = receiver.recv(&mut buffer).unwrap();
        buffer[..received].to_vec()
    });
    (came.collect(), counters, limit.unwrap())
}

/// No way on this host is narrower than a datagram may be, so the encoder's limit is left out here.
#[test]
fn a_datagram_that_is_too_big_for_its_way_is_cut_until_it_fits() {
    for pad_segments in [false, true] {
        let sizes = [10, 200_000, 20];
        let (came, counters, _) = deliver(&sizes, pad_segments, |_| ());
        for ((size, cut), datagram) in sizes.into_iter().zip([false, true, false]).zip(came) {
            let value: serde_json::Value = serde_json::from_slice(&datagram).unwrap();
            assert_eq!(value["cut"] == true, cut);
            assert_eq!(value["msg"].as_str().unwrap().len() == size, !cut);
        }
        assert_eq!((counters.cut.value() > 0, counters.lost.value(), counters.acknowledged.value()), (true, 0, 3));
    }
}

#[test]
fn where_the_kernel_refuses_to_cut_runs_apart_each_record_is_sent_alone() {
    let sizes = [100, 110, 100, 110, 100];
    let (padded, counters, limit) = deliver(&sizes, true, |_| ());
    assert!(padded.iter().any(|datagram| datagram.ends_with(b" ")) && limit.is_some());
    assert_eq!(counters.acknowledged.value(), 5);
    let (bare, counters, limit) = deliver(&sizes, true, |socket| leave_out_checksums(socket.as_fd()));
    assert_eq!((limit, counters.acknowledged.value(), counters.lost.value()), (None, 5, 0));
    for (datagram, padded) in bare.iter().zip(padded) {
        assert_eq!(datagram, padded.trim_ascii_end());
    }
}
