//! RFC 5424: `VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA [SP MSG]`.
//!
//! Words may be longer than it allows, structured data may lack (text begins there then, as where it is broken), and
//! UTF-8 is not insisted on.

use super::{Read, Reader};
use crate::parse::stamp;

/// What stands between time and structured data.
const WORDS: [&str; 4] = ["hostname", "app", "pid", "msgid"];

impl Reader<'_> {
    /// The message that begins with its version; nothing where its header does not go on as it has to, with a time where
    /// there was no priority.
    pub(super) fn ietf(&mut self, has_priority: bool) -> Option<Read> {
        self.skip(b"1 ");
        let (from, to) = (self.at, self.word_end());
        let mut time_ns = None;
        if !has_priority || &self.line[from..to] != b"-" {
            let (stamp, len) = stamp::iso(self.rest())?;
            (from + len == to).then_some(())?;
            time_ns = self.time(stamp, from, to);
        }
        self.at = to;
        for key in WORDS {
            self.skip(b" ").then_some(())?;
            let (from, to) = (self.at, self.word_end());
            (from < to).then_some(())?;
            if &self.line[from..to] != b"-" {
                self.keep(key, from, to);
            }
            self.at = to;
        }
        // Nothing behind them is not what the RFC says, but no reason to take nothing from them.
        self.skip(b" ");
        if let Some(end) = self.structured_data() {
            self.at = end;
            self.skip(b" ");
        }
        Some(Read { time_ns, body: self.body() })
    }

    /// Where the structured data that begins here ends; its parameters are fields then.
    fn structured_data(&mut self) -> Option<usize> {
        let is_nil = self.takes(b"-") && matches!(self.line.get(self.at + 1), None | Some(b' '));
        if is_nil {
            return Some(self.at + 1);
        }
        super::structured::read(self.line, self.at, self.fields)
    }
}
