//! Who wrote the records that the ring holds.

use std::collections::{BTreeMap, HashMap};

use super::name::{Names, service_of};
use super::request::{Kind, Listed, Show};
use crate::record::{Batch, Origin, OriginId, OriginKind, Record};

/// Bytes of a last message that are shown.
const SHOWN: usize = 256;

/// Collects who is listed, by their ids.
pub(super) struct Listing {
    containers: bool,
    /// By id, and by the whole id of a container: its first characters may be another's too.
    listed: BTreeMap<(String, String), Listed>,
    /// The origins that were met; `None`: not to be listed.
    known: HashMap<OriginId, Option<Listed>>,
}

impl Listing {
    pub(super) fn new(show: Show) -> Self {
        Self { containers: show == Show::Containers, listed: BTreeMap::new(), known: HashMap::new() }
    }

    pub(super) fn add(&mut self, batch: &Batch) {
        for record in batch.records() {
            let id = batch.origin_id(record.origin);
            let containers = self.containers;
            let known = self.known.entry(id).or_insert_with(|| prepare(batch.origin_bytes(record.origin), containers));
            let Some(prepared) = known else { continue };
            let of_peer = (prepared.kind == Kind::Peer).then(|| service_of(&record)).flatten();
            let name = of_peer.map_or_else(|| prepared.id.clone(), |name| String::from_utf8_lossy(name).into_owned());
            let key = (name, prepared.container.clone().unwrap_or_default());
            let listed =
                self.listed.entry(key).or_insert_with_key(|(id, _)| Listed { id: id.clone(), ..prepared.clone() });
            listed.records += 1;
            if record.time_ns >= listed.last_ns {
                listed.last_ns = record.time_ns;
                listed.last = beginning(&record);
            }
        }
    }

    pub(super) fn finish(self) -> impl Iterator<Item = Listed> {
        self.listed.into_values()
    }
}

fn prepare(origin: &[u8], containers: bool) -> Option<Listed> {
    let origin = Origin::decode(origin).unwrap_or_else(|_| Origin::new(OriginKind::Service, "unknown"));
    let names = Names::of(&origin);
    let text = |part: Option<&str>| part.map(str::to_owned);
    (names.is_container() == containers).then(|| Listed {
        id: names.id(),
        kind: origin.kind.into(),
        namespace: text(names.namespace),
        pod: text(names.pod),
        container: text(names.container),
        records: 0,
        last_ns: i64::MIN,
        last: String::new(),
    })
}

/// The first line of a record's message, or what is shown of it.
fn beginning(record: &Record<'_>) -> String {
    let line = record.body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).into_owned()
}
