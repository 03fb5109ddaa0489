//! Programs in Go, which Ringward is tested and measured beside: they come by the Go module proxy, checked against Go's
//! checksum database.
//!
//! Where the proxy does not have one, `peers/NAME/refused` in the target folder says what it answered, and its tests say
//! so instead of failing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::peers::folder;
use crate::command::{find, output};
use crate::{pins, ui};

/// What a proxy answers that does not have a module, or that can't be reached.
const REFUSALS: [&str; 6] =
    ["403 Forbidden", "404 Not Found", "410 Gone", "unknown revision", "no such host", "connection refused"];

/// Whether an error says that the proxy does not have a module: then no setup can help.
pub fn is_refusal(why: &str) -> bool {
    REFUSALS.iter().any(|refusal| why.contains(refusal))
}

/// Makes the peer `name` by `build_into`, which is given where its program shall lie, if it is not there.
pub fn build_peer(name: &str, shown: &str, build_into: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = folder(name)?;
    let (programs, refused) = (folder.join("usr/sbin"), folder.join("refused"));
    let program = programs.join(name);
    if program.is_file() {
        ui::have(shown);
        return Ok(());
    }
    std::fs::create_dir_all(&programs).with_context(|| format!("cannot make {}", programs.display()))?;
    let _ = std::fs::remove_file(&refused);
    ui::doing(&format!("building {shown}, which takes some minutes"));
    // What was not finished is not taken for it.
    let building = program.with_extension("new");
    let built =
        build_into(&building).and_then(|()| std::fs::rename(&building, &program).context("cannot put it in its place"));
    match built {
        Ok(()) => ui::done(shown),
        Err(error) if is_refusal(&format!("{error:#}")) => {
            std::fs::write(&refused, format!("the Go module proxy does not have it: {error:#}\n"))?;
            ui::warn(&format!("the Go module proxy does not have {shown}: the tests go on without it"));
        }
        // Its own tests fail; all others have nothing to do with it.
        Err(error) => ui::warn(&format!("{shown} can't be built: {error:#}")),
    }
    Ok(())
}

/// The `go` of this machine.
pub fn installed() -> PathBuf {
    find("go").unwrap_or_else(|| "go".into())
}

/// A `go` of at least [`pins::GO`]: this machine's, or one that it fetches as its newer successors do by themselves.
pub fn recent() -> Result<PathBuf> {
    let go = installed();
    let version = output(Command::new(&go).args(["env", "GOVERSION"]))?;
    if numbers(&version) >= numbers(pins::GO) {
        return Ok(go);
    }
    ui::doing(&format!("downloading Go {}, because this machine's is {}", pins::GO, version.trim()));
    let toolchain = download(&go, &format!("golang.org/toolchain@v0.0.1-go{}.linux-{}", pins::GO, architecture()))?;
    // Modules come without permissions to execute.
    for folder in ["bin", "pkg/tool"] {
        make_executable(&toolchain.join(folder))?;
    }
    Ok(toolchain.join("bin/go"))
}

/// Where a module lies, once it was downloaded.
pub fn download(go: &Path, module: &str) -> Result<PathBuf> {
    let said = output(Command::new(go).args(["mod", "download", "-json", module]).current_dir("/").env("GOFLAGS", ""))?;
    let said: serde_json::Value = serde_json::from_str(&said).context("go's answer is not understood")?;
    let folder = said["Dir"].as_str().with_context(|| format!("go did not say where {module} lies"))?;
    Ok(folder.into())
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn make_executable(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("{} can't be read", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            make_executable(&path)?;
        } else {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// `go1.22.12` as (1, 22, 12).
fn numbers(version: &str) -> Vec<u32> {
    let digits = version.trim().trim_start_matches("go");
    digits.split(['.', '-', ' ']).map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(numbers("go1.22.12\n"), [1, 22, 12]);
        assert!(numbers("go1.19.8") < numbers(pins::GO));
        assert!(numbers("go1.100") > numbers(pins::GO));
        assert_eq!(numbers("go1.26.8-X:nodwarf5"), [1, 26, 8]);
    }
}
