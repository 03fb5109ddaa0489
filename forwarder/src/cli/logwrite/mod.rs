//! `ringward logwrite`: two programs of LinuxKit have this name, and both are here.
//!
//! With a command it is the wrapper, which runs the command and passes its output to memlogd; without one it is the disk
//! writer, which reads memlogd and keeps a file for each source. Flags that only the disk writer has can't go with a
//! command, nor `-n` without one.

mod disk;
mod file;
mod resume;
mod wrapper;

use std::ffi::OsString;
use std::process::ExitCode;

use super::go_flags::{Flag, Flags, Stop};

const LOG_SOCKET: &str = "/var/run/linuxkit-external-logging.sock";
const QUERY_SOCKET: &str = "/var/run/memlogdq.sock";

pub const FLAGS: &[Flag] = &[
    Flag {
        name: "socket",
        default: Some(""),
        help: "memlogd's socket: with a command the log socket, else the query socket",
    },
    Flag { name: "n", default: Some(""), help: "with a command: its name (default: the command)" },
    Flag { name: "log-dir", default: Some("/var/log"), help: "where the files are" },
    Flag { name: "max-log-files", default: Some("10"), help: "rotated files to keep of a source" },
    Flag { name: "max-log-size", default: Some("1048576"), help: "bytes of a file before it is rotated" },
];

/// Runs the program that is meant.
///
/// # Errors
/// Where the flags are wrong.
pub fn logwrite(words: &[OsString]) -> Result<anyhow::Result<ExitCode>, Stop> {
    let flags = Flags::parse("logwrite", FLAGS, words)?;
    let socket = |default: &str| if flags.has("socket") { flags.path("socket") } else { default.into() };
    let of_the_disk_writer = ["log-dir", "max-log-files", "max-log-size"];
    let Some(command) = flags.rest.first() else {
        if flags.has("n") {
            return Err(Stop::Wrong("-n names a command, and there is none\n".into()));
        }
        let options = disk::Options {
            socket: socket(QUERY_SOCKET),
            dir: flags.path("log-dir"),
            max_files: flags.number("max-log-files", 0, 1 << 20)?.unsigned_abs(),
            max_size: flags.number("max-log-size", 0, i64::MAX)?.unsigned_abs(),
        };
        return Ok(disk::run(&options).map(|()| ExitCode::SUCCESS));
    };
    if let Some(name) = of_the_disk_writer.into_iter().find(|name| flags.has(name)) {
        return Err(Stop::Wrong(format!("-{name} is for writing to disk, which takes no command ({command:?})\n")));
    }
    let name = if flags.has("n") { flags.text("n") } else { command.clone() };
    Ok(wrapper::run(&socket(LOG_SOCKET), &name, &flags.rest))
}
