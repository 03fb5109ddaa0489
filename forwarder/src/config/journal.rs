//! `journal`: the values that only it has, and raw → resolved.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{Place, Problems};
use super::raw::{Journal, Ring};
use super::resolve::{Check, KIB, MIB};
use super::resolved::JournalConfig;
use super::value::{Auto, Located, Scalar, Tags, Value};
use super::yaml::Node;

/// journald's own limit.
const LONGEST_NAME: usize = 64;

/// The name of a field of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(pub String);

impl Scalar for FieldName {
    fn accepted() -> String {
        "the name of a field of the journal, as _SYSTEMD_UNIT (capital letters, digits and _, at most 64)".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let is_valid = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
        let starts_well = !text.is_empty() && !text.starts_with(|letter: char| letter.is_ascii_digit());
        if !starts_well || text.len() > LONGEST_NAME || !text.chars().all(is_valid) {
            return Err(format!("`{text}` is not the name of a field"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Fields of one entry, and what each must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match(pub BTreeMap<String, String>);

impl Value for Match {
    fn accepted() -> String {
        "a mapping from fields to what they must be, as { SYSLOG_IDENTIFIER: kata }".into()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self> {
        let Tags(fields) = Tags::read(node, key, problems)?;
        if fields.is_empty() {
            problems.add(&node.place, key, "holds no field, and would match everything", Self::accepted());
        }
        for name in fields.keys() {
            if let Err(what) = FieldName::parse(name) {
                problems.add(&node.place, &format!("{key}.{name}"), what, <FieldName as Scalar>::accepted());
            }
        }
        Some(Self(fields))
    }
}

impl Check<'_> {
    pub(super) fn journal(&mut self, raw: &Journal, ring: &Ring, reads_kernel: bool) -> Option<JournalConfig> {
        let max_field = raw.max_field();
        let bytes = self.bytes(&max_field, KIB, 16 * MIB);
        let items = |list: &Option<Located<Vec<Located<Match>>>>| -> Vec<BTreeMap<String, String>> {
            list.iter().flat_map(|list| &list.value).map(|fields| fields.value.0.clone()).collect()
        };
        let matches = items(&raw.matches);
        let folders: Vec<PathBuf> =
            raw.folders.iter().flat_map(|list| &list.value).map(|folder| folder.value.clone()).collect();
        let was_wrong = self.problems.0.iter().any(|problem| problem.key.starts_with("journal.folders"));
        if let Some(given) = raw.folders.as_ref().filter(|given| given.value.is_empty() && !was_wrong) {
            self.add(given, "is an empty list", "a list, each item an absolute path; without it, the usual folders");
        }
        let enabled = raw.enabled().value;
        let ring_bytes = ring.bytes().value;
        if enabled && max_field.value > ring_bytes && !self.reported(&max_field.place, &max_field.key) {
            let what = format!("`{}` is more than ring.bytes, which is {ring_bytes}", max_field.value);
            let at = if max_field.place == Place::Default { raw.enabled().with(max_field.value) } else { max_field };
            self.add(&at, what, format!("a max_field of {ring_bytes} or less, or a larger ring.bytes"));
        }
        enabled.then(|| JournalConfig {
            folders: if folders.is_empty() {
                ["/var/log/journal", "/run/log/journal"].map(PathBuf::from).to_vec()
            } else {
                folders
            },
            read_from: raw.read_from().value,
            without_kernel: match raw.kernel().value {
                Auto::Auto => reads_kernel && matches.is_empty(),
                Auto::Given(wanted) => !wanted,
            },
            matches,
            fields: raw.fields.as_ref().map(|list| list.value.iter().map(|field| field.value.0.clone()).collect()),
            names: raw.names().value,
            max_field: bytes,
        })
    }
}
