//! From the name that comes with a descriptor to an origin.
//!
//! LinuxKit's programs send a service's standard error as `NAME` and its standard output as `NAME.out`, so that is what
//! the origin says: service `NAME`, stream stdout or stderr. Readers of the ring who want the name as it was given put
//! the ending back ([`crate::record::Origin::memlogd_name`]).

use crate::record::{Origin, OriginHandle, OriginKind, Stream};

/// Who writes what memlogd says itself.
pub(super) const OURSELVES: &str = "memlogd";

/// The origin of a descriptor that came with `name`, which may be anything.
pub(super) fn origin(name: &[u8]) -> OriginHandle {
    let name = text(name);
    let (service, stream) = match name.strip_suffix(Stream::STDOUT_ENDING) {
        Some(service) if !service.is_empty() => (service, Stream::Stdout),
        _ => (&*name, Stream::Stderr),
    };
    OriginHandle::new(Origin { stream, ..Origin::new(OriginKind::Service, service) })
}

/// The origin of what memlogd says itself.
pub(super) fn ourselves() -> OriginHandle {
    OriginHandle::new(Origin::new(OriginKind::Service, OURSELVES))
}

/// Bytes as text: each byte that is not part of a character becomes U+FFFD, as Go's encoder writes it.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_is_the_stream_and_comes_back() {
        for (given, service, stream) in [
            ("onboot.001-dhcpcd.out", "onboot.001-dhcpcd", Stream::Stdout),
            ("onboot.001-dhcpcd", "onboot.001-dhcpcd", Stream::Stderr),
            ("a.out.out", "a.out", Stream::Stdout),
            (".out", ".out", Stream::Stderr),
            ("", "", Stream::Stderr),
            ("svc;a,b.out", "svc;a,b", Stream::Stdout),
        ] {
            let origin = origin(given.as_bytes());
            assert_eq!((origin.origin().name.as_str(), origin.origin().stream), (service, stream));
            assert_eq!(origin.origin().memlogd_name(), given);
        }
        assert_eq!(ourselves().origin().memlogd_name(), "memlogd");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_one_by_one() {
        assert_eq!(origin(b"a\xff\xf0\x9f\x98z").origin().name, "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}z");
    }
}
