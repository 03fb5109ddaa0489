//! Bytes of a stream with their times.

/// Bytes with their times, in order. Without an allocation for each line: those of a long log need more than its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    bytes: Vec<u8>,
    /// The time and length of each, ns since the epoch and bytes.
    lines: Vec<(i64, usize)>,
}

impl Pieces {
    pub fn new(bytes: Vec<u8>, lines: Vec<(i64, usize)>) -> Self {
        Self { bytes, lines }
    }

    pub fn push(&mut self, time_ns: i64, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.lines.push((time_ns, bytes.len()));
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.lines.iter().map_while(move |(time_ns, length)| {
            let (line, after) = rest.split_at((*length).min(rest.len()));
            rest = after;
            (!line.is_empty()).then_some((*time_ns, line))
        })
    }

    /// Bytes in front of the first piece that is not older than `end_ns`.
    pub fn before(&self, end_ns: i64) -> usize {
        self.lines.iter().take_while(|(time, _)| *time < end_ns).map(|(_, length)| length).sum()
    }

    /// The first `length` bytes.
    pub fn prefix(mut self, length: usize) -> Self {
        self.bytes.truncate(length);
        self
    }

    /// All but the first `length` bytes.
    pub fn after(&self, length: usize) -> Self {
        let mut skip = length.min(self.bytes.len());
        let bytes = self.bytes[skip..].to_vec();
        let rest = self.lines.iter().filter_map(|(time_ns, line)| {
            let left = line.saturating_sub(skip);
            skip = skip.saturating_sub(*line);
            (left > 0).then_some((*time_ns, left))
        });
        Self { lines: rest.collect(), bytes }
    }

    /// Takes the first `length` bytes away.
    pub fn take(&mut self, length: usize) -> Self {
        let rest = self.after(length);
        std::mem::replace(self, rest).prefix(length)
    }
}
