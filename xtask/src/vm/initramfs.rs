//! The VM's only file system: an uncompressed cpio archive (unpacking a compressed one under TCG takes longer than
//! reading it).
//!
//! ```text
//! /init                 vm-init: PID 1
//! /bin/ringward         static
//! /bin/emit             static: writes in particular ways
//! /bin/busybox          static
//! /bin/runc             Debian's, with the libraries that it names
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::command::{echo, find, output};

/// Puts the archive together; its path.
pub fn make() -> Result<PathBuf> {
    let folder = super::folder()?;
    let root = folder.join("initramfs");
    let _ = std::fs::remove_dir_all(&root);
    for empty in ["bin", "dev", "proc", "sys", "tmp", "run", "etc", "containers"] {
        std::fs::create_dir_all(root.join(empty))?;
    }
    let binaries = super::binaries()?;
    copy(&binaries.join("vm-init"), &root.join("init"))?;
    for program in ["ringward", "emit"] {
        copy(&binaries.join(program), &root.join("bin").join(program))?;
    }
    for program in ["busybox", "runc"] {
        let path = find(program).with_context(|| format!("there is no {program}"))?;
        copy(&path, &root.join("bin").join(program))?;
        for library in libraries(&path) {
            copy(&library, &root.join(library.strip_prefix("/").unwrap_or(&library)))?;
        }
    }
    std::os::unix::fs::symlink("busybox", root.join("bin/sh"))?;
    // Where LinuxKit's programs look for memlogd's sockets.
    std::fs::create_dir(root.join("var"))?;
    std::os::unix::fs::symlink("../run", root.join("var/run"))?;
    let archive = folder.join("initramfs.cpio");
    pack(&root, &archive)?;
    Ok(archive)
}

/// What `ldd` names; nothing for a static program.
fn libraries(program: &Path) -> Vec<PathBuf> {
    output(Command::new("ldd").arg(program))
        .unwrap_or_default()
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn pack(root: &Path, archive: &Path) -> Result<()> {
    let names = output(Command::new("find").arg(".").current_dir(root))?;
    let list = root.with_extension("list");
    std::fs::write(&list, names)?;
    let mut cpio = Command::new("cpio");
    cpio.args(["--quiet", "--create", "--format=newc", "--owner=0:0"]).current_dir(root);
    cpio.stdin(Stdio::from(File::open(&list)?)).stdout(Stdio::from(File::create(archive)?));
    let line = echo(&cpio);
    let status = cpio.status().with_context(|| format!("cannot run `{line}`"))?;
    ensure!(status.success(), "`{line}` failed with {status}");
    Ok(())
}
