//! Where records go. Read from a URL by the configuration (`config/endpoint.rs`).

use std::fmt;

/// Where a destination sends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// One record a datagram.
    Udp { host: String, port: u16 },
    /// One record a line.
    Tcp { host: String, port: u16 },
    /// One record a line.
    Stdout,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Stdout => return f.write_str("stdout:"),
            Self::Udp { host, port } => ("udp", host, port),
            Self::Tcp { host, port } => ("tcp", host, port),
        };
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}
