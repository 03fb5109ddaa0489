//! A capture of `/dev/null`, for benchmarks of what capturing costs: any inode can be a target of the system call hooks,
//! and a file that throws its content away is the cheapest. Needs root.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use forwarder_common::{ExecRecord, PipeKey};
use ringward::parse::line::LineKind;
use ringward::record::{Origin, OriginHandle, OriginKind};
use ringward::ring::{Ring, RingLimits};
use ringward::source::ebpf::handle::{Added, ReaderHandle, ReaderOptions};
use ringward::source::ebpf::hook::Hook;
use ringward::source::ebpf::load::{LoadOptions, load};
use ringward::source::ebpf::names::{Known, Names};
use ringward::source::ebpf::reader::start;
use ringward::source::ebpf::stream::StreamLimits;

/// What is captured.
pub const TARGET: &str = "/dev/null";
/// Memory of the kernel's rings.
const RING_BYTES: usize = 64 << 20;

/// Knows nobody: there is one target, which is named beforehand.
struct Nobody;

impl Names for Nobody {
    fn name(&mut self, _: &ExecRecord) -> Option<Known> {
        None
    }

    fn held(&mut self, keys: &[PipeKey]) -> HashSet<PipeKey> {
        keys.iter().copied().collect()
    }
}

/// Captures what is written to [`TARGET`], by `hook` or the best there is.
///
/// # Errors
/// Why that is not possible here.
pub fn capture(hook: Option<Hook>) -> Result<(ReaderHandle, Hook), String> {
    let options = LoadOptions { hook, ring_bytes: RING_BYTES, max_write: 1 << 20, containers: true, console: false };
    let capture = load(&options).map_err(|error| error.to_string())?;
    let hook = capture.hook;
    let ring = Ring::new(RingLimits { bytes: 4 << 20, records: u64::MAX }, 1);
    let limits = StreamLimits { max_line: 1 << 20, hold: 1 << 20, ahead: 64 << 20 };
    let options =
        ReaderOptions { idle_flush: Duration::from_secs(1), limits, parse: LineKind::Text, join: None, resumes: false };
    let reader = start(capture, options, ring, Box::new(Nobody), None).map_err(|error| error.to_string())?;
    let target = std::fs::metadata(TARGET).map_err(|error| error.to_string())?;
    let device = (rustix::fs::major(target.dev()) << 20) | rustix::fs::minor(target.dev());
    let key = PipeKey { inode: target.ino(), device, zero: 0 };
    let origin = OriginHandle::new(Origin::new(OriginKind::Process, "bench"));
    reader.add(key, Added { origin, process: None, before: None, log: None });
    // Until the kernel has it.
    std::thread::sleep(Duration::from_millis(20));
    Ok((reader, hook))
}
