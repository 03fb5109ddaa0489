//! Joins the lines of one stream that belong together: what stands between framing and records.
//!
//! In: lines in order. Out: lines as they came, and groups of lines with a newline between each two. A group has the
//! time of its first line and the marks of all of them. Does no I/O and reads no clock: who owns it calls
//! [`Joiner::flush`] when nothing has followed for [`JoinOptions::timeout`].
//!
//! A group goes out when a line comes that is none of it, and when it has [`JoinOptions::max_lines`] or
//! [`JoinOptions::max_bytes`]: then what follows in it is the next group. A part of a line ends its group, which is marked
//! [`Flags::PARTIAL`] like the part, and the rest of the line begins the next one. So every byte that comes in goes out.

use std::sync::Arc;
use std::time::Duration;

use crate::parse::multiline::{Grouping, State, Step};
use crate::record::Flags;

/// A stream that had one long group must not keep its memory.
const KEEP: usize = 16 << 10;

/// Which lines are joined, and within which bounds.
#[derive(Debug)]
pub struct JoinOptions {
    pub grouping: Grouping,
    pub max_lines: usize,
    pub max_bytes: usize,
    /// A group goes out when nothing has followed for so long.
    pub timeout: Duration,
}

/// A line, or lines that were joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined<'a> {
    /// Of the first line.
    pub time_ns: i64,
    pub flags: Flags,
    pub body: &'a [u8],
    /// The line that came last is none of it.
    pub is_before: bool,
}

/// The open group of one stream.
pub struct Joiner {
    options: Arc<JoinOptions>,
    state: State,
    group: Group,
    /// What comes next goes on with a line of which a part went out, and is what that was.
    within: Option<Step>,
}

#[derive(Default)]
struct Group {
    text: Vec<u8>,
    lines: usize,
    time_ns: i64,
    flags: Flags,
}

impl Joiner {
    pub fn new(options: Arc<JoinOptions>) -> Self {
        Self { options, state: State::default(), group: Group::default(), within: None }
    }

    /// Whether lines wait for others.
    pub fn is_open(&self) -> bool {
        self.group.lines > 0
    }

    /// How long they may.
    pub fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// Bytes of the lines that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.group.text.len()
    }

    /// The next line of the stream.
    pub fn push(&mut self, time_ns: i64, flags: Flags, body: &[u8], out: &mut impl FnMut(Joined<'_>)) {
        let Self { options, state, group, within } = self;
        let step = match within.take() {
            Some(step) => step,
            None => options.grouping.step(state, body),
        };
        let is_part = flags.contains(Flags::PARTIAL);
        if is_part {
            *within = Some(if step == Step::Alone { Step::Alone } else { Step::Continues });
        }
        if step != Step::Continues || group.text.len() + 1 + body.len() > options.max_bytes {
            group.emit(true, out);
        }
        let may_wait = step != Step::Alone && !is_part && options.max_lines > 1 && body.len() < options.max_bytes;
        if group.lines == 0 && !may_wait {
            // Not copied.
            return out(Joined { time_ns, flags, body, is_before: false });
        }
        group.add(time_ns, flags, body);
        if !may_wait || group.lines >= options.max_lines || group.text.len() >= options.max_bytes {
            group.emit(false, out);
        }
    }

    /// Hands on what waits: nothing has followed for a while, something is missing here, or the stream has ended. What
    /// follows is looked at without regard to what was before.
    pub fn flush(&mut self, out: &mut impl FnMut(Joined<'_>)) {
        self.group.emit(true, out);
        self.state = State::default();
        self.within = None;
    }
}

impl Group {
    fn add(&mut self, time_ns: i64, flags: Flags, body: &[u8]) {
        if self.lines == 0 {
            (self.time_ns, self.flags) = (time_ns, flags);
        } else {
            self.text.push(b'\n');
            self.flags = self.flags | flags;
        }
        self.text.extend_from_slice(body);
        self.lines += 1;
    }

    fn emit(&mut self, is_before: bool, out: &mut impl FnMut(Joined<'_>)) {
        if self.lines == 0 {
            return;
        }
        out(Joined { time_ns: self.time_ns, flags: self.flags, body: &self.text, is_before });
        self.lines = 0;
        self.text.clear();
        self.text.shrink_to(KEEP);
    }
}

#[cfg(test)]
#[path = "joiner_tests.rs"]
mod tests;
