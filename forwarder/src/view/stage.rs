//! Where viewers may look: before `process`, in the ring, or as destinations get records.

use std::sync::Arc;

use crate::ring::{Ring, Selection, Wanted};
use crate::shape::{Tap, Watching};

/// Stages besides the ring.
#[derive(Clone, Default)]
pub struct Stages {
    /// What comes in; where nothing is done to it, that is what goes into the ring.
    pub tap: Option<Arc<Tap>>,
    /// What each destination gets of the ring, by its name.
    pub destinations: Vec<(String, Wanted)>,
}

/// A stage that somebody looks at.
pub(super) struct Stage {
    pub(super) ring: Arc<Ring>,
    pub(super) wanted: Wanted,
    /// Held for as long as it is looked at.
    pub(super) _watching: Option<Watching>,
}

impl Stages {
    /// The stage of that name.
    ///
    /// # Errors
    /// What there is instead.
    pub(super) fn find(&self, name: Option<&str>, ring: &Arc<Ring>) -> Result<Stage, String> {
        let in_ring = |wanted| Stage { ring: Arc::clone(ring), wanted, _watching: None };
        match (name.unwrap_or("ring"), &self.tap) {
            ("ring", _) | ("source", None) => return Ok(in_ring(Selection::All.into())),
            ("source", Some(tap)) => {
                let watching = tap.watch();
                let ring = Arc::clone(&watching.ring);
                return Ok(Stage { ring, wanted: Selection::All.into(), _watching: Some(watching) });
            }
            _ => {}
        }
        let found = self.destinations.iter().find(|(known, _)| Some(known.as_str()) == name);
        found.map(|(_, wanted)| in_ring(*wanted)).ok_or_else(|| {
            let names: Vec<_> = self.destinations.iter().map(|(name, _)| format!(", `{name}`")).collect();
            format!("there is no stage `{}`: there are `source`, `ring`{}", name.unwrap_or_default(), names.concat())
        })
    }
}
