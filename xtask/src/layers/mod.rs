//! `cargo xtask lint-layers`: what the compiler does not check about the shape of the code.
//!
//! Which folder of the forwarder may import which, where `unsafe` and io_uring may appear, which folders do no I/O and
//! read no clock, and how long a file may be. It reads text, not syntax: comments, strings and test modules are cut
//! away first, and what is left is searched for words. That is enough for rules this coarse, and has no dependencies.

mod rules;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{ui, workspace};

/// Prints every violation; the exit status says whether there was one.
pub fn run() -> Result<ExitCode> {
    let violations = check()?;
    for violation in &violations {
        ui::error(violation);
    }
    if violations.is_empty() {
        ui::done("the layers are as they should be");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// Every violation in the repository, as `file:line: what`.
pub fn check() -> Result<Vec<String>> {
    let root = workspace::root();
    let mut violations = Vec::new();
    let mut files = Vec::new();
    for folder in rules::FOLDERS {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        violations.extend(rules::violations(&name, &text));
    }
    Ok(violations)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
