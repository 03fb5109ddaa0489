//! What a listener has taken in.

use std::fmt;

use crate::observe::counters::Counter;

/// Of one listener, since the start.
#[derive(Debug, Default)]
pub struct ListenCounters {
    /// Handed on.
    pub records: Counter,
    /// Of lines and datagrams, as they came.
    pub bytes: Counter,
    /// TCP: accepted. Of a program: how often it was started.
    pub connections: Counter,
    /// Lines that were longer than the limit, or ended without a newline: handed on in parts.
    pub parts: Counter,
    /// Lines and datagrams with nothing in them.
    pub blank: Counter,
    /// UDP: datagrams that the kernel had no room for.
    pub lost: Counter,
    /// Ends of a program that is started again, and failures to start it.
    pub exits: Counter,
    /// Messages whose end was left out: longer than any should be or, as Talos takes them, than it reads.
    pub cut: Counter,
    /// Messages that Talos would drop, where they are taken as Talos does.
    pub discarded: Counter,
}

impl fmt::Display for ListenCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [records, bytes, parts] = [&self.records, &self.bytes, &self.parts].map(Counter::value);
        let [connections, blank, lost] = [&self.connections, &self.blank, &self.lost].map(Counter::value);
        let [cut, discarded] = [&self.cut, &self.discarded].map(Counter::value);
        write!(
            f,
            "{records} records ({parts} of them parts of lines) in {bytes} bytes, {blank} blank, {lost} lost by the \
             kernel; {connections} connections"
        )?;
        let exits = self.exits.value();
        if exits > 0 {
            write!(f, "; ended {exits} times")?;
        }
        if cut + discarded > 0 {
            write!(f, "; {cut} cut and {discarded} discarded")?;
        }
        Ok(())
    }
}
