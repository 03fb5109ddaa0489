//! Containers that were named once: their names outlive the runtime's files.
//!
//! containerd removes a bundle within milliseconds after a container's end, and a late session or a second look must
//! not turn its name into an id. Only generated ids are kept, because chosen ones (`web`) are used again for others.
//! Bounded by [`MAX_SEEN`]; the oldest are forgotten first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::cgroup::is_long_id;
use super::identity::ContainerIdentity;

/// Some 500 bytes each.
const MAX_SEEN: usize = 1024;

#[derive(Debug, Default)]
pub struct Seen {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<String, ContainerIdentity>,
    order: VecDeque<String>,
}

impl Seen {
    /// Remembers a resolved identity; gives back the remembered one for an unresolved.
    pub fn complete(&self, identity: ContainerIdentity) -> ContainerIdentity {
        if !is_long_id(&identity.id) {
            return identity;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !identity.resolved {
            return inner.known.get(&identity.id).cloned().unwrap_or(identity);
        }
        if inner.known.insert(identity.id.clone(), identity.clone()).is_none() {
            inner.order.push_back(identity.id.clone());
        }
        if inner.order.len() > MAX_SEEN
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.known.remove(&oldest);
        }
        identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::container::Runtime;

    fn named(n: usize) -> ContainerIdentity {
        let mut identity = ContainerIdentity::unresolved(format!("{n:064x}"), Runtime::Docker);
        identity.name = format!("c{n}");
        identity.resolved = true;
        identity
    }

    #[test]
    fn names_are_kept_within_the_bound() {
        let seen = Seen::default();
        for n in 0..MAX_SEEN + 1 {
            seen.complete(named(n));
            seen.complete(named(n));
        }
        let again = |n: usize| seen.complete(ContainerIdentity::unresolved(named(n).id, Runtime::Unknown));
        assert_eq!(again(MAX_SEEN), named(MAX_SEEN));
        assert_eq!(again(1), named(1));
        assert!(!again(0).resolved, "the oldest is forgotten");
    }

    #[test]
    fn chosen_ids_are_not_kept() {
        let seen = Seen::default();
        let mut web = ContainerIdentity::unresolved("web", Runtime::Containerd);
        web.resolved = true;
        seen.complete(web);
        assert!(!seen.complete(ContainerIdentity::unresolved("web", Runtime::Runc)).resolved);
    }
}
