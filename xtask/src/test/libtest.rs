//! `cargo test --workspace`, shown while it runs and counted by what libtest prints.
//!
//! A test that cannot be run on this machine says so by a line `SKIPPED name: why` on stdout (the harness of the
//! container tests writes it past libtest's capture) and returns; it is then counted as skipped, not as passed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::report::Row;
use crate::{command, workspace};

/// All tests of the workspace: one row for each test binary that held a test.
pub fn run(filter: Option<&str>) -> Vec<Row> {
    run_cargo(workspace::cargo(&["test", "--workspace", "--no-fail-fast"]), filter)
}

/// The escape kernel's tests in its NEON variant, under qemu's user mode; the machine's own variants are in [`run`].
pub fn run_as_arm64(filter: Option<&str>) -> Vec<Row> {
    let target = crate::pins::ARM64_TARGET;
    let mut cargo = workspace::cargo(&["test", "-p", "ringward-neon", "--lib", "--target", target]);
    let variable = |what: &str| format!("CARGO_TARGET_{}_{what}", target.to_uppercase().replace('-', "_"));
    // Rust's own linker and musl: nothing of another architecture has to be installed.
    cargo.env(variable("LINKER"), "rust-lld").env(variable("RUNNER"), "qemu-aarch64");
    let mut rows = run_cargo(cargo, filter);
    rows.iter_mut().for_each(|row| row.name = format!("{} (arm64)", row.name));
    rows
}

fn run_cargo(mut cargo: Command, filter: Option<&str>) -> Vec<Row> {
    let failed = |why: String| vec![Row::failure("cargo test", why)];
    // Cargo names the binaries ("Running …") on stderr: both go into one pipe, in their order.
    let (reader, writer) = match std::io::pipe() {
        Ok(pipe) => pipe,
        Err(error) => return failed(format!("cannot make a pipe: {error}")),
    };
    let stderr = match writer.try_clone() {
        Ok(stderr) => stderr,
        Err(error) => return failed(format!("cannot duplicate a pipe: {error}")),
    };
    cargo.args(filter).stdin(Stdio::null()).stdout(writer).stderr(stderr);
    let line = command::echo(&cargo);
    let mut child = match cargo.spawn() {
        Ok(child) => child,
        Err(error) => return failed(format!("cannot run `{line}`: {error}")),
    };
    // The command still holds our ends of the pipe, which would keep it open for ever.
    drop(cargo);
    let mut counts = Counts::default();
    for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        eprintln!("{line}");
        counts.line(&line);
    }
    let success = child.wait().is_ok_and(|status| status.success());
    counts.finish(success)
}

#[derive(Default)]
struct Counts {
    rows: Vec<Row>,
    current: Row,
    since: Option<Instant>,
}

impl Counts {
    fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(name) = binary_name(line) {
            self.end();
            self.current.name = name;
            self.since = Some(Instant::now());
        } else if let Some((_, skipped)) = line.split_once("SKIPPED ") {
            self.current.skipped += 1;
            self.current.notes.push(format!("skipped: {skipped}"));
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.current.notes.push(format!("failed: {name}"));
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            // A skipped test is one that libtest has passed.
            self.current.passed = number_before(rest, " passed").saturating_sub(self.current.skipped);
            self.current.failed = number_before(rest, " failed");
            self.current.skipped += number_before(rest, " ignored");
        }
    }

    fn end(&mut self) {
        let mut row = std::mem::take(&mut self.current);
        row.took = self.since.take().map(|since| since.elapsed()).unwrap_or_default();
        if row.passed + row.failed + row.skipped > 0 {
            self.rows.push(row);
        }
    }

    /// `success` is cargo's exit status: without it and without a failed test, something did not compile or crashed.
    fn finish(mut self, success: bool) -> Vec<Row> {
        self.end();
        if !success && self.rows.iter().all(|row| row.failed == 0) {
            self.rows.push(Row::failure("cargo test", "it failed outside of a test: see above".to_owned()));
        }
        self.rows
    }
}

/// `Running unittests src/lib.rs (target/debug/deps/ringward-0123)` is `ringward: unittests src/lib.rs`.
fn binary_name(line: &str) -> Option<String> {
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name}: documentation"));
    }
    let (what, path) = line.strip_prefix("Running ")?.split_once(" (")?;
    let file = path.trim_end_matches(')').rsplit('/').next()?;
    let binary = file.rsplit_once('-').map_or(file, |(name, _)| name);
    Some(format!("{binary}: {what}"))
}

fn number_before(text: &str, word: &str) -> usize {
    text.find(word)
        .and_then(|at| text[..at].rsplit(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str, success: bool) -> Vec<Row> {
        let mut counts = Counts::default();
        text.lines().for_each(|line| counts.line(line));
        counts.finish(success)
    }

    #[test]
    fn passed_failed_and_skipped_are_told_apart() {
        let rows = count(
            "     Running unittests src/lib.rs (target/debug/deps/ringward-0a)\n\
             test a ... ok\ntest b ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             \x20    Running tests/capture.rs (target/debug/deps/capture-0a)\n\
             SKIPPED docker: no dockerd\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
            false,
        );
        let summary =
            rows.iter().map(|row| (row.name.as_str(), row.passed, row.failed, row.skipped)).collect::<Vec<_>>();
        assert_eq!(summary, [("ringward: unittests src/lib.rs", 1, 1, 0), ("capture: tests/capture.rs", 2, 0, 1)]);
        assert_eq!(rows[0].notes, ["failed: b"]);
        assert_eq!(rows[1].notes, ["skipped: docker: no dockerd"]);
    }

    #[test]
    fn a_compile_error_is_a_failure() {
        let rows = count("error: could not compile `ringward`\n", false);
        assert_eq!(rows.iter().map(|row| row.failed).sum::<usize>(), 1);
    }
}
