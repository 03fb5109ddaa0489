//! What encoding a batch as json_lines costs: records and bytes a second, and the budgets beside the fastest run.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group};
use ringward_benches::RECORDS;
use ringward_benches::inputs::{batches, encoder};

const ROUNDS: u32 = 500;

/// What a record of these batches may take, in nanoseconds.
const BUDGETS: [(&str, f64); 2] = [("plain", 40.0), ("six fields", 150.0)];

fn encode_batch(criterion: &mut Criterion) {
    for (name, batch) in &batches() {
        let mut lines = encoder();
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        lines.encode_batch(batch, 0..batch.record_count(), &mut out, &mut ends);
        let mut group = criterion.benchmark_group("json_lines");
        group.throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes: out.len() as u64 });
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                out.clear();
                ends.clear();
                lines.encode_batch(black_box(batch), 0..batch.record_count(), &mut out, &mut ends)
            });
        });
    }
}

fn summary() {
    println!("\n{:<12} {:>14} {:>14} {:>10}", "", "a record", "records/s", "written");
    for (name, batch) in &batches() {
        let mut lines = encoder();
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        let round = |_| {
            out.clear();
            ends.clear();
            let started = Instant::now();
            lines.encode_batch(black_box(batch), 0..batch.record_count(), &mut out, &mut ends);
            started.elapsed().as_nanos() as f64 / RECORDS as f64
        };
        let best = (0..ROUNDS).map(round).fold(f64::MAX, f64::min);
        let bytes = out.len() as f64 / RECORDS as f64;
        print!("{name:<12} {best:>11.1} ns {:>12.1} M {:>5.1} GB/s", 1000.0 / best, bytes / best);
        match BUDGETS.iter().find(|(of, _)| of == name) {
            Some((_, budget)) => println!(", bar {budget} ns: {}", if best <= *budget { "ok" } else { "short" }),
            None => println!(),
        }
    }
}

criterion_group!(benches, encode_batch);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    summary();
}
