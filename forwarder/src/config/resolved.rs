//! A configuration that holds: what the pipeline is wired from.
//!
//! Made only by [`super::load`] (and `resolve.rs` behind it), which checks what the comments here promise. Plain fields:
//! whoever receives one may take it apart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::endpoint::{Endpoint, ListenEndpoint};
use super::pattern::{LinesConfig, Pattern};
use super::raw::{
    CaptureFrom, CaptureParse, CutChoice, EntryChoice, FacilityChoice, FileFormat, Format, HookChoice, IoChoice,
    JournalNames, ParseChoice, ReadFrom, RecordsChoice, SegmentChoice, TraceChoice,
};
use super::shaping::CaseConfig;
use crate::shape::spec;
use crate::source::container::NamePattern;
use crate::source::file::Glob;

#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedConfig {
    /// Absolute. Not opened or created yet.
    pub state_dir: PathBuf,
    pub io: IoChoice,
    /// At most an hour.
    pub shutdown_timeout: Duration,
    pub ring: RingConfig,
    pub capture: CaptureConfig,
    pub kernel: KernelConfig,
    /// `None` where it is not wanted.
    pub view: Option<ViewConfig>,
    /// Where it is asked for.
    pub memlogd: Option<MemlogdConfig>,
    pub docker: Option<DockerConfig>,
    pub files: Vec<FilesConfig>,
    /// `None` where it is not read.
    pub journal: Option<JournalConfig>,
    /// Names are unique; so are endpoints, but for port 0.
    pub listen: Vec<ListenConfig>,
    /// At least one; names and spill directories are unique; at most one is [`Endpoint::Stdout`].
    pub destinations: Vec<DestinationConfig>,
    /// In the order in which they are run.
    pub process: Vec<spec::Step>,
    /// Bits are the numbers of `destinations`. `None` where all records go everywhere.
    pub routes: Option<spec::Routes>,
    pub tests: Vec<CaseConfig>,
}

