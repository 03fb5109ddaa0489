//! `ringward doctor`: what this machine allows, what is missing, what that stops, and how to get it.
//!
//! A probe is a function from the [`Host`] to items; [`PROBES`] lists them in the order in which they are shown. Probes
//! look and leave nothing behind; the one for the hooks loads and attaches each for a moment. What needs the eBPF loader or an io_uring to be asked is a probe of that folder, listed here.

mod capture;
mod host;
mod kernel;
mod print;
mod process;
mod runtimes;

use serde::Serialize;

use super::paint::Paint;
use crate::config::ResolvedConfig;
pub use host::Host;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoctorItem {
    /// What was looked at: stable, for scripts.
    pub name: String,
    pub status: Status,
    /// What was found, in a few words.
    pub found: String,
    /// What stops working and how to get it; none where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As good as it gets.
    Ok,
    /// Worth knowing; nothing depends on it.
    Note,
    /// Something works less well, or another way.
    Degraded,
    /// Something does not work.
    Missing,
}

impl DoctorItem {
    pub fn ok(name: &str, found: impl Into<String>) -> DoctorItem {
        DoctorItem { name: name.into(), status: Status::Ok, found: found.into(), advice: None }
    }

    pub fn note(name: &str, found: impl Into<String>) -> DoctorItem {
        DoctorItem { status: Status::Note, ..DoctorItem::ok(name, found) }
    }

    pub fn degraded(name: &str, found: impl Into<String>, advice: impl Into<String>) -> DoctorItem {
        DoctorItem { status: Status::Degraded, advice: Some(advice.into()), ..DoctorItem::ok(name, found) }
    }

    pub fn missing(name: &str, found: impl Into<String>, advice: impl Into<String>) -> DoctorItem {
        DoctorItem { status: Status::Missing, advice: Some(advice.into()), ..DoctorItem::ok(name, found) }
    }
}

/// A look at one thing.
pub type Probe = fn(&Host, &ResolvedConfig) -> Vec<DoctorItem>;

/// All probes, in the order in which they are shown.
pub const PROBES: &[Probe] = &[
    kernel::version,
    capture::hooks,
    capture::back_end,
    kernel::btf,
    kernel::lockdown,
    kernel::file_systems,
    process::capabilities,
    kernel::kmsg,
    kernel::printk_devkmsg,
    kernel::cgroups,
    runtimes::runtimes,
    process::state_dir,
    process::limits,
];

/// What all probes say.
pub fn report(host: &Host, config: &ResolvedConfig) -> Vec<DoctorItem> {
    PROBES.iter().flat_map(|probe| probe(host, config)).collect()
}

/// Prints the report, as a table or as JSON.
pub(super) fn doctor(config: &ResolvedConfig, json: bool, paint: Paint) -> anyhow::Result<()> {
    let items = report(&Host::this(), config);
    let text = if json { serde_json::to_string_pretty(&items)? + "\n" } else { print::table(&items, paint) };
    super::print(&text)
}

#[cfg(test)]
mod tests;
