//! The way of Ringward's own log to standard error: it never fails and never makes anybody wait.
//!
//! Whoever reads standard error may have gone, or may have stopped reading. Neither may end or stop the forwarding, so
//! lines go through a bounded queue to a thread of their own, which alone waits. A line that finds the queue full is
//! dropped and counted; the thread says how many were, once it can write again.
//!
//! Not `tracing-appender`: at the end it waits a second for a stuck reader, and complains on standard output, which may
//! be a destination.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use crate::sys::files;

/// Lines that may wait.
const LINES: usize = 1024;
/// How long the end of the program waits for what is still queued.
const FLUSH: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_millis(5);

/// One end of the queue.
#[derive(Clone)]
pub struct LogWriter {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

enum Message {
    Line(Vec<u8>),
    /// Dropped once everything before it is written.
    Flushed(SyncSender<()>),
}

impl LogWriter {
    /// # Errors
    /// Where the descriptor can't be copied, or no thread be had.
    pub fn start(target: impl AsFd) -> io::Result<LogWriter> {
        let target = target.as_fd().try_clone_to_owned()?;
        let (queue, lines) = sync_channel(LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        std::thread::Builder::new().name("log".into()).spawn(move || write_lines(&target, &lines, &counted))?;
        Ok(LogWriter { queue, dropped })
    }

    /// Waits until what was logged is written, but not for a reader that does not read.
    pub fn flush_for_a_moment(&self) {
        let deadline = Instant::now() + FLUSH;
        let (done, flushed) = sync_channel(0);
        let mut message = Message::Flushed(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(RETRY);
            message = back;
        }
        let _ = flushed.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(target: &OwnedFd, lines: &Receiver<Message>, dropped: &AtomicU64) {
    for message in lines {
        let flushed = match message {
            Message::Line(line) => {
                if files::write_all(target, &line).1.is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                None
            }
            Message::Flushed(done) => Some(done),
        };
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let notice =
                format!("ringward: warning: {lost} lines of this log were dropped: they were not read in time\n");
            if files::write_all(target, notice.as_bytes()).1.is_err() {
                dropped.fetch_add(lost, Ordering::Relaxed);
            }
        }
        drop(flushed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read_and_the_dropped_lines_are_told_later() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut log = LogWriter::start(&writer).unwrap();
        drop(writer);
        let begin = Instant::now();
        let line = [b"x".repeat(199).as_slice(), b"\n"].concat();
        for _ in 0..5_000 {
            log.write_all(&line).unwrap();
        }
        log.flush_for_a_moment();
        assert!(begin.elapsed() < Duration::from_secs(5));
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        drop(log);
        let text = reading.join().unwrap();
        let whole = text.lines().filter(|line| line.len() == 199).count();
        let told: usize = text
            .lines()
            .filter_map(|line| line.strip_prefix("ringward: warning: ")?.split(' ').next()?.parse::<usize>().ok())
            .sum();
        assert!(told > 0, "nothing was dropped");
        assert_eq!(whole + told, 5_000);
    }

    #[test]
    fn a_reader_that_is_gone_is_no_failure() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut log = LogWriter::start(&writer).unwrap();
        log.write_all(b"unheard\n").unwrap();
        log.flush_for_a_moment();
    }
}
