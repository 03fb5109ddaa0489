//! Checks a stored batch before a byte of it is believed.

use super::batch::Shape;
use super::flags::Flags;
use super::layout::{self, FIELD_LEN, HEADER_LEN, MAX_BATCH_BYTES, ORIGIN_LEN, RECORD_LEN, u16_at, u32_at, u64_at};
use super::origin::{Origin, OriginId};

/// Why bytes are not a batch. All of these are the storage's fault, never the program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("the batch ends early: {have} of {need} bytes")]
    Truncated { have: usize, need: usize },
    #[error("no batch starts here")]
    Magic,
    #[error("the batch is of version {0}, this program reads version 1")]
    Version(u16),
    #[error("the batch's header is inconsistent")]
    Header,
    #[error("the batch's checksum does not match its bytes")]
    Checksum,
    #[error("record {0} points outside its batch")]
    Record(u32),
    #[error("field {0} points outside its batch")]
    Field(u32),
    #[error("an origin can't be read")]
    Origin,
}

impl BatchError {
    /// Whether more bytes might have made it a batch.
    pub fn is_truncation(self) -> bool {
        matches!(self, Self::Truncated { .. })
    }
}

/// Total length of the batch that `data` starts with, or why it is none. Looks at the header only.
pub(super) fn header(data: &[u8]) -> Result<usize, BatchError> {
    let seen = data.len().min(layout::MAGIC.len());
    if data[..seen] != layout::MAGIC[..seen] {
        return Err(BatchError::Magic);
    }
    if data.len() < HEADER_LEN {
        return Err(BatchError::Truncated { have: data.len(), need: HEADER_LEN });
    }
    match u16_at(data, layout::AT_VERSION) {
        layout::VERSION => {}
        other => return Err(BatchError::Version(other)),
    }
    let total = u32_at(data, layout::AT_TOTAL) as usize;
    let tables = [
        (layout::AT_RECORDS, RECORD_LEN),
        (layout::AT_FIELDS, FIELD_LEN),
        (layout::AT_ORIGINS, ORIGIN_LEN),
        (layout::AT_BYTES, 1),
    ];
    let need = tables.iter().fold(HEADER_LEN as u64, |sum, (at, len)| sum + u64::from(u32_at(data, *at)) * *len as u64);
    let header_len = usize::from(u16_at(data, layout::AT_HEADER_LEN));
    if header_len != HEADER_LEN || total > MAX_BATCH_BYTES || need > total as u64 {
        return Err(BatchError::Header);
    }
    Ok(total)
}

/// Checks the whole batch and returns its length.
pub(super) fn check(data: &[u8]) -> Result<usize, BatchError> {
    let total = header(data)?;
    if data.len() < total {
        return Err(BatchError::Truncated { have: data.len(), need: total });
    }
    let data = &data[..total];
    if checksum(&data[..HEADER_LEN], &data[HEADER_LEN..]) != u32_at(data, layout::AT_CRC) {
        return Err(BatchError::Checksum);
    }
    let shape = Shape::of(data);
    let arena = shape.records_at - HEADER_LEN;
    let inside =
        |entry: &[u8], at: usize| u64::from(u32_at(entry, at)) + u64::from(u32_at(entry, at + 4)) <= arena as u64;
    for index in 0..shape.records {
        let entry = &data[shape.records_at + index as usize * RECORD_LEN..][..RECORD_LEN];
        let fields_end = u64::from(u32_at(entry, 24)) + u64::from(u16_at(entry, 28));
        let ok = inside(entry, 16)
            && fields_end <= u64::from(shape.fields)
            && entry[30] <= 7
            && Flags::from_bits(entry[31]).is_some()
            && u32_at(entry, 32) < shape.origins;
        if !ok {
            return Err(BatchError::Record(index));
        }
    }
    for index in 0..shape.fields {
        let entry = &data[shape.fields_at + index as usize * FIELD_LEN..][..FIELD_LEN];
        if !inside(entry, 0) || !inside(entry, 8) || u32_at(entry, 16) > layout::KIND_JSON {
            return Err(BatchError::Field(index));
        }
    }
    let texts = &data[shape.texts_at..];
    for index in 0..shape.origins {
        let entry = &data[shape.origins_at + index as usize * ORIGIN_LEN..][..ORIGIN_LEN];
        let text = texts
            .get(u32_at(entry, 8) as usize..)
            .and_then(|rest| rest.get(..u32_at(entry, 12) as usize))
            .ok_or(BatchError::Origin)?;
        Origin::decode(text)?;
        if OriginId::of_text(text).0 != u64_at(entry, 0) {
            return Err(BatchError::Origin);
        }
    }
    Ok(total)
}

/// CRC-32 (IEEE) of everything but the checksum field.
pub(super) fn checksum(header: &[u8], rest: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..layout::AT_CRC]);
    crc.update(&header[layout::AT_CRC + 4..HEADER_LEN]);
    crc.update(rest);
    crc.finalize()
}
