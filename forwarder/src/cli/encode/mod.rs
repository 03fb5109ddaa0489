//! `ringward encode`: what delivery would make of some input, without delivering: standard input in, json_lines out.
//!
//! ```text
//!  standard input ──► Input (lines, records of /dev/kmsg, syslog) ──► batch ──► JsonLines ──► standard output
//! ```
//!
//! Parsing and encoding are those of `listen` with `parse: talos` or `syslog`, and of the kernel's log. What was read is
//! written before more is read, so that it can answer line by line. Limits: a line of 16 MiB (a longer one is split, and marked), a record
//! of 1 MiB.

mod kmsg;
mod lines;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use anyhow::Context;

use super::arguments::{Encode, EncodeKind, FacilityKind};
use crate::config::{Place, Problems};
use crate::encode::json_lines::{JsonLines, JsonLinesOptions};
use crate::record::BatchBuilder;
use crate::source::clock::realtime_ns;
use crate::source::kmsg::FacilityNames;
use kmsg::KmsgInput;
use lines::{LineInput, SyslogInput};

/// Bytes of one read.
const READ_BYTES: usize = 64 << 10;

/// Takes standard input apart.
trait Input {
    /// Appends the records that end in the next bytes; `now_ns` is the time of those that have none.
    fn push(&mut self, bytes: &[u8], now_ns: i64, out: &mut BatchBuilder);

    /// Appends what is left: the input has ended.
    fn end(&mut self, now_ns: i64, out: &mut BatchBuilder);
}

/// # Errors
/// Where a flag means nothing beside the others.
pub fn check(arguments: &Encode) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let (services, kmsg, syslog) = (EncodeKind::TalosService, EncodeKind::Kmsg, EncodeKind::Syslog);
    for (flag, given, kinds) in [
        ("--service", arguments.service.is_some(), &[services, syslog][..]),
        ("--boot-time", arguments.boot_time.is_some(), &[kmsg]),
        ("--facility-names", arguments.facility_names.is_some(), &[kmsg]),
        ("--talos", arguments.talos, &[syslog]),
    ] {
        if given && !kinds.contains(&arguments.kind) {
            let what = format!("means nothing with `--as {}`", arguments.kind.name());
            let kinds: Vec<_> = kinds.iter().map(|kind| format!("`--as {}`", kind.name())).collect();
            problems.add(&Place::Flag(flag), "", what, format!("with {}", kinds.join(" or ")));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Encodes until standard input ends.
///
/// # Errors
/// Where standard input can't be read, or standard output not written to.
pub fn encode(arguments: &Encode, extra_tags: BTreeMap<String, String>) -> anyhow::Result<()> {
    let mut input: Box<dyn Input> = match arguments.kind {
        EncodeKind::TalosService => Box::new(LineInput::new(arguments.service.as_deref().unwrap_or_default())),
        EncodeKind::Syslog => {
            Box::new(SyslogInput::new(arguments.service.as_deref().unwrap_or("syslogd"), arguments.talos))
        }
        EncodeKind::Kmsg => {
            let names = match arguments.facility_names {
                Some(FacilityKind::Talos) => FacilityNames::Talos,
                Some(FacilityKind::Linux) | None => FacilityNames::Linux,
            };
            Box::new(KmsgInput::new(arguments.boot_time.unwrap_or_default().0, names))
        }
    };
    let options = JsonLinesOptions { extra_tags, newline: true, max_record_bytes: None };
    let now = arguments.now;
    run(&mut *input, options, &move || now.map_or_else(realtime_ns, |now| now.0), io::stdin().lock())
}

fn run(
    input: &mut dyn Input,
    options: JsonLinesOptions,
    now: &dyn Fn() -> i64,
    mut from: impl Read,
) -> anyhow::Result<()> {
    let mut encoder = JsonLines::new(options);
    let mut builder = BatchBuilder::new(4 * READ_BYTES);
    let (mut buffer, mut encoded, mut ends) = (vec![0; READ_BYTES], Vec::new(), Vec::new());
    loop {
        let read = match from.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("standard input can't be read"),
        };
        match read {
            0 => input.end(now(), &mut builder),
            read => input.push(&buffer[..read], now(), &mut builder),
        }
        let batch = builder.seal();
        encoded.clear();
        ends.clear();
        encoder.encode_batch(&batch, 0..batch.record_count(), &mut encoded, &mut ends);
        if !write(&encoded)? || read == 0 {
            return Ok(());
        }
    }
}

/// Writes to standard output; whether somebody still reads it (`| head` may not).
fn write(encoded: &[u8]) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(encoded).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("can't write to standard output"),
    }
}
