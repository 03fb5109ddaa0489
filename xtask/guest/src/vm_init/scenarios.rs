//! The scenario list: what is captured is what was written, whatever the way of writing.
//!
//! A scenario gives a line for the table, or the reason why it failed.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail, ensure};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::bench::{ARRIVAL, Bench};
use crate::container::Container;
use crate::numbered::{self, Numbered};
use crate::receiver::Record;

pub struct Scenario {
    pub name: &'static str,
    /// A configuration that only this scenario wants; it then gets a Ringward of its own.
    pub settings: Option<&'static str>,
    pub run: fn(&Bench) -> Result<String>,
}

const fn shared(name: &'static str, run: fn(&Bench) -> Result<String>) -> Scenario {
    Scenario { name, settings: None, run }
}

pub const SCENARIOS: [Scenario; 17] = [
    shared("two-containers", two_containers),
    shared("both-streams", both_streams),
    shared("redirected", redirected),
    shared("duplicated", duplicated),
    shared("sendfile", sendfile),
    shared("cold-pages", cold_pages),
    shared("writev", writev),
    shared("long-line", long_line),
    shared("many-writes", many_writes),
    shared("binary", binary),
    shared("terminal", terminal),
    shared("no-newline", no_newline),
    shared("race", race),
    shared("short-lived", short_lived),
    shared("kernel-log", kernel_log),
    Scenario { name: "small-ring", settings: Some("capture: {ring_bytes: 256KiB}\n"), run: small_ring },
    Scenario { name: "clock-jump", settings: Some(LATE_DESTINATION), run: clock_jump },
];

/// A destination that is not there until [`clock_jump`] makes the command.
const LATE_DESTINATION: &str =
    "destinations: [{name: late, endpoint: 'exec:/tmp/late', records: kernel, retry: {max: 500ms}}]\n";
const LATE: &str = "/tmp/late";
const LATE_OUTPUT: &str = "/tmp/late.out";

/// Two at once, 10,000 lines of 200 bytes each.
fn two_containers(bench: &Bench) -> Result<String> {
    let names = ["a", "b"];
    let running = names.map(|which| Container::start(&bench.name(which), &["emit", "lines", "10000", "199"]));
    for container in running {
        container?.finish()?;
    }
    for which in names {
        exactly_once(bench, which, "stdout", 10_000, 199)?;
    }
    Ok("20000 lines, each once and in order".to_owned())
}

fn both_streams(bench: &Bench) -> Result<String> {
    bench.run("a", &["emit", "both", "1000", "99"])?;
    exactly_once(bench, "a", "stdout", 1000, 99)?;
    exactly_once(bench, "a", "stderr", 1000, 99)?;
    Ok("1000 lines on stdout and on stderr".to_owned())
}

/// What goes into a file is nobody's output.
fn redirected(bench: &Bench) -> Result<String> {
    bench.run("a", &["sh", "-c", "echo no > /tmp/file; echo yes"])?;
    is(&bench.message("a")?, "yes", false)
}

fn duplicated(bench: &Bench) -> Result<String> {
    bench.run("a", &["sh", "-c", "exec 5>&1; echo x >&5"])?;
    is(&bench.message("a")?, "x", false)
}

/// busybox's `cat` moves bytes into the pipe by sendfile: captured, or counted.
fn sendfile(bench: &Bench) -> Result<String> {
    let written = bench.run("a", &["sh", "-c", "emit file /tmp/big 5000 199; cat /tmp/big"])?.stdout.len() as u64;
    ensure!(written == 1_000_000, "cat wrote {written} bytes");
    accounted(bench, "a", written)
}

fn cold_pages(bench: &Bench) -> Result<String> {
    let written = bench.run("a", &["emit", "cold"])?.stdout.len();
    ensure!(written == 1 << 20, "emit wrote {written} bytes");
    exactly_once(bench, "a", "stdout", (1 << 20) / 128, 127)?;
    Ok("1 MiB by one write".to_owned())
}

fn writev(bench: &Bench) -> Result<String> {
    bench.run("a", &["emit", "writev", "1000", "20"])?;
    exactly_once(bench, "a", "stdout", 200, 99)?;
    Ok("1000 parts".to_owned())
}

