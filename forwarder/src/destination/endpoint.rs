//! Where records go. Read from a URL by the configuration (`config/endpoint.rs`).

use std::fmt;
use std::path::PathBuf;

/// Where a destination sends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// One record a datagram.
    Udp { host: String, port: u16 },
    /// One record a line.
    Tcp { host: String, port: u16 },
    /// One record a line, to a program that listens on this unix stream socket.
    Unix(PathBuf),
    /// One record a line, to the standard input of a command that is started: its name or path, and its arguments.
    Exec(Vec<String>),
    /// One record a line.
    Stdout,
}

impl Endpoint {
    /// Whether what was sent can be sent again to the same receiver, so that a state is kept for it. Who reads stdout now
    /// is not who read it before.
    pub fn is_resumed(&self) -> bool {
        *self != Self::Stdout
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Stdout => return f.write_str("stdout:"),
            Self::Unix(path) => return write!(f, "unix://{}", path.display()),
            Self::Exec(words) => {
                let quoted = shlex::try_join(words.iter().map(String::as_str));
                return write!(f, "exec:{}", quoted.unwrap_or_else(|_| words.join(" ")));
            }
            Self::Udp { host, port } => ("udp", host, port),
            Self::Tcp { host, port } => ("tcp", host, port),
        };
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}
