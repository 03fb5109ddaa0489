//! Where a listener listens. Read from a URL by the configuration (`config/endpoint.rs`).

use std::fmt;

/// How records come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// One record a datagram.
    Udp,
    /// One record a line.
    Tcp,
}

/// Address and port; port 0 is any that is free.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListenEndpoint {
    pub protocol: Protocol,
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

impl fmt::Display for ListenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, host, port } = self;
        if host.contains(':') {
            write!(f, "{protocol}://[{host}]:{port}")
        } else {
            write!(f, "{protocol}://{host}:{port}")
        }
    }
}
