//! Finds containers that print what Ringward sends.
//!
//! A receiver that runs in a captured container and prints what it receives is captured again, and what it printed is
//! sent to it once more, for ever. Nothing can be told from a single line for certain, but a record of a container that
//! has the container's own id, or name, in it and the members that Ringward writes has gone round.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use memchr::memmem;

use crate::record::{OriginHandle, OriginId};

/// One line of so many is looked at: what goes round comes again and again.
const EVERY: u32 = 16;
/// How long nothing more is said of the same stream.
const PAUSE: Duration = Duration::from_secs(60);
/// Streams whose report is remembered.
const MAX_REPORTED: usize = 1024;
/// Members that every record has.
const MEMBERS: [&[u8]; 2] = [b"talos-time", b"talos-service"];

#[derive(Default)]
pub(super) struct EchoWatch {
    lines: u32,
    reported: HashMap<OriginId, Instant>,
}

impl EchoWatch {
    /// Looks at a line, perhaps. `Some`: it has gone round, and nobody has been told for a while.
    #[inline]
    pub(super) fn look(&mut self, origin: &OriginHandle, line: &[u8]) -> Option<String> {
        self.lines = self.lines.wrapping_add(1);
        if !self.lines.is_multiple_of(EVERY) {
            return None;
        }
        self.examine(origin, line)
    }

    #[cold]
    fn examine(&mut self, handle: &OriginHandle, line: &[u8]) -> Option<String> {
        let origin = handle.origin();
        let id = origin.attributes.iter().find(|(key, _)| key == "container").map(|(_, id)| id);
        let own = id.unwrap_or(&origin.name);
        let has = |needle: &[u8]| memmem::find(line, needle).is_some();
        if own.is_empty() || !MEMBERS.iter().all(|member| has(member)) || !has(own.as_bytes()) {
            return None;
        }
        let now = Instant::now();
        if self.reported.len() >= MAX_REPORTED {
            self.reported.retain(|_, at| now.duration_since(*at) < PAUSE);
        }
        match self.reported.get(&handle.id()) {
            Some(at) if now.duration_since(*at) < PAUSE => None,
            _ => {
                self.reported.insert(handle.id(), now);
                Some(format!(
                    "an echo: {} prints what Ringward sends, which is captured and sent again; \
                     capture.exclude keeps it from being captured",
                    origin.name
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Origin, OriginKind};

    fn origin(id: &str) -> OriginHandle {
        let attributes = vec![("container".to_owned(), id.to_owned())];
        OriginHandle::new(Origin { attributes, ..Origin::new(OriginKind::Container, "receiver") })
    }

    fn reports(watch: &mut EchoWatch, origin: &OriginHandle, line: &str) -> usize {
        (0..1000).filter(|_| watch.look(origin, line.as_bytes()).is_some()).count()
    }

    #[test]
    fn what_goes_round_is_said_once() {
        let (mut watch, receiver, other) = (EchoWatch::default(), origin("0123abcd"), origin("ffff"));
        let sent =
            r#"{"container":"0123abcd","msg":"x","talos-service":"receiver","talos-time":"2026-01-01T00:00:00Z"}"#;
        assert_eq!(reports(&mut watch, &receiver, "0123abcd"), 0);
        assert_eq!(reports(&mut watch, &other, sent), 0, "the records of others are what receivers print");
        assert_eq!(reports(&mut watch, &receiver, &format!("got {sent:?}")), 1);
        assert_eq!(reports(&mut watch, &receiver, sent), 0);
    }
}
