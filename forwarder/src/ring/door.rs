//! What stands between the sources and the ring, where the configuration asks for something.
//!
//! The ring knows nothing of what that is: it is given one, and each source's thread asks for a door of its own. Where there
//! is none, batches go straight in.

use std::sync::Arc;

use super::Ring;
use crate::record::Batch;

/// Makes the doors.
pub trait Entrance: Send + Sync {
    fn door(&self, ring: &Arc<Ring>) -> Box<dyn Door>;
}

/// Takes what one thread has sealed, and appends to the ring what is to go there.
pub trait Door: Send {
    fn pass(&mut self, batch: Batch);
}

impl Ring {
    /// From now on, threads that ask for a door get one of this. Only the first call counts.
    pub fn set_entrance(&self, entrance: Arc<dyn Entrance>) {
        let _ = self.entrance.set(entrance);
    }

    /// A door for the thread that asks, where there is one.
    pub fn door(self: &Arc<Self>) -> Option<Box<dyn Door>> {
        self.entrance.get().map(|entrance| entrance.door(self))
    }
}
