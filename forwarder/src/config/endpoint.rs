//! Where a destination sends: `udp://host:port`, `tcp://host:port`, `unix:///path`, `exec:command` or `stdout:`; and where a
//! listener listens.
//!
//! Only parsing: a name is looked up when a connection is made, every time, and when listening begins.

use std::path::PathBuf;

use super::suggest;
pub use crate::destination::Endpoint;
pub use crate::source::network::ListenEndpoint;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Udp,
    Tcp,
}

/// Why a text is not an endpoint. Each message quotes the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("the endpoint is empty")]
    Empty,
    #[error("`{endpoint}` has no scheme")]
    NoScheme { endpoint: String },
    #[error("`{endpoint}` has the unknown scheme `{scheme}`{hint}")]
    UnknownScheme { endpoint: String, scheme: String, hint: String },
    #[error("`{endpoint}` has no host")]
    NoHost { endpoint: String },
    #[error("`{endpoint}` has the host `{host}`, which can't be one")]
    BadHost { endpoint: String, host: String },
    #[error("`{endpoint}` has no port")]
    NoPort { endpoint: String },
    #[error("`{endpoint}` has the port `{port}`, which is not a number from {least} to 65535")]
    BadPort { endpoint: String, port: String, least: u16 },
    #[error("`{endpoint}` is no absolute path behind `{scheme}://`, of at most {UNIX_PATH_BYTES} bytes")]
    BadPath { endpoint: String, scheme: &'static str },
    #[error("`{endpoint}` names no command behind `exec:`, or has a quote that does not end")]
    BadCommand { endpoint: String },
    #[error("`{endpoint}` has `{rest}` behind its host and port")]
    Trailing { endpoint: String, rest: String },
}

/// Of the path of a unix socket, as the kernel takes it.
const UNIX_PATH_BYTES: usize = 107;

const SCHEMES: &[&str] = &["udp", "tcp", "unix", "exec", "stdout"];
const LISTEN_SCHEMES: &[&str] = &["udp", "tcp", "unix", "unix-stream", "exec", "stdin"];

impl Endpoint {
    /// Endpoints that connect.
    pub const URLS: &str = "udp://HOST:PORT or tcp://HOST:PORT (an IPv6 host in brackets, as tcp://[::1]:5044)";
    pub const ACCEPTED: &str = "udp://HOST:PORT, tcp://HOST:PORT, unix:///PATH, exec:COMMAND ARGUMENT... or stdout: (an IPv6 host in brackets, as tcp://[::1]:5044)";

    /// # Errors
    /// Where `text` is not an endpoint; what would be is in [`Endpoint::ACCEPTED`].
    pub fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        if text == "stdout:" {
            return Ok(Endpoint::Stdout);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path, "unix", text).map(Endpoint::Unix);
        }
        if let Some(command) = text.strip_prefix("exec:") {
            return command_words(command, text).map(Endpoint::Exec);
        }
        let (protocol, host, port) = parse_url(text, SCHEMES, 1)?;
        Ok(match protocol {
            Protocol::Udp => Endpoint::Udp { host, port },
            Protocol::Tcp => Endpoint::Tcp { host, port },
        })
    }
}

impl ListenEndpoint {
    pub const ACCEPTED: &str = "udp://ADDRESS:PORT, tcp://ADDRESS:PORT (0.0.0.0 is every address, [::] with IPv6; port 0 is any that is free), unix:///PATH, as unix:///dev/log, unix-stream:///PATH, exec:COMMAND ARGUMENT... or stdin:";

    /// # Errors
    /// Where `text` is none; what would be is in [`ListenEndpoint::ACCEPTED`].
    pub fn parse(text: &str) -> Result<ListenEndpoint, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path, "unix", text).map(ListenEndpoint::Unix);
        }
        if let Some(path) = text.strip_prefix("unix-stream:") {
            return unix_path(path, "unix-stream", text).map(ListenEndpoint::UnixStream);
        }
        if text == "stdin:" {
            return Ok(ListenEndpoint::Stdin);
        }
        if let Some(command) = text.strip_prefix("exec:") {
            return command_words(command, text).map(ListenEndpoint::Exec);
        }
        let (protocol, host, port) = parse_url(text, LISTEN_SCHEMES, 0)?;
        Ok(match protocol {
            Protocol::Udp => ListenEndpoint::Udp { host, port },
            Protocol::Tcp => ListenEndpoint::Tcp { host, port },
        })
    }
}

