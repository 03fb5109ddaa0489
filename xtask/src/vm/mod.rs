//! `cargo xtask vm`: the scenario list on every rung of the hook ladder, on Debian's kernels, under qemu.
//!
//! One boot for each kernel, cgroup version and lockdown mode; inside of it PID 1 (xtask/guest) runs all rungs. The
//! machine is emulated (TCG): slow, but the same on every host, and nested virtualisation is not needed. As many
//! machines run at a time as there are processors. A boot is bounded in time; its console is kept in
//! `target/vm/logs/`. docs/development.md shows how to narrow a run down.

mod initramfs;
mod plan;
mod qemu;
mod results;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use crate::report::{Report, Row};
use crate::setup::kernels;
use crate::{command, setup, ui, workspace};
pub use plan::Options;

pub fn run(options: &Options) -> Result<ExitCode> {
    setup::build_tools()?;
    setup::vm_tools()?;
    let mut report = Report::default();
    report.extend(boot_all(options)?);
    Ok(report.finish())
}

/// Boots everything that the options name; a row for each.
pub fn boot_all(options: &Options) -> Result<Vec<Row>> {
    let boots = options.boots();
    ui::heading(&format!("Virtual machines: {} boots", boots.len()));
    build()?;
    let image = initramfs::make()?;
    let kernels = boots.iter().map(|boot| kernels::fetch(&boot.kernel)).collect::<Result<Vec<_>>>()?;
    // A machine keeps one processor busy, so that as many run at a time as there are processors.
    let at_once = std::thread::available_parallelism()?.get().min(boots.len());
    let next = AtomicUsize::new(0);
    let ended = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(boot) = boots.get(index) else { return Ok(()) };
                ui::doing(&boot.name());
                let machine = qemu::boot(boot, &kernels[index], &image)?;
                let mut ended = ended.lock().expect("no other machine's thread panicked");
                ended.insert(index, results::row(boot, &machine));
            }
        };
        let workers = (0..at_once).map(|_| scope.spawn(work)).collect::<Vec<_>>();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a machine's thread panicked"))
    })?;
    Ok(ended.into_inner().expect("no machine's thread panicked").into_values().collect())
}

/// The static binaries.
fn build() -> Result<()> {
    ui::doing("building the static binaries");
    build_static(&["-p", "ringward", "-p", "ringward-guest", "--bins"])
}

/// Builds into [`binaries`].
pub fn build_static(what: &[&str]) -> Result<()> {
    command::run(workspace::cargo_static("vm", &folder()?.join("build"))?.arg("--quiet").args(what))
}

/// Where everything of the VM is: `target/vm`.
fn folder() -> Result<std::path::PathBuf> {
    Ok(workspace::target()?.join("vm"))
}

/// Where the static binaries are.
pub fn binaries() -> Result<std::path::PathBuf> {
    Ok(folder()?.join("build").join(workspace::host_triple()?).join("vm"))
}
