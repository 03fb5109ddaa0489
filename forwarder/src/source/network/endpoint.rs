//! Where a listener listens. Read from a URL by the configuration (`config/endpoint.rs`).

use std::fmt;
use std::path::PathBuf;

/// How records come in, and where. Port 0 is any that is free.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenEndpoint {
    /// One record a datagram.
    Udp { host: String, port: u16 },
    /// One record a line.
    Tcp { host: String, port: u16 },
    /// One record a datagram, as to /dev/log.
    Unix(PathBuf),
    /// One record a line, printed by a program that is started: its name or path, and its arguments.
    Exec(Vec<String>),
    /// One record a line of standard input. Its end is the end of the run.
    Stdin,
    /// One record a line, by connections to a unix socket.
    UnixStream(PathBuf),
}

impl ListenEndpoint {
    /// Whether lines come, and not datagrams.
    pub fn has_lines(&self) -> bool {
        !matches!(self, Self::Udp { .. } | Self::Unix(_))
    }

    /// Whether the port is chosen by the kernel.
    pub fn takes_any_port(&self) -> bool {
        matches!(self, Self::Udp { port: 0, .. } | Self::Tcp { port: 0, .. })
    }
}

impl fmt::Display for ListenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Udp { host, port } => ("udp", host, port),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Stdin => return f.write_str("stdin:"),
            Self::Exec(words) => {
                let quoted = shlex::try_join(words.iter().map(String::as_str));
                return write!(f, "exec:{}", quoted.unwrap_or_else(|_| words.join(" ")));
            }
            Self::Unix(path) => return write!(f, "unix://{}", path.display()),
            Self::UnixStream(path) => return write!(f, "unix-stream://{}", path.display()),
        };
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}
