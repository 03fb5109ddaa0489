//! What Ringward keeps in memory: when nothing happens, and at its most when everything does.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use super::idle::{SETTLED, silent};
use super::outcome::{Outcome, mebibytes};
use super::process::Peak;
use super::receiver::{Receiver, Transport};
use super::rig::{Output, flood};
use super::sockets::{tcp_receive_queue, tcp_send_queue};
use crate::ui;

const PART: &str = "memory";
const IDLE_BAR: f64 = 10.0;
const PEAK_BAR: f64 = 24.0;
/// The third value of Linux' `net.ipv4.tcp_rmem`, unless somebody changed it.
const DEFAULT_RECEIVE_BUFFER: usize = 6 << 20;
/// Short beside the time in which something grows by a mebibyte.
const INTERVAL: Duration = Duration::from_millis(2);
/// The kernel walks through its table of all connections for each answer.
const QUEUE_INTERVAL: Duration = Duration::from_millis(100);

pub fn measure(bench: &Bench, outcome: &mut Outcome) -> Result<()> {
    ui::doing("two silent containers");
    let rig = silent(bench)?;
    std::thread::sleep(SETTLED);
    let process = rig.forwarder.process();
    outcome.push_with_bar(PART, "idle: RssAnon", mebibytes(process.anonymous_bytes()?), "MiB", IDLE_BAR);
    outcome.push(PART, "idle: resident", mebibytes(process.resident_bytes()?), "MiB");
    outcome.push(PART, "BPF rings", mebibytes(process.bpf_ring_bytes()?), "MiB");
    rig.stop()?;
    let receivers = [
        ("receive buffer as Linux' default", Receiver::discarding_within(DEFAULT_RECEIVE_BUFFER)?, Some(PEAK_BAR)),
        ("receive buffer as this machine's", Receiver::discarding(Transport::Tcp)?, None),
    ];
    for (what, receiver, bar) in receivers {
        at_full_speed(bench, outcome, what, receiver, bar)?;
    }
    Ok(())
}

fn at_full_speed(bench: &Bench, outcome: &mut Outcome, what: &str, receiver: Receiver, bar: Option<f64>) -> Result<()> {
    ui::doing(&format!("two containers at full speed to tcp, {what}"));
    let mut rig = flood(bench, Output::Tcp, receiver, bench.lines)?;
    let (process, receiver) = (rig.forwarder.process(), rig.receiver.address);
    let anonymous = {
        let process = process.clone();
        Peak::watch(INTERVAL, move || process.anonymous_bytes().unwrap_or(0))
    };
    let sending = Peak::watch(QUEUE_INTERVAL, move || tcp_send_queue(receiver));
    let receiving = Peak::watch(QUEUE_INTERVAL, move || tcp_receive_queue(receiver));
    rig.go()?;
    let (name, peak) = (format!("{what}: peak of RssAnon"), mebibytes(anonymous.stop()));
    match bar {
        Some(bar) => outcome.push_with_bar(PART, &name, peak, "MiB", bar),
        None => outcome.push(PART, &name, peak, "MiB"),
    }
    outcome.push(PART, format!("{what}: RssAnon afterwards"), mebibytes(process.anonymous_bytes()?), "MiB");
    outcome.push(PART, format!("{what}: peak in its send queue"), mebibytes(sending.stop()), "MiB");
    outcome.push(PART, format!("{what}: peak in the receive queue"), mebibytes(receiving.stop()), "MiB");
    rig.stop()?;
    Ok(())
}
