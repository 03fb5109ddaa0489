//! Ringward as the image's memlogd, started before anything else, with the ring in files and the holder.
//!
//! One-shot commands, then a service, then a network, ten seconds after the start: every numbered line of every phase and
//! every kernel record from the first on arrives, in order. Then Ringward is ended below its holder, by SIGTERM and by
//! SIGKILL, while the service writes on.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::ARRIVAL;
use crate::forwarder::Forwarder;
use crate::machine::Settings;
use crate::numbered::{self, Numbered};
use crate::receiver::{Receiver, Record};

pub const NAME: &str = "early-boot";

/// When the network comes, after the start.
const NETWORK: Duration = Duration::from_secs(10);
const ONE_SHOTS: u64 = 3;
const ONE_SHOT_LINES: u64 = 200;
const SERVICE: &str = "web";
const SERVICE_LINES: u64 = 1000;
const LENGTH: usize = 99;

/// Nothing where it is not wanted.
pub fn run(settings: &Settings) -> Option<Result<String>> {
    settings.wants(NAME).then(early_boot)
}

fn early_boot() -> Result<String> {
    let began = Instant::now();
    let receiver = Receiver::tcp()?;
    loopback("down")?;
    let forwarder = start(&receiver.url())?;
    for number in 0..ONE_SHOTS {
        // As init runs what is in /containers/onboot.
        let name = format!("onboot.{number:03}-shot");
        let lines = ONE_SHOT_LINES.to_string();
        let mut shot = log_writer(&name, &["emit", "lines", &lines, &LENGTH.to_string()])?;
        ensure!(shot.wait()?.success(), "{name} failed");
    }
    let mut service = Service(log_writer(SERVICE, &["busybox", "cat"])?, 0);
    service.print(SERVICE_LINES)?;
    ensure!(receiver.with(Vec::is_empty), "something came without a network");
    std::thread::sleep(NETWORK.saturating_sub(began.elapsed()));
    loopback("up")?;
    arrived(&receiver, service.1, false).context("from the start on")?;
    kernel_records(&receiver)?;
    for number in 0..ONE_SHOTS {
        lines_of(&receiver, &format!("onboot.{number:03}-shot"), ONE_SHOT_LINES)?;
    }

    restart(&forwarder, Signal::TERM, &mut service)?;
    arrived(&receiver, service.1, false).context("after SIGTERM")?;
    let kernel = kernel_records(&receiver).context("after SIGTERM")?;
    restart(&forwarder, Signal::KILL, &mut service)?;
    arrived(&receiver, service.1, true).context("after SIGKILL")?;
    service.end()?;
    forwarder.stop()?;
    ensure!(receiver.broken().is_empty(), "not JSON: {:?}", receiver.broken());
    let is_loss = |record: &&Record| record.lost_bytes.is_some() || record.fields.contains_key("lost-records");
    let lost = receiver.with(|records| records.iter().filter(is_loss).count());
    ensure!(lost == 0, "{lost} records say that something was lost");
    let lines = ONE_SHOTS * ONE_SHOT_LINES + service.1;
    Ok(format!("{kernel} kernel records from 0 on and {lines} lines, over SIGTERM and SIGKILL"))
}

fn loopback(state: &str) -> Result<()> {
    let status = Command::new("/bin/busybox").args(["ip", "link", "set", "lo", state]).status()?;
    ensure!(status.success(), "cannot set the loopback device {state}");
    Ok(())
}

fn start(to: &str) -> Result<Forwarder> {
    let text = format!(
        "state_dir: /run/ringward\nring: {{bytes: 16MiB, file: /run/ringward/ring}}\n\
         kernel: {{console_tracepoint: false}}\ncapture: {{containers: false}}\nmemlogd: {{enabled: true}}\n\
         destinations: [{{name: net, endpoint: '{to}', retry: {{max: 500ms}}}}]\n"
    );
    std::fs::write("/tmp/early-boot.yaml", text)?;
    Forwarder::run(&["run", "--fd-holder", "--config", "/tmp/early-boot.yaml"])
}

/// A command whose output memlogd gets, as LinuxKit's services have it.
fn log_writer(name: &str, command: &[&str]) -> Result<Child> {
    let mut writer = Command::new("/bin/ringward");
    writer.args(["logwrite", "-n", name]).args(command);
    writer.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot run logwrite")
}

/// A service that prints numbered lines, and how many it has printed.
struct Service(Child, u64);

impl Service {
    fn print(&mut self, count: u64) -> Result<()> {
        let mut text = Vec::new();
        for number in self.1..self.1 + count {
            text.extend(numbered::line(number, LENGTH));
            text.push(b'\n');
        }
        self.1 += count;
        self.0.stdin.as_mut().context("no stdin")?.write_all(&text).context("the service has ended")
    }

