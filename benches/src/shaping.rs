//! The ways through `process` that have a bar: parse, rename one field, add two, and encode.

use std::hint::black_box;

use ringward::config::from_text;
use ringward::encode::json_lines::{JsonLines, JsonLinesOptions};
use ringward::record::{Batch, BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
use ringward::shape::Trial;

use crate::RECORDS;
use crate::inputs::{LOGFMT, SERVICE_JSON};
use crate::stages::Stage;

/// By format, a line and what is renamed in it.
const WAYS: [(&str, &str, &str); 2] = [("json", SERVICE_JSON, "caller"), ("logfmt", LOGFMT, "container")];

/// Text of a file into json_lines. Bytes are those of the lines.
pub fn all() -> impl Iterator<Item = Stage> {
    WAYS.into_iter().map(|(format, line, renamed)| way(format, line, renamed))
}

fn way(format: &str, line: &str, renamed: &str) -> Stage {
    let process = format!(
        "process:\n- parse: {{format: {format}}}\n- rename: {{{renamed}: origin}}\n- add: {{cluster: eu-1, node: s03-rack07}}\n"
    );
    let config = from_text("bench", &process).unwrap_or_else(|problems| panic!("{problems}"));
    let mut trial = Trial::new(&config.process, None);
    let mut encoder = JsonLines::new(JsonLinesOptions { newline: true, ..JsonLinesOptions::default() });
    let batch = text(line);
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    let bytes = line.len() as u64 * RECORDS;
    let run = move || {
        for (shaped, _) in trial.run(black_box(batch.clone())) {
            out.clear();
            ends.clear();
            encoder.encode_batch(&shaped, 0..shaped.record_count(), &mut out, &mut ends);
            black_box((&out, &ends));
        }
    };
    Stage { name: format!("shape {format}"), bytes, run: Box::new(run) }
}

/// Lines of a file, as its reader makes them.
fn text(line: &str) -> Batch {
    let file = Origin { source: "file:2049:131".into(), ..Origin::new(OriginKind::File, "app") };
    let (origin, mut builder) = (OriginHandle::new(file), BatchBuilder::new(512 << 10));
    for number in 0..RECORDS {
        let position = (number + 1) * (line.len() as u64 + 1);
        let meta = RecordMeta { position, ..RecordMeta::line(1_767_323_045_000_000_000, line.as_bytes()) };
        builder.push(&origin, meta, line.as_bytes());
    }
    builder.seal()
}