impl ResolvedConfig {
    /// Whether a destination goes on where an earlier run has left it: all do where the ring is kept in files.
    pub fn resumes(&self, destination: &DestinationConfig) -> bool {
        destination.endpoint.is_resumed() || self.ring.file.is_some()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct RingConfig {
    /// At least [`CaptureConfig::max_line`], so that any record fits.
    pub bytes: usize,
    /// At least 1; `u64::MAX` where unlimited.
    pub records: u64,
    /// The folder where it is kept in files too.
    pub file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CaptureConfig {
    pub hook: HookChoice,
    /// At least 256 KiB, at most 1 GiB; for the whole machine.
    pub ring_bytes: usize,
    /// 4 KiB to 1 MiB.
    pub max_write: usize,
    /// 10 ms to 1 h.
    pub idle_flush: Duration,
    /// 1 KiB to 16 MiB.
    pub max_line: usize,
    pub from: CaptureFrom,
    pub parse: CaptureParse,
    /// With [`CaptureParse::Regex`], and only then.
    pub pattern: Option<LinesConfig>,
    pub multiline: Option<MultilineConfig>,
    pub containers: bool,
    pub exclude: Vec<NamePattern>,
    pub backlog: bool,
    /// Without doubles, ascending.
    pub pids: Vec<u32>,
    /// Without doubles; each starts with `/` (as in `/proc/PID/cgroup`, or below `/sys/fs/cgroup`) and does not end in
    /// one, but for the root's, which is empty.
    pub cgroups: Vec<String>,
    /// Without doubles; with their suffix, as `cron.service`.
    pub units: Vec<String>,
    /// At least 64 KiB.
    pub hold_bytes: usize,
}

impl CaptureConfig {
    /// Whether there is anything to capture, so that eBPF is needed at all.
    pub fn wants_anything(&self) -> bool {
        self.containers || !self.pids.is_empty() || !self.cgroups.is_empty() || !self.units.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct MultilineConfig {
    pub grouping: GroupingConfig,
    /// 2 to 100,000.
    pub max_lines: usize,
    /// 1 KiB to 16 MiB, and at most [`RingConfig::bytes`].
    pub max_bytes: usize,
    /// 10 ms to 1 h.
    pub timeout: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub enum GroupingConfig {
    Traces(TraceChoice),
    Start(Pattern),
    Continuation(Pattern),
}

#[derive(Clone, Debug, PartialEq)]
pub struct KernelConfig {
    pub enabled: bool,
    /// Absolute.
    pub kmsg: PathBuf,
    pub console_tracepoint: bool,
    pub facility_names: FacilityChoice,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MemlogdConfig {
    /// Absolute, and short enough for a socket's address; so is the next, and they differ.
    pub log_socket: PathBuf,
    pub query_socket: PathBuf,
    pub format: EntryChoice,
    /// 128 bytes to 16 MiB, and at most [`RingConfig::bytes`].
    pub max_line: usize,
    pub cut: CutChoice,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DockerConfig {
    /// Absolute, and short enough for a socket's address.
    pub socket: PathBuf,
    /// 16 KiB to 16 MiB.
    pub max_line: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ViewConfig {
    /// Absolute. Too long for a socket only where it is a default.
    pub socket: PathBuf,
    /// Whether it was named, and is not only the default.
    pub required: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FilesConfig {
    /// At least one.
    pub include: Vec<Glob>,
    pub exclude: Vec<Glob>,
    pub format: FileFormat,
    pub gzip: bool,
    pub read_from: ReadFrom,
    /// 1 s to ten years.
    pub ignore_older: Option<Duration>,
    /// 1 s to ten years.
    pub deleted_time: Option<Duration>,
    /// At most 1 PiB.
    pub deleted_bytes: Option<u64>,
    /// Printable; `None`: the path, or the container's name.
    pub name: Option<String>,
    pub parse: CaptureParse,
    /// With [`CaptureParse::Regex`], and only then.
    pub pattern: Option<LinesConfig>,
    pub multiline: Option<MultilineConfig>,
    /// 1 KiB to 16 MiB, at most what the ring holds.
    pub max_line: usize,
    /// 10 ms to 1 h.
    pub idle_flush: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct JournalConfig {
    /// At least one, absolute.
    pub folders: Vec<PathBuf>,
    pub read_from: ReadFrom,
    /// Each has at least one field.
    pub matches: Vec<BTreeMap<String, String>>,
    /// `None`: all.
    pub fields: Option<Vec<String>>,
    pub names: JournalNames,
    pub without_kernel: bool,
    /// 1 KiB to 16 MiB, at most what the ring holds.
    pub max_field: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ListenConfig {
    pub endpoint: ListenEndpoint,
    /// Printable.
    pub name: String,
    pub parse: ParseChoice,
    /// With [`ParseChoice::Regex`], and only then.
    pub pattern: Option<LinesConfig>,
    /// Only for TCP, and not for syslog.
    pub multiline: Option<MultilineConfig>,
    /// 1 KiB to 16 MiB, and not more than the ring.
    pub max_line: usize,
    /// 1 to 65536.
    pub max_connections: usize,
    /// 64 KiB to 1 GiB.
    pub receive_buffer: usize,
    /// Permissions of the file of a unix socket.
    pub mode: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DestinationConfig {
    /// Unique among destinations; printable; keys checkpoints and metrics.
    pub name: String,
    pub endpoint: Endpoint,
    pub format: Format,
    pub records: RecordsChoice,
    /// The file's and the command line's, merged. Keys are not empty.
    pub extra_tags: BTreeMap<String, String>,
    /// Longest encoded record, at least 512; `None` without limit, which a UDP destination never is.
    pub max_record_bytes: Option<usize>,
    /// `Off` for all but UDP.
    pub udp_segment: SegmentChoice,
    pub retry: RetryConfig,
    /// `None`: learned from the receiver's window.
    pub resend_window: Option<u64>,
    pub spill: Option<SpillConfig>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryConfig {
    /// 1 ms to `max`.
    pub initial: Duration,
    /// At most an hour.
    pub max: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SpillConfig {
    /// At least 1 MiB.
    pub bytes: u64,
    /// `STATE_DIR/spill/NAME`, the name written so that it is one path component.
    pub dir: PathBuf,
}
