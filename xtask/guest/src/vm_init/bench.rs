//! One rung: one Ringward and one receiver, shared by the scenarios that need no settings of their own.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::container::{Container, Output};
use crate::forwarder::{Forwarder, Started};
use crate::machine::{Settings, print};
use crate::receiver::{Receiver, Record};
use crate::scenarios::{SCENARIOS, Scenario};

/// How long a record may be on its way. Long, because a failed test costs time and a slow machine must not fail it.
pub const ARRIVAL: Duration = Duration::from_secs(40);

/// The lockdown mode that no hook works under, and how Ringward says so.
const CONFIDENTIALITY: &str = "confidentiality";
const DENIED: &str = "lockdown=confidentiality denies";

/// What a scenario works with.
pub struct Bench {
    rung: String,
    scenario: &'static str,
    pub receiver: Receiver,
    forwarder: Pid,
}

impl Bench {
    /// The name of this scenario's `which`-th container: no two in one boot are the same.
    pub fn name(&self, which: &str) -> String {
        format!("{}-{}-{which}", self.rung.replace('_', "-"), self.scenario)
    }

    /// Runs a container to its end.
    pub fn run(&self, which: &str, arguments: &[&str]) -> Result<Output> {
        Container::start(&self.name(which), arguments)?.finish()
    }

    /// The records of a container, once `enough` is true of them or the time is up.
    pub fn records(&self, which: &str, enough: impl Fn(&[&Record]) -> bool) -> Vec<Record> {
        self.receiver.wait_for(&self.name(which), ARRIVAL, enough)
    }

    /// The one message that a container is expected to have written.
    pub fn message(&self, which: &str) -> Result<Record> {
        let records = self.records(which, |records| !records.is_empty());
        match records.as_slice() {
            [record] if record.lost_bytes.is_none() => Ok(record.clone()),
            [] => bail!("no record came"),
            [record] => bail!("reported as lost: {:?} bytes", record.lost_bytes),
            more => bail!("{} records came: {:?}", more.len(), more.iter().map(|r| &r.msg).collect::<Vec<_>>()),
        }
    }

    /// Stops Ringward's process, as a machine without time for it would.
    pub fn pause(&self) {
        let _ = kill_process(self.forwarder, Signal::STOP);
    }

    pub fn resume(&self) {
        let _ = kill_process(self.forwarder, Signal::CONT);
    }

    /// The records of all containers whose name begins so.
    fn count(&self, prefix: &str) -> usize {
        self.receiver.with(|records| records.iter().filter(|record| record.service.starts_with(prefix)).count())
    }

    /// Waits for `check` to hold of everything received.
    pub fn wait(&self, check: impl Fn(&Vec<Record>) -> bool) -> bool {
        self.receiver.wait(ARRIVAL, check)
    }
}

/// Runs every wanted scenario on one rung and prints a result for each.
pub fn run_rung(rung: &str, settings: &Settings, out: &mut File) -> Result<()> {
    let wanted = SCENARIOS.iter().filter(|scenario| settings.wants(scenario.name)).collect::<Vec<_>>();
    let (own, shared): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|scenario| scenario.settings.is_some());
    run_group(rung, &shared, None, settings, out)?;
    for scenario in own {
        run_group(rung, &[scenario], scenario.settings, settings, out)?;
    }
    Ok(())
}

/// Where lockdown denies every rung, a Ringward that may choose says so, and forwards the kernel's log.
pub fn run_denied(settings: &Settings, out: &mut File) -> Result<()> {
    if settings.lockdown != CONFIDENTIALITY {
        return Ok(());
    }
    report(out, "auto", "says-denied", says_denied())?;
    let kernel_log = SCENARIOS.iter().filter(|scenario| scenario.name == "kernel-log").collect::<Vec<_>>();
    run_group("auto", &kernel_log, None, settings, out)
}

fn says_denied() -> Result<String> {
    match Forwarder::start("auto", "stdout:", "/tmp/state-denied", None)? {
        Started::Ready(forwarder) => {
            let said = forwarder.said(DENIED).context("ready, and not a word of lockdown")?.to_owned();
            forwarder.stop()?;
            Ok(said)
        }
        Started::Refused(said) => bail!("gave up, with the kernel's log to read: {said}"),
    }
}

/// Scenarios on one start of Ringward.
fn run_group(
    rung: &str,
    scenarios: &[&Scenario],
    configuration: Option<&str>,
    settings: &Settings,
    out: &mut File,
) -> Result<()> {
    let Some(first) = scenarios.first() else { return Ok(()) };
    let mut all = |verdict: &str, text: &str| -> Result<()> {
        scenarios.iter().try_for_each(|scenario| result(out, rung, scenario.name, verdict, text))
    };
    let receiver = Receiver::tcp()?;
    let state = format!("/tmp/state-{rung}-{}", first.name);
    let forwarder = match Forwarder::start(rung, &receiver.url(), &state, configuration) {
        Ok(Started::Ready(forwarder)) => forwarder,
        Ok(Started::Refused(said)) => {
            // Giving up is right only where the kernel must deny it and Ringward says that this was why.
            let denied = settings.lockdown == CONFIDENTIALITY && said.contains(DENIED);
            return all(if denied { "denied" } else { "fail" }, &said);
        }
        Err(error) => return all("fail", &format!("{error:#}")),
    };
    let mut bench = Bench { rung: rung.to_owned(), scenario: first.name, receiver, forwarder: forwarder.pid()? };
    let mut seen = Vec::new();
    for scenario in scenarios {
        bench.scenario = scenario.name;
        let prefix = bench.name("");
        let outcome = (scenario.run)(&bench).and_then(|text| match bench.receiver.broken().first() {
            Some(broken) => bail!("not JSON: {broken}"),
            None => Ok(text),
        });
        seen.push((prefix.clone(), bench.count(&prefix)));
        report(out, rung, scenario.name, outcome)?;
    }
    let stopped = forwarder.stop().context("SIGTERM").and_then(|()| {
        ensure!(bench.receiver.wait_closed(ARRIVAL), "its connection stayed open");
        seen.iter().try_for_each(|(prefix, count)| {
            let late = bench.count(prefix) - count;
            ensure!(late == 0, "{late} more records of {prefix}* came after its scenario was over");
            Ok(())
        })
    });
    let stopped = stopped.map(|()| "SIGTERM, and nothing came late or twice".to_owned());
    report(out, rung, &format!("{}-stop", first.name), stopped)
}

/// Prints how a scenario went.
pub fn report(out: &mut File, rung: &str, scenario: &str, outcome: Result<String>) -> Result<()> {
    match outcome {
        Ok(text) => result(out, rung, scenario, "ok", &text),
        Err(error) => result(out, rung, scenario, "fail", &format!("{error:#}")),
    }
}

fn result(out: &mut File, rung: &str, scenario: &str, verdict: &str, text: &str) -> Result<()> {
    // One line each: whatever the text holds.
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect::<String>();
    print(out, &format!("RESULT {rung} {scenario} {verdict} {text}"))
}
