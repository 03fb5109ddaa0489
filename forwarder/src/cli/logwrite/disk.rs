//! The disk writer: reads memlogd, and keeps a file for each source.
//!
//! A line is `TIME SOURCE TEXT`, the time in whole seconds. Sources that start with `logwrite` are left out, as they are
//! our own complaints. A source whose file can't be written is complained about once, its lines are counted as they are
//! left out, and it is tried again with every line. A memlogd that is away is asked again, less and less often.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::time::Duration;

use super::file::{LogFile, Rotation};
use super::resume::Resume;
use crate::cli::entry::Entry;
use crate::cli::logread::ask;

/// Open files at the same time; past it, all are closed.
const MAX_OPEN: usize = 256;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// What is there, then what comes.
const BOTH: u8 = 2;

pub(super) struct Options {
    pub(super) socket: PathBuf,
    pub(super) dir: PathBuf,
    pub(super) max_files: u64,
    pub(super) max_size: u64,
}

/// Runs until it is killed, or its folder is not there.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    if !options.dir.is_dir() {
        anyhow::bail!("{} is no directory", options.dir.display());
    }
    let mut writer = Writer::new(options);
    let mut resume = Resume::default();
    let mut wait = FIRST_WAIT;
    let mut complained = false;
    loop {
        let error = match follow(options, &mut writer, &mut resume) {
            Ok(entries) => {
                if entries > 0 {
                    wait = FIRST_WAIT;
                    complained = false;
                }
                io::Error::other("it closed the connection")
            }
            Err(error) => error,
        };
        if !complained {
            complained = true;
            eprintln!("logwrite: memlogd at {} is away, and is asked again: {error}", options.socket.display());
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
        resume.reconnected();
    }
}

/// Writes entries until the connection ends; how many came.
fn follow(options: &Options, writer: &mut Writer<'_>, resume: &mut Resume) -> io::Result<u64> {
    let mut from = ask(&options.socket, BOTH)?;
    let mut line = Vec::new();
    let mut entries = 0;
    loop {
        // Written before waiting for more.
        if memchr::memchr(b'\n', from.buffer()).is_none() {
            writer.flush();
        }
        line.clear();
        match from.read_until(b'\n', &mut line) {
            // What has no end was not sent whole, and comes again.
            Ok(_) if line.last() != Some(&b'\n') => return Ok(entries),
            Ok(_) => {}
            Err(error) if entries == 0 => return Err(error),
            Err(_) => return Ok(entries),
        }
        entries += 1;
        if resume.is_new(&line) {
            writer.write(&line[..line.len() - 1]);
        }
    }
}

struct Writer<'a> {
    options: &'a Options,
    rotation: Rotation,
    files: HashMap<Vec<u8>, LogFile>,
    /// Sources that can't be written, and how many lines of theirs were left out.
    failing: HashMap<Vec<u8>, u64>,
    text: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(options: &'a Options) -> Self {
        let rotation = Rotation { max_size: options.max_size, max_files: options.max_files };
        Self { options, rotation, files: HashMap::new(), failing: HashMap::new(), text: Vec::new() }
    }

    fn write(&mut self, line: &[u8]) {
        let Some(entry) = Entry::parse(line) else {
            eprintln!("logwrite: this is no entry of memlogd's: {}", String::from_utf8_lossy(line));
            return;
        };
        if entry.source.starts_with(b"logwrite") {
            return;
        }
        self.text.clear();
        put_seconds(&entry.time, &mut self.text);
        for part in [&b" "[..], &entry.source, b" ", &entry.message, b"\n"] {
            self.text.extend_from_slice(part);
        }
        let result = self.append(&entry.source);
        self.note(&entry.source, result);
    }

    fn append(&mut self, source: &[u8]) -> io::Result<()> {
        if !self.files.contains_key(source) {
            if self.files.len() >= MAX_OPEN {
                self.flush();
                self.files.clear();
            }
            let file = LogFile::open(&self.options.dir, source)?;
            self.files.insert(source.to_vec(), file);
        }
        match self.files.get_mut(source) {
            Some(file) => file.write(&self.text, self.rotation),
            None => Ok(()),
        }
    }

    fn flush(&mut self) {
        let failed: Vec<_> = self
            .files
            .iter_mut()
            .filter_map(|(source, file)| file.flush().err().map(|error| (source.clone(), error)))
            .collect();
        for (source, error) in failed {
            self.note(&source, Err(error));
        }
    }

    /// Complains once about a source, and says when it is over.
    fn note(&mut self, source: &[u8], result: io::Result<()>) {
        match result {
            Ok(()) if self.failing.is_empty() => {}
            Ok(()) => {
                if let Some(left_out) = self.failing.remove(source) {
                    let shown = String::from_utf8_lossy(source);
                    eprintln!("logwrite: {shown} is written again; {left_out} lines or more were left out");
                }
            }
            Err(error) => {
                self.files.remove(source);
                let left_out = self.failing.entry(source.to_vec()).or_default();
                *left_out += 1;
                if *left_out == 1 {
                    eprintln!("logwrite: {} can't be written: {error}", String::from_utf8_lossy(source));
                }
            }
        }
    }
}

/// A time without its fraction of a second.
fn put_seconds(time: &str, out: &mut Vec<u8>) {
    match time.split_once('.') {
        Some((seconds, rest)) => {
            out.extend_from_slice(seconds.as_bytes());
            out.extend_from_slice(rest.trim_start_matches(|c: char| c.is_ascii_digit()).as_bytes());
        }
        None => out.extend_from_slice(time.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_keep_their_zone() {
        for (time, expected) in [
            ("2026-11-20T22:56:37.323235304Z", "2026-11-20T22:56:37Z"),
            ("2026-11-20T22:56:37Z", "2026-11-20T22:56:37Z"),
            ("2026-11-20T23:56:37.5+01:00", "2026-11-20T23:56:37+01:00"),
        ] {
            let mut out = Vec::new();
            put_seconds(time, &mut out);
            assert_eq!(out, expected.as_bytes());
        }
    }

    #[test]
    fn a_source_that_cannot_be_written_is_counted_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { socket: PathBuf::new(), dir: dir.path().join("logs"), max_files: 1, max_size: 1 << 20 };
        let mut writer = Writer::new(&options);
        let line = br#"{"time":"2026-11-20T22:56:37.5Z","source":"a","msg":"x"}"#;
        writer.write(line);
        writer.write(line);
        assert_eq!(writer.failing.get(&b"a"[..]), Some(&2));
        std::fs::create_dir(&options.dir).unwrap();
        writer.write(line);
        writer.flush();
        assert!(writer.failing.is_empty());
        assert_eq!(std::fs::read_to_string(options.dir.join("a.log")).unwrap(), "2026-11-20T22:56:37Z a x\n");
    }
}
