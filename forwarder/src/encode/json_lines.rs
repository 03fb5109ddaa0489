//! `json_lines`: one JSON object a record, byte for byte as Talos writes it.
//!
//! ```text
//! kernel    {"clock":6252819,"facility":"user","msg":"[talos] …\n","priority":"warning","seq":711,
//!            "talos-level":"warn","talos-time":"2021-11-26T16:53:21.325869981Z"}
//! others    {"container":"4f0c…","msg":"hello","namespace":"default","pod":"web-0","stream":"stdout",
//!            "talos-level":"info","talos-service":"web","talos-time":"2026-01-02T03:04:05.5Z"}
//! ```
//!
//! Written compactly, in one line, by the rules of Go's `json.Marshal` of a map:
//!
//! - Keys are sorted by their bytes, each once. Strings are escaped as [`simd`] describes.
//! - Where several things claim a key, the last of this list has it: the record's own fields (the last of
//!   them), the origin's attributes, what Ringward says itself (`msg`, `talos-time`, `talos-level`, `stream`,
//!   `talos-service`), the record's own fields again where a peer sent it ready, the flags, extra tags. A tag may
//!   replace anything.
//! - `msg` is the body, unchanged: a kernel message has its newline and its dictionary, a line has none.
//! - `talos-level` is `error`, `warn`, `info` or `debug`. Kernel records have no `talos-service`; their `clock`,
//!   `facility`, `priority` and `seq` are fields of the record. `stream` is absent where there are no streams.
//! - A flag is a member that is there only when it is set: `"cut":true`, `"overlap":true`, `"partial":true`,
//!   `"recovered":true`. A record that reports a loss says so in its `msg` and fields.
//! - With [`JsonLinesOptions::newline`] a `\n` follows each object (TCP); a datagram has none.
//! - An object longer than [`JsonLinesOptions::max_record_bytes`] has its `msg` cut between two characters, to
//!   the longest that fits together with `"cut":true`. Where not even an empty one fits, the longest of the record's own
//!   fields are left out, until the rest fits.
//!
//! In: batches. Out: bytes and the end offset of each record. Nothing is refused. Limits: an object that exceeds the
//! limit with an empty `msg` and without fields is written so, over the limit, and reported; at most
//! [`MAX_TEMPLATES`] templates and shapes of records are kept (a batch with more keeps its own until the next batch).

mod cut;
mod shape;
mod template;

use std::collections::{BTreeMap, HashMap};
use std::ops::{AddAssign, Range};

use self::shape::{Shape, Slots};
use self::template::Template;
use super::simd::{self, Escaper, Sink, Work};
use super::time::TimeWriter;
use crate::record::{Batch, Flags, Origin, OriginId, OriginKind};

/// Templates and shapes that are kept from batch to batch. Each has about 500 bytes, and a shape its keys besides.
const MAX_TEMPLATES: usize = 4096;

/// How a destination wants its objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonLinesOptions {
    /// Members that every object gets, whatever else has their key.
    pub extra_tags: BTreeMap<String, String>,
    /// Whether a newline follows each object.
    pub newline: bool,
    /// Upper bound of an object in bytes, its newline included.
    pub max_record_bytes: Option<usize>,
}

/// What the size limit did to the records of a call. The two count different records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeReport {
    /// Records of which something was left out so that they fit.
    pub cut: u64,
    /// Records that exceed the limit even with an empty `msg` and without fields.
    pub oversized: u64,
}

impl AddAssign for EncodeReport {
    fn add_assign(&mut self, other: Self) {
        self.cut += other.cut;
        self.oversized += other.oversized;
    }
}

/// The encoder of one destination.
pub struct JsonLines {
    options: JsonLinesOptions,
    templates: Vec<Template>,
    by_origin: HashMap<OriginId, u32>,
    /// Index of the template of each origin of the batch at hand; [`UNKNOWN`] before it is needed.
    local: Vec<u32>,
    /// For records whose shape is too large to be kept.
    large: Shape,
    /// Shapes that the templates keep.
    shapes: usize,
    time: TimeWriter,
}

const UNKNOWN: u32 = u32::MAX;

impl JsonLines {
    pub fn new(options: JsonLinesOptions) -> Self {
        Self {
            options,
            templates: Vec::new(),
            by_origin: HashMap::new(),
            local: Vec::new(),
            large: Shape::default(),
            shapes: 0,
            time: TimeWriter::default(),
        }
    }

    /// Appends the objects of `records` to `out`, and to `ends` the length of `out` after each of them.
    ///
    /// # Panics
    /// Where the batch has fewer records.
    pub fn encode_batch(
        &mut self,
        batch: &Batch,
        records: Range<u32>,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> EncodeReport {
        simd::with_best(Encode { encoder: self, batch, records, out, ends })
    }

    #[inline(always)]
    fn encode(
        &mut self,
        batch: &Batch,
        records: Range<u32>,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
        escaper: impl Escaper,
    ) -> EncodeReport {
        if self.templates.len() + self.shapes > MAX_TEMPLATES {
            self.templates.clear();
            self.by_origin.clear();
            self.shapes = 0;
        }
        self.large = Shape::default();
        self.local.clear();
        self.local.resize(batch.origin_count() as usize, UNKNOWN);
        ends.reserve(records.len());
        let limit = self.options.max_record_bytes.unwrap_or(usize::MAX);
        let mut report = EncodeReport::default();
        let mut out = Sink::new(out);
        for record in batch.records_in(records) {
            let template = self.template_of(batch, record.origin);
            let slots = &mut Slots { record: &record, body: record.body, time: &mut self.time };
            let start = out.position();
            let shape = self.templates[template].shape_of(&record, record.flags, &mut self.large, &mut self.shapes);
            // A body that is too long by itself is not escaped in full first: it may be megabytes.
            let fits = record.body.len() <= limit && {
                shape.write(slots, &mut out, escaper);
                out.position() - start <= limit
            };
            if !fits {
                out.truncate(start);
                let flags = record.flags | Flags::CUT;
                let (large, kept) = (&mut self.large, &mut self.shapes);
                report += self.templates[template].write_cut(slots, flags, limit, large, kept, &mut out);
            }
            ends.push(out.position());
        }
        report
    }

    #[inline]
    fn template_of(&mut self, batch: &Batch, local: u32) -> usize {
        match self.local[local as usize] {
            UNKNOWN => self.find_template(batch, local),
            known => known as usize,
        }
    }

    #[cold]
    fn find_template(&mut self, batch: &Batch, local: u32) -> usize {
        let templates = &mut self.templates;
        let index = *self.by_origin.entry(batch.origin_id(local)).or_insert_with(|| {
            // A batch's origins were checked when it was made or parsed; still no reason to lose its records.
            let origin = Origin::decode(batch.origin_bytes(local))
                .unwrap_or_else(|_| Origin::new(OriginKind::Service, "unknown"));
            templates.push(Template::new(&origin, &self.options.extra_tags, self.options.newline));
            (templates.len() - 1) as u32
        });
        self.local[local as usize] = index;
        index as usize
    }
}

/// [`JsonLines::encode_batch`].
struct Encode<'e> {
    encoder: &'e mut JsonLines,
    batch: &'e Batch,
    records: Range<u32>,
    out: &'e mut Vec<u8>,
    ends: &'e mut Vec<usize>,
}

impl Work for Encode<'_> {
    type Output = EncodeReport;

    #[inline(always)]
    fn run(self, escaper: impl Escaper) -> EncodeReport {
        self.encoder.encode(self.batch, self.records, self.out, self.ends, escaper)
    }
}

#[cfg(test)]
mod tests;
