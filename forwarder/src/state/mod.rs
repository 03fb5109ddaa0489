//! The state directory: what must survive a restart.
//!
//! ```text
//!  state.json   next ring sequence, boot id, per destination: position per source
//!              and in the ring's files, how to know files again, how far journal files were read,
//!              where captured streams ended, how records were routed
//!  lock         held exclusively while a Ringward runs; its pid, for the error message of a second one
//!  spill/NAME/  see ring/spill
//! ```
//!
//! `state.json` is replaced atomically, at most once a second (less often where it is large) and when stopping. A damaged
//! one is set aside and reported; the worst that follows is that records are sent again. Positions of sources that mean nothing after
//! a boot (keys that start with `boot:`) are dropped when the boot id is another one.

mod captured;
mod files;
mod journals;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::ring::Checkpoint;
use crate::ring::file::RingPosition;
use crate::sys::files::{self as durable, Holder, LockError};

pub use self::captured::{StreamEnd, StreamLog, StreamLogFormat};
pub use self::files::{ContentMark, ContentSum, FileMark, GzipMark};
pub use self::journals::{JournalEntry, JournalMark};

const STATE_FILE: &str = "state.json";
const LOCK_FILE: &str = "lock";
const VERSION: u32 = 1;

/// Why the state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{path} can't be used: {source}")]
    Create { path: PathBuf, source: io::Error },
    #[error("{path} is in use by another Ringward{holder}")]
    Locked { path: PathBuf, holder: Holder },
    #[error("{path} can't be locked: {source}")]
    Lock { path: PathBuf, source: io::Error },
    #[error("{path} can't be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} can't be written: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// An open state directory. Cheap to clone; the lock is held until the last clone is gone.
#[derive(Clone)]
pub struct StateDir(Arc<Inner>);

struct Inner {
    path: PathBuf,
    content: Mutex<Content>,
    changed: Notify,
    _lock: File,
}

struct Content {
    stored: Stored,
    changed: bool,
    /// Up to where an earlier run's ring has what each source gave.
    in_earlier_ring: Checkpoint,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stored {
    version: u32,
    boot_id: String,
    next_sequence: u64,
    destinations: BTreeMap<String, Checkpoint>,
    /// What is said of the routes, to know others; empty where each destination gets everything.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    routing: String,
    /// Where destinations are in a ring that is kept in files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    in_ring: BTreeMap<String, RingPosition>,
    /// By the key of their checkpoints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, FileMark>,
    /// The same of journal files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    journals: BTreeMap<String, JournalMark>,
    /// By container and stream.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    captured: BTreeMap<String, StreamEnd>,
    /// The same of containers that had ended when this run began, until what they had printed is delivered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ended: BTreeMap<String, StreamEnd>,
}

impl StateDir {
    /// Opens the directory, creating it, and reads what an earlier run left.
    ///
    /// # Errors
    /// [`StateError::Locked`] where another Ringward has it; the others are the file system's.
    pub fn open(path: &Path, boot_id: &str) -> Result<Self, StateError> {
        let at = |path: &Path| path.to_owned();
        durable::create_private_directory(path).map_err(|source| StateError::Create { path: at(path), source })?;
        let lock = lock(&path.join(LOCK_FILE))?;
        let mut stored = read(&path.join(STATE_FILE))?.unwrap_or_default();
        stored.version = VERSION;
        stored.next_sequence = stored.next_sequence.max(1);
        if stored.boot_id != boot_id {
            boot_id.clone_into(&mut stored.boot_id);
            for checkpoint in stored.destinations.values_mut() {
                checkpoint.retain(|source, _| !source.starts_with("boot:"));
            }
        }
        let content = Mutex::new(Content { stored, changed: true, in_earlier_ring: Checkpoint::new() });
        Ok(Self(Arc::new(Inner { path: path.to_owned(), content, changed: Notify::new(), _lock: lock })))
    }

    /// Sequence that the ring of this run starts with.
    pub fn next_sequence(&self) -> u64 {
        self.content().stored.next_sequence
    }

    /// The ring has come so far. Never goes back.
    pub fn set_next_sequence(&self, sequence: u64) {
        let mut content = self.content();
        if sequence > content.stored.next_sequence {
            content.stored.next_sequence = sequence;
            content.changed = true;
        }
    }

    /// What a destination has acknowledged.
    pub fn checkpoint(&self, destination: &str) -> Checkpoint {
        self.content().stored.destinations.get(destination).cloned().unwrap_or_default()
    }

