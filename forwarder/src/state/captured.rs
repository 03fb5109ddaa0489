//! Where captured streams ended: a run that goes on finds these bytes in the containers' log files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::StateDir;

/// The last bytes of a stream that were handed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// In hexadecimal digits: they are any bytes.
    #[serde(with = "hexadecimal")]
    pub bytes: Vec<u8>,
    /// Before the first of them was written, and when the last of them was, ns since the epoch.
    pub from_ns: i64,
    pub last_ns: i64,
    /// For a run that finds its container ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<StreamLog>,
}

/// The log file of a stream, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamLog {
    pub path: PathBuf,
    pub format: StreamLogFormat,
    /// The text form of its [`crate::record::Origin`].
    #[serde(with = "hexadecimal")]
    pub origin: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamLogFormat {
    Cri,
    DockerJson,
    K8sFile,
}

impl StateDir {
    /// Takes what an earlier run that ended in order has left: it holds once.
    pub fn take_stream_ends(&self) -> BTreeMap<String, StreamEnd> {
        let mut content = self.content();
        let mut ends = std::mem::take(&mut content.stored.ended);
        ends.append(&mut content.stored.captured);
        content.changed |= !ends.is_empty();
        ends
    }

    /// Of these, streams whose containers have ended: they are read on from there, and by the next run again, unless this
    /// one says before that all of it was delivered.
    pub fn set_ended_streams(&self, ends: BTreeMap<String, StreamEnd>) {
        let mut content = self.content();
        content.changed |= content.stored.ended != ends;
        content.stored.ended = ends;
    }

    pub fn set_stream_ends(&self, ends: BTreeMap<String, StreamEnd>) {
        let mut content = self.content();
        content.changed |= content.stored.captured != ends;
        content.stored.captured = ends;
    }
}

mod hexadecimal {
    use std::fmt::Write;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(2 * bytes.len());
        bytes.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a String takes all"));
        serializer.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        bytes.ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}
