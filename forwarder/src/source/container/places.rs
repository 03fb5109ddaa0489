//! Directories in which runtimes keep containers: the usual ones, and those that were seen in use.
//!
//! A container that is gone before we look leaves only its id. Its runtime's directory was usually seen with an
//! earlier container, wherever the administrator put it. Bounded by [`MAX_PLACES`] a kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::bundle::read_json;
use super::proc::Proc;

const MAX_PLACES: usize = 32;

/// Where containerd keeps bundles, by namespace.
const TASKS: [&str; 4] = [
    "/run/containerd/io.containerd.runtime.v2.task/k8s.io",
    "/run/containerd/io.containerd.runtime.v2.task/moby",
    "/run/containerd/io.containerd.runtime.v2.task/default",
    "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io",
];
/// Where CRI-O and rootful Podman keep bundles: `<place>/<id>/userdata`.
const STORAGE: [&str; 2] =
    ["/run/containers/storage/overlay-containers", "/var/lib/containers/storage/overlay-containers"];
const DOCKER: [&str; 1] = ["/var/lib/docker/containers"];
const RUNC: [&str; 1] = ["/run/runc"];

/// Kinds of directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `<place>/<id>/config.json`
    Task,
    /// `<place>/<id>/userdata/config.json`
    Storage,
    /// `<place>/<id>/config.v2.json`
    Docker,
    /// `<place>/<id>/state.json`
    Runc,
}

/// The known directories; shared by all who name.
#[derive(Debug, Default)]
pub struct Places {
    learned: Mutex<Vec<(Kind, PathBuf)>>,
}

impl Places {
    /// Remembers a directory that a runtime was seen to use.
    pub fn learn(&self, kind: Kind, directory: &Path) {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        let same_kind = learned.iter().filter(|(known, _)| *known == kind);
        if same_kind.clone().any(|(_, known)| known == directory) || same_kind.count() >= MAX_PLACES {
            return;
        }
        learned.push((kind, directory.to_owned()));
    }

    /// `<place>/<id>` for every place of a kind, those seen in use first.
    pub fn candidates(&self, kind: Kind, id: &str) -> Vec<PathBuf> {
        if id.is_empty() || id.contains('/') || id == "." || id == ".." {
            return Vec::new();
        }
        self.directories(kind).into_iter().map(|place| place.join(id)).collect()
    }

    pub fn directories(&self, kind: Kind) -> Vec<PathBuf> {
        let usual: &[&str] = match kind {
            Kind::Task => &TASKS,
            Kind::Storage => &STORAGE,
            Kind::Docker => &DOCKER,
            Kind::Runc => &RUNC,
        };
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        let learned = learned.iter().filter(|(known, _)| *known == kind).map(|(_, place)| place.clone());
        learned.chain(usual.iter().map(PathBuf::from)).collect()
    }
}

/// What is read of runc's `state.json`.
#[derive(Debug, Deserialize)]
pub struct RuncState {
    pub id: String,
    #[serde(default)]
    pub init_process_pid: u32,
    #[serde(default)]
    config: RuncConfig,
}

#[derive(Debug, Default, Deserialize)]
struct RuncConfig {
    /// `key=value`; runc adds `bundle=<path>`.
    #[serde(default)]
    labels: Option<Vec<String>>,
}

impl RuncState {
    /// Reads `<directory>/state.json`.
    pub fn read(directory: &Path) -> Option<Self> {
        read_json(&directory.join("state.json"))
    }

    pub fn bundle(&self) -> Option<&Path> {
        let labels = self.config.labels.as_ref()?;
        labels.iter().find_map(|label| label.strip_prefix("bundle=")).map(Path::new)
    }

    /// Searches all known roots of runc for the container whose first process is `pid`.
    pub fn find_by_pid(places: &Places, proc: &Proc, pid: u32) -> Option<Self> {
        places.directories(Kind::Runc).iter().find_map(|root| {
            let entries = fs::read_dir(proc.resolve(1, root)).ok()?;
            entries.flatten().filter_map(|entry| Self::read(&entry.path())).find(|state| state.init_process_pid == pid)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learned_places_come_first_and_are_bounded() {
        let places = Places::default();
        for n in 0..100 {
            places.learn(Kind::Task, Path::new(&format!("/s/{n}")));
            places.learn(Kind::Task, Path::new("/s/0"));
        }
        let found = places.candidates(Kind::Task, "c1");
        assert_eq!(found.len(), MAX_PLACES + TASKS.len());
        assert_eq!(found[0], Path::new("/s/0/c1"));
        assert!(places.candidates(Kind::Task, "..").is_empty());
        assert_eq!(places.candidates(Kind::Runc, "x"), [Path::new("/run/runc/x")]);
    }
}
