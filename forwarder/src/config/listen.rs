//! `listen`: raw → resolved.

use std::collections::BTreeMap;
use std::path::Path;

use super::endpoint::ListenEndpoint;
use super::error::Place;
use super::raw::{Listen, ParseChoice, Ring};
use super::resolve::{Check, GIB, KIB, MIB};
use super::resolved::ListenConfig;
use super::value::{Located, Name};

impl Check<'_> {
    pub(super) fn listen(&mut self, raw: Option<&Located<Vec<Located<Listen>>>>, ring: &Ring) -> Vec<ListenConfig> {
        let given = raw.map(|list| list.value.as_slice()).unwrap_or_default();
        let mut names: BTreeMap<String, &Place> = BTreeMap::new();
        let mut resolved: Vec<ListenConfig> = Vec::with_capacity(given.len());
        for listen in given {
            let Some(config) = self.listener(listen, ring) else { continue };
            // Any number of listeners may take any port that is free.
            let is_any = config.endpoint.takes_any_port();
            if !is_any && resolved.iter().any(|other| other.endpoint == config.endpoint) {
                self.add(listen, format!("listens on {}, like another one", config.endpoint), "each endpoint once");
            } else if let Some(first) = names.insert(config.name.clone(), &listen.place)
                && !(is_any && listen.value.name.is_none())
            {
                let what = format!("has the name `{}`, like the listener at {first}", config.name);
                self.add(
                    listen,
                    what,
                    "a different `name` for each (it is the endpoint, the program's name or `syslogd` where none is given)",
                );
            }
            resolved.push(config);
        }
        resolved
    }

    fn listener(&mut self, given: &Located<Listen>, ring: &Ring) -> Option<ListenConfig> {
        let raw = &given.value;
        let max_line = raw.max_line();
        let line_bytes = self.bytes(&max_line, KIB, 16 * MIB);
        let connections = raw.max_connections();
        self.range(&connections, 1, 1 << 16);
        // Less than one datagram of the largest size would never take that one.
        let buffer = raw.receive_buffer();
        let receive_buffer = self.bytes(&buffer, 64 * KIB, GIB);
        let Some(endpoint) = &raw.endpoint else {
            // A wrong endpoint was reported when it was read; only a missing one is news.
            if !self.reported(&given.place, &format!("{}.endpoint", given.key)) {
                self.add(given, "has no `endpoint`", ListenEndpoint::ACCEPTED);
            }
            return None;
        };
        let ring_bytes = ring.bytes();
        if max_line.value > ring_bytes.value && !self.reported(&max_line.place, &max_line.key) {
            let what = format!("`{}` is more than ring.bytes, which is {}", max_line.value, ring_bytes.value);
            let at = if max_line.place == Place::Default { given.with(max_line.value) } else { max_line };
            self.add(&at, what, format!("{} or less, or a larger ring.bytes", ring_bytes.value));
        }
        self.belongs(raw, &endpoint.value);
        let is_unix = matches!(endpoint.value, ListenEndpoint::Unix(_) | ListenEndpoint::UnixStream(_));
        let usual = if is_unix { ParseChoice::Syslog } else { ParseChoice::Auto };
        let parse = raw.parse.as_ref().map_or(usual, |parse| parse.value);
        let place = raw.parse.as_ref().map_or_else(|| given.with(parse), Clone::clone);
        let (pattern, time) = (raw.pattern.as_ref(), raw.time_format.as_ref());
        let pattern = self.described(&place, parse == ParseChoice::Regex, pattern, time);
        let multiline = self.multiline(raw.multiline.as_ref(), ring);
        if let Some(given) = &raw.multiline {
            if !endpoint.value.has_lines() {
                self.add(given, "a datagram is a record, with all its lines", "with tcp, exec and stdin");
            } else if parse == ParseChoice::JournalExport {
                self.add(given, "an entry of a journal is a record, with all its lines", "without `journal_export`");
            } else if matches!(parse, ParseChoice::Syslog | ParseChoice::TalosSyslog) {
                self.add(given, "each message of syslog says that it begins", "without `parse: syslog`");
            }
        }
        let name = match &raw.name {
            Some(name) => name.value.0.clone(),
            // As Talos calls it.
            None if parse == ParseChoice::TalosSyslog || is_dev_log(&endpoint.value, parse) => "syslogd".to_owned(),
            None => usual_name(&endpoint.value),
        };
        if parse == ParseChoice::JournalExport && !endpoint.value.has_lines() {
            self.add(&place, "entries of a journal come as a stream", "`journal_export` with tcp, exec and stdin");
        }
        if name.len() > Name::MAX_BYTES {
            self.add(endpoint, "is too long to be the listener's name as well", "with a `name` beside it");
        }
        Some(ListenConfig {
            endpoint: endpoint.value.clone(),
            name,
            parse,
            pattern,
            multiline,
            max_line: line_bytes,
            max_connections: connections.value as usize,
            receive_buffer,
            mode: raw.mode().value.0,
        })
    }

    /// What is said of a listener of another kind means nothing.
    fn belongs(&mut self, raw: &Listen, endpoint: &ListenEndpoint) {
        let (is_udp, connects, is_unix) = match endpoint {
            ListenEndpoint::Udp { .. } => (true, false, false),
            ListenEndpoint::Tcp { .. } => (false, true, false),
            ListenEndpoint::Unix(_) => (false, false, true),
            ListenEndpoint::UnixStream(_) => (false, true, true),
            ListenEndpoint::Exec(_) | ListenEndpoint::Stdin => (false, false, false),
        };
        let is_address = matches!(endpoint, ListenEndpoint::Udp { .. } | ListenEndpoint::Tcp { .. });
        if let Some(connections) = raw.max_connections.as_ref().filter(|_| !connects) {
            let what =
                if endpoint.has_lines() { "nobody connects to it" } else { "datagrams come without connections" };
            self.add(connections, what, "with tcp or unix-stream");
        }
        if let Some(buffer) = raw.receive_buffer.as_ref().filter(|_| !is_udp) {
            let whose = match endpoint {
                ListenEndpoint::Unix(_) => "a unix socket's",
                _ if connects => "a connection's",
                _ => "a pipe's",
            };
            self.add(buffer, format!("{whose} buffer is the kernel's affair: its sender waits"), "with udp");
        }
        if let Some(mode) = raw.mode.as_ref().filter(|_| !is_unix) {
            let what = if is_address { "an address has no file" } else { "it has no file" };
            self.add(mode, what, "with unix or unix-stream");
        }
    }
}

/// Whether this is where programs of this machine send syslog.
fn is_dev_log(endpoint: &ListenEndpoint, parse: ParseChoice) -> bool {
    let is_there = matches!(endpoint, ListenEndpoint::Unix(path) if path == Path::new("/dev/log"));
    is_there && parse == ParseChoice::Syslog
}

/// A listener's name where none is given.
fn usual_name(endpoint: &ListenEndpoint) -> String {
    match endpoint {
        ListenEndpoint::Stdin => "stdin".to_owned(),
        ListenEndpoint::Exec(words) => {
            let program = words.first().map(String::as_str).unwrap_or_default();
            program.rsplit('/').find(|part| !part.is_empty()).unwrap_or(program).to_owned()
        }
        other => other.to_string(),
    }
}