/// The path of `endpoint`, which has it behind its scheme: `///run/x` and `/run/x`.
fn unix_path(text: &str, scheme: &'static str, endpoint: &str) -> Result<PathBuf, EndpointError> {
    let path = text.strip_prefix("//").unwrap_or(text);
    let is_long = path.len() > UNIX_PATH_BYTES;
    let holds = path.starts_with('/') && !path.ends_with('/') && !is_long && !path.contains('\0');
    let bad_path = || EndpointError::BadPath { endpoint: suggest::abbreviate(endpoint), scheme };
    holds.then(|| path.into()).ok_or_else(bad_path)
}

/// Words as a shell would see them, quotes and backslashes included, and nothing else of a shell.
fn command_words(text: &str, endpoint: &str) -> Result<Vec<String>, EndpointError> {
    let holds = |words: &Vec<String>| words.first().is_some_and(|word| !word.is_empty()) && !text.contains('\0');
    let words = shlex::split(text).filter(holds);
    words.ok_or_else(|| EndpointError::BadCommand { endpoint: suggest::abbreviate(endpoint) })
}

/// Protocol, host and port of a URL with nothing else in it.
fn parse_url(text: &str, schemes: &[&str], least_port: u16) -> Result<(Protocol, String, u16), EndpointError> {
    let endpoint = suggest::abbreviate(text);
    if text.is_empty() {
        return Err(EndpointError::Empty);
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(EndpointError::NoScheme { endpoint });
    };
    let rest_of_scheme = rest.strip_prefix("//");
    let protocol = match (scheme, rest_of_scheme) {
        ("udp", Some(_)) => Protocol::Udp,
        ("tcp", Some(_)) => Protocol::Tcp,
        ("stdout", _) if schemes.contains(&"stdout") => {
            return Err(EndpointError::Trailing { endpoint, rest: suggest::abbreviate(rest) });
        }
        // `localhost:514` reads as the scheme `localhost`; what is missing is the scheme.
        (_, None) if scheme != "stdout" => return Err(EndpointError::NoScheme { endpoint }),
        (scheme, _) => {
            return Err(EndpointError::UnknownScheme {
                endpoint,
                scheme: suggest::abbreviate(scheme),
                hint: suggest::did_you_mean(scheme, schemes),
            });
        }
    };
    // Talos takes a slash at the end, and so do we; a path would be silently ignored.
    let authority = rest_of_scheme.unwrap_or_default();
    let (authority, path) = authority.split_at(authority.find(['/', '?', '#']).unwrap_or(authority.len()));
    if !matches!(path, "" | "/") {
        return Err(EndpointError::Trailing { endpoint, rest: suggest::abbreviate(path) });
    }
    let (host, port) = split_port(authority);
    if host.is_empty() {
        return Err(EndpointError::NoHost { endpoint });
    }
    let Some(host) = host_name(host) else {
        return Err(EndpointError::BadHost { endpoint, host: suggest::abbreviate(host) });
    };
    let port = match port {
        None | Some("") => return Err(EndpointError::NoPort { endpoint }),
        Some(port) => match port.parse::<u16>() {
            // `+514` parses as a number, too.
            Ok(number) if number >= least_port && !port.starts_with('+') => number,
            _ => {
                return Err(EndpointError::BadPort { endpoint, port: suggest::abbreviate(port), least: least_port });
            }
        },
    };
    Ok((protocol, host, port))
}

/// `[::1]:514` → `[::1]`, `514`.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[bracket..].rfind(':') {
        Some(at) => (&authority[..bracket + at], Some(&authority[bracket + at + 1..])),
        None => (authority, None),
    }
}

