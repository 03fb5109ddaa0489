//! The steps and routes on batches that go nowhere: for `ringward test`, and for measuring them.

use super::routes::Routing;
use super::shaper::{Outlet, Shaper};
use super::spec::{Routes, Step};
use crate::record::{Batch, OriginHandle};
use crate::ring::Targets;

/// What one thread's door does, without the ring behind it.
pub struct Trial {
    shaper: Shaper,
    exit: Exit,
}

struct Exit {
    routing: Option<Routing>,
    batches: Vec<(Batch, Targets)>,
}

impl Outlet for Exit {
    fn batch(&mut self, batch: Batch) {
        let targets = self.routing.as_mut().map_or(Targets::All, |routing| routing.targets(&batch));
        self.batches.push((batch, targets));
    }

    fn discarded(&mut self, _: &OriginHandle, _: u64) {}
}

impl Trial {
    pub fn new(steps: &[Step], routes: Option<&Routes>) -> Self {
        Self { shaper: Shaper::new(steps), exit: Exit { routing: routes.map(Routing::new), batches: Vec::new() } }
    }

    /// What becomes of a batch, and for whom its records are.
    pub fn run(&mut self, batch: Batch) -> Vec<(Batch, Targets)> {
        self.shaper.shape(batch, &mut self.exit);
        std::mem::take(&mut self.exit.batches)
    }

    /// What steps have to say when nothing has come for so long.
    #[cfg(test)]
    pub(super) fn wait(&mut self, silent: std::time::Duration) -> Vec<(Batch, Targets)> {
        self.shaper.flush(|_| true, Some(silent), &mut self.exit);
        std::mem::take(&mut self.exit.batches)
    }

    /// What steps have still to say when nothing more comes.
    pub fn finish(mut self) -> Vec<(Batch, Targets)> {
        self.shaper.flush(|_| true, None, &mut self.exit);
        self.exit.batches
    }
}
