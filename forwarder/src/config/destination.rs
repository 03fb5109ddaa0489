//! `destinations`: raw → resolved.

use std::collections::BTreeMap;
use std::path::Path;

use super::endpoint::Endpoint;
use super::error::Place;
use super::raw::{Destination, ForAll, Retry, SegmentChoice};
use super::resolve::{Check, GIB, MIB, value_of};
use super::resolved::{DestinationConfig, RetryConfig, SpillConfig};
use super::template;
use super::units::Bytes;
use super::value::{Auto, Located, Name, Tags, Value};
use crate::encode::json_lines::{JsonLines, JsonLinesOptions};
use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};

/// The largest payload of a UDP datagram over IPv4: 65535 less 20 of IP and 8 of UDP header.
pub const MAX_DATAGRAM: usize = 65_507;

/// What tags must leave of a record's bytes for its text and the fields that differ, or half of them where that is less.
const ROOM_BESIDE_TAGS: usize = 1024;

impl Check<'_> {
    pub(super) fn destinations(
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
                .filter(|_| endpoint.value.is_resumed())
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
                "`spill` with another endpoint",
            );
        }
        if stdout && let Some(retry) = &raw.retry {
            self.add(retry, "stdout can't be tried again: nothing connects to it", "`retry` with another endpoint");
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
        match given.value.bytes(!udp) {
            None if udp => Some(MAX_DATAGRAM),
            None => None,
            // With less, what stands around the text would leave no room for it.
            Some(bytes) => Some(self.bytes(&given.with(bytes), 512, most)),
        }
    }

    /// `--spill` is for those that can be spilled; there must be one.
    fn something_spills(&mut self, for_all: &ForAll, resolved: &[DestinationConfig]) {
        if let Some(spill) = &for_all.spill
            && !resolved.is_empty()
            && resolved.iter().all(|destination| !destination.endpoint.is_resumed())
        {
            self.add(spill, "stdout can't be spilled, and there is no other destination", "with another destination");
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
