//! The FIFOs that are read, kept for the next run: dockerd names a container to a plugin once, when it starts, and a container
//! whose FIFO nobody reads comes to a halt when it is full.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A FIFO and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) file: String,
    pub(super) id: String,
    pub(super) name: String,
    /// What was read of an entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rest: Vec<u8>,
}

/// What an earlier run has kept. A file that can't be read is said, and is none.
pub(super) fn load(path: &Path) -> Vec<Known> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!("{} can't be read, so containers that run are not known: {error}", path.display());
            return Vec::new();
        }
    };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!("{} is damaged, so containers that run are not known: {error}", path.display());
        Vec::new()
    })
}

/// Replaces what is kept, as a whole. What can't be kept is said. A FIFO whose file is gone, because dockerd has ended it or
/// has ended itself for good, can't be opened again and is forgotten.
pub(super) fn save(path: &Path, known: &[Known]) {
    let is_there = |known: &&Known| Path::new(&known.file).try_exists().unwrap_or(true);
    let known: Vec<&Known> = known.iter().filter(is_there).collect();
    let write = || -> io::Result<()> {
        let new = PathBuf::from(format!("{}.new", path.display()));
        std::fs::write(&new, serde_json::to_vec(&known)?)?;
        std::fs::rename(new, path)
    };
    if let Err(error) = write() {
        tracing::warn!(
            "{} can't be written: after a restart containers that run now are not read: {error}",
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_but_for_what_is_gone_and_damage_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.json");
        assert_eq!(load(&path), []);
        let known = |file: &Path| Known {
            file: file.to_str().unwrap().into(),
            id: "1".into(),
            name: "/n".into(),
            rest: vec![0, 255],
        };
        let (here, gone) = (known(&folder.path().join("here")), known(&folder.path().join("gone")));
        std::fs::write(&here.file, "").unwrap();
        save(&path, &[here.clone(), gone]);
        assert_eq!(load(&path), [here]);
        std::fs::write(&path, "[{\"file\":").unwrap();
        assert_eq!(load(&path), []);
    }
}
