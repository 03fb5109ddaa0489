//! Fluent Bit, built from its source: what Ringward sends to, and is measured beside.
//!
//! No registry has its releases. Its source stands in a package of npm, which is taken by its checksum: none of the
//! package's own scripts is run. It lacks the library of regular expressions, Onigmo, in whose place Debian's Oniguruma
//! is, from which that one descends. Only what the tests and the benches configure is built: inputs, outputs and filters
//! without TLS, Lua and AWS.
//!
//! Into the target folder, `peers/fluent-bit/usr/sbin/fluent-bit`. Where the registry does not have the package,
//! `peers/fluent-bit/refused` says so, and the tests say so instead of failing.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::peers::folder;
use crate::command::output;
use crate::{pins, ui};

/// Inputs, outputs and filters that are built.
const PARTS: [&str; 19] = [
    "IN_TCP",
    "IN_TAIL",
    "IN_STDIN",
    "IN_SYSLOG",
    "IN_STORAGE_BACKLOG",
    "IN_EMITTER",
    "IN_LIB",
    "OUT_STDOUT",
    "OUT_FILE",
    "OUT_TCP",
    "OUT_NULL",
    "OUT_LIB",
    "FILTER_PARSER",
    "FILTER_MODIFY",
    "FILTER_RECORD_MODIFIER",
    "FILTER_GREP",
    "FILTER_NEST",
    "FILTER_MULTILINE",
    "FILTER_REWRITE_TAG",
];
/// What needs libraries that are of no use here.
const WITHOUT: [&str; 9] = [
    "FLB_DEBUG",
    "FLB_EXAMPLES",
    "FLB_SHARED_LIB",
    "FLB_LUAJIT",
    "FLB_AWS",
    "FLB_HTTP_SERVER",
    "FLB_SIGNV4",
    "FLB_PROXY_GO",
    "FLB_CUSTOM_CALYPTIA",
];

/// What Fluent Bit's build does with Onigmo's source: `configure --prefix`, `make install`.
const CONFIGURE: &str = "#!/bin/sh\nfor word; do case $word in --prefix=*) echo \"PREFIX=${word#--prefix=}\" >config.mk;; \
                         esac; done\n";
const MAKEFILE: &str = "include config.mk\nall:\ninstall:\n\tmkdir -p $(PREFIX)/include $(PREFIX)/lib\n\
                        \techo '#include <oniguruma.h>' >$(PREFIX)/include/onigmo.h\n\
                        \tcp $$(cc -print-file-name=libonig.so) $(PREFIX)/lib/libonigmo.a\n";

/// Builds it, if it is not there.
pub fn build() -> Result<()> {
    let name = format!("Fluent Bit {}", pins::FLUENT_BIT);
    let folder = folder("fluent-bit")?;
    let (program, refused) = (folder.join("usr/sbin/fluent-bit"), folder.join("refused"));
    if program.is_file() {
        ui::have(&name);
        return Ok(());
    }
    std::fs::create_dir_all(folder.join("usr/sbin")).with_context(|| format!("cannot make {}", folder.display()))?;
    let _ = std::fs::remove_file(&refused);
    ui::doing(&format!("downloading {name}"));
    let archive = folder.join("package.tgz");
    if let Err(error) = output(Command::new("curl").args(["-fsSL", "-o"]).arg(&archive).arg(pins::FLUENT_BIT_PACKAGE)) {
        std::fs::write(&refused, format!("the npm registry does not have it: {error:#}\n"))?;
        ui::warn("the npm registry does not have Fluent Bit: the tests go on without it");
        return Ok(());
    }
    ui::doing(&format!("building {name}"));
    match build_into(&folder, &archive, &program) {
        Ok(()) => ui::done(&name),
        // Its own tests fail; all others have nothing to do with it.
        Err(error) => ui::warn(&format!("Fluent Bit can't be built: {error:#}")),
    }
    Ok(())
}

fn build_into(folder: &Path, archive: &Path, program: &Path) -> Result<()> {
    let sum = output(Command::new("sha512sum").arg(archive))?;
    ensure!(sum.starts_with(pins::FLUENT_BIT_SHA512), "what was downloaded is not what is pinned: {sum}");
    let work = folder.join("work");
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work)?;
    output(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&work))?;
    let source = work.join("package/src/fluent-bit");
    let onigmo = source.join("lib/onigmo");
    std::fs::create_dir_all(&onigmo)?;
    std::fs::write(onigmo.join("configure"), CONFIGURE)?;
    output(Command::new("chmod").arg("+x").arg(onigmo.join("configure")))?;
    std::fs::write(onigmo.join("Makefile"), MAKEFILE)?;
    let options = std::fs::read_to_string(source.join("CMakeLists.txt")).context("the package has no source")?;
    let unwanted = options
        .lines()
        .filter_map(|line| line.strip_prefix("option(FLB_")?.split_whitespace().next())
        .filter(|option| ["IN_", "OUT_", "FILTER_"].iter().any(|kind| option.starts_with(kind)))
        .filter(|option| !PARTS.contains(option))
        .map(|option| format!("-DFLB_{option}=No"));
    let built = work.join("build");
    std::fs::create_dir_all(&built)?;
    output(
        Command::new("cmake")
            .arg(&source)
            .args(["-DCMAKE_BUILD_TYPE=Release", "-DFLB_RELEASE=Yes", "-DFLB_BACKTRACE=No"])
            .args(WITHOUT.map(|option| format!("-D{option}=No")))
            .args(unwanted)
            .current_dir(&built),
    )?;
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    output(Command::new("make").arg(format!("-j{jobs}")).arg("fluent-bit-bin").current_dir(&built))?;
    std::fs::rename(built.join("bin/fluent-bit"), program).context("cannot put it in its place")?;
    std::fs::remove_dir_all(work)?;
    Ok(std::fs::remove_file(archive)?)
}
