//! memlogd's log socket: any name, and any bytes in the pipe that comes with it; each line is a record.
#![no_main]

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use libfuzzer_sys::fuzz_target;
use ringward::record::Flags;
use ringward::ring::{Cursor, ReaderOptions, Ring, RingLimits};
use ringward::source::memlogd::{Cut, LineLimit, start};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Shorter than many lines.
const LIMIT: usize = 40;

struct Running {
    socket: UnixDatagram,
    cursor: Cursor,
}

fn running() -> Running {
    let ring = Ring::new(RingLimits { bytes: 64 << 20, records: u64::MAX }, 1);
    let cursor = ring.reader(ReaderOptions::new("fuzz"));
    let (socket, theirs) = UnixDatagram::pair().unwrap();
    let limit = LineLimit { bytes: LIMIT, cut: Cut::Bytes };
    // It goes on for as long as the program does.
    std::mem::forget(start(theirs.into(), limit, Arc::clone(&ring), Default::default()).unwrap());
    let mut running = Running { socket, cursor };
    assert_eq!(running.records(1).len(), 1, "that it has started");
    running
}

impl Running {
    fn send(&self, name: &[u8], text: &[u8]) {
        let (ours, mut theirs) = std::io::pipe().unwrap();
        // More than a pipe holds would wait for the reader.
        theirs.write_all(text).unwrap();
        let fds = [ours.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&self.socket, &[IoSlice::new(name)], &mut control, SendFlags::empty()).unwrap();
    }

    fn records(&mut self, count: usize) -> Vec<(Vec<u8>, Flags, u32)> {
        let mut records = Vec::new();
        while records.len() < count {
            let Some(found) = self.cursor.try_next() else {
                std::thread::yield_now();
                continue;
            };
            let all = found.batch.records();
            records.extend(all.map(|record| (record.body.to_vec(), record.flags, record.original_len)));
            self.cursor.acknowledge(&found, found.batch.record_count());
        }
        records
    }
}

fuzz_target!(|data: &[u8]| {
    static RUNNING: OnceLock<Mutex<Running>> = OnceLock::new();
    let mut running = RUNNING.get_or_init(|| Mutex::new(running())).lock().unwrap_or_else(PoisonError::into_inner);
    let Some((len, data)) = data.split_first() else { return };
    let (name, text) = data.split_at(usize::from(*len).min(data.len()));
    // One more line: the end is waited for.
    let text = [text, b"\nend\n"].concat();
    let lines: Vec<_> = text[..text.len() - 1].split(|byte| *byte == b'\n').collect();
    running.send(name, &text);
    let records = running.records(lines.len());
    assert_eq!(records.len(), lines.len());
    for ((body, flags, len), line) in records.into_iter().zip(lines) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert_eq!(body, &line[..line.len().min(LIMIT)]);
        assert_eq!(flags.contains(Flags::CUT), line.len() > LIMIT);
        assert_eq!(len as usize, line.len());
    }
});
