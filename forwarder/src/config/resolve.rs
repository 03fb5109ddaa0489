//! Raw → resolved: defaults, bounds, and what must hold between keys.
//!
//! Every check adds to the problems and goes on. The bounds are here, each with its reason where it has one.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Place, Problems};
use super::host::Host;
use super::pattern::{LinesConfig, Pattern, TimeText};
use super::raw::{
    Capture, CaptureFrom, CaptureParse, Docker, FileFormat, Files, ForAll, Kernel, Memlogd, Raw, ReadFrom, Ring, View,
};
use super::resolved::{
    CaptureConfig, DockerConfig, FilesConfig, KernelConfig, MemlogdConfig, ResolvedConfig, RingConfig, ViewConfig,
};
use super::units::{Bytes, Period};
use super::value::{Limit, Located};
use crate::source::file::Glob;

/// `sun_path` of a unix socket's address, less its end.
const MAX_SOCKET_PATH: usize = 107;
/// The view's socket, in the state directory.
const SOCKET_FILE: &str = "ringward.sock";

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

/// What of the process's environment means something to a configuration.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `$STATE_DIRECTORY`: set by systemd for `StateDirectory=`, several are separated by colons.
    pub state_directory: Option<String>,
    /// The kernel's command line.
    pub cmdline: String,
    /// What templates are replaced by.
    pub host: Host,
}

impl Environment {
    pub fn of_process() -> Environment {
        Environment {
            state_directory: std::env::var("STATE_DIRECTORY").ok(),
            // Where it can't be read nothing was said there.
            cmdline: String::from_utf8_lossy(&std::fs::read("/proc/cmdline").unwrap_or_default()).into_owned(),
            host: Host::default(),
        }
    }
}

/// # Errors
/// Where the kubelet and Docker keep what containers print.
const CONTAINER_LOGS: [&str; 2] = ["/var/log/pods/*/*/*.log", "/var/lib/docker/containers/*/*-json.log"];

/// Everything that does not hold.
pub fn resolve(
    raw: Raw,
    for_all: &ForAll,
    environment: &Environment,
    mut problems: Problems,
) -> Result<ResolvedConfig, Problems> {
    let mut check = Check { problems: &mut problems, host: &environment.host };
    let state_dir = check.state_dir(&raw, environment);
    let (raw_capture, raw_ring) = (value_of(&raw.capture), value_of(&raw.ring));
    let capture = check.capture(&raw_capture, &raw_ring);
    let ring = check.ring(&raw_ring);
    check.a_line_fits_the_ring("capture.max_line", &raw_capture.max_line(), &raw_ring);
    let mut files = check.files(raw.files.as_ref(), &raw_ring);
    files.extend(check.container_logs(&raw_capture, &capture));
    let kernel = kernel(&value_of(&raw.kernel));
    let journal = check.journal(&value_of(&raw.journal), &raw_ring, kernel.enabled);
    let listen = check.listen(raw.listen.as_ref(), &raw_ring);
    let view = check.view(&value_of(&raw.view), &state_dir);
    let memlogd = check.memlogd(&value_of(&raw.memlogd), &ring);
    let docker = check.docker(raw.docker.as_ref(), &capture, &raw_ring);
    let destinations = check.destinations(raw.destinations.as_ref(), for_all, &state_dir);
    let process = check.process(raw.process.as_ref());
    let routes = check.routes(raw.routes.as_ref(), &destinations);
    let tests = check.cases(raw.tests.as_ref(), &destinations);
    let config = ResolvedConfig {
        io: raw.io().value,
        shutdown_timeout: check.period(&raw.shutdown_timeout(), "0s", "1h"),
        ring,
        capture,
        kernel,
        view,
        memlogd,
        docker,
        files,
        journal,
        listen,
        destinations,
        process,
        routes,
        tests,
        state_dir,
    };
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

pub(super) fn value_of<T: Clone + Default>(document: &Option<Located<T>>) -> T {
    document.as_ref().map(|located| located.value.clone()).unwrap_or_default()
}

fn kernel(raw: &Kernel) -> KernelConfig {
    KernelConfig {
        enabled: raw.enabled().value,
        kmsg: raw.kmsg().value,
        console_tracepoint: raw.console_tracepoint().value,
        facility_names: raw.facility_names().value,
    }
}

/// Where checks add what does not hold.
pub(super) struct Check<'p> {
    pub(super) problems: &'p mut Problems,
    pub(super) host: &'p Host,
}

