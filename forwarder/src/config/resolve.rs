//! Raw → resolved: defaults, bounds, and what must hold between keys.
//!
//! Every check adds to the problems and goes on. The bounds are here, each with its reason where it has one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::endpoint::Endpoint;
use super::error::{Place, Problems};
use super::host::Host;
use super::raw::{Capture, Destination, Files, ForAll, Kernel, Memlogd, Raw, Retry, Ring, SegmentChoice};
use super::resolved::{
    CaptureConfig, DestinationConfig, FilesConfig, KernelConfig, MemlogdConfig, ResolvedConfig, RetryConfig,
    RingConfig, SpillConfig,
};
use super::template;
use super::units::{Bytes, Period};
use super::value::{Auto, Limit, Located, Name, Tags, Value};
use crate::encode::json_lines::{JsonLines, JsonLinesOptions};
use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::source::file::Glob;

/// The largest payload of a UDP datagram over IPv4: 65535 less 20 of IP and 8 of UDP header.
pub const MAX_DATAGRAM: usize = 65_507;

/// What tags must leave of a record's bytes for its text and the fields that differ, or half of them where that is less.
const ROOM_BESIDE_TAGS: usize = 1024;

/// `sun_path` of a unix socket's address, less its end.
const MAX_SOCKET_PATH: usize = 107;

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
    let capture = check.capture(&raw_capture);
    let ring = check.ring(&raw_ring);
    check.a_line_fits_the_ring("capture.max_line", &raw_capture.max_line(), &raw_ring);
    let files = check.files(raw.files.as_ref(), &raw_ring);
    let listen = check.listen(raw.listen.as_ref(), &raw_ring);
    let memlogd = check.memlogd(&value_of(&raw.memlogd), &ring);
    let destinations = check.destinations(raw.destinations.as_ref(), for_all, &state_dir);
    let config = ResolvedConfig {
        io: raw.io().value,
        shutdown_timeout: check.period(&raw.shutdown_timeout(), "0s", "1h"),
        ring,
        capture,
        kernel: kernel(&value_of(&raw.kernel)),
        memlogd,
        files,
        listen,
        destinations,
        state_dir,
    };
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

