//! One line of a log file, whatever its format.

use std::borrow::Cow;

use super::{cri, docker_json};
use crate::record::Stream;
use crate::source::container::LogFormat;

/// A parsed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Nanoseconds since the epoch: when the runtime read it, a little after it was written.
    pub time_ns: i64,
    pub stream: Stream,
    /// The container's line goes on in the next record of the same stream: `text` ends in no newline.
    pub partial: bool,
    /// The bytes that the container wrote, with the newline unless `partial`.
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

/// Parses one line, given without its newline.
///
/// # Errors
/// [`LineError`] where the line is torn or of another format.
pub fn parse_line(format: LogFormat, line: &[u8]) -> Result<LogLine<'_>, LineError> {
    match format {
        LogFormat::Cri | LogFormat::K8sFile => cri::parse_line(line),
        LogFormat::DockerJson => docker_json::parse_line(line),
    }
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
