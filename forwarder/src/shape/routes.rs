//! Which destinations each record of a batch is for.
//!
//! A report of a loss is for all of them: what was lost may have been for any.

use super::spec::Routes;
use super::subject::{OfBatch, Origins};
use crate::record::{Batch, Flags};
use crate::ring::Targets;

/// The routes at work, in one thread.
pub(super) struct Routing {
    routes: Routes,
    origins: Origins,
    each: Vec<u64>,
}

impl Routing {
    pub(super) fn new(routes: &Routes) -> Self {
        Self { routes: routes.clone(), origins: Origins::default(), each: Vec::new() }
    }

    pub(super) fn targets(&mut self, batch: &Batch) -> Targets {
        self.origins.enter(batch);
        self.each.clear();
        for record in batch.records() {
            let bits = if record.flags.contains(Flags::LOSS) {
                u64::MAX
            } else {
                self.routes.bits(&OfBatch { record: &record, whose: self.origins.of(record.origin) })
            };
            self.each.push(bits);
        }
        self.origins.leave();
        Targets::of(&self.each)
    }
}

/// Says for whom the records of batches are.
pub fn router(routes: &Routes) -> impl FnMut(&Batch) -> Targets {
    let mut routing = Routing::new(routes);
    move |batch| routing.targets(batch)
}

impl Routes {
    /// The destinations that a record is for: those of the first route that it fits, and of further ones while routes say
    /// that others are looked at, too.
    fn bits(&self, subject: &OfBatch<'_>) -> u64 {
        let (mut bits, mut found) = (0, false);
        for route in &self.routes {
            if route.when.as_ref().is_none_or(|when| when.holds(subject)) {
                bits |= route.to;
                found = true;
                if !route.goes_on {
                    break;
                }
            }
        }
        if found { bits } else { self.otherwise }
    }
}