fn long_line(bench: &Bench) -> Result<String> {
    bench.run("a", &["emit", "line", "65536"])?;
    let record = bench.message("a")?;
    ensure!(record.msg.as_bytes() == numbered::line(0, 65536), "{} bytes, not as written", record.msg.len());
    Ok("64 KiB".to_owned())
}

fn many_writes(bench: &Bench) -> Result<String> {
    bench.run("a", &["emit", "slowly", "7"])?;
    exactly_once(bench, "a", "stdout", 1, 199)?;
    Ok("one line of 29 writes".to_owned())
}

fn binary(bench: &Bench) -> Result<String> {
    let output = bench.run("a", &["emit", "binary"])?.stdout;
    let expected = String::from_utf8_lossy(&output);
    is(&bench.message("a")?, expected.trim_end_matches('\n'), false)
}

/// The text is the one that was written, before the terminal made `\r\n` of its end.
fn terminal(bench: &Bench) -> Result<String> {
    let container = Container::start_with_terminal(&bench.name("a"), &["sh", "-c", "echo on a terminal"])?;
    let output = container.finish()?.stdout;
    ensure!(output == b"on a terminal\r\n", "the terminal gave {:?}", String::from_utf8_lossy(&output));
    is(&bench.message("a")?, "on a terminal", false)
}

fn no_newline(bench: &Bench) -> Result<String> {
    bench.run("a", &["printf", "the end"])?;
    is(&bench.message("a")?, "the end", true)
}

/// Two threads on one pipe: no order is promised, every byte is.
fn race(bench: &Bench) -> Result<String> {
    let written = bench.run("a", &["emit", "race", "2", "2000", "99"])?.stdout.len() as u64;
    accounted(bench, "a", written)
}

fn short_lived(bench: &Bench) -> Result<String> {
    for which in 0..20 {
        bench.run(&which.to_string(), &["echo", "once"])?;
    }
    for which in 0..20 {
        is(&bench.message(&which.to_string())?, "once", false)?;
    }
    Ok("20 containers, 20 named records".to_owned())
}

/// One line at each level, by way of /dev/kmsg (which makes them facility `user`).
fn kernel_log(bench: &Bench) -> Result<String> {
    let mark = bench.name("line");
    let expected = ["error", "error", "error", "error", "warn", "info", "info", "debug"];
    for level in 0..8 {
        std::fs::write("/dev/kmsg", format!("<{level}>{mark} {level}\n"))?;
    }
    let level_of = |record: &Record| -> Option<(usize, String)> {
        let number = record.msg.trim_end().strip_prefix(&mark)?.trim_start().parse().ok()?;
        Some((number, record.text("talos-level").to_owned()))
    };
    bench.wait(|records| records.iter().filter_map(level_of).count() >= 8);
    let mut seen = bench.receiver.with(|records| records.iter().filter_map(level_of).collect::<Vec<_>>());
    seen.sort();
    let expected = expected.iter().map(|level| (*level).to_owned()).enumerate().collect::<Vec<_>>();
    ensure!(seen == expected, "came: {seen:?}");
    Ok("8 levels".to_owned())
}

/// The smallest BPF rings, and nobody who reads them for a while: what is missing is reported, to the byte.
fn small_ring(bench: &Bench) -> Result<String> {
    bench.pause();
    let output = bench.run("a", &["emit", "lines", "20000", "199"]);
    bench.resume();
    let written = output?.stdout.len() as u64;
    let text = accounted(bench, "a", written)?;
    ensure!(!text.contains(" 0 reported lost"), "nothing was lost, so nothing was tested: {text}");
    Ok(text)
}

