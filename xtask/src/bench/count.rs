//! `cargo xtask bench count`: instructions a record of each pure stage, by valgrind's cachegrind, beside the numbers that
//! are committed in `benches/counts.json`.
//!
//! A stage is run so many times and more times; the difference is what the runs took, without starting and preparing.
//! Instructions are the same on a busy machine. They are not the same for another compiler, target or variant of the
//! escape kernel, so the numbers are kept for each of them; one without committed numbers is printed and not compared.
//! Valgrind has no AVX-512, so the widest variant that is counted is AVX2, wherever it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::report::Row;
use crate::ui::{Colour, paint_out};
use crate::{command, setup, ui, vm, workspace};

/// A stage that takes so much more than was committed has become slower.
const WORSE: f64 = 1.05;
/// What is committed is rounded to this, which is much for a stage of one instruction a record.
const ROUNDING: f64 = 0.1;
/// Runs of a stage, and records in each.
const FEW: u32 = 2;
const MANY: u32 = 12;
const RECORDS: f64 = 1000.0;

#[derive(Args)]
pub struct CountOptions {
    /// Count only stages whose name contains this
    filter: Option<String>,
    /// Commit what is counted now: writes `benches/counts.json`
    #[arg(long)]
    update: bool,
}

/// By toolchain, by stage: instructions a record.
type Counts = BTreeMap<String, BTreeMap<String, f64>>;

pub fn run(options: &CountOptions) -> Result<bool> {
    let program = build()?;
    let (toolchain, mut committed) = (toolchain(&program)?, read()?);
    let counted = count(&program, options.filter.as_deref())?;
    let before = committed.get(&toolchain).cloned().unwrap_or_default();
    if before.is_empty() {
        ui::warn(&format!("no numbers are committed for {toolchain}: nothing to compare with"));
    }
    println!("{:<30} {:>14} {:>14}   instructions a record, {toolchain}", "", "counted", "committed");
    let mut worse = Vec::new();
    for (name, now) in &counted {
        let then = before.get(name);
        let verdict = then.map_or(String::new(), |then| {
            let colour = if is_worse(*now, *then) { Colour::Red } else { Colour::Green };
            paint_out(colour, &format!("{:+.1} %", (now / then - 1.0) * 100.0))
        });
        let shown = then.map(|then| format!("{then:.1}")).unwrap_or_default();
        println!("{name:<30} {now:>14.1} {shown:>14}   {verdict}");
        if then.is_some_and(|then| is_worse(*now, *then)) {
            worse.push(name.clone());
        }
    }
    if options.update {
        committed.entry(toolchain).or_default().extend(counted);
        std::fs::write(file(), format!("{:#}\n", serde_json::to_value(&committed)?))?;
        ui::done(&format!("wrote {}", file().display()));
        return Ok(true);
    }
    for name in &worse {
        ui::error(&format!("`{name}` takes more than {:.0} % more instructions", (WORSE - 1.0) * 100.0));
    }
    Ok(worse.is_empty())
}

/// The same as a row of a report, each stage a test.
pub fn row() -> Result<Row> {
    let started = Instant::now();
    let program = build()?;
    let (toolchain, committed) = (toolchain(&program)?, read()?);
    let counted = count(&program, None)?;
    let mut row = Row { name: "instruction counts".into(), took: started.elapsed(), ..Row::default() };
    let Some(committed) = committed.get(&toolchain) else {
        let shown = counted.iter().map(|(name, now)| format!("{name}: {now}")).collect::<Vec<_>>().join(", ");
        row.skipped = 1;
        row.notes.push(format!("skipped: no numbers are committed for {toolchain}; counted were {shown}"));
        return Ok(row);
    };
    for (name, now) in counted {
        let why = match committed.get(&name) {
            None => "is not committed: cargo xtask bench count --update".to_owned(),
            Some(then) if is_worse(now, *then) => format!("took {now} instructions a record, {then} are committed"),
            Some(_) => {
                row.passed += 1;
                continue;
            }
        };
        row.failed += 1;
        row.notes.push(format!("failed: `{name}` {why}"));
    }
    Ok(row)
}

fn is_worse(now: f64, then: f64) -> bool {
    now > then * WORSE + ROUNDING
}

/// The program that runs stages. Built as the VM's Ringward is, of which most is there already when it is CI that counts.
fn build() -> Result<PathBuf> {
    setup::count_tools()?;
    ui::heading("Counting instructions");
    vm::build_static(&["-p", "ringward-benches", "--bin", "stage"])?;
    Ok(vm::binaries()?.join("stage"))
}

fn count(program: &Path, filter: Option<&str>) -> Result<BTreeMap<String, f64>> {
    // Valgrind shows a processor without AVX-512, so it is valgrind that is asked.
    let names = command::output(&mut valgrind(program))?;
    let names = names.lines().filter_map(|line| line.split('\t').next());
    let mut counted = BTreeMap::new();
    for name in names.filter(|name| filter.is_none_or(|filter| name.contains(filter))) {
        let instructions = |times: u32| instructions(program, name, times);
        let taken = instructions(MANY)?.saturating_sub(instructions(FEW)?);
        let each = taken as f64 / f64::from(MANY - FEW) / RECORDS;
        ensure!(each > 0.0, "`{name}` took no instructions");
        counted.insert(name.to_owned(), (each * 10.0).round() / 10.0);
    }
    if counted.is_empty() {
        bail!("no stage's name contains `{}`", filter.unwrap_or_default());
    }
    Ok(counted)
}

fn valgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]).arg(program);
    // Hashes of every process are seeded anew; nothing else differs from run to run.
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command
}

fn instructions(program: &Path, name: &str, times: u32) -> Result<u64> {
    let mut command = valgrind(program);
    command.arg(name).arg(times.to_string());
    let line = command::echo(&command);
    let output = command.output().with_context(|| format!("cannot run `{line}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split_once("I   refs:")).map(|(_, count)| count.trim());
    let count = count.filter(|_| output.status.success()).with_context(|| format!("`{line}` failed: {said}"))?;
    count.replace(',', "").parse().with_context(|| format!("`{line}` counted `{count}`"))
}

/// What the numbers hold for: compiler, target, and the variant of the escape kernel that valgrind's processor has.
fn toolchain(program: &Path) -> Result<String> {
    let version = command::output(Command::new("rustc").arg("-V"))?;
    let version = version.split(' ').nth(1).context("rustc named no version")?.to_owned();
    let variant = command::output(valgrind(program).arg("--variant"))?;
    Ok(format!("{version} {} {}", workspace::host_triple()?, variant.trim()))
}

fn file() -> PathBuf {
    workspace::root().join("benches/counts.json")
}

fn read() -> Result<Counts> {
    let text = std::fs::read_to_string(file()).unwrap_or_else(|_| "{}".into());
    serde_json::from_str(&text).with_context(|| format!("{}", file().display()))
}
