//! The command line as configuration: each flag becomes what a file would have said, with the flag as its place.
//!
//! Flags hold text here; it is parsed by the same code as a file's, so that both accept and refuse the same.

use super::endpoint::ListenEndpoint;
use super::error::{Place, Problems};
use super::raw::{Capture, Destination, Files, ForAll, Kernel, Listen, Raw};
use super::suggest;
use super::units::Bytes;
use super::value::{Located, Value};
use super::yaml::Node;

/// What the command line says. Lists are added to what files say, the others replace it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--to`
    pub to: Vec<String>,
    /// `--listen`
    pub listen: Vec<String>,
    /// `--stdin`
    pub stdin: bool,
    /// `--tag`, each `KEY=VALUE`
    pub tags: Vec<String>,
    /// `--spill`
    pub spill: Option<String>,
    /// `--capture-hook`
    pub capture_hook: Option<String>,
    /// `--io`
    pub io: Option<String>,
    /// `--pid`
    pub pids: Vec<String>,
    /// `--cgroup`
    pub cgroups: Vec<String>,
    /// `--unit`
    pub units: Vec<String>,
    /// `--file`
    pub files: Vec<String>,
    /// `--no-kernel`
    pub no_kernel: bool,
    /// `--no-containers`
    pub no_containers: bool,
    /// `--state-dir`
    pub state_dir: Option<String>,
}

impl Overrides {
    /// The overrides as a document to lay over the files', and what holds for all destinations.
    pub(crate) fn read(&self, problems: &mut Problems) -> (Raw, ForAll) {
        let mut raw = Raw {
            state_dir: one("--state-dir", self.state_dir.as_ref(), problems),
            io: one("--io", self.io.as_ref(), problems),
            ..Raw::default()
        };
        let capture = Capture {
            hook: one("--capture-hook", self.capture_hook.as_ref(), problems),
            pids: list("--pid", &self.pids, problems),
            cgroups: list("--cgroup", &self.cgroups, problems),
            units: list("--unit", &self.units, problems),
            containers: self.no_containers.then(|| at("--no-containers", false)),
            ..Capture::default()
        };
        if capture != Capture::default() {
            raw.capture = Some(at("--capture-hook", capture));
        }
        if self.no_kernel {
            raw.kernel =
                Some(at("--no-kernel", Kernel { enabled: Some(at("--no-kernel", false)), ..Kernel::default() }));
        }
        if let Some(include) = list("--file", &self.files, problems) {
            let files = at("--file", Files { include: Some(include), ..Files::default() });
            raw.files = Some(at("--file", vec![files]));
        }
        if let Some(endpoints) = list("--to", &self.to, problems) {
            let destination = |endpoint| at("--to", Destination { endpoint: Some(endpoint), ..Destination::default() });
            raw.destinations = Some(at("--to", endpoints.value.into_iter().map(destination).collect()));
        }
        let mut endpoints = list("--listen", &self.listen, problems).map(|list| list.value).unwrap_or_default();
        if self.stdin {
            endpoints.push(at("--stdin", ListenEndpoint::Stdin));
        }
        if !endpoints.is_empty() {
            let listen = |endpoint| at("--listen", Listen { endpoint: Some(endpoint), ..Listen::default() });
            raw.listen = Some(at("--listen", endpoints.into_iter().map(listen).collect()));
        }
        let mut for_all = ForAll { spill: one::<Bytes>("--spill", self.spill.as_ref(), problems), ..ForAll::default() };
        for tag in &self.tags {
            self.tag(tag, &mut for_all, problems);
        }
        (raw, for_all)
    }

    fn tag(&self, tag: &str, for_all: &mut ForAll, problems: &mut Problems) {
        let shown = suggest::abbreviate(tag);
        let place = Place::Flag("--tag");
        let accepted = "KEY=VALUE, as server=s03-rack07";
        match tag.split_once('=') {
            None => problems.add(&place, "", format!("`{shown}` has no `=`"), accepted),
            Some(("", _)) => problems.add(&place, "", format!("`{shown}` has no key before the `=`"), accepted),
            Some((key, value)) => match for_all.tags.0.insert(key.to_owned(), value.to_owned()) {
                Some(earlier) if earlier != value => {
                    let what = format!("`{}` is given twice", suggest::abbreviate(key));
                    problems.add(&place, "", what, "each tag once");
                }
                _ => {}
            },
        }
    }
}

fn at<T>(flag: &'static str, value: T) -> Located<T> {
    Located { value, place: Place::Flag(flag), key: String::new() }
}

fn one<T: Value>(flag: &'static str, text: Option<&String>, problems: &mut Problems) -> Option<Located<T>> {
    Value::read(&Node::scalar(text?, Place::Flag(flag)), "", problems)
}

fn list<T: Value>(flag: &'static str, texts: &[String], problems: &mut Problems) -> Option<Located<Vec<Located<T>>>> {
    let items: Vec<_> = texts.iter().filter_map(|text| one(flag, Some(text), problems)).collect();
    (!items.is_empty()).then(|| at(flag, items))
}
