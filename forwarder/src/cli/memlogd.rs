//! `ringward memlogd`: memlogd's flags, its sockets, and every entry on standard output.

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;
use rustix::io::FdFlags;

use super::go_flags::{Flag, Flags, Stop};
use super::holder;
use crate::io::fd_store::FdStore;
use crate::io::unix::{SocketFile, SocketKind};
use crate::pipeline::memlogd::{BoundSocket, MemlogdOptions, run_alone};
use crate::ring::RingLimits;
use crate::source::memlogd::{Cut, LineLimit};
use crate::view::EntryFormat;
use crate::view::query::QueryOptions;

pub const FLAGS: &[Flag] = &[
    Flag { name: "socket-query", default: Some("/var/run/memlogdq.sock"), help: "socket for queries" },
    Flag {
        name: "socket-log",
        default: Some("/var/run/linuxkit-external-logging.sock"),
        help: "socket for names and descriptors",
    },
    Flag { name: "fd-query", default: Some("-1"), help: "an inherited SOCK_STREAM socket, instead of -socket-query" },
    Flag { name: "fd-log", default: Some("-1"), help: "an inherited SOCK_DGRAM socket, instead of -socket-log" },
    Flag { name: "max-lines", default: Some("5000"), help: "lines to keep in memory" },
    Flag { name: "max-line-len", default: Some("1024"), help: "bytes of a line to keep" },
    Flag { name: "daemonize", default: None, help: "bind the sockets, then go on in the background" },
    Flag { name: "cut-bytes", default: None, help: "cut a line after exactly so many bytes, and don't mark it" },
    Flag { name: "text", default: None, help: "answer queries with TIME,SOURCE;TEXT instead of JSON" },
    Flag {
        name: "fd-holder",
        default: None,
        help: "run below a parent that keeps sockets and descriptors, and starts memlogd again when it ends",
    },
    Flag { name: "ring-file", default: Some(""), help: "a folder where lines are kept too, for the next start" },
    Flag { name: "own-sockets", default: None, help: "remove the files of inherited sockets at the end" },
];

/// What a record takes in memory beside its text, at most.
const RECORD_OVERHEAD: u64 = 128;
/// What the ring may hold besides: a batch that is partly past the end, and those that are not full.
const SLACK: u64 = 4 << 20;

struct Options {
    sockets: [PathBuf; 2],
    descriptors: [i32; 2],
    max_lines: u64,
    max_line_len: u64,
    daemonize: bool,
    cut_bytes: bool,
    text: bool,
    own_sockets: bool,
    fd_holder: bool,
    ring_file: Option<PathBuf>,
}

impl Options {
    fn of(flags: &Flags) -> Result<Self, Stop> {
        if let Some(word) = flags.rest.first() {
            return Err(Stop::Wrong(format!("{word:?} is no flag\n")));
        }
        let descriptor = |name| flags.number(name, -1, i64::from(i32::MAX)).map(|number| number as i32);
        Ok(Self {
            sockets: [flags.path("socket-log"), flags.path("socket-query")],
            descriptors: [descriptor("fd-log")?, descriptor("fd-query")?],
            max_lines: flags.number("max-lines", 1, 1 << 40)?.unsigned_abs(),
            max_line_len: flags.number("max-line-len", 0, 16 << 20)?.unsigned_abs(),
            daemonize: flags.is_on("daemonize"),
            cut_bytes: flags.is_on("cut-bytes"),
            text: flags.is_on("text"),
            own_sockets: flags.is_on("own-sockets"),
            fd_holder: flags.is_on("fd-holder"),
            ring_file: Some(flags.path("ring-file")).filter(|path| !path.as_os_str().is_empty()),
        })
    }

    /// The socket that was passed on, or one of our own.
    fn socket(&self, which: usize) -> anyhow::Result<BoundSocket> {
        let kind = [SocketKind::Datagram, SocketKind::Stream][which];
        let (path, number) = (&self.sockets[which], self.descriptors[which]);
        if number == -1 {
            return BoundSocket::bind(kind, path);
        }
        let socket = kind.inherited(number)?;
        let file = self.own_sockets.then(|| SocketFile::of(path)).transpose();
        Ok(BoundSocket { socket, file: file.with_context(|| format!("{} can't be found", path.display()))? })
    }

