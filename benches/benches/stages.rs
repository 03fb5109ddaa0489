//! What each pure stage takes, in bytes and records a second. A run of a stage is a thousand records.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringward_benches::{RECORDS, all};

fn stages(criterion: &mut Criterion) {
    for mut stage in all() {
        // Criterion knows one unit a group; records are bytes by the length of a line.
        let mut group = criterion.benchmark_group(&stage.name);
        group.throughput(Throughput::Bytes(stage.bytes));
        group.bench_function("bytes", |bencher| bencher.iter(|| (stage.run)()));
        group.throughput(Throughput::Elements(RECORDS));
        group.bench_function("records", |bencher| bencher.iter(|| (stage.run)()));
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
