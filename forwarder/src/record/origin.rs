//! Who wrote a record: kernel, container and stream, service, file, peer on the network, or Ringward itself.
//!
//! An origin's constant fields are stored once a batch and rendered to JSON once a destination. The text form
//! is its identity: equal texts have equal [`OriginId`]s in every run of the program.
//!
//! ```text
//! kind u8 · stream u8 · attribute count u16 · name · source · (key · value) × count
//! each string: length u32 little-endian, then UTF-8
//! ```

use std::sync::Arc;

use super::validate::BatchError;

/// Stable hash of an origin's text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OriginId(pub u64);

/// What kind of writer an origin is; the encoders choose the schema by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OriginKind {
    Kernel = 0,
    Container = 1,
    /// A process, cgroup or unit that was selected by hand.
    Process = 2,
    /// Notices of the forwarder about itself, such as losses.
    Ringward = 3,
    Service = 4,
    File = 5,
    /// Whoever sends to a listener. What its objects say of themselves stands, whatever Ringward would say.
    Peer = 6,
}

impl OriginKind {
    /// The kind of an origin whose text form starts with `byte`.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Kernel,
            1 => Self::Container,
            2 => Self::Process,
            3 => Self::Ringward,
            4 => Self::Service,
            5 => Self::File,
            6 => Self::Peer,
            _ => return None,
        })
    }
}

/// Which stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stream {
    /// The origin has no streams.
    None = 0,
    Stdout = 1,
    Stderr = 2,
    /// A terminal: stdout and stderr are one.
    Tty = 3,
}

impl Stream {
    /// What LinuxKit puts behind a service's name for its standard output; its standard error has the bare name.
    pub const STDOUT_ENDING: &str = ".out";

    /// The value of the `stream` field, or `None` where there is none.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Stdout => Some("stdout"),
            Self::Stderr => Some("stderr"),
            Self::Tty => Some("tty"),
        }
    }
}

/// Who wrote a record, with the fields that all its records share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub kind: OriginKind,
    /// Name of the service or container; the value of `talos-service`.
    pub name: String,
    pub stream: Stream,
    /// Key of checkpoints for records of this origin; empty where the source can't be read again.
    pub source: String,
    /// Constant fields, sorted by key: `container`, `namespace`, `pod`, labels.
    pub attributes: Vec<(String, String)>,
}

impl Origin {
    /// An origin without a stream, attributes or a source that can be read again.
    pub fn new(kind: OriginKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), stream: Stream::None, source: String::new(), attributes: Vec::new() }
    }

    /// The name by which memlogd's clients know it: the kernel's is that of LinuxKit's `kmsg` service, standard output
    /// has an ending.
    pub fn memlogd_name(&self) -> String {
        match (self.kind, self.stream) {
            (OriginKind::Kernel, _) => "kmsg".to_owned(),
            (_, Stream::Stdout) => format!("{}{}", self.name, Stream::STDOUT_ENDING),
            _ => self.name.clone(),
        }
    }

    /// The text form, as described at the top of this file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.kind as u8, self.stream as u8];
        let count = u16::try_from(self.attributes.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        put_text(&mut out, &self.name);
        put_text(&mut out, &self.source);
        for (key, value) in self.attributes.iter().take(usize::from(count)) {
            put_text(&mut out, key);
            put_text(&mut out, value);
        }
        out
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`BatchError::Origin`] where the bytes are not exactly one origin.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut input = Input { bytes };
        let kind = OriginKind::from_byte(input.byte()?).ok_or(BatchError::Origin)?;
        let stream = match input.byte()? {
            0 => Stream::None,
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            3 => Stream::Tty,
            _ => return Err(BatchError::Origin),
        };
        let count = u16::from_le_bytes([input.byte()?, input.byte()?]);
        let name = input.text()?;
        let source = input.text()?;
        let mut attributes = Vec::new();
        for _ in 0..count {
            attributes.push((input.text()?, input.text()?));
        }
        if !input.bytes.is_empty() {
            return Err(BatchError::Origin);
        }
        Ok(Self { kind, name, stream, source, attributes })
    }
}

/// An origin that is ready to be put into batches: cheap to clone, encoded once.
#[derive(Clone, Debug)]
pub struct OriginHandle(Arc<Prepared>);

#[derive(Debug)]
struct Prepared {
    origin: Origin,
    text: Vec<u8>,
    id: OriginId,
}

impl OriginHandle {
    pub fn new(mut origin: Origin) -> Self {
        origin.attributes.sort();
        let text = origin.encode();
        let id = OriginId::of_text(&text);
        Self(Arc::new(Prepared { origin, text, id }))
    }

    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    #[inline]
    pub fn id(&self) -> OriginId {
        self.0.id
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.0.text
    }
}

impl OriginId {
    /// FNV-1a: short inputs, and stable for as long as stored batches live.
    pub fn of_text(text: &[u8]) -> Self {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(text.iter().fold(0xcbf2_9ce4_8422_2325, step))
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let len = u32::try_from(text.len()).expect("an origin's strings are short");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, BatchError> {
        let (first, rest) = self.bytes.split_first().ok_or(BatchError::Origin)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn text(&mut self) -> Result<String, BatchError> {
        let (len, rest) = self.bytes.split_first_chunk::<4>().ok_or(BatchError::Origin)?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or(BatchError::Origin)?;
        self.bytes = rest;
        String::from_utf8(text.to_vec()).map_err(|_| BatchError::Origin)
    }
}
