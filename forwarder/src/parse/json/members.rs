//! The members of an object as they are read, their order, and keys that are looked for among them.
//!
//! A key's first eight bytes are kept as a number beside it: mostly they decide what there is to decide.

use super::MAX_MEMBERS;
use crate::record::{FieldSpan, bytes};

#[derive(Default)]
pub(in crate::parse) struct Members {
    pub(in crate::parse) list: Vec<Member>,
    /// Whether a member's prefix is not above the one before.
    unsorted: bool,
    last_prefix: u64,
}

/// A member of an object.
#[derive(Clone, Copy)]
pub(in crate::parse) struct Member {
    /// Of its key, by [`sort_prefix`].
    pub(in crate::parse) prefix: u64,
    pub(in crate::parse) field: FieldSpan,
}

/// The first eight bytes of the `len` bytes of a key that `text` begins with, as a number: of two keys, the one with the
/// lower number is the lesser one. Where the numbers are the same, the keys decide.
#[inline(always)]
pub(in crate::parse) const fn sort_prefix(text: &[u8], len: usize) -> u64 {
    let first = match text.first_chunk::<8>() {
        Some(first) => u64::from_be_bytes(*first),
        None => short_prefix(text),
    };
    match u64::MAX.checked_shr(len as u32 * 8) {
        Some(behind) => first & !behind,
        None => first,
    }
}

/// Fewer than eight bytes, as the first ones of a number.
#[inline]
const fn short_prefix(text: &[u8]) -> u64 {
    let (mut prefix, mut at) = (0, 0);
    while at < text.len() {
        prefix |= (text[at] as u64) << (56 - 8 * at);
        at += 1;
    }
    prefix
}

impl Members {
    pub(in crate::parse) fn clear(&mut self) {
        self.list.clear();
        self.unsorted = false;
        self.last_prefix = 0;
    }

    /// Adds a member; whether another one may come.
    #[inline(always)]
    pub(in crate::parse) fn push(&mut self, prefix: u64, field: FieldSpan) -> bool {
        // The empty key's prefix is none above another, so that an object that begins with it counts as unsorted.
        self.unsorted |= prefix <= self.last_prefix;
        self.last_prefix = prefix;
        self.list.push(Member { prefix, field });
        self.list.len() <= MAX_MEMBERS
    }

    /// By key; of equal keys the last stays.
    #[inline]
    pub(super) fn sort(&mut self, line: &[u8], more: &[u8]) {
        if self.unsorted {
            self.sort_all(line, more);
        }
    }

    #[inline(never)]
    fn sort_all(&mut self, line: &[u8], more: &[u8]) {
        self.order(line, more);
        self.list.dedup_by(|later, kept| {
            let same = later.has_key_of(kept, line, more);
            if same {
                *kept = *later;
            }
            same
        });
    }

    /// By key; equal keys stay, in their order.
    pub(in crate::parse) fn order(&mut self, line: &[u8], more: &[u8]) {
        if self.unsorted {
            let key = |member: &Member| bytes(line, more, member.field.key);
            // Stable, so that the last of equal ones is the last of the text.
            self.list.sort_by(|a, b| a.prefix.cmp(&b.prefix).then_with(|| key(a).cmp(key(b))));
        }
    }
}

impl Member {
    #[inline]
    pub(in crate::parse) fn has_key_of(&self, other: &Self, line: &[u8], more: &[u8]) -> bool {
        self.prefix == other.prefix && bytes(line, more, self.field.key) == bytes(line, more, other.field.key)
    }
}

/// Where among the members those are that say what a record's time, level and text are.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) time: Option<usize>,
    pub(crate) ts: Option<usize>,
    pub(crate) level: Option<usize>,
    pub(crate) msg: Option<usize>,
}

impl Names {
    const TIME: Key = Key::new(b"time");
    const TS: Key = Key::new(b"ts");
    const LEVEL: Key = Key::new(b"level");
    const MSG: Key = Key::new(b"msg");

    /// Of members that are in order, each key once.
    pub(in crate::parse) fn of(members: &Members, line: &[u8], more: &[u8]) -> Self {
        let mut names = Self::default();
        for (index, member) in members.list.iter().enumerate() {
            let name = match member.prefix {
                prefix if prefix == Self::TIME.prefix => (&Self::TIME, &mut names.time),
                prefix if prefix == Self::TS.prefix => (&Self::TS, &mut names.ts),
                prefix if prefix == Self::LEVEL.prefix => (&Self::LEVEL, &mut names.level),
                prefix if prefix == Self::MSG.prefix => (&Self::MSG, &mut names.msg),
                _ => continue,
            };
            if name.0.is_of(member, line, more) {
                *name.1 = Some(index);
            }
        }
        names
    }
}

/// A key that a format looks for.
pub(in crate::parse) struct Key {
    bytes: &'static [u8],
    prefix: u64,
}

impl Key {
    pub(in crate::parse) const fn new(bytes: &'static [u8]) -> Self {
        Self { bytes, prefix: sort_prefix(bytes, bytes.len()) }
    }

    /// Whether it is the key of a member of the object that was read from `line`.
    #[inline(always)]
    pub(in crate::parse) fn is_of(&self, member: &Member, line: &[u8], more: &[u8]) -> bool {
        let is_near = self.prefix == member.prefix && self.bytes.len() == member.field.key.len as usize;
        is_near && (self.bytes.len() <= 8 || bytes(line, more, member.field.key) == self.bytes)
    }
}
