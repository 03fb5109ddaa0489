//! Runs the steps over batches.
//!
//! In: a batch of one source's thread. Out: the same one, where nothing in it changes, without a copy; else others, with what
//! is left of its records, in their order, with their times, positions and origins. A step's own reports stand where they
//! were made, and go through the steps behind it.

use std::sync::Arc;
use std::time::Duration;

use super::draft::Draft;
use super::spec::Step;
use super::steps::{Context, Report, Running, Verdict};
use super::subject::{Origins, Whose};
use crate::observe::shaping::{Shaped, ShapingCounters};
use crate::record::{Batch, BatchBuilder, FieldSpan, OriginHandle, Record, RecordMeta};

/// Bytes of a batch that is made anew.
const BATCH_BYTES: usize = 256 << 10;

/// The steps at work, in one thread.
pub(super) struct Shaper {
    steps: Vec<Running>,
    draft: Draft,
    origins: Origins,
    /// Made when something is changed for the first time.
    builder: Option<BatchBuilder>,
    scratch: Vec<u8>,
    reports: Vec<Report>,
    counted: Shaped,
    /// Up to where each origin of the batch at hand went on, and was discarded.
    went: Vec<u64>,
    discarded: Vec<u64>,
}

/// Where batches go, and the positions of what was discarded behind all that went on.
pub(super) trait Outlet {
    fn batch(&mut self, batch: Batch);
    fn discarded(&mut self, origin: &OriginHandle, position: u64);
}

impl Shaper {
    pub(super) fn new(steps: &[Step]) -> Self {
        Self {
            steps: steps.iter().map(Running::new).collect(),
            draft: Draft::default(),
            origins: Origins::default(),
            builder: None,
            scratch: Vec::new(),
            reports: Vec::new(),
            counted: Shaped { discarded: vec![0; steps.len()], ..Shaped::default() },
            went: Vec::new(),
            discarded: Vec::new(),
        }
    }

    pub(super) fn steps(&self) -> &[Running] {
        &self.steps
    }

    /// What was counted since the last call.
    pub(super) fn count(&mut self, counters: &ShapingCounters) {
        counters.add(&self.counted);
        let Shaped { records, changed, failed, discarded } = &mut self.counted;
        (*records, *changed, *failed) = (0, 0, 0);
        discarded.fill(0);
    }

    pub(super) fn shape(&mut self, batch: Batch, out: &mut dyn Outlet) {
        self.draft.enter(&batch);
        self.origins.enter(&batch);
        let origins = batch.origin_count() as usize;
        for positions in [&mut self.went, &mut self.discarded] {
            positions.clear();
            positions.resize(origins, 0);
        }
        let mut copies = false;
        // Neighbours are mostly of one origin.
        let mut whose = (u32::MAX, None);
        for (index, record) in (0..).zip(batch.records()) {
            self.draft.load(&record);
            if whose.0 != record.origin {
                whose = (record.origin, None);
            }
            let whose = whose.1.get_or_insert_with(|| Arc::clone(self.origins.of(record.origin)));
            let verdict = self.run(0, whose, out, &mut |shaper, out| {
                if !std::mem::replace(&mut copies, true) {
                    shaper.copy(batch.records_in(0..index), out);
                }
            });
            let (changed, local) = (self.draft.changed, record.origin as usize);
            self.counted.changed += u64::from(changed && verdict == Verdict::Goes);
            let positions = if verdict == Verdict::Goes { &mut self.went } else { &mut self.discarded };
            positions[local] = positions[local].max(record.position);
            if !copies && (changed || verdict == Verdict::Discarded) {
                copies = true;
                self.copy(batch.records_in(0..index), out);
            }
            if copies && verdict == Verdict::Goes {
                self.put_draft(&whose.handle, out);
            }
        }
        self.counted.records += u64::from(batch.record_count());
        if copies {
            self.seal(out);
        }
        if batch.has_positions() {
            for (local, position) in (0..).zip(&self.discarded) {
                if *position > self.went[local as usize] {
                    out.discarded(&self.origins.of(local).handle, *position);
                }
            }
        }
        self.draft.leave();
        self.origins.leave();
        if !copies {
            out.batch(batch);
        }
    }

