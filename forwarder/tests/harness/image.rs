//! The image that every container runs: static busybox and `emit` (xtask/guest), in a tar that `ctr images import`,
//! `docker load` and `podman load` all take.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use super::process::output;
use super::target;

/// The image's name in every runtime.
pub const NAME: &str = "docker.io/library/ringward-test:latest";

/// busybox's names that tests use.
const APPLETS: [&str; 12] =
    ["sh", "cat", "echo", "printf", "true", "sleep", "yes", "dd", "mkfifo", "seq", "head", "wc"];

/// `emit`, static, built for this test run if it has changed.
pub fn emit() -> &'static Path {
    static EMIT: OnceLock<PathBuf> = OnceLock::new();
    EMIT.get_or_init(|| {
        let version = output(Command::new("rustc").arg("-vV"));
        let triple = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
        // The same folder and flags as `cargo xtask vm`: what one has built, the other finds.
        let folder = target().join("vm/build");
        let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", triple.to_uppercase().replace('-', "_"));
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--quiet", "--profile", "vm", "-p", "ringward-guest", "--bin", "emit"])
            .args(["--target", triple, "--target-dir"])
            .arg(&folder)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env(flags, "-C target-feature=+crt-static")
            .env_remove("RUSTFLAGS");
        output(&mut cargo);
        folder.join(triple).join("vm/emit")
    })
}

/// Writes the root file system of the image into `folder`.
pub fn write_root(folder: &Path) {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).expect("our folder");
    for empty in ["proc", "sys", "dev", "tmp", "etc"] {
        std::fs::create_dir_all(folder.join(empty)).expect("our folder");
    }
    std::fs::copy(busybox(), bin.join("busybox")).expect("busybox can be read");
    std::fs::copy(emit(), bin.join("emit")).expect("emit was built");
    for applet in APPLETS {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("our folder");
    }
}

fn busybox() -> &'static Path {
    let places = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let found = places.into_iter().find(|path| path.exists());
    found.expect("busybox-static is missing: `cargo xtask setup --test` installs it")
}

/// The image as a docker archive in `folder`; its path.
pub fn archive(folder: &Path) -> PathBuf {
    let root = folder.join("image-root");
    write_root(&root);
    let parts = folder.join("image");
    std::fs::create_dir_all(&parts).expect("our folder");
    output(
        Command::new("tar")
            .arg("-C")
            .arg(&root)
            .args(["--owner=0", "--group=0", "-cf"])
            .arg(parts.join("layer.tar"))
            .arg("."),
    );
    let digest = output(Command::new("sha256sum").arg(parts.join("layer.tar")));
    let digest = digest.split_whitespace().next().expect("sha256sum prints a digest");
    let configuration = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        // What it does unasked is what a pod's sandbox does: wait.
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sleep", "100000"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]);
    std::fs::write(parts.join("config.json"), configuration.to_string()).expect("our folder");
    std::fs::write(parts.join("manifest.json"), manifest.to_string()).expect("our folder");
    let archive = folder.join("image.tar");
    output(Command::new("tar").arg("-C").arg(&parts).arg("-cf").arg(&archive).args([
        "manifest.json",
        "config.json",
        "layer.tar",
    ]));
    archive
}
