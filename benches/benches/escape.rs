//! What the escape kernel costs: each variant that the machine has, against what others make of the same text.
//!
//! The reference is simdutf8's validation and json-escape-simd, one after the other: together they do what the kernel
//! does, less the HTML and U+2028 escapes and what becomes of invalid bytes. serde_json and simd-json's writer take a
//! `str` and validate nothing. The last lines put the kernel beside its bars, from the fastest of many short runs.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group};
use ringward::encode::simd::{EscapeStyle, Variant, escape_into, escape_into_with};
use ringward_benches::inputs::{CYRILLIC, PLAIN, escaped, text};

const SIZES: [usize; 4] = [32, 200, 1024, 16 * 1024];
/// Of the reference's time, where there is a reference.
const BAR: f64 = 1.3;
/// Bytes of input a nanosecond, where nothing stays as it is.
const WORST_BAR: f64 = 1.0;
const ROUNDS: u32 = 200;

/// An input of about this many bytes.
type Make = fn(usize) -> Vec<u8>;

/// Inputs by name. Those that are valid UTF-8 and not the worst case are held against the reference.
const INPUTS: [(&str, Make); 6] = [
    ("plain", |len| text(PLAIN, len).into_bytes()),
    ("escaped30", |len| escaped(len).into_bytes()),
    ("cyrillic", |len| text(CYRILLIC, len).into_bytes()),
    ("cjk", |len| text("请求已在几毫秒内处理完毕，状态正常。", len).into_bytes()),
    ("all escapes", |len| vec![1; len]),
    ("all invalid", |len| vec![0xff; len]),
];

/// The reference; `false` where it refuses.
fn reference(input: &[u8], out: &mut Vec<u8>) -> bool {
    simdutf8::basic::from_utf8(input).map(|text| json_escape_simd::escape_into(text, out)).is_ok()
}

fn escape(criterion: &mut Criterion) {
    for (name, make) in INPUTS {
        for size in SIZES {
            let input = make(size);
            let mut group = criterion.benchmark_group(format!("escape/{name}/{size}"));
            // A text is what a record has.
            group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: input.len() as u64 });
            let mut out = Vec::with_capacity(8 * SIZES[SIZES.len() - 1]);
            let mut bench = |name: &str, write: &mut dyn FnMut(&[u8], &mut Vec<u8>)| {
                group.bench_function(name, |bencher| {
                    bencher.iter(|| {
                        out.clear();
                        write(black_box(&input), &mut out);
                    });
                });
            };
            for variant in Variant::available() {
                bench(variant.name(), &mut |input, out| escape_into_with(variant, out, input, EscapeStyle::Html));
            }
            let Ok(text) = std::str::from_utf8(&input) else { continue };
            bench("simdutf8 and json-escape-simd", &mut |input, out| {
                black_box(reference(input, out));
            });
            bench("simd-json", &mut |_, out| simd_json::to_writer(out, black_box(text)).expect("a string is written"));
            bench("serde_json", &mut |_, out| {
                serde_json::to_writer(out, black_box(text)).expect("a string is written")
            });
        }
    }
}

/// Nanoseconds of one call in the fastest round.
fn fastest(input: &[u8], mut write: impl FnMut(&[u8], &mut Vec<u8>)) -> f64 {
    let mut out = Vec::with_capacity(8 * input.len() + 1024);
    let calls = (50_000 / input.len() as u32).max(3);
    let round = |_| {
        let started = Instant::now();
        for _ in 0..calls {
            out.clear();
            write(black_box(input), &mut out);
            black_box(&out);
        }
        started.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..ROUNDS).map(round).fold(f64::MAX, f64::min)
}

fn summary() {
    println!("\n{:<12} {:>6} {:>10} {:>10}", "", "bytes", Variant::best().name(), "reference");
    for (name, make) in INPUTS {
        for size in SIZES {
            let input = make(size);
            let ours = fastest(&input, |input, out| escape_into(out, input, EscapeStyle::Html));
            let valid = std::str::from_utf8(&input).is_ok();
            let theirs = valid.then(|| fastest(&input, |input, out| _ = reference(input, out)));
            print!("{name:<12} {size:>6} {ours:>7.1} ns ");
            match theirs {
                Some(theirs) => print!("{theirs:>7.1} ns  {:.2} of the reference's time", ours / theirs),
                None => print!("{:>10}  it refuses", ""),
            }
            let speed = input.len() as f64 / ours;
            match theirs {
                Some(theirs) if !name.starts_with("all") => println!(", bar {BAR}: {}", met(ours / theirs <= BAR)),
                _ if size > 32 => println!("; {speed:.2} GB/s, bar {WORST_BAR}: {}", met(speed >= WORST_BAR)),
                _ => println!("; {speed:.2} GB/s"),
            }
        }
    }
}

fn met(met: bool) -> &'static str {
    if met { "ok" } else { "short" }
}

criterion_group!(benches, escape);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    summary();
}
