//! The members that all records of an origin have, and the shapes that its records had lately.

use std::collections::BTreeMap;

use super::shape::{Hole, Shape, put_key, put_quoted};
use crate::record::{Flags, Origin, OriginKind, Record};

/// Shapes that are kept besides the plain one.
const SHAPES: usize = 4;

pub(super) struct Template {
    /// Sorted by key, each key once.
    members: Vec<Member>,
    /// A record's own fields overrule all but flags and tags: see [`OriginKind::Peer`].
    fields_first: bool,
    newline: bool,
    /// Of records without fields and flags.
    plain: Shape,
    shapes: Vec<Shape>,
    /// The one that was made first; it goes when there are too many.
    oldest: usize,
}

pub(super) struct Member {
    key: Box<[u8]>,
    pub(super) claim: Claim,
    /// `,"key":"value"`, or `,"key":` before a hole. An object's first comma becomes its brace.
    text: Box<[u8]>,
    hole: Option<Hole>,
}

/// Who wants a key; the greatest gets it. A field of the record is less than all of these, or stands before
/// [`Claim::Tag`] where the record came ready.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    Attribute,
    Own,
    Tag,
}

impl Template {
    pub(super) fn new(origin: &Origin, extra_tags: &BTreeMap<String, String>, newline: bool) -> Self {
        let constant = |claim, key: &str, value: &str| {
            let mut text = Vec::new();
            put_key(&mut text, key.as_bytes());
            put_quoted(&mut text, value.as_bytes());
            Member { key: key.as_bytes().into(), claim, text: text.into(), hole: None }
        };
        let hole = |key: &str, hole| {
            let mut text = Vec::new();
            put_key(&mut text, key.as_bytes());
            Member { key: key.as_bytes().into(), claim: Claim::Own, text: text.into(), hole: Some(hole) }
        };
        let mut members: Vec<Member> =
            origin.attributes.iter().map(|(key, value)| constant(Claim::Attribute, key, value)).collect();
        members.extend([hole("msg", Hole::Msg), hole("talos-level", Hole::Level), hole("talos-time", Hole::Time)]);
        if origin.kind != OriginKind::Kernel {
            members.push(constant(Claim::Own, "talos-service", &origin.name));
        }
        members.extend(origin.stream.name().map(|name| constant(Claim::Own, "stream", name)));
        members.extend(extra_tags.iter().map(|(key, value)| constant(Claim::Tag, key, value)));
        members.sort_by(|a, b| (&a.key, a.claim).cmp(&(&b.key, b.claim)));
        // Of each key the last stays: `dedup_by` keeps the first, so the later one takes its place before it goes.
        members.dedup_by(|later, kept| {
            let same = later.key == kept.key;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        let plain = Shape::plain(&members, newline);
        let fields_first = origin.kind == OriginKind::Peer;
        Self { members, fields_first, newline, plain, shapes: Vec::new(), oldest: 0 }
    }

    /// The shape of a record with `flags`: one of those that are kept, which `kept` counts, or `large`.
    #[inline(always)]
    pub(super) fn shape_of<'a>(
        &'a mut self,
        record: &Record<'_>,
        flags: Flags,
        large: &'a mut Shape,
        kept: &mut usize,
    ) -> &'a Shape {
        if !record.has_fields() && flags.is_empty() {
            return &self.plain;
        }
        self.other_shape_of(record, flags, large, kept)
    }

    fn other_shape_of<'a>(
        &'a mut self,
        record: &Record<'_>,
        flags: Flags,
        large: &'a mut Shape,
        kept: &mut usize,
    ) -> &'a Shape {
        match self.shapes.iter().position(|shape| shape.fits(record, flags)) {
            Some(index) => &self.shapes[index],
            None => self.another(record, flags, large, kept),
        }
    }

    #[cold]
    fn another<'a>(
        &'a mut self,
        record: &Record<'_>,
        flags: Flags,
        large: &'a mut Shape,
        kept: &mut usize,
    ) -> &'a Shape {
        let shape = if !Shape::is_kept(record) {
            large
        } else if self.shapes.len() < SHAPES {
            *kept += 1;
            self.shapes.push(Shape::default());
            self.shapes.last_mut().expect("it has just been pushed")
        } else {
            let oldest = self.oldest;
            self.oldest = (oldest + 1) % SHAPES;
            &mut self.shapes[oldest]
        };
        shape.rebuild(record, flags, &self.members, self.fields_first, self.newline, &[]);
        shape
    }

    /// Makes `shape` that of a record of whose fields some are left out.
    pub(super) fn rebuild_without(&self, left_out: &[bool], record: &Record<'_>, flags: Flags, shape: &mut Shape) {
        shape.rebuild(record, flags, &self.members, self.fields_first, self.newline, left_out);
    }
}

impl Member {
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Appends it to a shape's text.
    pub(super) fn put(&self, text: &mut Vec<u8>, holes: &mut Vec<(usize, Hole)>) {
        text.extend_from_slice(&self.text);
        if let Some(hole) = self.hole {
            text.push(b'"');
            holes.push((text.len(), hole));
            text.push(b'"');
        }
    }
}
