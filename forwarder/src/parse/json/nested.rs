//! Arrays and objects inside of an object, as canonical JSON.
//!
//! Written in one pass over the text, with a stack of our own: depth is limited by [`MAX_DEPTH`] and not by the
//! thread's stack. An object whose keys turn out not to be sorted is remembered, and a second pass puts all of these in
//! order at once: each byte is copied twice at most, however deep it lies.

use super::scan::Scanner;
use super::{MAX_DEPTH, number, string};

#[derive(Default)]
pub(super) struct Nested {
    /// The containers that are open.
    frames: Vec<Frame>,
    /// Members of the open objects, those of the innermost last.
    members: Vec<Member>,
    /// Their keys, unescaped.
    keys: Vec<u8>,
    unsorted: Vec<Unsorted>,
    /// Members of the unsorted objects, in their right order.
    ordered: Vec<(usize, usize)>,
    pieces: Vec<Piece>,
    /// A string that is not plain, or the second pass.
    draft: Vec<u8>,
    /// Whether any of this was used since it was shrunk.
    used: bool,
}

struct Frame {
    is_object: bool,
    /// Of the bracket, in what is written.
    start: usize,
    first_member: usize,
    first_key: usize,
    ascending: bool,
}

struct Member {
    /// In `keys`.
    key: (usize, usize),
    /// In what is written, without a comma.
    start: usize,
    end: usize,
}

/// An object whose members are not in order, in what is written.
struct Unsorted {
    start: usize,
    end: usize,
    /// In `ordered`.
    members: (usize, usize),
}

enum Piece {
    Written(usize, usize),
    Comma,
}

