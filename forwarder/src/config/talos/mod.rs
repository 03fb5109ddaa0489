//! Documents of Talos Linux, as they stand in a machine's configuration, → destinations.
//!
//! ```text
//!  machine:                                 apiVersion: v1alpha1        /proc/cmdline
//!    logging:                               kind: KmsgLogConfig         talos.logging.kernel=tcp://host:5044
//!      destinations:                        name: remote-log
//!        - endpoint: udp://127.0.0.1:12345  url: tcp://host:5044
//!          format: json_lines
//!             │                                   │                         │
//!             └── all but the kernel's records ───┴─ the kernel's records ──┘
//! ```
//!
//! In: parsed documents. Out: raw destinations, and what is left for Ringward's own schema. A document with `kind` is one of
//! Talos' (or Kubernetes'); one with `machine`, `cluster` or `version: v1alpha1` is a machine's configuration, which may
//! have Ringward's own keys beside Talos'. Of a machine's configuration only `machine.logging` is read, of the others only
//! `KmsgLogConfig`; what is ignored is told to who asks. What is read is checked as Talos does, with its words.
//!
//! Refused beyond that is what Talos takes and then never delivers to: an endpoint without a port, a host that can't be one.

mod documents;
mod url;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::document::join;
use super::endpoint::Endpoint;
use super::error::{Place, Problems};
use super::raw::{Destination, Raw, RecordsChoice};
use super::suggest;
use super::value::{Auto, Located, Name, Scalar, Tags, Value};
use super::yaml::{Entry, Kind, Node};
use documents::{KmsgLog, Logging, LoggingDestination};
use url::GoUrl;

/// The top-level keys of a machine's configuration.
const MACHINE_KEYS: [&str; 5] = ["version", "debug", "persist", "machine", "cluster"];
const KMSG_LOG: &str = "KmsgLogConfig";
const API_VERSION: &str = "v1alpha1";
/// The kernel's command line, and the argument there. The argument names the destination, too.
const CMDLINE: &str = "/proc/cmdline";
const ARGUMENT: &str = "talos.logging.kernel";

/// What the documents of all files say.
#[derive(Default)]
pub(super) struct TalosDocuments {
    services: Vec<Located<Destination>>,
    kernel: Vec<KernelDestination>,
    /// Whether there was a document of Talos' that is read.
    found: bool,
    /// Place and key of what is ignored.
    pub(super) ignored: Vec<String>,
    pub(super) warnings: Vec<String>,
}

struct KernelDestination {
    destination: Located<Destination>,
    url: String,
}

impl TalosDocuments {
    /// Takes what is Talos' in a document; what is left for Ringward's own schema, if anything.
    pub(super) fn take(&mut self, document: Node, problems: &mut Problems) -> Option<Node> {
        let Kind::Map(entries) = &document.kind else { return Some(document) };
        let problems = &mut Found { known: problems.0.len(), problems };
        if let Some(kind) = entry(entries, "kind") {
            self.api_document(&document, entries, kind, problems);
            return None;
        }
        if !is_machine(entries) {
            return Some(document);
        }
        self.found = true;
        let mut own = Vec::new();
        let mut unknown = Vec::new();
        for entry in entries {
            match entry.key.as_str() {
                "machine" => self.machine(&entry.value, problems),
                key if MACHINE_KEYS.contains(&key) => self.ignore(&entry.place, key),
                key if Raw::KEYS.contains(&key) => own.push(entry.clone()),
                _ => unknown.push(entry.clone()),
            }
        }
        if own.is_empty() {
            unknown.iter().for_each(|entry| self.ignore(&entry.place, &suggest::abbreviate(&entry.key)));
            return None;
        }
        // Where somebody writes Ringward's keys, one that is nobody's is a mistake.
        own.extend(unknown);
        Some(Node { place: document.place, kind: Kind::Map(own) })
    }

    fn ignore(&mut self, place: &Place, key: &str) {
        self.ignored.push(format!("{place}: {key}"));
    }

    fn api_document(&mut self, document: &Node, entries: &[Entry], kind: &Entry, problems: &mut Found<'_>) {
        let name = match &kind.value.kind {
            Kind::Scalar(name) => name.as_str(),
            _ => "",
        };
        if name != KMSG_LOG {
            let shown = suggest::abbreviate(name);
            self.ignore(&document.place, &format!("kind {shown}"));
            if suggest::nearest(name, &[KMSG_LOG]).is_some() {
                let place = &kind.value.place;
                self.warnings.push(format!("{place}: the kind `{shown}` is ignored (did you mean `{KMSG_LOG}`?)"));
            }
            return;
        }
        self.found = true;
        if entry(entries, "apiVersion").is_none_or(|entry| entry.value.is_null()) {
            problems.add(&document.place, KMSG_LOG, "has no `apiVersion`", format!("`{API_VERSION}`"));
        }
        let Some(read) = Located::<KmsgLog>::read(document, KMSG_LOG, problems.problems) else { return };
        if let Some(version) = read.value.api_version.as_ref().filter(|version| version.value != API_VERSION) {
            let what = format!("`{}` is unknown", suggest::abbreviate(&version.value));
            problems.add(&version.place, &version.key, what, format!("`{API_VERSION}`"));
        }
        self.kernel.extend(kmsg_log(&read, problems));
    }

