//! `cargo xtask bench memlogd`: lines a second from a descriptor to followers, of Ringward and of LinuxKit's memlogd.
//!
//! One writer fills a pipe as fast as it is emptied; each follower counts newlines. The time is that from the first write
//! to the last line of the slowest follower. The rings hold all lines, so that neither lets a follower go without:
//! memlogd's drops the newest line of a follower that is late, and a run in which one is missing is an error. Standard
//! output is /dev/null, as after `-daemonize`. Runs are taken in turn, and the best of each is shown.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::process::Process;
use super::{build_ringward, load};
use crate::{setup, ui};

const PATIENCE: Duration = Duration::from_secs(120);
const BLOCK: usize = 64 << 10;

#[derive(Args)]
pub struct Options {
    /// Lines of a run
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
    lines: u64,
    /// Bytes of a line, its newline included
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=1000))]
    bytes: u64,
    /// Runs of each
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    runs: u64,
    /// LinuxKit's memlogd, where setup can't install it
    #[arg(long, value_name = "PROGRAM")]
    memlogd: Option<PathBuf>,
}

/// What one run gave.
#[derive(Clone, Copy)]
struct Figures {
    lines_a_second: f64,
    cpu_us_a_line: f64,
    resident_mib: f64,
}

pub fn run(options: &Options) -> Result<ExitCode> {
    setup::build_tools()?;
    let original = match &options.memlogd {
        Some(path) => path.clone(),
        None => {
            setup::linuxkit::programs()?;
            setup::linuxkit::folder()?.join("memlogd")
        }
    };
    ui::heading("Building ringward");
    let ringward = build_ringward()?;
    load::warn_if_busy();
    let programs = [("ringward", ringward, &["memlogd"][..]), ("memlogd", original, &[])];
    for followers in [1, 2] {
        ui::heading(&format!("Measuring {} lines of {} bytes to {followers}", options.lines, options.bytes));
        let mut best: [Option<Figures>; 2] = [None; 2];
        for _ in 0..options.runs {
            for ((name, program, arguments), best) in programs.iter().zip(&mut best) {
                if !program.is_file() {
                    continue;
                }
                let figures =
                    measure(program, arguments, followers, options).with_context(|| format!("{name} was measured"))?;
                if best.is_none_or(|best| figures.lines_a_second > best.lines_a_second) {
                    *best = Some(figures);
                }
            }
        }
        for ((name, ..), figures) in programs.iter().zip(best) {
            match figures {
                Some(Figures { lines_a_second, cpu_us_a_line, resident_mib }) => println!(
                    "{name:<9} {followers} followers  {:>9.0} lines/s  {cpu_us_a_line:>6.3} µs CPU a line  \
                     {resident_mib:>6.1} MiB resident",
                    lines_a_second
                ),
                None => println!("{name:<9} is not here"),
            }
        }
        let [Some(ours), theirs] = best else { continue };
        if let Some(theirs) = theirs {
            println!(
                "          {followers} followers  {:.1} times the lines, {:.1} times less CPU",
                ours.lines_a_second / theirs.lines_a_second,
                theirs.cpu_us_a_line / ours.cpu_us_a_line
            );
        } else {
            println!(
                "          {followers} followers  the ratio (bar: 10) is not measured: name a program by --memlogd"
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(program: &Path, arguments: &[&str], followers: usize, options: &Options) -> Result<Figures> {
    let folder = tempfile::Builder::new().prefix("rw-bench-").tempdir()?;
    let (log, query) = (folder.path().join("log"), folder.path().join("query"));
    let mut command = Command::new(program);
    command.args(arguments).arg("-socket-log").arg(&log).arg("-socket-query").arg(&query);
    command.args(["-max-lines", &(options.lines + 10).to_string()]);
    let null = || Stdio::null();
    let daemon = Daemon(command.stdin(null()).stdout(null()).stderr(null()).spawn()?);
    let deadline = Instant::now() + PATIENCE;
    while !log.exists() || !query.exists() {
        if Instant::now() > deadline {
            bail!("it made no sockets");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut readers = Vec::new();
    for _ in 0..followers {
        let mut stream = UnixStream::connect(&query)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&[2])?;
        // `memlogd started`: from here on it follows.
        let seen = read_lines(&mut stream, 1)?;
        let left = options.lines + 1 - seen;
        readers.push(std::thread::spawn(move || read_lines(&mut stream, left)));
    }
    let mut pipe = pass_pipe(&log)?;
    let block = block(options.bytes as usize);
    let block_lines = (block.len() / options.bytes as usize) as u64;
    let process = Process::new(daemon.0.id());
    let before = process.cpu()?;
    let start = Instant::now();
    let mut left = options.lines;
    while left > 0 {
        let lines = left.min(block_lines);
        pipe.write_all(&block[..(lines * options.bytes) as usize])?;
        left -= lines;
    }
    for reader in readers {
        match reader.join() {
            Ok(read) => read.context("a follower did not get all lines")?,
            Err(_) => bail!("a follower panicked"),
        };
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = process.cpu()?.saturating_sub(before);
    Ok(Figures {
        lines_a_second: options.lines as f64 / seconds,
        cpu_us_a_line: cpu.as_secs_f64() * 1e6 / options.lines as f64,
        resident_mib: process.resident_bytes()? as f64 / f64::from(1 << 20),
    })
}

/// Reads until there were so many newlines; how many there were.
fn read_lines(stream: &mut UnixStream, lines: u64) -> Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut seen = 0;
    while seen < lines {
        let read = stream.read(&mut buffer).with_context(|| format!("after {seen} of {lines} lines"))?;
        if read == 0 {
            bail!("closed after {seen} of {lines} lines");
        }
        seen += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
    }
    Ok(seen)
}

/// A pipe whose other end the log socket has.
pub(super) fn pass_pipe(log: &Path) -> Result<std::io::PipeWriter> {
    let (read, write) = std::io::pipe()?;
    let socket = UnixDatagram::unbound()?;
    socket.connect(log)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let passed = [read.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&passed));
    sendmsg(&socket, &[std::io::IoSlice::new(b"bench.out")], &mut control, SendFlags::empty())?;
    Ok(write)
}

/// Whole lines of ordinary text.
fn block(bytes: usize) -> Vec<u8> {
    let text = b"GET /api/v1/items?page=7 200 12ms \"agent\" ";
    let line: Vec<u8> = text.iter().copied().cycle().take(bytes - 1).chain([b'\n']).collect();
    line.repeat(BLOCK / bytes)
}

/// Killed at the end.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