    fn end(&mut self) -> Result<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait()?;
        ensure!(status.success(), "the service noticed: {status}");
        Ok(())
    }
}

/// Ends Ringward below its holder; the service prints before, meanwhile and after.
fn restart(holder: &Forwarder, signal: Signal, service: &mut Service) -> Result<()> {
    service.print(SERVICE_LINES)?;
    if signal == Signal::KILL {
        // What Ringward has read and not put into the ring is gone with it.
        is_in_ring(&numbered::line(service.1 - 1, LENGTH))?;
    }
    let before = child_of(holder.pid()?)?.context("there is no Ringward below the holder")?;
    kill_process(before, signal)?;
    service.print(SERVICE_LINES)?;
    let deadline = Instant::now() + ARRIVAL;
    while child_of(holder.pid()?)?.is_none_or(|child| child == before) {
        ensure!(Instant::now() < deadline, "there is no new Ringward after {signal:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    service.print(SERVICE_LINES)
}

/// Waits until memlogd's clients see this line.
fn is_in_ring(line: &[u8]) -> Result<()> {
    let deadline = Instant::now() + ARRIVAL;
    let line = String::from_utf8_lossy(line);
    loop {
        let printed = Command::new("/bin/ringward").arg("logread").output()?.stdout;
        if String::from_utf8_lossy(&printed).contains(&*line) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "not in the ring: {line}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn child_of(holder: Pid) -> Result<Option<Pid>> {
    let children = format!("/proc/{0}/task/{0}/children", holder.as_raw_nonzero());
    let children = std::fs::read_to_string(children)?;
    Ok(children.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?)))
}

/// All lines of the service came: each once and in order, or with some twice.
fn arrived(receiver: &Receiver, count: u64, may_repeat: bool) -> Result<()> {
    let last = numbered::line(count - 1, LENGTH);
    receiver.wait_for(SERVICE, ARRIVAL, |records| records.iter().any(|record| record.msg.as_bytes() == last));
    if !may_repeat {
        return lines_of(receiver, SERVICE, count);
    }
    let mut numbers: Vec<u64> = Vec::new();
    for record in receiver.of(SERVICE) {
        let number = record.msg.get(..9).and_then(|digits| digits.parse().ok()).context("not a numbered line")?;
        ensure!(record.msg.as_bytes() == numbered::line(number, LENGTH), "came: {:?}", record.msg);
        numbers.push(number);
    }
    let all = numbers.len() as u64;
    numbers.sort_unstable();
    numbers.dedup();
    ensure!(numbers.iter().copied().eq(0..count), "{} of {count} lines came", numbers.len());
    ensure!(all < 2 * count, "{all} lines came of {count}");
    Ok(())
}

fn lines_of(receiver: &Receiver, service: &str, count: u64) -> Result<()> {
    let records = receiver.wait_for(service, ARRIVAL, |records| records.len() as u64 >= count);
    let mut seen = Numbered::default();
    records.iter().for_each(|record| seen.see(record.msg.as_bytes(), LENGTH));
    seen.check(count).map_err(|why| anyhow::anyhow!("{service}: {why}"))
}

/// The kernel's records, one after the other from the first that it ever logged to the last; how many they are.
fn kernel_records(receiver: &Receiver) -> Result<u64> {
    let sequence = |record: &Record| record.fields.get("seq").and_then(serde_json::Value::as_u64);
    let last = last_of_kernel()?;
    receiver.wait(ARRIVAL, |records| records.iter().rev().any(|record| sequence(record) >= Some(last)));
    let numbers = receiver.with(|records| records.iter().filter_map(sequence).collect::<Vec<_>>());
    if let Some((expected, came)) = (0..).zip(&numbers).find(|(expected, came)| expected != *came) {
        bail!("instead of the kernel's record {expected} came {came}");
    }
    ensure!(numbers.len() as u64 > last, "{} of the kernel's {} records came", numbers.len(), last + 1);
    Ok(numbers.len() as u64)
}

/// The number of the last record in the kernel's log.
fn last_of_kernel() -> Result<u64> {
    let mut log = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open("/dev/kmsg")?;
    let mut record = [0; 16 << 10];
    let mut last = None;
    // "6,339,5140900,-;NET: Registered protocol family 10"
    while let Ok(length) = log.read(&mut record) {
        let text = String::from_utf8_lossy(&record[..length]);
        last = text.split(',').nth(1).and_then(|number| number.parse().ok()).or(last);
    }
    last.context("the kernel's log is empty")
}
