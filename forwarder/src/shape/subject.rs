//! What can be asked of a record, whether it is in a batch or being shaped.
//!
//! A name stands for, in this order: `msg` (the record's text); a field of the record; a member of a field that is an
//! object, by its path; `level` (the severity's name in syslog) and `time`; what its origin has: `talos-service`, `stream` and
//! attributes as `namespace`, `pod`, `container`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::draft::Draft;
use super::nested;
use super::value::Value;
use crate::record::{Batch, FieldValue, Level, Origin, OriginHandle, OriginId, OriginKind, Record};

/// Origins that are remembered from batch to batch.
const MOST_KNOWN: usize = 4096;

/// The name under which a record's text is known.
pub(super) const MSG: &str = "msg";
/// The name under which its severity is known, where it has no field of that name.
pub(super) const LEVEL: &str = "level";

/// An origin, with what conditions ask of it.
#[derive(Debug)]
pub(super) struct Whose {
    pub(super) handle: OriginHandle,
    /// `NAMESPACE/POD/CONTAINER` in Kubernetes.
    path: Option<String>,
}

impl Whose {
    pub(super) fn of(origin: Origin) -> Self {
        let attribute = |wanted: &str| origin.attributes.iter().find(|(key, _)| key == wanted).map(|(_, value)| value);
        let path = match (attribute("namespace"), attribute("pod")) {
            (Some(namespace), Some(pod)) => Some(format!("{namespace}/{pod}/{}", origin.name)),
            _ => None,
        };
        Self { handle: OriginHandle::new(origin), path }
    }

    fn origin(&self) -> &Origin {
        self.handle.origin()
    }

    /// The names by which it may be asked for.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.origin().name.as_str()).chain(self.path.as_deref())
    }

    fn value(&self, name: &str) -> Option<&str> {
        let origin = self.origin();
        match name {
            "talos-service" => Some(&origin.name),
            "stream" => origin.stream.name(),
            _ => origin.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()),
        }
    }
}

/// Whose the records of a batch are; keeps what it has found out.
#[derive(Default)]
pub(super) struct Origins {
    known: HashMap<OriginId, Arc<Whose>>,
    /// Of the batch at hand, by their numbers there.
    local: Vec<Arc<Whose>>,
}

impl Origins {
    pub(super) fn enter(&mut self, batch: &Batch) {
        if self.known.len() > MOST_KNOWN {
            self.known.clear();
        }
        self.local.clear();
        for local in 0..batch.origin_count() {
            let whose = self.known.entry(batch.origin_id(local)).or_insert_with(|| {
                // A batch's origins were checked when it was made; still no reason to lose its records.
                let origin = Origin::decode(batch.origin_bytes(local))
                    .unwrap_or_else(|_| Origin::new(OriginKind::Service, "unknown"));
                Arc::new(Whose::of(origin))
            });
            self.local.push(Arc::clone(whose));
        }
    }

    pub(super) fn leave(&mut self) {
        self.local.clear();
    }

    #[inline]
    pub(super) fn of(&self, local: u32) -> &Arc<Whose> {
        &self.local[local as usize]
    }
}

/// A record, as conditions and templates see it.
pub(super) trait Subject {
    fn body(&self) -> &[u8];
    fn level(&self) -> Level;
    fn whose(&self) -> &Whose;
    fn field(&self, name: &[u8]) -> Option<FieldValue<'_>>;

    /// What the record has under a name.
    fn value(&self, name: &str) -> Option<Value<'_>> {
        if name == MSG {
            return Some(Value::text(self.body()));
        }
        if let Some(value) = self.field(name.as_bytes()) {
            return Some(as_value(value));
        }
        if let Some(value) = self.inside(name.as_bytes()) {
            return Some(value);
        }
        if name == LEVEL {
            return Some(Value::text(self.level().name().as_bytes()));
        }
        self.whose().value(name).map(|value| Value::text(value.as_bytes()))
    }

    /// A member of a field that is an object.
    fn inside(&self, path: &[u8]) -> Option<Value<'_>> {
        let mut dots = memchr::memchr_iter(b'.', path);
        dots.find_map(|dot| match self.field(&path[..dot])? {
            FieldValue::Json(json) => nested::find(json, &path[dot + 1..]),
            FieldValue::Text(_) | FieldValue::Integer(_) => None,
        })
    }
}

fn as_value(value: FieldValue<'_>) -> Value<'_> {
    match value {
        FieldValue::Text(text) => Value::text(text),
        FieldValue::Json(json) => Value::Json(Cow::Borrowed(json)),
        FieldValue::Integer(number) => Value::Json(Cow::Owned(number.to_string().into_bytes())),
    }
}

/// A record of a batch.
pub(super) struct OfBatch<'a> {
    pub(super) record: &'a Record<'a>,
    pub(super) whose: &'a Whose,
}

impl Subject for OfBatch<'_> {
    fn body(&self) -> &[u8] {
        self.record.body
    }

    fn level(&self) -> Level {
        self.record.level
    }

    fn whose(&self) -> &Whose {
        self.whose
    }

    fn field(&self, name: &[u8]) -> Option<FieldValue<'_>> {
        // Of several with one name the last one is sent.
        self.record.fields().filter(|(key, _)| *key == name).last().map(|(_, value)| value)
    }
}

/// A record that is being shaped.
pub(super) struct OfDraft<'a> {
    pub(super) draft: &'a Draft,
    pub(super) whose: &'a Whose,
}

impl Subject for OfDraft<'_> {
    fn body(&self) -> &[u8] {
        self.draft.bytes(self.draft.body)
    }

    fn level(&self) -> Level {
        self.draft.meta().level
    }

    fn whose(&self) -> &Whose {
        self.whose
    }

    fn field(&self, name: &[u8]) -> Option<FieldValue<'_>> {
        self.draft.find(name).map(|index| self.draft.value(index))
    }
}
