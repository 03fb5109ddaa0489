//! `ringward kmsg`: the kernel log on standard error, from its oldest record on, as LinuxKit's `kmsg` prints it.
//!
//! `(SEQUENCE) - TIME: TEXT`, the text with the kernel's escapes, its newline and its dictionary's lines. The time is
//! reckoned from the time of boot, which is taken once, to the second.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};

use anyhow::Context;

use super::go_flags::{Flag, Flags, Stop};
use crate::encode::simd::Sink;
use crate::encode::time::TimeWriter;

pub const FLAGS: &[Flag] = &[Flag { name: "device", default: Some("/dev/kmsg"), help: "the device to read" }];

/// The kernel gives one record a read; its own limit is 8192.
const READ_BYTES: usize = 16 << 10;

/// Prints until the device ends, which a real one does not.
///
/// # Errors
/// Where the flags are wrong.
pub fn kmsg(words: &[OsString]) -> Result<anyhow::Result<()>, Stop> {
    let flags = Flags::parse("kmsg", FLAGS, words)?;
    if let Some(word) = flags.rest.first() {
        return Err(Stop::Wrong(format!("{word:?} is no flag\n")));
    }
    let path = flags.path("device");
    let failed = format!("{} can't be read", path.display());
    Ok(File::open(&path).and_then(print).context(failed))
}

fn print(mut device: File) -> io::Result<()> {
    let boot_ns = boot_ns();
    let mut time = TimeWriter::default();
    let (mut buffer, mut out) = (vec![0; READ_BYTES], Vec::new());
    loop {
        let read = match device.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            // Overrun: what comes next has a higher number.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {
                eprintln!("kmsg: the kernel's log was overrun: records are missing");
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let record = &buffer[..read];
        let Some((sequence, clock_us, text)) = split(record) else {
            eprintln!("kmsg: this is no record: {}", String::from_utf8_lossy(record));
            continue;
        };
        out.clear();
        out.extend_from_slice(format!("({sequence}) - ").as_bytes());
        time.write(boot_ns.saturating_add(clock_us.saturating_mul(1000)), &mut Sink::new(&mut out));
        out.extend_from_slice(b": ");
        out.extend_from_slice(text);
        // Nobody to say it to where this fails.
        io::stderr().write_all(&out)?;
    }
}

/// Sequence, clock and text, as the kernel wrote them.
fn split(record: &[u8]) -> Option<(u64, i64, &[u8])> {
    let semicolon = memchr::memchr(b';', record)?;
    let mut fields = std::str::from_utf8(&record[..semicolon]).ok()?.split(',').skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?, &record[semicolon + 1..]))
}

/// The time of boot: now, less the whole seconds of uptime.
fn boot_ns() -> i64 {
    let now = crate::source::clock::realtime_ns();
    let uptime = rustix::system::sysinfo().uptime;
    now - uptime * 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_and_left_as_they_are() {
        let record = b"6,339,5140900,-,caller=T1;NET: \\x09x\n SUBSYSTEM=acpi\n";
        assert_eq!(split(record), Some((339, 5_140_900, &b"NET: \\x09x\n SUBSYSTEM=acpi\n"[..])));
        assert_eq!(split(b"6,339;x\n"), None);
        assert_eq!(split(b"no record"), None);
    }
}
