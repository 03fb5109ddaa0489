//! The rules themselves, as tables.

use super::text;

/// Where Rust code of ours is.
pub const FOLDERS: [&str; 5] = ["forwarder", "forwarder-common", "forwarder-ebpf", "benches", "xtask"];

/// Longer files are tables or have two subjects; a table can be split as well.
const LONGEST_FILE: usize = 900;

/// The only places that may hold `unsafe`: raw system calls, io_uring, the SIMD kernels, the eBPF programs and what
/// they share with user space.
const UNSAFE: [&str; 5] =
    ["forwarder/src/io/", "forwarder/src/sys/", "forwarder/src/encode/simd/", "forwarder-ebpf/", "forwarder-common/"];

/// Folder of forwarder/src → the folders it may import; itself is always allowed.
const MAY_IMPORT: [(&str, &[&str]); 8] = [
    ("record", &[]),
    ("sys", &[]),
    ("parse", &["record", "encode"]),
    ("encode", &["record"]),
    ("ring", &["record", "observe", "sys"]),
    ("io", &["sys", "observe"]),
    ("enrich", &["record", "observe", "config"]),
    ("shape", &["record", "parse", "ring", "observe"]),
];

/// Folder of forwarder/src → folders it must not import, where a list of what is allowed would be long.
const MUST_NOT_IMPORT: [(&str, &[&str]); 6] = [
    ("source", &["destination", "encode", "shape", "cli", "pipeline"]),
    ("destination", &["source", "parse", "cli", "pipeline"]),
    ("view", &["source", "destination", "cli", "pipeline"]),
    ("config", &["ring", "io", "cli", "pipeline"]),
    ("state", &["source", "destination", "encode", "cli", "pipeline"]),
    ("observe", &["cli", "pipeline"]),
];

/// Folders that take slices and give slices.
const PURE: [&str; 3] = ["record", "parse", "encode"];

/// Signs of I/O or of a clock.
const IMPURE: [&str; 10] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "tokio",
    "tokio_uring",
    "socket2",
    "rustix",
    "Instant::now",
    "SystemTime::now",
];

/// Crates that one folder owns.
const OWNED: [(&str, &str); 2] = [("tokio_uring", "forwarder/src/io/"), ("io_uring", "forwarder/src/io/")];

/// What is wrong with one file, as `file:line: what`.
pub fn violations(file: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.lines().count();
    if lines > LONGEST_FILE {
        found.push(format!("{file}: {lines} lines, and {LONGEST_FILE} is the limit: split it by subject"));
    }
    let code = text::code(source);
    if !UNSAFE.iter().any(|place| file.starts_with(place)) {
        let unsafe_lines = text::lines_with_word(&code, "unsafe");
        found.extend(unsafe_lines.map(|line| format!("{file}:{line}: `unsafe` outside of {}", UNSAFE.join(", "))));
    }
    if let Some(inside) = file.strip_prefix("forwarder/src/") {
        let is_test = inside.ends_with("/tests.rs") || inside.contains("/tests/");
        if !is_test {
            found.extend(forwarder_violations(file, inside, text::without_tests(&code)));
        }
    }
    found
}

fn forwarder_violations(file: &str, inside: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let folder = inside.split(['/', '.']).next().unwrap_or_default();
    for (line, module) in text::imports(code, "crate::") {
        // Only folders count: a macro or an item of lib.rs is named `crate::x` too.
        if module == folder || module.chars().next().is_none_or(char::is_uppercase) {
            continue;
        }
        let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == folder);
        let denied = MUST_NOT_IMPORT.iter().find(|(name, _)| *name == folder);
        let wrong = allowed.is_some_and(|(_, list)| !list.contains(&module))
            || denied.is_some_and(|(_, list)| list.contains(&module));
        if wrong {
            found.push(format!("{file}:{line}: `{folder}` must not import `{module}`"));
        }
    }
    if PURE.contains(&folder) {
        for sign in IMPURE {
            let lines = text::lines_with_word(code, sign);
            found
                .extend(lines.map(|line| {
                    format!("{file}:{line}: `{sign}` in `{folder}`, which does no I/O and reads no clock")
                }));
        }
    }
    for (name, owner) in OWNED {
        if !file.starts_with(owner) {
            let lines = text::lines_with_word(code, name);
            found.extend(lines.map(|line| format!("{file}:{line}: `{name}` is used in {owner} only")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(file: &str, source: &str) -> String {
        violations(file, source).into_iter().next().unwrap_or_default()
    }

    #[test]
    fn each_rule_finds_its_violation() {
        let cases = [
            ("forwarder/src/record/batch.rs", "use crate::ring::Ring;", "must not import `ring`"),
            ("forwarder/src/source/x.rs", "\nuse crate::destination::tcp;", ":2: `source` must not import"),
            ("forwarder/src/encode/x.rs", "let now = Instant::now();", "reads no clock"),
            ("forwarder/src/destination/x.rs", "use tokio_uring::net;", "forwarder/src/io/ only"),
            ("forwarder/src/ring/x.rs", "unsafe { f() }", "`unsafe` outside"),
            ("xtask/src/x.rs", &"\n".repeat(901), "901 lines"),
        ];
        for (file, source, expected) in cases {
            assert!(first(file, source).contains(expected), "{file}: {}", first(file, source));
        }
    }

    #[test]
    fn what_is_allowed_is_not_reported() {
        let cases = [
            ("forwarder/src/sys/x.rs", "unsafe { f() }"),
            ("forwarder/src/encode/x.rs", "use crate::record::Batch;\nuse crate::encode::time;"),
            ("forwarder/src/encode/x.rs", "#[cfg(test)]\nmod tests {\n use crate::ring::Ring;\n}"),
            ("forwarder/src/pipeline.rs", "use crate::{source, destination, ring};"),
            ("forwarder/src/io/uring.rs", "use tokio_uring::net;"),
        ];
        for (file, source) in cases {
            assert_eq!(first(file, source), "", "{file}");
        }
    }
}