    fn machine(&mut self, machine: &Node, problems: &mut Found<'_>) {
        let entries = match &machine.kind {
            Kind::Null => return,
            Kind::Map(entries) => entries,
            _ => {
                problems.add(&machine.place, "machine", format!("is {}", machine.noun()), "a mapping");
                return;
            }
        };
        for entry in entries {
            let path = join("machine", &suggest::abbreviate(&entry.key));
            if entry.key != "logging" {
                self.ignore(&entry.place, &path);
            } else if !entry.value.is_null()
                && let Some(logging) = Logging::read(&entry.value, &path, problems.problems)
                && let Some(destinations) = logging.destinations
            {
                self.services.extend(destinations.value.iter().filter_map(|given| service(given, problems)));
            }
        }
    }

    /// Adds the destinations to those that Ringward's own documents have. `cmdline` is the kernel's command line.
    pub(super) fn add_to(self, raw: &mut Raw, cmdline: &str, problems: &mut Problems) {
        let wanted = raw.talos.as_ref().map(|talos| talos.value.cmdline().value).unwrap_or(Auto::Auto);
        let reads = match wanted {
            Auto::Auto => self.found,
            Auto::Given(wanted) => wanted,
        };
        let argument = if reads { argument(cmdline) } else { None };
        let problems = &mut Found { known: problems.0.len(), problems };
        let mut destinations = numbered(self.services);
        destinations.extend(argument.and_then(|url| of_command_line(url, problems)));
        let others = self.kernel.into_iter().filter(|kernel| argument != Some(kernel.url.as_str()));
        destinations.extend(others.map(|kernel| kernel.destination));
        if destinations.is_empty() {
            return;
        }
        match &mut raw.destinations {
            Some(own) => own.value.extend(destinations),
            None => raw.destinations = Some(Located::default_of(destinations)),
        }
    }
}

fn entry<'e>(entries: &'e [Entry], key: &str) -> Option<&'e Entry> {
    entries.iter().find(|entry| entry.key == key)
}

/// `debug` and `persist` alone say nothing of Talos.
fn is_machine(entries: &[Entry]) -> bool {
    let version = |entry: &Entry| entry.key == "version" && entry.value.kind == Kind::Scalar(API_VERSION.into());
    entries.iter().any(|entry| matches!(entry.key.as_str(), "machine" | "cluster") || version(entry))
}

/// An item of `machine.logging.destinations`.
fn service(given: &Located<LoggingDestination>, problems: &mut Found<'_>) -> Option<Located<Destination>> {
    let raw = &given.value;
    let before = problems.count();
    let endpoint = match &raw.endpoint {
        None if problems.has(&join(&given.key, "endpoint")) => None,
        None => {
            problems.add(&given.place, &join(&given.key, "endpoint"), "empty logging endpoint", Endpoint::URLS);
            None
        }
        Some(url) => {
            let mut say = |what: String| problems.add(&url.place, &url.key, what, Endpoint::URLS);
            if url.value.host.is_empty() {
                say("empty logging endpoint's host".into());
            }
            if !url.value.has_known_scheme() {
                say(format!("unexpected logging endpoint scheme {:?}", suggest::abbreviate(&url.value.scheme)));
            }
            if problems.count() == before { endpoint(url, problems) } else { None }
        }
    };
    let format = raw.format.as_ref().map_or("", |format| format.value.as_str());
    if format != "json_lines" && !problems.has(&join(&given.key, "format")) {
        let place = raw.format.as_ref().map_or(&given.place, |format| &format.place);
        let what = format!("unknown logging format {:?}", suggest::abbreviate(format));
        problems.add(place, &join(&given.key, "format"), what, "`json_lines`");
    }
    let destination = Destination {
        endpoint: Some(endpoint?),
        // Talos adds them as they stand.
        extra_tags: raw.extra_tags.as_ref().map(|tags| tags.with(verbatim(&tags.value))),
        records: Some(given.with(RecordsChoice::Services)),
        ..Destination::default()
    };
    (problems.count() == before).then(|| given.with(destination))
}

/// What a `KmsgLogConfig` says.
fn kmsg_log(given: &Located<KmsgLog>, problems: &mut Found<'_>) -> Option<KernelDestination> {
    let KmsgLog { name, url, .. } = &given.value;
    let before = problems.count();
    let name = match name.as_ref().filter(|name| !name.value.is_empty()) {
        None => {
            if !problems.has(&join(&given.key, "name")) {
                problems.add(&given.place, &join(&given.key, "name"), "name is required", <Name as Scalar>::accepted());
            }
            None
        }
        Some(name) => {
            let parsed = Name::parse(&name.value).map(|parsed| name.with(parsed));
            parsed.map_err(|what| problems.add(&name.place, &name.key, what, <Name as Scalar>::accepted())).ok()
        }
    };
    let Some(url) = url else {
        if !problems.has(&join(&given.key, "url")) {
            problems.add(&given.place, &join(&given.key, "url"), "url is required", Endpoint::URLS);
        }
        return None;
    };
    let endpoint = kernel_endpoint(url, true, problems);
    let destination = kernel_destination(given, name?, endpoint?);
    (problems.count() == before).then(|| KernelDestination { destination, url: url.value.text.clone() })
}

