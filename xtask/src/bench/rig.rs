//! What every measurement is made with: containers, a Ringward, a receiver.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Bench;
use super::forwarder::Forwarder;
use super::receiver::{Receiver, Transport};
use super::runc::Container;
use super::sockets;

/// Bytes of a line, its newline included.
pub const LINE_BYTES: u64 = 200;

/// As many containers as print at once; their names are what their records carry.
pub const NAMES: [&str; 2] = ["bench-a", "bench-b"];

/// How what the containers print leaves Ringward.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Tcp,
    Udp,
    /// With `udp.segment: pad`.
    UdpPad,
}

impl Output {
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::UdpPad];

    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::UdpPad => "udp, padded",
        }
    }

    pub fn transport(self) -> Transport {
        match self {
            Self::Tcp => Transport::Tcp,
            Self::Udp | Self::UdpPad => Transport::Udp,
        }
    }

    /// The item of `destinations` that sends to a receiver.
    fn destination(self, receiver: &Receiver) -> String {
        let url = receiver.url();
        match self {
            Self::Tcp | Self::Udp => format!("{{endpoint: \"{url}\"}}"),
            Self::UdpPad => format!("{{endpoint: \"{url}\", udp: {{segment: pad}}}}"),
        }
    }
}

pub struct Rig {
    pub forwarder: Forwarder,
    pub receiver: Receiver,
    containers: Vec<Container>,
}

/// How a run went, from the go to the last byte at the receiver.
pub struct Ran {
    pub elapsed: Duration,
    /// Of Ringward's process.
    pub cpu: Duration,
    /// The most memory of its own that it had, and the most at all.
    pub anonymous: u64,
    pub resident: u64,
    /// At the receiver.
    pub bytes: u64,
    /// Datagrams that the receiver was too slow for.
    pub dropped: u64,
}

impl Rig {
    /// Starts all of it; returns when the containers are known to Ringward and wait for their go. `program` is what
    /// `emit` is given in each of them.
    pub fn start(bench: &Bench, output: Output, receiver: Receiver, program: &[&str], more: &[&str]) -> Result<Self> {
        let configuration = format!("destinations: [{}]\n", output.destination(&receiver));
        let forwarder = Forwarder::start(&bench.ringward, &configuration, more)?;
        let containers = NAMES.iter().map(|name| bench.runc.start(name, program)).collect::<Result<Vec<_>>>()?;
        // Their first lines have arrived: whose they are is known.
        receiver.wait_quiet()?;
        Ok(Self { forwarder, receiver, containers })
    }

    /// Lets the containers write, and waits until everything has arrived.
    pub fn go(&mut self) -> Result<Ran> {
        let process = self.forwarder.process();
        let before = (process.cpu()?, self.receiver.bytes());
        let (anonymous, resident) = process.watch_memory();
        let begin = Instant::now();
        self.containers.iter_mut().for_each(Container::go);
        for container in self.containers.drain(..) {
            container.finish();
        }
        self.receiver.wait_quiet()?;
        Ok(Ran {
            elapsed: self.receiver.last().duration_since(begin),
            cpu: process.cpu()?.saturating_sub(before.0),
            anonymous: anonymous.stop(),
            resident: resident.stop(),
            bytes: self.receiver.bytes() - before.1,
            dropped: sockets::udp_drops(self.receiver.address),
        })
    }

    /// Ends it in order: Ringward delivers what is left, and the receiver has everything. How many reads that were:
    /// datagrams, where it is UDP.
    pub fn stop(self) -> Result<u64> {
        for container in self.containers {
            container.finish();
        }
        self.forwarder.stop()?;
        self.receiver.finish()
    }
}

/// Two containers that print as fast as they can, to a receiver that throws it away; and its reads.
pub fn at_full_speed(bench: &Bench, output: Output, lines: u64) -> Result<(Ran, u64)> {
    let mut rig = flood(bench, output, Receiver::discarding(output.transport())?, lines)?;
    let ran = rig.go()?;
    Ok((ran, rig.stop()?))
}

/// The rig for it. Without the kernel's log, whose records would be counted with the containers'.
pub fn flood(bench: &Bench, output: Output, receiver: Receiver, lines: u64) -> Result<Rig> {
    let [seed, lines, length] = [bench.seed, lines, LINE_BYTES - 1].map(|number| number.to_string());
    Rig::start(bench, output, receiver, &["payload", &seed, &lines, &length], &["--no-kernel"])
}
