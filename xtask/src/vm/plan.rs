//! Which machines are booted.

use clap::{Args, ValueEnum};

use crate::pins;

/// The hook ladder, best first: what `ringward run --capture-hook` takes.
const RUNGS: [&str; 5] = ["fexit", "tp_btf", "kprobe", "raw_tracepoint", "tracepoint"];

#[derive(Args, Default)]
pub struct Options {
    /// Every kernel, cgroup version and lockdown mode
    #[arg(long, conflicts_with = "ci")]
    all: bool,
    /// The subset that CI runs in some minutes (the default)
    #[arg(long)]
    ci: bool,
    /// Only these kernel series
    #[arg(long, value_parser = pins::KERNELS)]
    kernel: Vec<String>,
    /// Only these cgroup versions
    #[arg(long)]
    cgroup: Vec<Cgroup>,
    /// Only these lockdown modes
    #[arg(long)]
    lockdown: Vec<Lockdown>,
    /// Only these rungs
    #[arg(long, value_parser = RUNGS)]
    rung: Vec<String>,
    /// Only scenarios whose name contains this
    #[arg(long)]
    scenario: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cgroup {
    V1,
    V2,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lockdown {
    None,
    Integrity,
    Confidentiality,
}

/// One machine.
#[derive(Clone)]
pub struct Boot {
    pub kernel: String,
    pub cgroup: Cgroup,
    pub lockdown: Lockdown,
    pub rungs: Vec<String>,
    pub scenarios: Vec<String>,
}

/// What CI has time for: each kernel, each cgroup version and each lockdown mode at least once. Under lockdown only
/// the scenarios that tell whether a rung works at all.
const CI: [(&str, Cgroup, Lockdown); 4] = [
    ("6.1", Cgroup::V2, Lockdown::None),
    ("6.12", Cgroup::V1, Lockdown::None),
    ("6.12", Cgroup::V2, Lockdown::Integrity),
    ("6.1", Cgroup::V1, Lockdown::Confidentiality),
];
const CI_UNDER_LOCKDOWN: [&str; 4] = ["both-streams", "redirected", "no-newline", "kernel-log"];

impl Options {
    /// What `cargo xtask test FILTER` boots.
    pub fn for_ci(filter: Option<&str>) -> Self {
        Self { ci: true, scenario: filter.map(str::to_owned).into_iter().collect(), ..Self::default() }
    }

    pub fn boots(&self) -> Vec<Boot> {
        let narrowed = !self.kernel.is_empty() || !self.cgroup.is_empty() || !self.lockdown.is_empty();
        let every = pins::KERNELS.iter().flat_map(|kernel| {
            [Cgroup::V2, Cgroup::V1].into_iter().flat_map(move |cgroup| {
                [Lockdown::None, Lockdown::Integrity, Lockdown::Confidentiality]
                    .map(|lockdown| (*kernel, cgroup, lockdown))
            })
        });
        // A developer who names one dimension wants all of it, and the plainest of the others.
        let is_ci = !self.all && (self.ci || !narrowed);
        let wanted: Vec<_> = match (self.all, is_ci) {
            (true, _) => every.collect(),
            (false, true) => CI.to_vec(),
            (false, false) => every
                .filter(|(kernel, cgroup, lockdown)| {
                    (!self.kernel.is_empty() || *kernel == pins::KERNELS[0])
                        && (!self.cgroup.is_empty() || *cgroup == Cgroup::V2)
                        && (!self.lockdown.is_empty() || *lockdown == Lockdown::None)
                })
                .collect(),
        };
        let chosen = |(kernel, cgroup, lockdown): &(&str, Cgroup, Lockdown)| {
            (self.kernel.is_empty() || self.kernel.iter().any(|wanted| wanted == kernel))
                && (self.cgroup.is_empty() || self.cgroup.contains(cgroup))
                && (self.lockdown.is_empty() || self.lockdown.contains(lockdown))
        };
        let rungs = match self.rung.as_slice() {
            [] => RUNGS.map(str::to_owned).to_vec(),
            rungs => rungs.to_vec(),
        };
        wanted
            .into_iter()
            .filter(chosen)
            .map(|(kernel, cgroup, lockdown)| Boot {
                kernel: kernel.to_owned(),
                cgroup,
                lockdown,
                rungs: rungs.clone(),
                scenarios: match lockdown {
                    Lockdown::Integrity | Lockdown::Confidentiality if is_ci && self.scenario.is_empty() => {
                        CI_UNDER_LOCKDOWN.map(str::to_owned).to_vec()
                    }
                    _ => self.scenario.clone(),
                },
            })
            .collect()
    }
}

impl Boot {
    pub fn name(&self) -> String {
        format!("kernel {}, cgroup {}, lockdown {}", self.kernel, self.cgroup.text(), self.lockdown.text())
    }

    /// For file names.
    pub fn slug(&self) -> String {
        format!("{}-{}-{}", self.kernel, self.cgroup.text(), self.lockdown.text())
    }

    /// What the guest's PID 1 reads, and the kernel.
    pub fn command_line(&self) -> String {
        let lockdown = match self.lockdown {
            Lockdown::None => String::new(),
            mode => format!(" lockdown={}", mode.text()),
        };
        let controllers = match self.cgroup {
            Cgroup::V1 => "",
            Cgroup::V2 => " cgroup_no_v1=all",
        };
        format!(
            "console=ttyS0 panic=-1 quiet loglevel=4{lockdown}{controllers} ringward.cgroup={} ringward.lockdown={} \
             ringward.rungs={} ringward.scenarios={}",
            self.cgroup.text(),
            self.lockdown.text(),
            self.rungs.join(","),
            self.scenarios.join(",")
        )
    }
}

impl Cgroup {
    fn text(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl Lockdown {
    fn text(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Integrity => "integrity",
            Self::Confidentiality => "confidentiality",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_every_combination_and_ci_touches_every_value() {
        assert_eq!(Options { all: true, ..Options::default() }.boots().len(), 12);
        let ci = Options::default().boots();
        for kernel in pins::KERNELS {
            assert!(ci.iter().any(|boot| boot.kernel == kernel), "{kernel}");
        }
        for lockdown in [Lockdown::None, Lockdown::Integrity, Lockdown::Confidentiality] {
            assert!(ci.iter().any(|boot| boot.lockdown == lockdown), "{}", lockdown.text());
        }
        assert!(ci.iter().all(|boot| boot.rungs.len() == RUNGS.len()));
    }

    #[test]
    fn naming_one_dimension_boots_the_plain_others() {
        let boots = Options { lockdown: vec![Lockdown::Integrity], ..Options::default() }.boots();
        assert_eq!(boots.iter().map(Boot::slug).collect::<Vec<_>>(), ["6.1-v2-integrity"]);
    }
}
