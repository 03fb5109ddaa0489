//! Endpoint URLs: `udp://host:port`, `tcp://host:port`, `stdout:`.

use std::fmt;
use std::net::Ipv6Addr;

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// One record a datagram.
    Udp { host: String, port: u16 },
    /// One record a line.
    Tcp { host: String, port: u16 },
    /// One record a line.
    Stdout,
}

/// What is wrong with an endpoint, and what would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("endpoint is empty: accepted are {ACCEPTED}")]
    Empty,
    #[error("endpoint {0:?} has no scheme: accepted are {ACCEPTED}")]
    NoScheme(String),
    #[error("endpoint {endpoint:?} has the unknown scheme {scheme:?}: accepted are {ACCEPTED}")]
    UnknownScheme { endpoint: String, scheme: String },
    #[error("endpoint {0:?} has no host: write {1}://host:port")]
    NoHost(String, &'static str),
    #[error("endpoint {endpoint:?} has the invalid host {host:?}: accepted are a name, an IPv4 address, or an IPv6 address in brackets, as in {scheme}://[::1]:12345")]
    InvalidHost { endpoint: String, host: String, scheme: &'static str },
    #[error("endpoint {0:?} has no port: write {1}://host:port, as in {1}://127.0.0.1:12345")]
    NoPort(String, &'static str),
    #[error("endpoint {endpoint:?} has the invalid port {port:?}: accepted are 1 to 65535")]
    InvalidPort { endpoint: String, port: String },
    #[error("endpoint {endpoint:?} has {rest:?} after the port: accepted is nothing, or a single \"/\"")]
    Trailing { endpoint: String, rest: String },
    #[error("endpoint {0:?} has something after \"stdout:\": accepted is nothing")]
    StdoutTrailing(String),
}

const ACCEPTED: &str = "udp://host:port, tcp://host:port and stdout:";

impl Endpoint {
    /// Reads an endpoint URL.
    ///
    /// # Errors
    /// Each names what would be accepted.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        if text.is_empty() {
            return Err(EndpointError::Empty);
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(EndpointError::NoScheme(text.to_owned()));
        };
        // Scheme names have no case (RFC 3986, section 3.1).
        match scheme.to_ascii_lowercase().as_str() {
            "stdout" if rest.is_empty() || rest == "//" => Ok(Self::Stdout),
            "stdout" => Err(EndpointError::StdoutTrailing(text.to_owned())),
            "udp" => authority(text, rest, "udp").map(|(host, port)| Self::Udp { host, port }),
            "tcp" => authority(text, rest, "tcp").map(|(host, port)| Self::Tcp { host, port }),
            _ if !rest.starts_with("//") => Err(EndpointError::NoScheme(text.to_owned())),
            _ => Err(EndpointError::UnknownScheme { endpoint: text.to_owned(), scheme: scheme.to_owned() }),
        }
    }
}

fn authority(text: &str, rest: &str, scheme: &'static str) -> Result<(String, u16), EndpointError> {
    let endpoint = || text.to_owned();
    let Some(rest) = rest.strip_prefix("//") else { return Err(EndpointError::NoHost(endpoint(), scheme)) };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if !matches!(path, "" | "/") {
        return Err(EndpointError::Trailing { endpoint: endpoint(), rest: path.to_owned() });
    }
    let invalid = |host: &str| EndpointError::InvalidHost { endpoint: endpoint(), host: host.to_owned(), scheme };
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or_else(|| invalid(authority))?;
        host.parse::<Ipv6Addr>().map_err(|_| invalid(host))?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(invalid(authority)),
        }
    } else {
        match authority.rsplit_once(':') {
            // An IPv6 address without brackets: where it ends and the port begins can't be known.
            Some((host, _)) if host.contains(':') => return Err(invalid(authority)),
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    if host.is_empty() {
        return Err(EndpointError::NoHost(endpoint(), scheme));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    if !host.bytes().all(is_name) {
        return Err(invalid(host));
    }
    let port = port.filter(|port| !port.is_empty()).ok_or_else(|| EndpointError::NoPort(endpoint(), scheme))?;
    let number = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse::<u16>().ok()).flatten();
    match number {
        Some(number) if number > 0 => Ok((host.to_owned(), number)),
        _ => Err(EndpointError::InvalidPort { endpoint: endpoint(), port: port.to_owned() }),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Stdout => return f.write_str("stdout:"),
            Self::Udp { host, port } => ("udp", host, port),
            Self::Tcp { host, port } => ("tcp", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted() {
        for (text, shown) in [
            ("udp://127.0.0.1:12345", "udp://127.0.0.1:12345"),
            ("udp://127.0.0.1:12345/", "udp://127.0.0.1:12345"),
            ("TCP://logs.example.com:5044", "tcp://logs.example.com:5044"),
            ("tcp://[::1]:5044/", "tcp://[::1]:5044"),
            ("tcp://my_host-1:1", "tcp://my_host-1:1"),
            ("stdout:", "stdout:"),
            ("stdout://", "stdout:"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), shown);
        }
        assert_eq!(Endpoint::parse("tcp://[::1]:5044"), Ok(Endpoint::Tcp { host: "::1".into(), port: 5044 }));
    }

    #[test]
    fn what_is_refused_says_what_would_be_accepted() {
        for (text, part) in [
            ("", "accepted are udp://host:port, tcp://host:port and stdout:"),
            ("localhost", "has no scheme: accepted are udp://host:port"),
            ("localhost:12345", "has no scheme"),
            ("127.0.0.1:12345", "has no scheme"),
            ("http://a:1", "unknown scheme \"http\": accepted are udp://host:port"),
            ("udp:127.0.0.1:1", "write udp://host:port"),
            ("udp://", "has no host: write udp://host:port"),
            ("tcp://:5044", "has no host"),
            ("tcp://host", "has no port: write tcp://host:port"),
            ("tcp://host:", "has no port"),
            ("tcp://[::1]", "has no port"),
            ("tcp://host:0", "invalid port \"0\": accepted are 1 to 65535"),
            ("tcp://host:65536", "invalid port"),
            ("tcp://host:+80", "invalid port"),
            ("tcp://::1:80", "IPv6 address in brackets"),
            ("tcp://[::g]:80", "invalid host"),
            ("tcp://[::1]80", "invalid host"),
            ("tcp://[::1:80", "invalid host"),
            ("tcp://user@host:80", "invalid host \"user@host\""),
            ("tcp://ho st:80", "invalid host"),
            ("tcp://host:80/path", "has \"/path\" after the port"),
            ("tcp://host:80?x=y", "has \"?x=y\" after the port"),
            ("stdout:file", "something after \"stdout:\""),
        ] {
            let error = Endpoint::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