fn value_of<T: Clone + Default>(document: &Option<Located<T>>) -> T {
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
    problems: &'p mut Problems,
    host: &'p Host,
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
            read_from: raw.read_from().value,
            ignore_older: raw.ignore_older.as_ref().map(|age| self.period(age, "1s", "87600h")),
            name: raw.name.as_ref().map(|name| name.value.0.clone()),
            max_line: self.bytes(&raw.max_line(), KIB, 16 * MIB),
            idle_flush: self.period(&raw.idle_flush(), "10ms", "1h"),
        }
    }

    fn capture(&mut self, raw: &Capture) -> CaptureConfig {
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
            containers: raw.containers().value,
            backlog: raw.backlog().value,
            pids: pids.into_iter().collect(),
            cgroups: cgroups.into_iter().collect(),
            units: units.into_iter().collect(),
            hold_bytes: self.bytes(&raw.hold(), 64 * KIB, GIB),
        }
    }

    /// Everything is checked, also where it is not asked for.
    fn memlogd(&mut self, raw: &Memlogd, ring: &RingConfig) -> Option<MemlogdConfig> {
        let (log, query) = (raw.log_socket(), raw.query_socket());
        for path in [&log, &query] {
            if path.value.as_os_str().len() > MAX_SOCKET_PATH {
                let what = format!("has {} bytes", path.value.as_os_str().len());
                self.add(path, what, format!("a path of at most {MAX_SOCKET_PATH} bytes, as the address of a socket"));
            }
        }
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

    fn destinations(
        &mut self,
        raw: Option<&Located<Vec<Located<Destination>>>>,
        for_all: &ForAll,
        state_dir: &Path,
    ) -> Vec<DestinationConfig> {
        let tags = Located { value: for_all.tags.clone(), place: Place::Flag("--tag"), key: String::new() };
        let for_all = &ForAll { tags: self.expanded(&tags), spill: for_all.spill.clone() };
        let endpoint = Some(Located::default_of(Endpoint::Stdout));
        let default = [Located::default_of(Destination { endpoint, ..Destination::default() })];
        let given = raw.map(|list| list.value.as_slice()).filter(|list| !list.is_empty()).unwrap_or(&default);
        let mut names: BTreeMap<String, &Place> = BTreeMap::new();
        let mut stdout: Option<&Place> = None;
        let mut resolved = Vec::with_capacity(given.len());
        for destination in given {
            let Some(config) = self.destination(destination, for_all, state_dir) else {
                continue;
            };
            let place = &destination.place;
            if let Some(first) = names.insert(config.name.clone(), place) {
                let what = format!("has the name `{}`, like the destination at {first}", config.name);
                let accepted = "a different `name` for each (it is the endpoint where none is given)";
                self.add(destination, what, accepted);
            } else if config.endpoint == Endpoint::Stdout
                && let Some(first) = stdout.replace(place)
            {
                self.add(destination, format!("is stdout:, like the destination at {first}"), "stdout: once");
            }
            resolved.push(config);
        }
        self.something_spills(for_all, &resolved);
        resolved
    }

    fn destination(
        &mut self,
        given: &Located<Destination>,
        for_all: &ForAll,
        state_dir: &Path,
    ) -> Option<DestinationConfig> {
        let raw = &given.value;
        let retry = self.retry(&value_of(&raw.retry));
        let spill_bytes = self.spill_bytes(raw, for_all);
        let record_limit = self.record_limit(raw);
        let Some(endpoint) = &raw.endpoint else {
            // A wrong endpoint was reported when it was read; only a missing one is news.
            if !self.reported(&given.place, &format!("{}.endpoint", given.key)) {
                self.add(given, "has no `endpoint`", Endpoint::ACCEPTED);
            }
            return None;
        };
        let name = self.name(raw, endpoint);
        self.makes_sense_for(endpoint, given);
        let mut tags = raw.extra_tags.as_ref().map_or_else(Tags::default, |tags| self.expanded(tags));
        let own = tags.clone();
        tags.overlay(for_all.tags.clone());
        self.tags_leave_room(given, &own, &tags, record_limit);
        Some(DestinationConfig {
            endpoint: endpoint.value.clone(),
            format: raw.format().value,
            records: raw.records().value,
            extra_tags: tags.0,
            max_record_bytes: record_limit,
            udp_segment: value_of(&raw.udp).segment().value,
            retry,
            resend_window: match raw.resend_window().value {
                Auto::Auto => None,
                Auto::Given(bytes) => Some(bytes.0),
            },
            spill: spill_bytes
                .filter(|_| endpoint.value != Endpoint::Stdout)
                .map(|bytes| SpillConfig { bytes, dir: state_dir.join("spill").join(component(&name)) }),
            name,
        })
    }

    /// Tags with their templates replaced.
    fn expanded(&mut self, tags: &Located<Tags>) -> Tags {
        let mut expanded = Tags::default();
        for (key, value) in &tags.value.0 {
            match template::expand(value, self.host) {
                Ok(value) => drop(expanded.0.insert(key.clone(), value)),
                Err(error) if matches!(tags.place, Place::Flag(_)) => {
                    self.add(tags, format!("{key}: {}", error.what), error.accepted);
                }
                Err(error) => {
                    let key = format!("{}.{key}", tags.key);
                    self.problems.add(&tags.place, &key, error.what, error.accepted);
                }
            }
        }
        expanded
    }

    /// A key that would do nothing is more likely a mistake than a wish.
    fn makes_sense_for(&mut self, endpoint: &Located<Endpoint>, given: &Located<Destination>) {
        let raw = &given.value;
        let stdout = endpoint.value == Endpoint::Stdout;
        if stdout && let Some(spill) = &raw.spill {
            self.add(
                spill,
                "stdout can't be spilled: who reads it after a restart is another",
                "`spill` with udp or tcp",
            );
        }
        if stdout && let Some(retry) = &raw.retry {
            self.add(retry, "stdout can't be tried again: nothing connects to it", "`retry` with udp or tcp");
        }
        let is_udp = matches!(endpoint.value, Endpoint::Udp { .. });
        let segment = value_of(&raw.udp).segment.filter(|segment| segment.value != SegmentChoice::Off);
        if let Some(segment) = segment.filter(|_| !is_udp) {
            self.add(&segment, format!("{} sends no datagrams", endpoint.value), "`segment: pad` with udp");
        }
        let is_tcp = matches!(endpoint.value, Endpoint::Tcp { .. });
        let window = raw.resend_window.as_ref().filter(|window| window.value != Auto::Auto);
        if let Some(window) = window.filter(|_| !is_tcp) {
            let what = format!("{} can't send again what was sent: nothing says what arrived", endpoint.value);
            self.add(window, what, "`resend_window` with tcp");
        }
    }

    /// With tags that fill a record there is no room for its text, and each would be lost or empty.
    fn tags_leave_room(&mut self, given: &Located<Destination>, own: &Tags, all: &Tags, limit: Option<usize>) {
        let Some(limit) = limit else { return };
        let most = limit - ROOM_BESIDE_TAGS.min(limit / 2);
        let (own, all) = (empty_record(own), empty_record(all));
        if all <= most {
            return;
        }
        let what = |bytes| format!("a record with these tags and no text has {bytes} bytes; the limit is {limit}");
        let accepted = format!("tags with which it has at most {most}, or a larger max_record_bytes");
        match &given.value.extra_tags {
            Some(tags) if own > most => self.add(tags, what(own), accepted),
            _ => self.problems.add(&Place::Flag("--tag"), "", what(all), accepted),
        }
    }

    fn name(&mut self, raw: &Destination, endpoint: &Located<Endpoint>) -> String {
        if let Some(name) = &raw.name {
            return name.value.0.clone();
        }
        let name = endpoint.value.to_string();
        if name.len() > Name::MAX_BYTES {
            self.add(endpoint, "is too long to be the destination's name as well", "with a `name` beside it");
        }
        name
    }

    fn record_limit(&mut self, raw: &Destination) -> Option<usize> {
        let udp = matches!(raw.endpoint, Some(Located { value: Endpoint::Udp { .. }, .. }));
        let most = if udp { MAX_DATAGRAM as u64 } else { GIB };
        let given = raw.max_record_bytes();
        match given.value {
            Auto::Auto if udp => Some(MAX_DATAGRAM),
            Auto::Auto => None,
            // With less, what stands around the text would leave no room for it.
            Auto::Given(bytes) => Some(self.bytes(&given.with(bytes), 512, most)),
        }
    }

    /// `--spill` is for those that can be spilled; there must be one.
    fn something_spills(&mut self, for_all: &ForAll, resolved: &[DestinationConfig]) {
        if let Some(spill) = &for_all.spill
            && !resolved.is_empty()
            && resolved.iter().all(|destination| destination.endpoint == Endpoint::Stdout)
        {
            self.add(
                spill,
                "stdout can't be spilled, and there is no other destination",
                "with a udp or tcp destination",
            );
        }
    }

    fn spill_bytes(&mut self, raw: &Destination, for_all: &ForAll) -> Option<u64> {
        if let Some(spill) = &raw.spill
            && spill.value.bytes.is_none()
            && !self.reported(&spill.place, &format!("{}.bytes", spill.key))
        {
            self.add(spill, "has no `bytes`", Bytes::ACCEPTED);
        }
        let own = raw.spill.as_ref().and_then(|spill| spill.value.bytes.as_ref());
        // Less is gone in a moment, and the files of a spill would not divide it any more.
        for_all.spill.as_ref().or(own).map(|bytes| self.bytes(bytes, MIB, 1 << 50) as u64)
    }

    fn retry(&mut self, raw: &Retry) -> RetryConfig {
        let initial = raw.initial();
        let max = raw.max();
        if initial.value > max.value {
            let blamed = if initial.place == Place::Default { &max } else { &initial };
            let what = format!("waits {} at first, but {} at most", initial.value, max.value);
            self.add(blamed, what, "`initial` not longer than `max`");
        }
        RetryConfig { initial: self.period(&initial, "1ms", "1h"), max: self.period(&max, "1ms", "1h") }
    }

    pub(super) fn bytes(&mut self, given: &Located<Bytes>, least: u64, most: u64) -> usize {
        self.range(given, Bytes(least), Bytes(most));
        usize::try_from(given.value.0).unwrap_or(usize::MAX)
    }

    fn period(&mut self, given: &Located<Period>, least: &str, most: &str) -> Duration {
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

/// Length of a record with these tags and an empty text, encoded.
fn empty_record(tags: &Tags) -> usize {
    let mut batch = BatchBuilder::new(64);
    batch.push(&OriginHandle::new(Origin::new(OriginKind::Service, "")), RecordMeta::line(0, b""), b"");
    let batch = batch.seal();
    let mut encoder = JsonLines::new(JsonLinesOptions { extra_tags: tags.0.clone(), ..JsonLinesOptions::default() });
    let mut encoded = Vec::new();
    encoder.encode_batch(&batch, 0..batch.record_count(), &mut encoded, &mut Vec::new());
    encoded.len()
}

/// The distinct values of a list, in order.
fn items<T, U: Ord>(list: Option<&Located<Vec<Located<T>>>>, value: impl Fn(&T) -> U) -> BTreeSet<U> {
    list.into_iter().flat_map(|list| &list.value).map(|item| value(&item.value)).collect()
}

/// A name as one component of a path: letters, digits, `.`, `-` and `_` stay, other bytes become `%XX`. Different names
/// stay different, and none is `.` or `..`.
fn component(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