impl Nested {
    /// Gives memory back, if there is any to give.
    #[inline]
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        if self.used {
            self.used = false;
            self.shrink_all_to(bytes);
        }
    }

    #[inline(never)]
    fn shrink_all_to(&mut self, bytes: usize) {
        self.keys.shrink_to(bytes);
        self.draft.shrink_to(bytes);
        self.frames.shrink_to(bytes / size_of::<Frame>());
        self.members.shrink_to(bytes / size_of::<Member>());
        self.unsorted.shrink_to(bytes / size_of::<Unsorted>());
        self.ordered.shrink_to(bytes / size_of::<(usize, usize)>());
        self.pieces.shrink_to(bytes / size_of::<Piece>());
    }

    /// Appends the array or object at which the scanner stands; it is then behind it.
    pub(super) fn render(&mut self, scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Option<()> {
        self.used = true;
        self.frames.clear();
        self.members.clear();
        self.keys.clear();
        self.unsorted.clear();
        self.ordered.clear();
        let start = out.len();
        self.write(scanner, out)?;
        if !self.unsorted.is_empty() {
            self.put_in_order(start, out);
        }
        Some(())
    }

    fn write(&mut self, scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Option<()> {
        loop {
            match scanner.peek()? {
                bracket @ (b'{' | b'[') => {
                    self.open(bracket == b'{', out)?;
                    scanner.at += 1;
                    scanner.skip_space();
                    // The closing bracket's is the byte after the next.
                    if !matches!((bracket, scanner.peek()?), (b'{', b'}') | (b'[', b']')) {
                        self.key(scanner, out)?;
                        continue;
                    }
                }
                b'"' => {
                    scanner.at += 1;
                    self.text(scanner, out)?;
                }
                b'-' | b'0'..=b'9' => {
                    let start = scanner.at;
                    let canonical = number::scan(scanner)?;
                    let text = &scanner.text[start..scanner.at];
                    if canonical { out.extend_from_slice(text) } else { number::render(text, out)? }
                }
                _ => {
                    let start = scanner.at;
                    scanner.literal()?;
                    out.extend_from_slice(&scanner.text[start..scanner.at]);
                }
            }
            // A value has ended, and with it perhaps what is around it.
            loop {
                let Some(frame) = self.frames.last() else { return Some(()) };
                scanner.skip_space();
                if scanner.take(b',') {
                    self.end_member(out.len());
                    out.push(b',');
                    scanner.skip_space();
                    self.key(scanner, out)?;
                    break;
                }
                let bracket = if frame.is_object { b'}' } else { b']' };
                scanner.expect(bracket)?;
                self.end_member(out.len());
                out.push(bracket);
                self.close(out.len());
                if self.frames.is_empty() {
                    return Some(());
                }
            }
        }
    }

    fn open(&mut self, is_object: bool, out: &mut Vec<u8>) -> Option<()> {
        // The object that all of this is in is a level as well.
        if self.frames.len() + 1 >= MAX_DEPTH {
            return None;
        }
        let (first_member, first_key) = (self.members.len(), self.keys.len());
        self.frames.push(Frame { is_object, start: out.len(), first_member, first_key, ascending: true });
        out.push(if is_object { b'{' } else { b'[' });
        Some(())
    }

    /// The key of the innermost object's next member; nothing in an array.
    fn key(&mut self, scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Option<()> {
        let Some(frame) = self.frames.last_mut().filter(|frame| frame.is_object) else { return Some(()) };
        scanner.expect(b'"')?;
        let start = self.keys.len();
        string::decode(scanner, &mut self.keys)?;
        let key = (start, self.keys.len());
        if let [.., before] = &self.members[frame.first_member..] {
            frame.ascending &= self.keys[before.key.0..before.key.1] < self.keys[key.0..];
        }
        self.members.push(Member { key, start: out.len(), end: 0 });
        string::put_quoted(&self.keys[key.0..], out);
        scanner.skip_space();
        scanner.expect(b':')?;
        scanner.skip_space();
        out.push(b':');
        Some(())
    }

    fn text(&mut self, scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Option<()> {
        let start = scanner.at;
        if let Some(len) = scanner.plain_string() {
            string::put_quoted(&scanner.text[start..start + len], out);
        } else {
            self.draft.clear();
            string::decode(scanner, &mut self.draft)?;
            string::put_quoted(&self.draft, out);
        }
        Some(())
    }

    /// The innermost object's last member ends at `end`.
    fn end_member(&mut self, end: usize) {
        if let Some(frame) = self.frames.last()
            && let [.., member] = &mut self.members[frame.first_member..]
            && frame.is_object
        {
            member.end = end;
        }
    }

    fn close(&mut self, end: usize) {
        let frame = self.frames.pop().expect("a bracket closes what one opened");
        if !frame.ascending {
            let keys = &self.keys;
            let key = |member: &Member| &keys[member.key.0..member.key.1];
            let members = &mut self.members[frame.first_member..];
            // Stable, so that the last of equal keys is the last of the text: that one stays.
            members.sort_by(|a, b| key(a).cmp(key(b)));
            let from = self.ordered.len();
            for (index, member) in members.iter().enumerate() {
                if members.get(index + 1).is_none_or(|next| key(next) != key(member)) {
                    self.ordered.push((member.start, member.end));
                }
            }
            self.unsorted.push(Unsorted { start: frame.start, end, members: (from, self.ordered.len()) });
        }
        self.members.truncate(frame.first_member);
        self.keys.truncate(frame.first_key);
    }

    /// Writes again what was written from `start` on, each unsorted object by its ordered members.
    fn put_in_order(&mut self, start: usize, out: &mut Vec<u8>) {
        self.unsorted.sort_unstable_by_key(|object| object.start);
        self.draft.clear();
        self.pieces.clear();
        self.pieces.push(Piece::Written(start, out.len()));
        while let Some(piece) = self.pieces.pop() {
            let Piece::Written(from, to) = piece else {
                self.draft.push(b',');
                continue;
            };
            let next = self.unsorted.partition_point(|object| object.start < from);
            let Some(object) = self.unsorted.get(next).filter(|object| object.start < to) else {
                self.draft.extend_from_slice(&out[from..to]);
                continue;
            };
            self.draft.extend_from_slice(&out[from..=object.start]);
            // Last in, first out: what follows the members, then these from the last to the first.
            self.pieces.push(Piece::Written(object.end - 1, to));
            let members = &self.ordered[object.members.0..object.members.1];
            for (index, (from, to)) in members.iter().enumerate().rev() {
                self.pieces.push(Piece::Written(*from, *to));
                if index > 0 {
                    self.pieces.push(Piece::Comma);
                }
            }
        }
        out.truncate(start);
        out.extend_from_slice(&self.draft);
    }
}
