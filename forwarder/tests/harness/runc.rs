//! Bare runc: a bundle, no runtime above it. Its container's stdout is our own pipe.

use std::process::Command;

use serde_json::{Value, json};

use super::process::{Running, output};
use super::{folder, image, unmount_below};

pub struct Runc {
    folder: tempfile::TempDir,
}

impl Runc {
    #[track_caller]
    pub fn start() -> Self {
        let runc = Self { folder: folder() };
        image::write_root(&runc.folder.path().join("rootfs"));
        runc
    }

    /// `runc` with a state folder of its own.
    pub fn runc(&self) -> Command {
        let mut runc = Command::new("runc");
        runc.arg("--root").arg(self.folder.path().join("state"));
        runc
    }

    #[track_caller]
    pub fn run(&self, name: &str, arguments: &[&str]) -> Running {
        self.run_with(name, arguments, |_| ())
    }

    /// The same with changes to what `runc spec` wrote.
    #[track_caller]
    pub fn run_with(&self, name: &str, arguments: &[&str], change: impl FnOnce(&mut Value)) -> Running {
        let bundle = self.folder.path().join(name);
        std::fs::create_dir_all(&bundle).expect("our folder");
        output(self.runc().arg("spec").arg("--bundle").arg(&bundle));
        let file = bundle.join("config.json");
        let text = std::fs::read(&file).expect("runc spec wrote it");
        let mut specification: Value = serde_json::from_slice(&text).expect("runc writes JSON");
        specification["process"]["args"] = json!(arguments);
        specification["process"]["terminal"] = json!(false);
        specification["process"]["env"] = json!(["PATH=/bin"]);
        specification["root"] = json!({"path": self.folder.path().join("rootfs"), "readonly": false});
        specification["linux"]["cgroupsPath"] = json!(format!("/ringward-test/{name}"));
        change(&mut specification);
        std::fs::write(&file, specification.to_string()).expect("our folder");
        Running::start(self.runc().arg("run").arg("--bundle").arg(&bundle).arg(name))
    }
}

impl Drop for Runc {
    fn drop(&mut self) {
        let list = Running::start(self.runc().args(["list", "--quiet"])).finish().stdout;
        for name in String::from_utf8_lossy(&list).lines() {
            let _ = Running::start(self.runc().args(["delete", "--force", name])).finish();
        }
        unmount_below(self.folder.path());
    }
}
