//! Descriptors that outlive this process: each is kept under a name that says whose it is.
//!
//! ```text
//! memlogd.NUMBER.NAME    NUMBER tells those of one name apart; in NAME, bytes that a name can't have are %XX
//! ```
//!
//! A name that gets too long is cut: it is only seen after a restart. The beginning of a line whose end has not come is kept
//! beside its descriptor, in a file without a name, for a process that reads on:
//!
//! ```text
//! begun.NUMBER
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::io::fd_store::{BEGUN, FdStore, Kept, NAME_BYTES};

const PREFIX: &str = "memlogd.";

/// Where descriptors are kept.
pub(super) struct Keeper {
    store: FdStore,
    next: Cell<u64>,
    failed: Cell<bool>,
    /// Beginnings of lines that an earlier process has read, by the number of their descriptors.
    begun: RefCell<BTreeMap<u64, Vec<u8>>>,
}

/// A descriptor that is kept, until it is let go.
pub(super) struct Held {
    name: String,
    number: u64,
}

impl Keeper {
    pub(super) fn new(store: FdStore) -> Self {
        Self { store, next: Cell::new(0), failed: Cell::new(false), begun: RefCell::default() }
    }

    /// Takes the beginnings of lines out of what was kept.
    pub(super) fn take_begun(&self, kept: &mut Kept) {
        for (name, file) in kept.extract_if(.., |(name, _)| name.starts_with(BEGUN)) {
            let mut begun = Vec::new();
            let mut file = File::from(file);
            let number = name.strip_prefix(BEGUN).and_then(|number| number.parse().ok());
            match file.rewind().and_then(|()| file.read_to_end(&mut begun)).and_then(|_| self.store.let_go(&name)) {
                Ok(()) => drop(number.map(|number| self.begun.borrow_mut().insert(number, begun))),
                Err(error) => self.say(&error),
            }
        }
    }

    /// The beginning of a line that was read from this descriptor before.
    pub(super) fn begun(&self, held: &Held) -> Option<Vec<u8>> {
        self.begun.borrow_mut().remove(&held.number)
    }

    /// Keeps the beginning of a line for the process that will read on; `false` where none will.
    pub(super) fn keep_begun(&self, held: &Held, begun: &[u8]) -> bool {
        if !self.store.has_successor() {
            return false;
        }
        let name = format!("{BEGUN}{}", held.number);
        let kept = memfd_create(&name, MemfdFlags::CLOEXEC).map_err(io::Error::from).and_then(|file| {
            let mut file = File::from(file);
            file.write_all(begun)?;
            self.store.keep(&name, file.as_fd())
        });
        kept.inspect_err(|error| self.say(error)).is_ok()
    }

    /// Has a descriptor kept that came with `name`; `None` where nobody keeps any.
    pub(super) fn keep(&self, name: &[u8], descriptor: impl AsFd) -> Option<Held> {
        if !self.store.is_there() {
            return None;
        }
        let number = self.next.get();
        self.next.set(number + 1);
        let kept = kept_name(number, name);
        match self.store.keep(&kept, descriptor.as_fd()) {
            Ok(()) => Some(Held { name: kept, number }),
            Err(error) => {
                self.say(&error);
                None
            }
        }
    }

    /// Goes on with one that was kept under `kept`. Returns the name that it came with; `None` where it is not ours.
    pub(super) fn go_on(&self, kept: String) -> Option<(Vec<u8>, Held)> {
        let (number, name) = kept.strip_prefix(PREFIX)?.split_once('.')?;
        let number: u64 = number.parse().ok()?;
        self.next.set(self.next.get().max(number + 1));
        let name = decoded(name);
        Some((name, Held { name: kept, number }))
    }

    /// It has been read to its end.
    pub(super) fn let_go(&self, held: &Held) {
        if let Err(error) = self.store.let_go(&held.name) {
            self.say(&error);
        }
    }

    fn say(&self, error: &std::io::Error) {
        if !self.failed.replace(true) {
            tracing::warn!("descriptors can't be kept for a restart: {error}");
        }
    }
}

fn kept_name(number: u64, name: &[u8]) -> String {
    let mut kept = format!("{PREFIX}{number}.");
    for byte in name {
        let one = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(*byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        if kept.len() + one.len() > NAME_BYTES {
            break;
        }
        kept.push_str(&one);
    }
    kept
}

fn decoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, more @ ..] = rest {
        let escaped = more.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_come_back(number: u32, name in prop::collection::vec(any::<u8>(), 0..70)) {
            let kept = kept_name(u64::from(number), &name);
            prop_assert!(kept.len() <= NAME_BYTES && kept.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
            let keeper = Keeper::new(FdStore::default());
            let (back, _) = keeper.go_on(kept).unwrap();
            prop_assert_eq!(back, name);
            prop_assert_eq!(keeper.next.get(), u64::from(number) + 1);
        }

        #[test]
        fn any_name_is_ours_or_not(kept in "(memlogd[.])?.{0,30}") {
            let _ = Keeper::new(FdStore::default()).go_on(kept);
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        assert!(kept_name(u64::MAX, &[b'\xff'; 512]).len() <= NAME_BYTES);
    }
}
