//! What a viewer asks for, and what is said besides records.
//!
//! ```text
//! viewer                       Ringward
//! connects
//! {"show":"records",…}\n       {"msg":…}\n            a record, as destinations get it, or a listed origin
//!                              #{"at":{…}}\n          up to where sources have been shown, while it follows
//!                              #{"error":"…"}\n       what is wrong; then closes
//!                              #{"done":true}\n       that is all; then closes
//! ```
//!
//! A key that is unknown is an error: it may have been a filter. Limits: [`MAX_REQUEST`].

use serde::{Deserialize, Serialize};

use crate::record::OriginKind;
use crate::ring::Checkpoint;

/// Bytes of a request, its newline included.
pub const MAX_REQUEST: usize = 1 << 20;
/// What a line that is no record starts with.
pub const CONTROL: u8 = b'#';

/// What is to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Show {
    #[default]
    Records,
    /// Who wrote the records that are there, but for containers.
    Services,
    Containers,
}

/// Whose records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    #[default]
    All,
    Kernel,
    /// Containers of Kubernetes' pods.
    Pods,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    pub show: Show,
    pub whose: Whose,
    /// A service or a container, as [`super::name::Names`] knows it.
    pub origin: Option<String>,
    /// Also what comes, until the viewer goes away.
    pub follow: bool,
    /// Of what is there, only so many of the newest records.
    pub tail: Option<u64>,
    /// Nothing that was written before, in ns since the epoch.
    pub since_ns: Option<i64>,
    /// As syslog's severities: this one and what is more severe.
    pub level: Option<u8>,
    /// Text that the record's message or one of its fields holds.
    pub grep: Option<String>,
    /// Where records are looked at: `source`, before `process`; `ring`, behind it; or as a destination gets them, by its
    /// name. In the ring, where nothing is said.
    pub at: Option<String>,
    /// Up to where an earlier Ringward has shown the sources that are read again after a restart.
    pub after: Checkpoint,
}

/// What is said besides records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    At(Checkpoint),
    Error(String),
    Done(bool),
}

/// Who wrote records that the ring holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// As it may be asked for.
    pub id: String,
    pub kind: Kind,
    pub namespace: Option<String>,
    pub pod: Option<String>,
    pub container: Option<String>,
    /// How many the ring holds.
    pub records: u64,
    /// When the last one was written, in ns since the epoch.
    pub last_ns: i64,
    /// The beginning of its message.
    pub last: String,
}

/// [`OriginKind`], in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Kernel,
    Container,
    Process,
    Ringward,
    Service,
    File,
    Peer,
}

impl From<OriginKind> for Kind {
    fn from(kind: OriginKind) -> Self {
        match kind {
            OriginKind::Kernel => Self::Kernel,
            OriginKind::Container => Self::Container,
            OriginKind::Process => Self::Process,
            OriginKind::Ringward => Self::Ringward,
            OriginKind::Service => Self::Service,
            OriginKind::File => Self::File,
            OriginKind::Peer => Self::Peer,
        }
    }
}

impl Control {
    /// Its line.
    pub fn line(&self) -> Vec<u8> {
        let mut line = vec![CONTROL];
        // Text and numbers in a vector: there is nothing to fail.
        let _ = serde_json::to_writer(&mut line, self);
        line.push(b'\n');
        line
    }
}
