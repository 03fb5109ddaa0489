//! Entries that are read twice because journald has copied them: at `journalctl --flush`, soon after the boot, all that
//! is in /run/log/journal is added to a file in /var/log/journal, with new numbers, and deleted.
//!
//! What stays of an entry is its boot, its time since the boot and its hash, and the order. journald writes either to the
//! one folder or to the other one, so an entry from the other folder of the same name that is not newer than what was
//! read last is a copy. Files of /run are looked at before others: so an entry of the same folder's /var that is older
//! than one of /run, and no copy, is seen no later than that one, and read before it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::parse::journal::{Head, Id};

/// The entry that was read last, of one boot and one journald.
struct Newest {
    folder: PathBuf,
    monotonic_us: u64,
    hash: u64,
    /// Whether what comes at the same time comes behind it.
    is_passed: bool,
    /// File it was in, and position of that file's last record.
    from: (String, u64),
}

#[derive(Default)]
pub(super) struct Copies(HashMap<(Id, OsString), Newest>);

/// Boots of which that is known.
const MOST: usize = 256;

fn name(folder: &Path) -> OsString {
    folder.file_name().unwrap_or_default().to_owned()
}

impl Copies {
    /// Where the entry was read before, if it was: the key of that file and the position of its last record.
    pub(super) fn find(&mut self, folder: &Path, head: &Head) -> Option<(String, u64)> {
        let newest = self.0.get_mut(&(head.boot_id, name(folder)))?;
        let is_older =
            head.monotonic_us < newest.monotonic_us || (head.monotonic_us == newest.monotonic_us && !newest.is_passed);
        if newest.folder == folder || !is_older {
            return None;
        }
        newest.is_passed |= head.monotonic_us == newest.monotonic_us && head.hash == newest.hash;
        Some(newest.from.clone())
    }

    /// An entry was read that is no copy. `from`: the key of its file and the position of that file's last record.
    pub(super) fn add(&mut self, folder: &Path, head: &Head, from: (&str, u64)) {
        if self.0.len() >= MOST {
            // Old boots are read first, and only the one that runs is copied.
            self.0.clear();
        }
        let (monotonic_us, hash) = (head.monotonic_us, head.hash);
        let key = (head.boot_id, name(folder));
        if self.0.get(&key).is_some_and(|newest| newest.folder == folder && newest.monotonic_us > monotonic_us) {
            return;
        }
        let from = (from.0.to_owned(), from.1);
        self.0.insert(key, Newest { folder: folder.to_owned(), monotonic_us, hash, is_passed: false, from });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(monotonic_us: u64, hash: u64) -> Head {
        Head { seqnum: 1, realtime_us: 1, monotonic_us, boot_id: [1; 16], hash }
    }

    #[test]
    fn what_was_copied_is_known_and_nothing_else_is() {
        let (run, var, other) = (Path::new("/run/m"), Path::new("/var/m"), Path::new("/var/m.namespace"));
        let mut copies = Copies::default();
        assert_eq!(copies.find(var, &head(1, 1)), None);
        for (time, hash) in [(1, 1), (2, 2), (3, 3), (3, 4)] {
            assert_eq!(copies.find(run, &head(time, hash)), None);
            copies.add(run, &head(time, hash), ("journal:r", hash));
        }
        assert_eq!(copies.find(other, &head(1, 1)), None);
        let from = Some(("journal:r".to_owned(), 4));
        for (time, hash) in [(1, 1), (2, 2), (3, 3), (3, 4)] {
            assert_eq!(copies.find(var, &head(time, hash)), from);
        }
        // At the same time as the last one, and behind it.
        assert_eq!(copies.find(var, &head(3, 5)), None);
        copies.add(var, &head(3, 5), ("journal:v", 9));
        assert_eq!(copies.find(var, &head(4, 6)), None);
        assert_eq!(copies.find(var, &head(2, 6)), None, "its own folder's");
        assert_eq!(copies.find(var, &Head { boot_id: [2; 16], ..head(1, 1) }), None, "another boot's");
    }
}
