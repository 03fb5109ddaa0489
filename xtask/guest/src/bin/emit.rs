//! `emit HOW …` writes to stdout in one particular way, for tests of the capture. Static, so that it runs in a
//! container that holds nothing else.
//!
//! ```text
//! emit lines COUNT LENGTH        numbered lines, one write each
//! emit both COUNT LENGTH         the same to stdout and stderr in turns
//! emit race THREADS COUNT LENGTH numbered lines from several threads at once, unordered
//! emit cold                      1 MiB of numbered lines of 127 bytes in one write, from pages that were never touched
//! emit writev PARTS PART         numbered lines of 99 bytes, cut into PARTS pieces of PART bytes, by one writev
//! emit line LENGTH               one numbered line of LENGTH bytes
//! emit slowly PIECE              one numbered line of 199 bytes, PIECE bytes a write
//! emit binary                    NUL, control characters, invalid UTF-8
//! emit file PATH COUNT LENGTH    numbered lines into a file, nothing to stdout
//! emit payload SEED COUNT LENGTH          lines of services, one write each; first `ready`, then it waits for a byte on
//!                                         stdin (and ends when there is none)
//! emit timed SEED COUNT LENGTH RATE       the same, so many a second, each with the time of its write(2)
//! ```

use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::io::{write, writev};
use rustix::time::{ClockId, clock_gettime};

#[path = "../../../../forwarder/tests/harness/numbered.rs"]
#[expect(dead_code, reason = "lines are written here, not checked")]
mod numbered;
#[path = "../payload.rs"]
#[allow(dead_code, reason = "lines are written here, not checked")]
mod payload;

/// In the file's read-only data, without relocations: its pages are not mapped before somebody reads them, and the
/// first to do so is the kernel, inside of write(2).
static COLD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cold.txt"));

/// Each `0xff` stands alone, so that every way of replacing invalid UTF-8 gives the same text.
const BINARY: &[u8] = b"nul \x00 bell \x07 escape \x1b[31m invalid \xff and \xff del \x7f \xc3\xa9\n";

fn main() -> ExitCode {
    match emit() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("emit: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn emit() -> Result<()> {
    let words = std::env::args().skip(1).collect::<Vec<_>>();
    let number = |at: usize| -> Result<usize> {
        let word = words.get(at).with_context(|| format!("argument {at} is missing"))?;
        word.parse().with_context(|| format!("`{word}` is no number"))
    };
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let (stdout, stderr) = (stdout.as_fd(), stderr.as_fd());
    match words.first().map(String::as_str) {
        Some("lines") => lines(&[stdout], number(1)?, number(2)?),
        Some("both") => lines(&[stdout, stderr], number(1)?, number(2)?),
        Some("race") => race(stdout, number(1)?, number(2)?, number(3)?),
        Some("cold") => all(stdout, COLD),
        Some("writev") => parts(stdout, number(1)?, number(2)?),
        Some("line") => all(stdout, &with_newline(0, number(1)?)),
        Some("slowly") => with_newline(0, 199).chunks(number(1)?).try_for_each(|piece| all(stdout, piece)),
        Some("binary") => all(stdout, BINARY),
        Some("file") => {
            let path = words.get(1).context("a path is missing")?;
            let mut file = io::BufWriter::new(std::fs::File::create(path)?);
            for at in 0..number(2)? {
                file.write_all(&with_newline(at, number(3)?))?;
            }
            Ok(file.flush()?)
        }
        Some("payload") => at_go(|| payload(stdout, number(1)? as u64, number(2)? as u64, number(3)?)),
        Some("timed") => at_go(|| timed(stdout, number(1)? as u64, number(2)? as u64, number(3)?, number(4)?)),
        other => bail!("no such way to write: {other:?}"),
    }
}

fn lines(to: &[BorrowedFd<'_>], count: usize, length: usize) -> Result<()> {
    (0..count).try_for_each(|number| to.iter().try_for_each(|to| all(*to, &with_newline(number, length))))
}

fn race(to: BorrowedFd<'_>, threads: usize, count: usize, length: usize) -> Result<()> {
    std::thread::scope(|scope| {
        let running = (0..threads).map(|_| scope.spawn(|| lines(&[to], count, length))).collect::<Vec<_>>();
        running.into_iter().try_for_each(|thread| thread.join().expect("lines() does not panic"))
    })
}

fn parts(to: BorrowedFd<'_>, parts: usize, part: usize) -> Result<()> {
    let text = (0..(parts * part).div_ceil(100)).flat_map(|number| with_newline(number, 99)).collect::<Vec<_>>();
    let slices = text[..parts * part].chunks(part).map(IoSlice::new).collect::<Vec<_>>();
    let written = writev(to, &slices)?;
    if written != parts * part {
        bail!("writev took {written} of {} bytes", parts * part);
    }
    Ok(())
}

/// Says that it is there, so that what starting a container takes is not measured, and goes on when it is told to.
fn at_go(write: impl FnOnce() -> Result<()>) -> Result<()> {
    all(io::stdout().as_fd(), payload::READY)?;
    match rustix::io::read(io::stdin().as_fd(), &mut [0u8; 1])? {
        0 => Ok(()),
        _ => write(),
    }
}

fn payload(to: BorrowedFd<'_>, seed: u64, count: u64, length: usize) -> Result<()> {
    let mut text = Vec::with_capacity(length + 1);
    (0..count).try_for_each(|number| {
        text.clear();
        payload::line(seed, number, length, &mut text);
        text.push(b'\n');
        all(to, &text)
    })
}

fn timed(to: BorrowedFd<'_>, seed: u64, count: u64, length: usize, rate: usize) -> Result<()> {
    let mut text = Vec::with_capacity(length + 1);
    let begin = Instant::now();
    (0..count).try_for_each(|number| {
        let due = Duration::from_secs_f64(number as f64 / rate as f64);
        // Late lines are written at once: the rate holds on the whole, in small bursts where it is high.
        if let Some(early) = due.checked_sub(begin.elapsed()) {
            std::thread::sleep(early);
        }
        text.clear();
        let now = clock_gettime(ClockId::Realtime);
        payload::timed_line(seed, number, now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64, length, &mut text);
        text.push(b'\n');
        all(to, &text)
    })
}

fn with_newline(number: usize, length: usize) -> Vec<u8> {
    let mut line = numbered::line(number as u64, length);
    line.push(b'\n');
    line
}

/// Like `write_all`, but past the buffer and the line logic of [`io::stdout`].
fn all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let written = write(to, bytes).context("cannot write")?;
        bytes = &bytes[written..];
    }
    Ok(())
}
