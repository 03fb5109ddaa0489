//! What each pure stage takes, in bytes and records a second. A run of a stage is a thousand records.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringward_benches::{RECORDS, all};

fn stages(criterion: &mut Criterion) {
    for mut stage in all() {
        let mut group = criterion.benchmark_group(&stage.name);
        group.throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes: stage.bytes });
        group.bench_function("run", |bencher| bencher.iter(|| (stage.run)()));
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
