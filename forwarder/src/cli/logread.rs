//! `ringward logread`: what memlogd's query socket gives, as `time;source;msg`.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, bail};

use super::entry::Entry;
use super::go_flags::{Flag, Flags, Stop};

pub const FLAGS: &[Flag] = &[
    Flag { name: "socket", default: Some("/var/run/memlogdq.sock"), help: "memlogd's query socket" },
    Flag { name: "f", default: None, help: "show what comes from now on" },
    Flag { name: "F", default: None, help: "show what is there, then what comes" },
];

const READ_BYTES: usize = 64 << 10;

/// Connects to memlogd, and says what is wanted: 0 what is there, 1 what comes, 2 both.
///
/// # Errors
/// Where nobody listens.
pub fn ask(socket: &Path, mode: u8) -> io::Result<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(&[mode])?;
    Ok(BufReader::with_capacity(READ_BYTES, stream))
}

/// Prints entries until memlogd closes, or nobody reads them.
///
/// # Errors
/// Where the flags are wrong.
pub fn logread(words: &[OsString]) -> Result<anyhow::Result<()>, Stop> {
    let flags = Flags::parse("logread", FLAGS, words)?;
    if let Some(word) = flags.rest.first() {
        return Err(Stop::Wrong(format!("{word:?} is no flag\n")));
    }
    let mode = match (flags.is_on("F"), flags.is_on("f")) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    };
    Ok(read(&flags.path("socket"), mode))
}

fn read(socket: &Path, mode: u8) -> anyhow::Result<()> {
    let mut entries = ask(socket, mode).with_context(|| format!("{} can't be read", socket.display()))?;
    let mut out = io::stdout().lock();
    match print(&mut entries, &mut out) {
        // A reader that closed its end (`| head`) has seen enough.
        Err(Failed::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Failed::Write(error)) => Err(error).context("can't write to standard output"),
        Err(Failed::Read(error)) => Err(error).with_context(|| format!("{} can't be read any more", socket.display())),
        Ok(0) => Ok(()),
        Ok(unreadable) => bail!("{unreadable} lines were no entries of memlogd's"),
    }
}

enum Failed {
    Read(io::Error),
    Write(io::Error),
}

/// Returns how many lines could not be read.
fn print(entries: &mut BufReader<UnixStream>, to: &mut impl Write) -> Result<u64, Failed> {
    let (mut line, mut out) = (Vec::new(), Vec::new());
    let mut unreadable = 0;
    loop {
        // Printed before waiting for more.
        if memchr::memchr(b'\n', entries.buffer()).is_none() || out.len() >= READ_BYTES {
            to.write_all(&out).and_then(|()| to.flush()).map_err(Failed::Write)?;
            out.clear();
        }
        line.clear();
        if entries.read_until(b'\n', &mut line).map_err(Failed::Read)? == 0 {
            return Ok(unreadable);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        match Entry::parse(text) {
            Some(entry) => put(&entry, &mut out),
            None => unreadable += 1,
        }
    }
}

/// `time;source;msg`, a `;` in the source as `\;`.
fn put(entry: &Entry<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(entry.time.as_bytes());
    out.push(b';');
    for byte in &*entry.source {
        if *byte == b';' {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b';');
    out.extend_from_slice(&entry.message);
    out.push(b'\n');
}
