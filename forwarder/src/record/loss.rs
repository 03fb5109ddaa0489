//! The record that stands in the stream for what was lost.

use super::batch::{FieldValue, Record};
use super::builder::{BatchBuilder, RecordMeta};
use super::flags::Flags;
use super::level::Level;
use super::origin::OriginHandle;

/// How much is gone. Bytes where lines can't be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    Records(u64),
    Bytes(u64),
}

impl Lost {
    pub fn amount(self) -> u64 {
        match self {
            Self::Records(amount) | Self::Bytes(amount) => amount,
        }
    }
}

impl Record<'_> {
    /// What this record reports as lost, where it is a report.
    pub fn lost(&self) -> Option<Lost> {
        if !self.flags.contains(Flags::LOSS) {
            return None;
        }
        self.fields().find_map(|(key, value)| {
            let FieldValue::Json(digits) = value else { return None };
            let amount = std::str::from_utf8(digits).ok()?.parse().ok()?;
            match key {
                b"lost-records" => Some(Lost::Records(amount)),
                b"lost-bytes" => Some(Lost::Bytes(amount)),
                _ => None,
            }
        })
    }
}

impl BatchBuilder {
    /// Appends a record that says what was lost, where, and between which times (ns since the epoch).
    /// `place` completes the sentence "… were lost".
    pub fn push_loss(&mut self, origin: &OriginHandle, lost: Lost, place: &str, from_ns: i64, to_ns: i64) {
        let (key, amount, unit) = match lost {
            Lost::Records(amount) => ("lost-records", amount, "records"),
            Lost::Bytes(amount) => ("lost-bytes", amount, "bytes"),
        };
        let body = format!("{amount} {unit} were lost {place}");
        let meta = RecordMeta { level: Level::Warning, flags: Flags::LOSS, ..RecordMeta::line(to_ns, body.as_bytes()) };
        let time = |ns: i64| jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default().to_string();
        let (from, to) = (time(from_ns), time(to_ns));
        let fields = [
            (key, FieldValue::Integer(i64::try_from(amount).unwrap_or(i64::MAX))),
            ("lost-from", FieldValue::Text(from.as_bytes())),
            ("lost-to", FieldValue::Text(to.as_bytes())),
        ];
        self.push_with_fields(origin, meta, body.as_bytes(), &fields);
    }
}
