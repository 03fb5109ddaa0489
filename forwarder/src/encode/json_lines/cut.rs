//! Records that are longer than a destination takes: as much of them as fits.
//!
//! First the body is cut. Where not even an empty one fits, the longest fields are left out until the rest does, and the
//! body gets the room that there is then. What is over the limit without body and fields is written so, and reported.

use super::EncodeReport;
use super::shape::{Shape, Slots, field_len};
use super::template::Template;
use crate::encode::simd::{self, EscapeStyle, Sink};
use crate::record::{Flags, Record};

impl Template {
    /// Appends the record of `slots`, with `flags`, in at most `limit` bytes.
    #[cold]
    pub(super) fn write_cut(
        &mut self,
        slots: &mut Slots<'_, '_>,
        flags: Flags,
        limit: usize,
        large: &mut Shape,
        kept: &mut usize,
        out: &mut Sink<'_>,
    ) -> EncodeReport {
        let start = out.position();
        let record = slots.record;
        let shape = self.shape_of(record, flags, large, kept);
        let Err(mut excess) = write_fitting(shape, slots, limit, out) else { return CUT };
        let mut order = longest_last(record);
        let mut left_out = vec![false; order.len()];
        while !order.is_empty() {
            let mut saved = 0;
            while saved < excess
                && let Some((len, field)) = order.pop()
            {
                saved += len;
                left_out[field] = true;
            }
            self.rebuild_without(&left_out, record, flags, large);
            out.truncate(start);
            match write_fitting(large, slots, limit, out) {
                Ok(()) => return CUT,
                // Some of them others had overruled.
                Err(still) => excess = still,
            }
        }
        EncodeReport { cut: 0, oversized: 1 }
    }
}

const CUT: EncodeReport = EncodeReport { cut: 1, oversized: 0 };

/// The fields' lengths and numbers, the longest last.
fn longest_last(record: &Record<'_>) -> Vec<(usize, usize)> {
    let mut fields: Vec<_> = record.fields().map(|(key, value)| field_len(key, value)).zip(0..).collect();
    fields.sort_unstable();
    fields
}

/// Writes the record with as much of its body as fits. Where not even an empty one does, it is written with that.
///
/// # Errors
/// By how many bytes it is then over the limit.
fn write_fitting(shape: &Shape, slots: &mut Slots<'_, '_>, limit: usize, out: &mut Sink<'_>) -> Result<(), usize> {
    let start = out.position();
    let whole = std::mem::take(&mut slots.body);
    shape.write(slots, out, simd::Best);
    let written = out.position() - start;
    let room = limit.checked_sub(written).ok_or(written.saturating_sub(limit));
    if let Ok(room) = room {
        slots.body = &whole[..simd::fitting_prefix(whole, EscapeStyle::Html, room)];
        out.truncate(start);
        shape.write(slots, out, simd::Best);
    }
    slots.body = whole;
    room.map(drop)
}
