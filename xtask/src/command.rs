//! External commands: each is echoed with `-v`, and a failure names the command and what it said.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::ui;

/// Runs `command` with the developer's terminal; an exit status other than 0 is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let line = echo(command);
    let status = command.status().with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed with {status}");
    }
    Ok(())
}

/// Runs `command` and gives its stdout; what it wrote to stderr becomes part of the error.
pub fn output(command: &mut Command) -> Result<String> {
    let line = echo(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{line}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` failed with {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Prints the command line when `-v` was given, and returns it.
pub fn echo(command: &Command) -> String {
    let environment = command
        .get_envs()
        .filter_map(|(key, value)| Some(format!("{}={} ", key.to_str()?, quote(value?))))
        .collect::<String>();
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quote).collect::<Vec<_>>();
    let line = format!("{environment}{}", words.join(" "));
    ui::echo(&line);
    line
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Where `program` is, on `PATH` or in the folders of system tools that an ordinary user's `PATH` lacks.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A command that runs as root: as it is when we are root, by `sudo` when not.
///
/// # Errors
/// When we are not root and there is no `sudo`; `needed_for` goes into the message.
pub fn as_root(program: impl AsRef<OsStr>, needed_for: &str) -> Result<Command> {
    if rustix::process::geteuid().is_root() {
        return Ok(Command::new(program));
    }
    if find("sudo").is_none() {
        bail!("{needed_for} needs root: you are not root and there is no `sudo`, so run this command as root");
    }
    ui::warn(&format!("{needed_for} needs root: using sudo"));
    let mut command = Command::new("sudo");
    command.arg("--").arg(program);
    Ok(command)
}
