//! Every developer command of Ringward: `cargo xtask --help`.
//!
//! Owns the way from a fresh clone to a running or tested Ringward. Goes in: a command line. Comes out: installed
//! tools, a process, a table of results, an exit status. It refuses to guess: what it cannot install is named
//! together with the command that would. It holds no product code and the product does not depend on it.

mod bench;
mod command;
mod fuzz;
mod image;
mod layers;
mod pins;
mod report;
mod run;
mod setup;
mod test;
mod ui;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set up, run and test Ringward", version)]
struct Cli {
    /// Print every external command before it is run
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Install what is missing, and say what is there already
    Setup(setup::Options),
    /// Set up, build and run: captures the kernel log and every container's output to stdout
    Run(run::Options),
    /// Set up and run every check and test; the last line is `N passed, N failed`
    Test(test::Options),
    /// Boot Debian's kernels under qemu and run the scenario list on every rung of the hook ladder
    Vm(vm::Options),
    /// Measure, each figure beside its bar: `bench e2e`
    Bench(bench::Options),
    /// Run the fuzz targets, each for some seconds: `fuzz logfmt --seconds 60`
    Fuzz(fuzz::Options),
    /// Build a static program and the image for containers: deploy/
    Image,
    /// Check which folder imports which, where `unsafe` may be, and the length of files
    LintLayers,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    ui::set_verbose(cli.verbose);
    let result = match cli.command {
        Subcommands::Setup(options) => setup::run(&options).map(|()| ExitCode::SUCCESS),
        Subcommands::Run(options) => run::run(&options),
        Subcommands::Test(options) => test::run(&options),
        Subcommands::Vm(options) => vm::run(&options),
        Subcommands::Bench(options) => bench::run(&options),
        Subcommands::Fuzz(options) => fuzz::run(&options),
        Subcommands::Image => image::run(),
        Subcommands::LintLayers => layers::run(),
    };
    result.unwrap_or_else(|error| {
        ui::error(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}