    /// Lines decide, not bytes: these are only so many that so many lines of the longest kind fit.
    fn limits(&self) -> RingLimits {
        let bytes = self.max_lines.saturating_mul(self.max_line_len + RECORD_OVERHEAD).saturating_add(SLACK);
        RingLimits { bytes: usize::try_from(bytes).unwrap_or(usize::MAX), records: self.max_lines }
    }
}

/// Runs memlogd until it is told to stop; with `-daemonize`, only until the sockets are there.
///
/// # Errors
/// Where the flags are wrong.
pub fn memlogd(words: &[OsString]) -> Result<anyhow::Result<()>, Stop> {
    let flags = Flags::parse("memlogd", FLAGS, words)?;
    let options = Options::of(&flags)?;
    Ok(if options.daemonize {
        daemonize(&options)
    } else if options.fd_holder {
        hold(&options)
    } else {
        run(&options)
    })
}

fn run(options: &Options) -> anyhow::Result<()> {
    let cut = if options.cut_bytes { Cut::Bytes } else { Cut::Characters };
    let format = if options.text { EntryFormat::Text } else { EntryFormat::Json };
    let memlogd = MemlogdOptions {
        log: options.socket(0)?,
        query: options.socket(1)?,
        line: LineLimit { bytes: usize::try_from(options.max_line_len).unwrap_or(usize::MAX), cut },
        view: QueryOptions { format, marks: !options.cut_bytes },
        kept: FdStore::of_environment(),
    };
    run_alone(memlogd, options.limits(), options.ring_file.as_deref(), !is_null(&std::io::stdout()))
}

/// Another of this program, with these sockets.
fn with_sockets(options: &Options, sockets: &[BoundSocket; 2]) -> Command {
    let mut program = Command::new("/proc/self/exe");
    program.arg0("memlogd");
    for (which, name) in ["log", "query"].into_iter().enumerate() {
        program.arg(format!("-socket-{name}")).arg(&options.sockets[which]);
        program.arg(format!("-fd-{name}")).arg(sockets[which].socket.as_raw_fd().to_string());
    }
    program.args(["-max-lines", &options.max_lines.to_string()]);
    program.args(["-max-line-len", &options.max_line_len.to_string()]);
    for (flag, on) in [("-cut-bytes", options.cut_bytes), ("-text", options.text)] {
        program.args(on.then_some(flag));
    }
    if let Some(folder) = &options.ring_file {
        program.arg("-ring-file").arg(folder);
    }
    program
}

/// Both sockets, which stay open in programs that are started.
fn passed_on(options: &Options) -> anyhow::Result<[BoundSocket; 2]> {
    let sockets = [options.socket(0)?, options.socket(1)?];
    for bound in &sockets {
        rustix::io::fcntl_setfd(&bound.socket, FdFlags::empty()).context("a socket can't be passed on")?;
    }
    Ok(sockets)
}

/// Starts another of this program with both sockets, and leaves it to itself.
fn daemonize(options: &Options) -> anyhow::Result<()> {
    let sockets = passed_on(options)?;
    let mut program = with_sockets(options, &sockets);
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let owned = options.own_sockets || options.descriptors == [-1, -1];
    for (flag, on) in [("-own-sockets", owned), ("-fd-holder", options.fd_holder)] {
        program.args(on.then_some(flag));
    }
    program.spawn().context("memlogd can't be started in the background")?;
    sockets.into_iter().filter_map(|bound| bound.file).for_each(SocketFile::leave);
    Ok(())
}

/// Runs others of this program with both sockets, whose files are removed when this one ends.
fn hold(options: &Options) -> anyhow::Result<()> {
    let sockets = passed_on(options)?;
    holder::hold("memlogd", || with_sockets(options, &sockets))
}

/// Whether what is written there is thrown away: then nothing need be written.
fn is_null(stream: &impl std::os::fd::AsFd) -> bool {
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::fstat(stream).is_ok_and(|file| file.st_rdev == null)
}