/// What the kernel's command line says.
fn of_command_line(url: &str, problems: &mut Found<'_>) -> Option<Located<Destination>> {
    let place = Place::File(Arc::from(CMDLINE));
    let given = Located { value: (), place, key: ARGUMENT.to_owned() };
    let name = Name::parse(ARGUMENT).expect("it is short and printable");
    match GoUrl::parse(url) {
        // Here Talos ignores a path.
        Ok(url) => {
            let endpoint = kernel_endpoint(&given.with(url), false, problems)?;
            Some(kernel_destination(&given, given.with(name), endpoint))
        }
        Err(what) => {
            problems.add(&given.place, &given.key, what, accepted(ARGUMENT));
            None
        }
    }
}

/// What a URL may be, and of the command line, which is not easily changed, how it is left alone.
fn accepted(key: &str) -> String {
    let else_ignored = if key == ARGUMENT { "; `talos: {cmdline: false}` ignores it" } else { "" };
    format!("{}{else_ignored}", Endpoint::URLS)
}

fn kernel_destination<T>(given: &Located<T>, name: Located<Name>, endpoint: Located<Endpoint>) -> Located<Destination> {
    given.with(Destination {
        endpoint: Some(endpoint),
        name: Some(name),
        records: Some(given.with(RecordsChoice::Kernel)),
        ..Destination::default()
    })
}

/// The endpoint of a kernel destination, checked by Talos' rules: the first that does not hold is said.
fn kernel_endpoint(url: &Located<GoUrl>, checks_path: bool, problems: &mut Found<'_>) -> Option<Located<Endpoint>> {
    let given = &url.value;
    let what = if !given.has_known_scheme() {
        "url scheme must be tcp:// or udp://"
    } else if checks_path && !matches!(given.path.as_str(), "" | "/") {
        "url path must be empty"
    } else if given.port.is_empty() {
        "url port is required"
    } else {
        return endpoint(url, problems);
    };
    problems.add(&url.place, &url.key, what, accepted(&url.key));
    None
}

/// Scheme, host and port of a URL whose scheme is known; what else it has is ignored, as by Talos.
fn endpoint(url: &Located<GoUrl>, problems: &mut Found<'_>) -> Option<Located<Endpoint>> {
    let parsed = Endpoint::parse(&url.value.address()).map(|endpoint| url.with(endpoint));
    parsed.map_err(|error| problems.add(&url.place, &url.key, error.to_string(), accepted(&url.key))).ok()
}

/// Destinations without names of their own, of which Talos allows several with one endpoint.
fn numbered(mut destinations: Vec<Located<Destination>>) -> Vec<Located<Destination>> {
    let endpoint = |one: &Located<Destination>| one.value.endpoint.as_ref().map(|endpoint| endpoint.value.clone());
    let endpoints: Vec<_> = destinations.iter().map(endpoint).collect();
    for (at, destination) in destinations.iter_mut().enumerate() {
        let same = endpoints[..at].iter().filter(|earlier| **earlier == endpoints[at]).count();
        if same > 0
            && let Some(endpoint) = &destination.value.endpoint
        {
            let name = Name(format!("{}#{}", endpoint.value, same + 1));
            destination.value.name = Some(endpoint.with(name));
        }
    }
    destinations
}

/// Tags in which nothing is replaced.
fn verbatim(tags: &Tags) -> Tags {
    Tags(tags.0.iter().map(|(key, value)| (key.clone(), super::template::escape(value))).collect())
}

/// The argument of the kernel's command line: words are not quoted, and the first one holds.
fn argument(cmdline: &str) -> Option<&str> {
    let words = cmdline.split_ascii_whitespace();
    words.filter_map(|word| word.split_once('=')).find(|(key, _)| *key == ARGUMENT).map(|(_, url)| url)
}

/// The problems, of which the first `known` are of other documents, where a key may have the same path.
struct Found<'p> {
    problems: &'p mut Problems,
    known: usize,
}

impl Found<'_> {
    fn add(&mut self, place: &Place, key: &str, what: impl Into<String>, accepted: impl Into<String>) {
        self.problems.add(place, key, what, accepted);
    }

    fn count(&self) -> usize {
        self.problems.0.len()
    }

    /// Whether a key was wrong when it was read.
    fn has(&self, key: &str) -> bool {
        self.problems.0[self.known..].iter().any(|problem| problem.key == key)
    }
}
