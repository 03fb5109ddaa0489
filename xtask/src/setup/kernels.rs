//! Debian's cloud kernels for the VM, unpacked (not installed) into `target/vm/kernels/<series>/<package>`.
//!
//! The newest one that the machine's own apt sources offer is taken. Where they offer none of a series, apt is asked
//! again with lists of our own (same mirror, other suites) that live under the target folder, so that the machine's
//! sources stay as they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{find, output, run};
use crate::{pins, ui, workspace};

/// One unpacked kernel.
pub struct Kernel {
    /// As `uname -r` says, such as `6.1.0-56-cloud-amd64`.
    pub release: String,
    pub image: PathBuf,
}

/// Makes sure that every series of [`pins::KERNELS`] is there.
pub fn fetch_all() -> Result<()> {
    pins::KERNELS.iter().try_for_each(|series| fetch(series).map(drop))
}

/// The kernel of a series, downloaded if it is not there.
pub fn fetch(series: &str) -> Result<Kernel> {
    let folder = workspace::target()?.join("vm/kernels").join(series);
    if let Some(kernel) = unpacked(&folder) {
        ui::have(&format!("kernel {}", kernel.release));
        return Ok(kernel);
    }
    if find("apt-get").is_none() || find("dpkg").is_none() {
        bail!(
            "the VM boots Debian's kernels, which come by apt-get and dpkg, and this machine has none: put a kernel image at {}/any/boot/vmlinuz-RELEASE",
            folder.display()
        );
    }
    let lists = AptLists::for_series(series)?;
    let package = newest(&lists, series)?.context("no such kernel is offered")?;
    ui::doing(&format!("downloading {package}"));
    let downloads = workspace::target()?.join("vm/downloads");
    std::fs::create_dir_all(&downloads).with_context(|| format!("cannot make {}", downloads.display()))?;
    run(lists.apt("apt-get").args(["download", "-qq", &package]).current_dir(&downloads))?;
    let archive = std::fs::read_dir(&downloads)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{package}_"))))
        .with_context(|| format!("apt-get download left no file for {package}"))?;
    // Unpacked beside its place and moved there whole: a half-unpacked kernel is never taken for one.
    let partial = folder.join("partial");
    let _ = std::fs::remove_dir_all(&partial);
    std::fs::create_dir_all(&partial)?;
    run(Command::new("dpkg").arg("-x").arg(&archive).arg(&partial))?;
    // Modules and documentation are most of its size, and the VM loads no module.
    for unused in ["lib", "usr"] {
        let _ = std::fs::remove_dir_all(partial.join(unused));
    }
    std::fs::rename(&partial, folder.join(&package))?;
    std::fs::remove_file(&archive)?;
    let kernel = unpacked(&folder).with_context(|| format!("{package} holds no boot/vmlinuz-*"))?;
    ui::done(&format!("kernel {}", kernel.release));
    Ok(kernel)
}

fn unpacked(folder: &Path) -> Option<Kernel> {
    let mut kernels = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|package| std::fs::read_dir(package.ok()?.path().join("boot")).ok())
        .flatten()
        .filter_map(|file| {
            let image = file.ok()?.path();
            let release = image.file_name()?.to_str()?.strip_prefix("vmlinuz-")?.to_owned();
            Some(Kernel { release, image })
        })
        .filter(|kernel| !kernel.image.components().any(|part| part.as_os_str() == "partial"))
        .collect::<Vec<_>>();
    kernels.sort_by_key(|kernel| numbers(&kernel.release));
    kernels.pop()
}

/// The package of the newest signed cloud kernel of the series.
fn newest(lists: &AptLists, series: &str) -> Result<Option<String>> {
    let pattern = format!("^linux-image-{}\\.[0-9].*-cloud-amd64$", series.replace('.', "\\."));
    let found = output(lists.apt("apt-cache").args(["search", "--names-only", &pattern]))?;
    Ok(found
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .max_by_key(|package| numbers(package))
        .map(str::to_owned))
}

/// The numbers in a version, for comparing: `6.1.0-56` after `6.1.0-9`.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Which package lists apt looks at.
enum AptLists {
    OfTheMachine,
    /// `sources.list` and `lists/` of our own in this folder.
    Ours(PathBuf),
}

impl AptLists {
    fn for_series(series: &str) -> Result<Self> {
        if newest(&Self::OfTheMachine, series)?.is_some() {
            return Ok(Self::OfTheMachine);
        }
        ui::warn(&format!(
            "this machine's apt sources offer no linux-image-{series}.*-cloud-amd64: asking its mirror for other suites"
        ));
        let ours = Self::ours()?;
        if newest(&ours, series)?.is_none() {
            bail!(
                "no linux-image-{series}.*-cloud-amd64 is offered by this machine's apt sources nor by other suites of the same mirror: run `apt-get update`, or put the package's content under target/vm/kernels/{series}/"
            );
        }
        Ok(ours)
    }

    fn ours() -> Result<Self> {
        let folder = workspace::target()?.join("vm/apt");
        std::fs::create_dir_all(folder.join("lists/partial"))?;
        let mirror = mirror();
        let suites = ["bookworm", "bookworm-backports", "trixie"];
        let sources = suites
            .map(|suite| {
                format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {suite} main\n")
            })
            .concat();
        std::fs::write(folder.join("sources.list"), sources)?;
        let lists = Self::Ours(folder);
        ui::doing(&format!("reading the lists of {mirror}"));
        run(lists.apt("apt-get").args(["update", "-qq"]))?;
        Ok(lists)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // As root apt changes to the user `_apt`, which may not write to our folder, and warns.
        command.args(["-o", "APT::Sandbox::User=root"]);
        if let Self::Ours(folder) = self {
            let option = |key: &str, name: &str| format!("{key}={}", folder.join(name).display());
            command
                .args(["-o", &option("Dir::Etc::SourceList", "sources.list"), "-o", "Dir::Etc::SourceParts=-"])
                .args(["-o", &option("Dir::State::Lists", "lists")])
                .args(["-o", &option("Dir::Cache::pkgcache", "pkgcache.bin")])
                .args(["-o", &option("Dir::Cache::srcpkgcache", "srcpkgcache.bin")]);
        }
        command
    }
}

/// The Debian mirror that this machine uses.
fn mirror() -> String {
    let files = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
    files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .find(|word| {
            word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian") && !word.contains("snapshot")
        })
        .unwrap_or_else(|| "http://deb.debian.org/debian".to_owned())
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(numbers("linux-image-6.1.0-56-cloud-amd64") > numbers("linux-image-6.1.0-9-cloud-amd64"));
        assert!(numbers("6.12.117+deb12") > numbers("6.12.101+deb12"));
    }
}