    /// Runs the steps from `first` on over the record at hand. `before` is called before a report is put.
    fn run(
        &mut self,
        first: usize,
        whose: &Whose,
        out: &mut dyn Outlet,
        before: &mut dyn FnMut(&mut Self, &mut dyn Outlet),
    ) -> Verdict {
        for index in first..self.steps.len() {
            let mut context = Context {
                whose,
                reports: &mut self.reports,
                failed: &mut self.counted.failed,
                scratch: &mut self.scratch,
            };
            let verdict = self.steps[index].run(&mut self.draft, &mut context);
            if !self.reports.is_empty() {
                let reports = std::mem::take(&mut self.reports);
                before(self, out);
                self.put_reports(reports, index + 1, out);
            }
            if verdict == Verdict::Discarded {
                self.counted.discarded[index] += 1;
                return verdict;
            }
        }
        Verdict::Goes
    }

    /// Puts what a step has to report, through the steps from `first` on.
    fn put_reports(&mut self, reports: Vec<Report>, first: usize, out: &mut dyn Outlet) {
        // The record at hand waits meanwhile.
        let draft = std::mem::take(&mut self.draft);
        for report in reports {
            let mut builder = BatchBuilder::new(report.body.len() + 1024);
            report.push(&mut builder);
            let batch = builder.seal();
            let whose = Whose::of(report.origin.origin().clone());
            self.draft.enter(&batch);
            self.draft.load(&batch.record(0));
            if self.run(first, &whose, out, &mut |_, _| {}) == Verdict::Goes {
                self.put_draft(&report.origin, out);
            }
        }
        self.draft = draft;
    }

    /// What the steps that are due have to report when nothing has come for so long; everything, where that is not said.
    pub(super) fn flush(&mut self, is_due: impl Fn(usize) -> bool, silent: Option<Duration>, out: &mut dyn Outlet) {
        for index in (0..self.steps.len()).filter(|index| is_due(*index)) {
            let mut reports = Vec::new();
            self.steps[index].flush(silent, &mut reports);
            self.put_reports(reports, index + 1, out);
        }
        self.draft.leave();
        self.seal(out);
    }

    fn seal(&mut self, out: &mut dyn Outlet) {
        if let Some(builder) = self.builder.as_mut().filter(|builder| !builder.is_empty()) {
            out.batch(builder.seal());
        }
    }

    /// Copies records as they are.
    fn copy<'a>(&mut self, records: impl Iterator<Item = Record<'a>>, out: &mut dyn Outlet) {
        for record in records {
            let fields = record.fields().map(|(key, value)| key.len() + value_len(value) + 20).sum::<usize>();
            let builder = room(&mut self.builder, record.body.len() + fields, out);
            let meta = RecordMeta {
                time_ns: record.time_ns,
                position: record.position,
                level: record.level,
                flags: record.flags,
                original_len: record.original_len,
            };
            builder.push_pieces(&self.origins.of(record.origin).handle, meta, record.body, record.fields());
        }
    }

    #[inline]
    fn put_draft(&mut self, origin: &OriginHandle, out: &mut dyn Outlet) {
        let meta = self.draft.meta();
        if let Some(parts) = self.draft.parts() {
            room(&mut self.builder, parts.byte_len(), out).push_parts(origin, meta, &parts);
            return;
        }
        let fields = self.draft.fields.len() * size_of::<FieldSpan>();
        let builder = room(&mut self.builder, self.draft.byte_len() + fields, out);
        builder.push_pieces(origin, meta, self.draft.bytes(self.draft.body), self.draft.pieces());
    }
}

/// The builder, with room for so many bytes: what it has is sealed where it has not.
#[inline]
fn room<'b>(builder: &'b mut Option<BatchBuilder>, bytes: usize, out: &mut dyn Outlet) -> &'b mut BatchBuilder {
    let builder = builder.get_or_insert_with(|| BatchBuilder::new(BATCH_BYTES));
    if !builder.fits(bytes) && !builder.is_empty() {
        out.batch(builder.seal_before(bytes));
    }
    builder
}

fn value_len(value: crate::record::FieldValue<'_>) -> usize {
    use crate::record::FieldValue;
    match value {
        FieldValue::Text(bytes) | FieldValue::Json(bytes) => bytes.len(),
        FieldValue::Integer(_) => 20,
    }
}
