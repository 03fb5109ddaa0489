//! A line of a container's log file, whichever runtime wrote it.

use std::borrow::Cow;

use crate::record::Stream;

/// A parsed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Nanoseconds since the epoch: when the runtime read it, a little after it was written.
    pub time_ns: i64,
    pub stream: Stream,
    /// The container's line goes on in the next line of the same stream.
    pub partial: bool,
    /// The bytes that the container wrote, without the newline that follows them unless `partial`.
    pub text: Cow<'a, [u8]>,
}

/// Why a line is none of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("can't read the log line: it has fewer fields than its format")]
    Short,
    #[error("can't read the log line: no RFC 3339 time")]
    Time,
    #[error("can't read the log line: the stream is neither stdout nor stderr")]
    Stream,
    #[error("can't read the log line: the tag is neither P nor F")]
    Tag,
    #[error("can't read the log line: no JSON object of Docker's json-file driver")]
    Json,
}

pub(super) fn parse_stream(text: &[u8]) -> Result<Stream, LineError> {
    match text {
        b"stdout" => Ok(Stream::Stdout),
        b"stderr" => Ok(Stream::Stderr),
        _ => Err(LineError::Stream),
    }
}

/// RFC 3339 with any zone and up to nine digits of a second.
pub(super) fn parse_time(text: &[u8]) -> Result<i64, LineError> {
    let text = std::str::from_utf8(text).map_err(|_| LineError::Time)?;
    let time: jiff::Timestamp = text.parse().map_err(|_| LineError::Time)?;
    i64::try_from(time.as_nanosecond()).map_err(|_| LineError::Time)
}