impl Check<'_> {
    fn state_dir(&mut self, raw: &Raw, environment: &Environment) -> PathBuf {
        if let Some(given) = &raw.state_dir {
            return given.value.clone();
        }
        let from_systemd = environment.state_directory.as_deref().unwrap_or_default();
        match from_systemd.split(':').next() {
            None | Some("") => {}
            Some(first) if first.starts_with('/') => return PathBuf::from(first),
            Some(first) => {
                let what = format!("`{first}` is not an absolute path");
                self.problems.add(&Place::Environment("STATE_DIRECTORY"), "", what, "an absolute path");
            }
        }
        PathBuf::from("/var/lib/ringward")
    }

    fn ring(&mut self, raw: &Ring) -> RingConfig {
        let records = raw.records();
        if records.value == Limit::AtMost(0) {
            self.add(&records, "`0` holds nothing", "`unlimited`, or a number from 1");
        }
        RingConfig {
            bytes: self.bytes(&raw.bytes(), 64 * KIB, 64 * GIB),
            records: match records.value {
                Limit::Unlimited => u64::MAX,
                Limit::AtMost(records) => records,
            },
            file: raw.file.as_ref().map(|file| file.value.clone()),
        }
    }

    /// A line that is larger than the ring could never be delivered.
    fn a_line_fits_the_ring(&mut self, key: &str, line: &Located<Bytes>, ring: &Ring) {
        let ring = ring.bytes();
        let known = |at: &Located<Bytes>, problems: &Self| problems.reported(&at.place, &at.key);
        if line.value <= ring.value || known(line, self) || known(&ring, self) {
            return;
        }
        if line.place == Place::Default {
            let what = format!("`{}` is less than {key}, which is {}", ring.value, line.value);
            self.add(&ring, what, format!("{} or more, or a smaller {key}", line.value));
        } else {
            let what = format!("`{}` is more than ring.bytes, which is {}", line.value, ring.value);
            self.add(line, what, format!("{} or less, or a larger ring.bytes", ring.value));
        }
    }

    fn files(&mut self, raw: Option<&Located<Vec<Located<Files>>>>, ring: &Ring) -> Vec<FilesConfig> {
        let given = raw.map(|list| list.value.as_slice()).unwrap_or_default();
        given.iter().map(|files| self.selection(files, ring)).collect()
    }

    fn selection(&mut self, given: &Located<Files>, ring: &Ring) -> FilesConfig {
        let raw = &given.value;
        let globs = |list: Option<&Located<Vec<Located<Glob>>>>| -> Vec<Glob> {
            list.into_iter().flat_map(|list| &list.value).map(|glob| glob.value.clone()).collect()
        };
        let include = globs(raw.include.as_ref());
        let key = format!("{}.include", given.key);
        let was_wrong = self.problems.0.iter().any(|problem| problem.key.starts_with(&key));
        if include.is_empty() && !was_wrong {
            self.add(given, "has no `include`", format!("`include` with a list, each item {}", Glob::ACCEPTED));
        }
        self.a_line_fits_the_ring("the max_line of files", &raw.max_line(), ring);
        FilesConfig {
            include,
            exclude: globs(raw.exclude.as_ref()),
            format: raw.format().value,
            gzip: raw.gzip().value,
            read_from: raw.read_from().value,
            ignore_older: raw.ignore_older.as_ref().map(|age| self.period(age, "1s", "87600h")),
            deleted_time: raw.deleted_time.as_ref().map(|time| self.period(time, "1s", "87600h")),
            deleted_bytes: raw.deleted_bytes.as_ref().map(|bytes| self.bytes(bytes, 0, 1 << 50) as u64),
            name: raw.name.as_ref().map(|name| name.value.0.clone()),
            parse: raw.parse().value,
            pattern: self.line_pattern(&raw.parse(), raw.pattern.as_ref(), raw.time_format.as_ref()),
            multiline: self.multiline(raw.multiline.as_ref(), ring),
            max_line: self.bytes(&raw.max_line(), KIB, 16 * MIB),
            idle_flush: self.period(&raw.idle_flush(), "10ms", "1h"),
        }
    }

    fn capture(&mut self, raw: &Capture, ring: &Ring) -> CaptureConfig {
        let pids: BTreeSet<u32> = items(raw.pids.as_ref(), |pid| pid.0);
        let cgroups: BTreeSet<String> = items(raw.cgroups.as_ref(), |cgroup| cgroup.0.clone());
        let units: BTreeSet<String> = items(raw.units.as_ref(), |unit| unit.0.clone());
        CaptureConfig {
            hook: raw.hook().value,
            ring_bytes: self.bytes(&raw.ring_bytes(), 256 * KIB, GIB),
            // The kernel program copies in chunks, and their number is fixed when it is verified.
            max_write: self.bytes(&raw.max_write(), 4 * KIB, MIB),
            idle_flush: self.period(&raw.idle_flush(), "10ms", "1h"),
            max_line: self.bytes(&raw.max_line(), KIB, 16 * MIB),
            from: raw.from().value,
            parse: raw.parse().value,
            pattern: self.line_pattern(&raw.parse(), raw.pattern.as_ref(), raw.time_format.as_ref()),
            multiline: self.multiline(raw.multiline.as_ref(), ring),
            containers: raw.containers().value,
            exclude: items(raw.exclude.as_ref(), Clone::clone),
            backlog: raw.backlog().value,
            pids: pids.into_iter().collect(),
            cgroups: cgroups.into_iter().collect(),
            units: units.into_iter().collect(),
            hold_bytes: self.bytes(&raw.hold(), 64 * KIB, GIB),
        }
    }

    /// The log files of containers, where nothing but these is wanted.
    fn container_logs(&mut self, raw: &Capture, capture: &CaptureConfig) -> Option<FilesConfig> {
        if capture.from != CaptureFrom::File {
            return None;
        }
        if let Some(exclude) = raw.exclude.as_ref().filter(|list| !list.value.is_empty()) {
            let instead = "`files` with `exclude` for the paths, and `containers: false`";
            self.add(exclude, "can't be told by log files", instead);
        }
        let (what, by_ebpf) = ("is captured by eBPF, which is not loaded", "`from: auto` or `from: ebpf`");
        if let Some(pids) = raw.pids.as_ref().filter(|list| !list.value.is_empty()) {
            self.add(pids, what, by_ebpf);
        }
        if let Some(cgroups) = raw.cgroups.as_ref().filter(|list| !list.value.is_empty()) {
            self.add(cgroups, what, by_ebpf);
        }
        if let Some(units) = raw.units.as_ref().filter(|list| !list.value.is_empty()) {
            self.add(units, what, by_ebpf);
        }
        capture.containers.then(|| FilesConfig {
            include: CONTAINER_LOGS.iter().map(|path| Glob::parse(path).expect("it is one of ours")).collect(),
            exclude: Vec::new(),
            format: FileFormat::Auto,
            gzip: false,
            read_from: if capture.backlog { ReadFrom::Beginning } else { ReadFrom::End },
            ignore_older: None,
            deleted_time: None,
            deleted_bytes: None,
            name: None,
            parse: capture.parse,
            pattern: capture.pattern.clone(),
            multiline: capture.multiline.clone(),
            max_line: capture.max_line,
            idle_flush: capture.idle_flush,
        })
    }

    fn line_pattern(
        &mut self,
        parse: &Located<CaptureParse>,
        pattern: Option<&Located<Pattern>>,
        time: Option<&Located<TimeText>>,
    ) -> Option<LinesConfig> {
        self.described(parse, parse.value == CaptureParse::Regex, pattern, time)
    }

    /// Everything is checked, also where it is not asked for.
    fn memlogd(&mut self, raw: &Memlogd, ring: &RingConfig) -> Option<MemlogdConfig> {
        let (log, query) = (raw.log_socket(), raw.query_socket());
        self.fits_an_address(&log);
        self.fits_an_address(&query);
        if log.value == query.value {
            let (blamed, other) =
                if query.place == Place::Default { (&log, "query_socket") } else { (&query, "log_socket") };
            self.add(blamed, format!("is the {other} too"), "a path of its own for each");
        }
        let line = raw.max_line();
        let max_line = self.bytes(&line, 128, 16 * MIB);
        // The default goes down with the ring.
        let max_line = if line.place == Place::Default { max_line.min(ring.bytes) } else { max_line };
        if max_line > ring.bytes && !self.reported(&line.place, &line.key) {
            let what = format!("`{}` is more than ring.bytes, which is {}", line.value, Bytes(ring.bytes as u64));
            self.add(&line, what, "less, or a larger ring.bytes");
        }
        raw.enabled().value.then(|| MemlogdConfig {
            log_socket: log.value,
            query_socket: query.value,
            format: raw.format().value,
            max_line,
            cut: raw.cut().value,
        })
    }

    fn docker(
        &mut self,
        given: Option<&Located<Docker>>,
        capture: &CaptureConfig,
        ring: &Ring,
    ) -> Option<DockerConfig> {
        let raw = given.map(|given| given.value.clone()).unwrap_or_default();
        let (socket, line) = (raw.socket(), raw.max_line());
        self.fits_an_address(&socket);
        let max_line = self.bytes(&line, 16 << 10, 16 * MIB);
        let enabled = raw.enabled();
        if enabled.value {
            self.a_line_fits_the_ring("docker.max_line", &line, ring);
        }
        if enabled.value && capture.containers {
            let what =
                "Docker's containers are captured already, and each line of those with this driver would come twice";
            self.add(&enabled, what, "with `capture: { containers: false }`");
        }
        enabled.value.then_some(DockerConfig { socket: socket.value, max_line })
    }

    fn view(&mut self, raw: &View, state_dir: &Path) -> Option<ViewConfig> {
        if let Some(socket) = &raw.socket {
            self.fits_an_address(socket);
        }
        raw.enabled().value.then(|| ViewConfig {
            socket: raw.socket.as_ref().map_or_else(|| state_dir.join(SOCKET_FILE), |socket| socket.value.clone()),
            required: raw.socket.is_some(),
        })
    }

    fn fits_an_address(&mut self, path: &Located<PathBuf>) {
        let len = path.value.as_os_str().len();
        if len > MAX_SOCKET_PATH {
            let accepted = format!("a path of at most {MAX_SOCKET_PATH} bytes, as the address of a socket");
            self.add(path, format!("has {len} bytes"), accepted);
        }
    }

    pub(super) fn bytes(&mut self, given: &Located<Bytes>, least: u64, most: u64) -> usize {
        self.range(given, Bytes(least), Bytes(most));
        usize::try_from(given.value.0).unwrap_or(usize::MAX)
    }

    pub(super) fn period(&mut self, given: &Located<Period>, least: &str, most: &str) -> Duration {
        let bound = |text| Period::parse(text).expect("bounds are written in this file");
        self.range(given, bound(least), bound(most));
        given.value.0
    }

    pub(super) fn range<T: Display + PartialOrd>(&mut self, given: &Located<T>, least: T, most: T) {
        let side = if given.value < least {
            "too small"
        } else if given.value > most {
            "too large"
        } else {
            return;
        };
        self.add(given, format!("`{}` is {side}", given.value), format!("{least} to {most}"));
    }

    pub(super) fn add<T>(&mut self, at: &Located<T>, what: impl Into<String>, accepted: impl Into<String>) {
        self.problems.add(&at.place, &at.key, what, accepted);
    }

    /// Whether `key` was wrong already, in the file (or flag) of `place`.
    pub(super) fn reported(&self, place: &Place, key: &str) -> bool {
        self.problems.0.iter().any(|problem| problem.key == key && problem.place.same_source(place))
    }
}

/// The distinct values of a list, in order.
fn items<T, U, C: FromIterator<U>>(list: Option<&Located<Vec<Located<T>>>>, value: impl Fn(&T) -> U) -> C {
    list.into_iter().flat_map(|list| &list.value).map(|item| value(&item.value)).collect()
}