/// The clock jumps from 1970 to now while kernel records flow: their times are right for those after the jump, and for
/// those before it that are sent after it.
fn clock_jump(bench: &Bench) -> Result<String> {
    let mark = bench.name("line");
    let log = |which: &str| std::fs::write("/dev/kmsg", format!("<6>{mark} {which}\n"));
    let find = |records: &[Record], which: &str| {
        let text = format!("{mark} {which}");
        records.iter().find(|record| record.msg.trim_end() == text).map(|record| record.text("talos-time").to_owned())
    };
    let came = |which: &str| {
        bench.wait(|records| find(records, which).is_some());
        bench.receiver.with(|records| find(records, which)).with_context(|| format!("{mark} {which} never came"))
    };
    let (now, boot) = (clock_gettime(ClockId::Realtime), clock_gettime(ClockId::Boottime));
    let just_booted = Timespec { tv_sec: 1000, tv_nsec: 0 };
    clock_settime(ClockId::Realtime, just_booted)?;
    log("before")?;
    let before = came("before");
    let passed = clock_gettime(ClockId::Boottime).tv_sec - boot.tv_sec;
    clock_settime(ClockId::Realtime, Timespec { tv_sec: now.tv_sec + passed, ..now })?;
    let before = before?;
    log("after")?;
    let after = came("after")?;
    let late = late_records(|records| find(records, "after").is_some())?;
    let late = ["before", "after"].map(|which| find(&late, which).unwrap_or_default());
    ensure!(before.starts_with("1970-01-01T00:1"), "before the jump came {before}");
    // The machine is slow, but not by minutes; a step that was not followed is decades.
    for time in [&after, &late[0], &late[1]] {
        let seconds = seconds(time).with_context(|| format!("{time:?} is no time: {late:?}"))?;
        ensure!((now.tv_sec - 5..now.tv_sec + passed + 300).contains(&seconds), "{time} instead of {now:?}: {late:?}");
    }
    Ok(format!("sent before the jump {before}, the same after it {}", late[0]))
}

/// Makes the late destination's command, and gives what it was sent once that is enough, or the time is up.
fn late_records(enough: impl Fn(&[Record]) -> bool) -> Result<Vec<Record>> {
    let script = format!("#!/bin/sh\nexec /bin/busybox cat > {LATE_OUTPUT}\n");
    // By another name first: a file that is being written can't be run.
    std::fs::write("/tmp/late.new", script)?;
    std::fs::set_permissions("/tmp/late.new", Permissions::from_mode(0o755))?;
    std::fs::rename("/tmp/late.new", LATE)?;
    let deadline = Instant::now() + ARRIVAL;
    loop {
        let text = std::fs::read(LATE_OUTPUT).unwrap_or_default();
        let whole = text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
        let records = whole.map(|line| Record::parse(line).map_err(Error::msg)).collect::<Result<Vec<_>>>()?;
        if enough(&records) || Instant::now() >= deadline {
            // The next rung begins without them.
            std::fs::remove_file(LATE)?;
            std::fs::remove_file(LATE_OUTPUT)?;
            return Ok(records);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Seconds since the epoch of `2026-11-21T20:00:00.5Z`; `None` where it is none.
fn seconds(time: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    // Days from 0000-03-01, with March as the first month.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + number(11..13)?) * 60 + number(14..16)?) * 60 + number(17..19)?)
}

/// Every numbered line of one stream came exactly once, in order.
fn exactly_once(bench: &Bench, which: &str, stream: &str, count: u64, length: usize) -> Result<()> {
    let own = |record: &Record| record.stream == stream;
    let records = bench.records(which, |records| records.iter().filter(|record| own(record)).count() as u64 >= count);
    let mut numbered = Numbered::default();
    for record in records.iter().filter(|record| own(record)) {
        if let Some(lost) = record.lost_bytes {
            bail!("{which} {stream}: {lost} bytes reported lost after {} lines", numbered.next);
        }
        numbered.see(record.msg.as_bytes(), length);
    }
    numbered.check(count).map_err(|why| anyhow::anyhow!("{which} {stream}: {why}"))
}

/// Bytes delivered and bytes reported lost are the bytes written.
fn accounted(bench: &Bench, which: &str, written: u64) -> Result<String> {
    let total = |records: &[&Record]| records.iter().map(|record| record.stream_bytes()).sum::<u64>();
    let records = bench.records(which, |records| total(records) >= written);
    let sum = total(&records.iter().collect::<Vec<_>>());
    let lost = records.iter().filter_map(|record| record.lost_bytes).sum::<u64>();
    let text = format!("{written} bytes written, {} delivered, {lost} reported lost", sum - lost);
    ensure!(sum == written, "{text}");
    Ok(text)
}

fn is(record: &Record, message: &str, partial: bool) -> Result<String> {
    ensure!(record.msg == message, "came: {:?}", record.msg);
    ensure!(record.partial == partial, "partial is {}", record.partial);
    Ok(format!("{message:?}"))
}