    /// Records are routed among `destinations` as `routing` says from now on; `true` where they will come twice for that.
    ///
    /// A destination's position also covers what was routed elsewhere. By other routes that may be its own now, and where
    /// the one it was for has not got it, it would be nobody's. So all begin again where the one is that is farthest behind;
    /// one that is new was never behind.
    pub fn set_routing(&self, routing: &str, destinations: &[&str]) -> bool {
        let mut content = self.content();
        let Content { stored: Stored { routing: before, destinations: stored, in_ring, .. }, changed, .. } =
            &mut *content;
        let before = std::mem::replace(before, routing.to_owned());
        let known: Vec<&Checkpoint> = destinations.iter().filter_map(|name| stored.get(*name)).collect();
        // Where one side is that each gets everything, nothing is ever only another one's.
        let is_other = before != routing && !before.is_empty() && !routing.is_empty();
        let of = |source: &String| known.iter().map(|checkpoint| checkpoint.get(source).copied().unwrap_or(0)).min();
        let sources = known.iter().flat_map(|checkpoint| checkpoint.keys()).filter(|_| is_other);
        let least: Checkpoint = sources.map(|source| (source.clone(), of(source).unwrap_or(0))).collect();
        let places =
            destinations.iter().filter(|name| stored.contains_key(**name)).map(|name| in_ring.get(*name).copied());
        let least_place = places.min_by_key(|place| place.map(|place| (place.sequence, place.done))).flatten();
        let mut goes_back = false;
        for name in destinations {
            if let Some(place) = in_ring.get(*name).copied().filter(|place| is_other && Some(*place) != least_place) {
                goes_back = true;
                match least_place.filter(|least| least.ring == place.ring) {
                    Some(least) => in_ring.insert((*name).to_owned(), least),
                    None => in_ring.remove(*name),
                };
            }
            *changed |= before != routing || !stored.contains_key(*name);
            // Those that will have acknowledged nothing at the next start are to be told from new ones then.
            let checkpoint = stored.entry((*name).to_owned()).or_default();
            for (source, position) in checkpoint.iter_mut().filter(|_| is_other) {
                goes_back |= least[source] < *position;
                *position = least[source];
            }
        }
        goes_back
    }

    /// A destination has acknowledged a source up to `position`. Never goes back.
    pub fn advance(&self, destination: &str, source: &str, position: u64) {
        let mut content = self.content();
        let sources = content.stored.destinations.entry(destination.to_owned()).or_default();
        let known = sources.get(source).copied().unwrap_or(0);
        if position > known {
            sources.insert(source.to_owned(), position);
            content.changed = true;
            self.0.changed.notify_waiters();
        }
    }

    /// Where a destination is in the ring's files.
    pub fn ring_position(&self, destination: &str) -> Option<RingPosition> {
        self.content().stored.in_ring.get(destination).copied()
    }

    /// A destination goes on there in the ring. Never goes back, but to another ring.
    pub fn set_ring_position(&self, destination: &str, position: RingPosition) {
        let mut content = self.content();
        let known = content.stored.in_ring.get(destination);
        let place = |position: &RingPosition| (position.sequence, position.done);
        if known.is_none_or(|known| known.ring != position.ring || place(known) < place(&position)) {
            content.stored.in_ring.insert(destination.to_owned(), position);
            content.changed = true;
            self.0.changed.notify_waiters();
        }
    }

    /// The ring begins with what an earlier run left, which has what sources gave up to these positions.
    pub fn set_in_earlier_ring(&self, positions: Checkpoint) {
        self.content().in_earlier_ring = positions;
    }

    /// Up to where an earlier run's ring has what a source gave.
    pub fn in_earlier_ring(&self, source: &str) -> u64 {
        self.content().in_earlier_ring.get(source).copied().unwrap_or(0)
    }

    /// From where a source is to be read again for each of `destinations`: after what it has acknowledged, or is to get
    /// from what an earlier run left.
    pub fn begins(&self, source: &str, destinations: &[String]) -> Vec<u64> {
        let in_ring = self.in_earlier_ring(source);
        self.acknowledged(source, destinations).into_iter().map(|position| position.max(in_ring)).collect()
    }

    /// Completes when a destination has acknowledged something after this call.
    pub fn advanced(&self) -> Notified<'_> {
        self.0.changed.notified()
    }

    /// Writes what has changed. Blocks on the disk.
    ///
    /// # Errors
    /// The file system's; the state is written again at the next call.
    pub fn flush(&self) -> Result<(), StateError> {
        let stored = {
            let mut content = self.content();
            if !std::mem::take(&mut content.changed) {
                return Ok(());
            }
            content.stored.clone()
        };
        let text = serde_json::to_vec_pretty(&stored).expect("a map of strings and numbers is JSON");
        let path = self.0.path.join(STATE_FILE);
        durable::replace(&path, &text).map_err(|source| {
            self.content().changed = true;
            StateError::Write { path, source }
        })
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(path: &Path) -> Result<File, StateError> {
    durable::lock(path).map_err(|error| match error {
        LockError::Held { holder } => StateError::Locked { path: path.parent().unwrap_or(path).to_owned(), holder },
        LockError::Failed(source) => StateError::Lock { path: path.to_owned(), source },
    })
}

/// What is stored; `None` where nothing is. A damaged file is set aside.
fn read(path: &Path) -> Result<Option<Stored>, StateError> {
    let bytes = match durable::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Read { path: path.to_owned(), source }),
    };
    match serde_json::from_slice::<Stored>(&bytes) {
        Ok(stored) if stored.version == VERSION => Ok(Some(stored)),
        other => {
            let why = other.map_or_else(|error| error.to_string(), |stored| format!("version {}", stored.version));
            let aside = (0..).map(|n| path.with_extension(format!("json.corrupt-{n}"))).find(|aside| !aside.exists());
            let aside = aside.expect("there are more numbers than files");
            tracing::warn!(
                "{} can't be used ({why}): moved to {}; records may be sent again",
                path.display(),
                aside.display()
            );
            std::fs::rename(path, &aside).map_err(|source| StateError::Write { path: aside, source })?;
            Ok(None)
        }
    }
}
