//! `max_record_bytes`: a size, or the name of a receiver whose limit is known.

use super::units::Bytes;
use super::value::Scalar;

/// How long an encoded record may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordLimit {
    Auto,
    /// Omni reads lines with a buffer of 4096 bytes, and closes the connection on a longer one.
    Omni,
    /// Fluent Bit's `tcp` and `udp` inputs have a buffer of 32 KiB, of which they fill all but the last byte.
    FluentBit,
    Given(Bytes),
}

impl RecordLimit {
    /// The limit in bytes; nothing for `auto`. A record has a newline behind it over TCP, which Fluent Bit passes over and
    /// need not hold.
    pub fn bytes(self, newline: bool) -> Option<Bytes> {
        match self {
            Self::Auto => None,
            Self::Omni => Some(Bytes(4096)),
            Self::FluentBit => Some(Bytes((32 << 10) - u64::from(!newline))),
            Self::Given(bytes) => Some(bytes),
        }
    }
}

impl Scalar for RecordLimit {
    fn accepted() -> String {
        format!("`auto`, `omni`, `fluent-bit`, or {}", Bytes::ACCEPTED)
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "omni" => Ok(Self::Omni),
            "fluent-bit" => Ok(Self::FluentBit),
            _ => Bytes::parse(text).map(Self::Given),
        }
    }
}
