//! `cargo xtask test`: everything that has to hold before a change lands.
//!
//! Setup, format, lints, layers, all tests of the workspace (those with containers included), the escape kernel as
//! arm64, the instructions of the pure stages, and the VM's subset for CI. Every step is run even when one before it failed. At the end stands a table, and
//! as the very last line of stdout `N passed, N failed` (`, N skipped` where something was).

mod libtest;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::report::{Report, Row};
use crate::{bench, command, layers, setup, ui, vm, workspace};

#[derive(Args)]
pub struct Options {
    /// Run only the tests, and the VM's scenarios, whose name contains this; format and lints are left out
    filter: Option<String>,
    /// Leave the VM out
    #[arg(long)]
    no_vm: bool,
}

pub fn run(options: &Options) -> Result<ExitCode> {
    setup::build_tools()?;
    setup::test_tools()?;
    let mut report = Report::default();
    if options.filter.is_none() {
        static_checks(&mut report);
    }
    ui::heading("Tests of the workspace");
    report.extend(libtest::run(options.filter.as_deref()));
    ui::heading("The escape kernel as arm64");
    report.extend(libtest::run_as_arm64(options.filter.as_deref()));
    if options.filter.is_none() {
        report
            .push(bench::count::row().unwrap_or_else(|error| Row::failure("instruction counts", format!("{error:#}"))));
    }
    if !options.no_vm {
        match vm::boot_all(&vm::Options::for_ci(options.filter.as_deref())) {
            Ok(rows) => report.extend(rows),
            Err(error) => report.push(Row::failure("virtual machines", format!("{error:#}"))),
        }
    }
    Ok(report.finish())
}

/// What is known without running anything.
fn static_checks(report: &mut Report) {
    let clippy = |arguments: &[&str]| {
        let fixed = [&["clippy", "--quiet"], arguments, &["--all-targets", "--", "-D", "warnings"]].concat();
        // Quiet, so that there is nothing to see before the end; what it found stands in the summary, too.
        command::output(&mut workspace::cargo(&fixed)).map(drop)
    };
    let steps: [(&str, &dyn Fn() -> Result<()>); 4] = [
        ("format", &|| command::run(&mut workspace::cargo(&["fmt", "--all", "--check"]))),
        ("clippy, every member", &|| clippy(&["--workspace"])),
        ("clippy, without eBPF", &|| clippy(&["-p", "ringward", "--no-default-features"])),
        ("layers", &|| {
            let violations = layers::check()?;
            anyhow::ensure!(violations.is_empty(), "{}", violations.join("\n"));
            Ok(())
        }),
    ];
    for (name, step) in steps {
        ui::heading(name);
        let started = std::time::Instant::now();
        report.push(match step() {
            Ok(()) => Row { name: name.to_owned(), passed: 1, took: started.elapsed(), ..Row::default() },
            Err(error) => Row::failure(name, format!("{error:#}")),
        });
    }
}
