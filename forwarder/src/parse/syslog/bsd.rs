//! RFC 3164, which describes what was sent in 2001, and what has been sent since.
//!
//! Which word is what is a guess, the same that other daemons make. A tag is a word that ends in `:` or has `[PID]`
//! behind it. What stands before a tag is the host; from another machine also where no tag follows, because there a
//! host has to be.

use super::{Read, Reader, Sender};
use crate::parse::stamp;

/// RFC 3164 has 32; systemd's units and Kubernetes' names are longer.
const MAX_TAG: usize = 256;
const MAX_PID: usize = 128;

/// What a tag says, as positions.
struct Tag {
    name_end: usize,
    pid: Option<(usize, usize)>,
    /// Where the text begins.
    end: usize,
}

impl Reader<'_> {
    /// What stands behind the priority, or at the beginning where there is none: then it takes a time to be a message.
    pub(super) fn bsd(&mut self, has_priority: bool) -> Option<Read> {
        self.skip(super::BYTE_ORDER_MARK);
        let before = self.at;
        self.skip(b" ");
        let from = self.at;
        let found = stamp::leading(self.rest(), self.now_ns);
        if found.is_none() && !has_priority {
            return None;
        }
        let mut time_ns = None;
        match found {
            Some((stamp, len)) => {
                time_ns = self.time(stamp, from, from + len);
                self.at += len;
                // Some routers have a colon here.
                self.skip(b":");
                self.skip(b" ");
                self.host();
            }
            // The space is the text's.
            None => self.at = before,
        }
        self.tag();
        Some(Read { time_ns, body: self.body() })
    }

    /// Takes the word that comes next, where that is the host.
    fn host(&mut self) {
        let (from, end) = (self.at, self.word_end());
        let is_host = from < end && self.line[from..end].iter().all(|byte| is_of_host(*byte));
        if !is_host || tag(self.line, from).is_some() {
            return;
        }
        let is_followed = end < self.line.len();
        let has_to_be = self.sender == Sender::Elsewhere;
        if tag(self.line, end + usize::from(is_followed)).is_some() || (has_to_be && is_followed) {
            self.keep("hostname", from, end);
            self.at = end + 1;
        }
    }

    fn tag(&mut self) {
        let Some(Tag { name_end, pid, end }) = tag(self.line, self.at) else { return };
        self.keep("app", self.at, name_end);
        if let Some((from, to)) = pid {
            self.keep("pid", from, to);
        }
        self.at = end;
    }
}

/// The tag that begins at `from`, if one does.
fn tag(line: &[u8], from: usize) -> Option<Tag> {
    let text = line.get(from..)?;
    let len = text.iter().take(MAX_TAG + 1).position(|byte| matches!(byte, 0..=b' ' | b'[' | b']' | b':' | b'"'))?;
    if len == 0 {
        return None;
    }
    let name_end = from + len;
    let mut pid = None;
    let mut end = name_end;
    if line[end] == b'[' {
        let inside = &line[end + 1..];
        let len = inside.iter().take(MAX_PID + 1).position(|byte| matches!(byte, 0..=b' ' | b'[' | b']'))?;
        if inside[len] != b']' {
            return None;
        }
        pid = Some((end + 1, end + 1 + len));
        end += len + 2;
    }
    let has_colon = line.get(end) == Some(&b':');
    end += usize::from(has_colon);
    // `12:30` and `http://` are none.
    let is_apart = matches!(line.get(end), None | Some(b' '));
    let is_tag = is_apart && (has_colon || pid.is_some());
    is_tag.then(|| Tag { name_end, pid, end: (end + 1).min(line.len()) })
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'/' | b'@' | b'%') || !byte.is_ascii()
}