/// The host without brackets, if it can be a name or an address.
fn host_name(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address = inner.split_once('%').map_or(inner, |(address, _scope)| address);
        return address.parse::<std::net::Ipv6Addr>().ok().map(|_| inner.to_owned());
    }
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let label = |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    // A dot at the end says that nothing is to be added to the name.
    let labels = host.strip_suffix('.').unwrap_or(host);
    // No top-level domain is a number: what ends in one can only be an address.
    let number = labels.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    let holds = host.len() <= 253
        && host.chars().all(valid)
        && labels.split('.').all(label)
        && (!number || host.parse::<std::net::Ipv4Addr>().is_ok());
    holds.then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints() {
        let udp = |host: &str, port| Ok(Endpoint::Udp { host: host.into(), port });
        assert_eq!(Endpoint::parse("udp://127.0.0.1:12345"), udp("127.0.0.1", 12345));
        assert_eq!(Endpoint::parse("udp://127.0.0.1:12345/"), udp("127.0.0.1", 12345));
        assert_eq!(Endpoint::parse("udp://[fe80::1%eth0]:1"), udp("fe80::1%eth0", 1));
        assert_eq!(Endpoint::parse("tcp://logs.example.org:5044").unwrap().to_string(), "tcp://logs.example.org:5044");
        assert_eq!(Endpoint::parse("tcp://[::1]:5044").unwrap().to_string(), "tcp://[::1]:5044");
        assert_eq!(Endpoint::parse("udp://3com.example.:1"), udp("3com.example.", 1));
        assert_eq!(Endpoint::parse("stdout:"), Ok(Endpoint::Stdout));
        assert_eq!(Endpoint::parse("unix:///run/a b.sock"), Ok(Endpoint::Unix("/run/a b.sock".into())));
        assert_eq!(Endpoint::parse("unix:/run/s").unwrap().to_string(), "unix:///run/s");
        let exec = Endpoint::parse("exec:/bin/sh -c 'cat > \"$0\"' /tmp/x").unwrap();
        assert_eq!(exec, Endpoint::Exec(["/bin/sh", "-c", "cat > \"$0\"", "/tmp/x"].map(String::from).into()));
        assert_eq!(Endpoint::parse(&exec.to_string()), Ok(exec));
    }

    #[test]
    fn wrong_endpoints_say_what_is_wrong() {
        for (text, why) in [
            ("", "empty"),
            ("localhost", "no scheme"),
            ("localhost:514", "no scheme"),
            ("tpc://h:1", "unknown scheme `tpc` (did you mean `tcp`?)"),
            ("http://h:1", "unknown scheme `http`"),
            ("UDP://h:1", "(did you mean `udp`?)"),
            ("udp://:514", "no host"),
            ("udp://", "no host"),
            ("udp://h", "no port"),
            ("udp://h:", "no port"),
            ("udp://h:0", "port `0`"),
            ("udp://h:65536", "port `65536`"),
            ("udp://h:+1", "port `+1`"),
            ("udp://h:syslog", "port `syslog`"),
            ("udp://::1:514", "can't be one"),
            ("udp://[::1]", "no port"),
            ("udp://user@h:1", "can't be one"),
            ("udp://h h:1", "can't be one"),
            ("udp://-h:80", "can't be one"),
            ("udp://h-:80", "can't be one"),
            ("udp://h..h:80", "can't be one"),
            ("udp://.:80", "can't be one"),
            ("udp://255.255.255.256:80", "can't be one"),
            ("udp://1.2.3:80", "can't be one"),
            ("tcp://h:1/logs", "`/logs` behind"),
            ("tcp://h:1?x=y", "`?x=y` behind"),
            ("unix:", "no absolute path"),
            ("unix://run/x", "no absolute path"),
            ("unix:///", "no absolute path"),
            ("exec:", "no command"),
            ("exec:''", "no command"),
            ("exec:cat 'x", "no command"),
            ("exce:cat", "no scheme"),
            ("unx:///x", "(did you mean `unix`?)"),
            ("stdout", "no scheme"),
            ("stdout://x", "`//x` behind"),
        ] {
            let error = Endpoint::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn listeners() {
        for text in [
            "udp://0.0.0.0:5140",
            "tcp://[::]:0",
            "tcp://localhost:1",
            "udp://[fe80::1%eth0]:1",
            "unix:///dev/log",
            "stdin:",
            "exec:/bin/sh -c 'echo x'",
            "unix-stream:///s",
        ] {
            assert_eq!(ListenEndpoint::parse(text).unwrap().to_string(), text);
        }
        for (text, why) in [
            ("stdout:", "unknown scheme `stdout`"),
            ("upd://0.0.0.0:1", "(did you mean `udp`?)"),
            ("udp://:514", "no host"),
            ("udp://0.0.0.0", "no port"),
            ("udp://0.0.0.0:65536", "not a number from 0 to 65535"),
            ("0.0.0.0:5140", "no scheme"),
            ("tcp://0.0.0.0:1/x", "`/x` behind"),
            ("unix://dev/log", "no absolute path behind `unix://`, of at most 107 bytes"),
            ("unix:///", "no absolute path"),
            ("unix:///dev/", "no absolute path"),
            ("unix:", "no absolute path"),
            ("exec:", "no command"),
            ("stdin:x", "no scheme"),
            ("stdin", "no scheme"),
        ] {
            let error = ListenEndpoint::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_shown_so_that_it_parses_again(text in "(udp|tcp|unix|unix-stream|exec)?:?/{0,3}.{0,30}") {
            if let Ok(endpoint) = Endpoint::parse(&text) {
                prop_assert_eq!(Endpoint::parse(&endpoint.to_string()), Ok(endpoint));
            }
        }
    }
}
