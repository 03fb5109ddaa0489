//! URLs as Go's `net/url` takes them apart, as far as it matters for scheme, host, port and path.
//!
//! More lenient than [`Endpoint`](crate::config::Endpoint): what a URL may have besides scheme, host and port is for
//! whoever checks it.

use crate::config::suggest;
use crate::config::value::Scalar;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoUrl {
    /// As it was written.
    pub text: String,
    /// In small letters; empty where there is none.
    pub scheme: String,
    /// Without port and brackets, with its zone behind a `%`.
    pub host: String,
    /// Digits, or nothing.
    pub port: String,
    pub path: String,
}

impl GoUrl {
    /// # Errors
    /// Where Go could not parse it either.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = || suggest::abbreviate(text);
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err(format!("`{}` holds a control character", shown()));
        }
        let whole = text.split_once('#').map_or(text, |(url, _fragment)| url);
        let (scheme, rest) = scheme(whole).ok_or_else(|| format!("`{}` has no scheme before its colon", shown()))?;
        let rest = rest.split_once('?').map_or(rest, |(rest, _query)| rest);
        let mut url = Self {
            text: text.to_owned(),
            scheme: scheme.to_ascii_lowercase(),
            host: String::new(),
            port: String::new(),
            path: rest.to_owned(),
        };
        let Some(authority) = rest.strip_prefix("//") else {
            let first = rest.split('/').next().unwrap_or_default();
            if scheme.is_empty() && first.contains(':') {
                return Err(format!("`{}` has no scheme", shown()));
            }
            return Ok(url);
        };
        let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        url.path = path.to_owned();
        let host = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
        let (host, port) = match host.rfind(']').filter(|_| host.starts_with('[')) {
            Some(end) => host.split_at(end + 1),
            None if host.starts_with('[') => return Err(format!("`{}` lacks a `]` behind its host", shown())),
            None => host.split_at(host.rfind(':').unwrap_or(host.len())),
        };
        let digits = port.strip_prefix(':').unwrap_or(port);
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) || (port.len() == digits.len() && !port.is_empty()) {
            return Err(format!("`{}` has the port `{}`, which is not a number", shown(), suggest::abbreviate(port)));
        }
        url.port = digits.to_owned();
        // In a URL the percent sign before a zone is written `%25`.
        url.host = host.trim_start_matches('[').trim_end_matches(']').replacen("%25", "%", 1);
        Ok(url)
    }

    pub fn has_known_scheme(&self) -> bool {
        matches!(self.scheme.as_str(), "tcp" | "udp")
    }

    /// `SCHEME://HOST:PORT`, without a port where there is none. Go connects to this machine where there is no host.
    pub fn address(&self) -> String {
        let Self { scheme, host, port, .. } = self;
        let host = match host.as_str() {
            "" => "localhost".to_owned(),
            host if host.contains(':') => format!("[{host}]"),
            host => host.to_owned(),
        };
        if port.is_empty() { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
    }
}

/// Scheme and what follows its colon. What can't be a scheme is a path; nothing before a colon is nothing at all.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let end = text.bytes().position(|byte| !is_of_scheme(byte)).unwrap_or(text.len());
    match text.as_bytes().get(end) {
        Some(b':') if end == 0 => None,
        Some(b':') if text.as_bytes()[0].is_ascii_alphabetic() => Some((&text[..end], &text[end + 1..])),
        _ => Some(("", text)),
    }
}

impl Scalar for GoUrl {
    fn accepted() -> String {
        crate::config::Endpoint::URLS.into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        GoUrl::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Go 1.26's `url.Parse` says of these.
    #[test]
    fn parts_as_go_finds_them() {
        for (text, scheme, host, port, path) in [
            ("tcp://host:5044/", "tcp", "host", "5044", "/"),
            ("UDP://127.0.0.1:12345", "udp", "127.0.0.1", "12345", ""),
            ("tcp://[fdae:41e4:649b:9303::1]:8092", "tcp", "fdae:41e4:649b:9303::1", "8092", ""),
            ("udp://[fe80::1%25eth0]:1", "udp", "fe80::1%eth0", "1", ""),
            ("tcp://user:password@host:1/a/b?x=y#z", "tcp", "host", "1", "/a/b"),
            ("tcp://host", "tcp", "host", "", ""),
            ("tcp://host:", "tcp", "host", "", ""),
            ("tcp://:5044", "tcp", "", "5044", ""),
            ("tcp:///x", "tcp", "", "", "/x"),
            ("localhost:514", "localhost", "", "", "514"),
            ("host", "", "", "", "host"),
            ("", "", "", "", ""),
        ] {
            let url = GoUrl::parse(text).unwrap_or_else(|what| panic!("{text}: {what}"));
            let parts = [&url.scheme, &url.host, &url.port, &url.path].map(String::as_str);
            assert_eq!(parts, [scheme, host, port, path], "{text}");
        }
        for text in [":514", "1.2.3.4:514", "tcp://h:abc", "tcp://[::1:5", "tcp://[::1]5", "tcp://a\nb:1"] {
            assert!(GoUrl::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(tcp|udp)?:?/{0,3}[\\[\\]@:%#?/a-z0-9é]{0,20}") {
            let _ = GoUrl::parse(&text).map(|url| url.address());
        }
    }
}
