//! Loads the programs: maps and settings first, then the best rung of the ladder that this kernel takes.

use std::os::fd::AsFd;
use std::path::Path;

use aya::maps::{Array, ArrayOfMaps, HashMap, MapData, RingBuf};
use aya::programs::{BtfTracePoint, FExit, KProbe, Program, ProgramError, RawTracePoint, TracePoint};
use aya::{Btf, Ebpf, EbpfLoader};
use forwarder_common::{FIRST_USER_TARGET, MAX_CPUS, MIN_RING_LEN, MISSED_KINDS, NO_OFFSET, PipeKey, Settings, Target};

use super::btf::{BtfError, KernelTypes};
use super::hook::Hook;
use super::offsets::{self, MissingMember};
use crate::sys::{NoChildSignals, SharedFlag};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ringward-ebpf"));
const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Last lines of the verifier's log that an error keeps; all of them where RINGWARD_VERIFIER_LOG is set.
const VERIFIER_LINES: usize = 5;

/// System calls that put bytes into a pipe past its write function, and the fexit program of each.
const SPLICE_CALLS: [&str; 4] = ["sendfile64", "splice", "tee", "vmsplice"];
const SPLICE_PROGRAMS: [&str; 4] = ["sendfile_exit", "splice_exit", "tee_exit", "vmsplice_exit"];
/// How the kernel names the functions behind system calls.
const SYSTEM_CALL_PREFIX: &str = if cfg!(target_arch = "aarch64") { "__arm64_sys_" } else { "__x64_sys_" };

/// As often as libbpf tries it.
const LOAD_ATTEMPTS: u32 = 5;

/// What capture is asked to be.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// `None`: the best that the kernel takes.
    pub hook: Option<Hook>,
    /// Bytes of all CPUs' rings together.
    pub ring_bytes: usize,
    /// Most bytes of a write to capture.
    pub max_write: u64,
    /// Register the stdio of new containers at their first exec.
    pub containers: bool,
    /// Capture the text of every printk.
    pub console: bool,
}

/// Why capture by eBPF is not possible.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Btf(#[from] BtfError),
    #[error(transparent)]
    Offsets(#[from] MissingMember),
    #[error("lockdown=confidentiality denies eBPF programs to read the kernel's memory, which every hook has to")]
    Lockdown,
    #[error("the eBPF maps could not be made: {0}")]
    Maps(String),
    #[error("the capture hook {hook} can't be used: {why}")]
    Hook { hook: Hook, why: String },
    #[error("no capture hook can be used: {}", tried(.0))]
    NoHook(Vec<(Hook, String)>),
}

/// The loaded programs and their maps. Dropping it detaches them.
pub struct Capture {
    pub hook: Hook,
    /// Rungs above the chosen one, and why each was not used.
    pub refused: Vec<(Hook, String)>,
    /// Whether writes by io_uring are seen.
    pub sees_uring: bool,
    /// Whether the text of printk is captured.
    pub console: bool,
    pub rings: Vec<RingBuf<MapData>>,
    /// Bytes of each CPU's ring.
    pub ring_len: usize,
    pub targets: HashMap<MapData, PipeKey, Target>,
    /// Counters of [`forwarder_common::Missed`].
    pub missed: Array<MapData, u64>,
    pub sleeping: SharedFlag,
    /// A time before the programs were attached, ns since the epoch.
    pub loaded_ns: i64,
    ebpf: Ebpf,
}

/// Loads and attaches.
///
/// # Errors
/// [`LoadError`] says which step failed and why; nothing stays attached.
pub fn load(options: &LoadOptions) -> Result<Capture, LoadError> {
    if is_confidential() {
        return Err(LoadError::Lockdown);
    }
    // Of a command that can't be started, the kernel tells any thread of the process.
    let _quiet = NoChildSignals::begin();
    let types = KernelTypes::read(Path::new(BTF_PATH))?;
    let offsets = offsets::find(&types, v1_controller().as_deref())?;
    let btf = Btf::from_sys_fs().map_err(|error| LoadError::Maps(error.to_string()))?;
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| LoadError::Maps(error.to_string()))?.min(MAX_CPUS);
    let ring_len = ring_len(options.ring_bytes, cpus);
    let settings = Settings {
        host_mnt_inum: host_mount_namespace(),
        register_at_exec: u32::from(options.containers),
        wake_above: ring_len as u64 / 4,
        // The largest record of output may come on top.
        output_below: (ring_len - forwarder_common::EXEC_RESERVE - 2 * forwarder_common::CHUNK_LEN) as u64,
        max_write: options.max_write.min(forwarder_common::MAX_WRITE),
    };
    let mut ebpf = EbpfLoader::new()
        .btf(Some(&btf))
        .override_global("OFFSETS", &offsets, true)
        .override_global("SETTINGS", &settings, true)
        .map_max_entries("RINGS", cpus as u32)
        .load(OBJECT)
        .map_err(|error| LoadError::Maps(chain(&error)))?;
    let rings = make_rings(&mut ebpf, cpus, ring_len)?;
    let targets = take(&mut ebpf, "TARGETS")?;
    let missed = take(&mut ebpf, "MISSED")?;
    let sleeping = sleeping_flag(&mut ebpf)?;
    let loaded_ns = crate::source::clock::realtime_ns();
    let (hook, refused) = attach_ladder(&mut ebpf, &btf, &types, options.hook)?;
    if options.containers {
        attach_raw(&mut ebpf, "container_exec", "sched_process_exec").map_err(LoadError::Maps)?;
    }
    let console = options.console
        && attach_raw(&mut ebpf, "console", "console")
            .inspect_err(|why| {
                tracing::warn!("the console tracepoint can't be used, /dev/kmsg overruns will not be filled: {why}")
            })
            .is_ok();
    let uring = if hook.is_pipe_level() { "uring_splice_complete" } else { "uring_complete" };
    let sees_uring = offsets.request_file != NO_OFFSET && attach_raw(&mut ebpf, uring, "io_uring_complete").is_ok();
    Ok(Capture { hook, refused, sees_uring, console, rings, ring_len, targets, missed, sleeping, loaded_ns, ebpf })
}

impl Capture {
    /// Runs of the programs that the kernel skipped since they were loaded, because one was running on the CPU
    /// already. Each may be a write that was neither captured nor counted.
    pub fn skipped_runs(&self) -> u64 {
        self.ebpf
            .programs()
            .filter_map(|(_, program)| program.fd().ok().map(|fd| crate::sys::recursion_misses(fd.as_fd())))
            .sum()
    }

    /// How often what [`forwarder_common::Missed`] lists has happened, each with what to say of it.
    pub fn missed(&self) -> [(u64, &'static str); MISSED_KINDS] {
        let texts = [
            "exec or printk records found the capture ring full",
            "streams of new containers are not captured: too many pipes and terminals at once",
            "writes could not be followed from their entry to their return: output may be missing",
        ];
        let count = |kind: usize| self.missed.get(&(kind as u32), 0).unwrap_or(0);
        std::array::from_fn(|kind| (count(kind), texts[kind]))
    }

    /// Ids that user space may give to targets start here.
    pub fn first_target_id() -> u32 {
        FIRST_USER_TARGET
    }
}

/// Bytes of one CPU's ring: a power of two, as large as the total allows, and never too small to be useful.
fn ring_len(total: usize, cpus: usize) -> usize {
    let share = (total / cpus.max(1)).max(1);
    let power = if share.is_power_of_two() { share } else { share.next_power_of_two() / 2 };
    power.max(MIN_RING_LEN)
}

fn make_rings(ebpf: &mut Ebpf, cpus: usize, len: usize) -> Result<Vec<RingBuf<MapData>>, LoadError> {
    let failed =
        |error: &dyn std::error::Error| LoadError::Maps(format!("ring buffers of {len} bytes: {}", chain(error)));
    let map = ebpf.map_mut("RINGS").ok_or_else(|| LoadError::Maps("no map RINGS".into()))?;
    let mut outer: ArrayOfMaps<_, RingBuf<MapData>> = ArrayOfMaps::try_from(map).map_err(|error| failed(&error))?;
    let mut rings = Vec::with_capacity(cpus);
    for cpu in 0..cpus {
        let kind = aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32;
        let object = aya_obj::Map::new_from_params(kind, 0, 0, len as u32, 0);
        let data = MapData::create(object, "ringward_ring", None).map_err(|error| failed(&error))?;
        let ring = RingBuf::try_from(aya::maps::Map::RingBuf(data)).map_err(|error| failed(&error))?;
        outer.set(cpu as u32, &ring, 0).map_err(|error| failed(&error))?;
        rings.push(ring);
    }
    Ok(rings)
}

fn take<T: TryFrom<aya::maps::Map>>(ebpf: &mut Ebpf, name: &str) -> Result<T, LoadError> {
    let map = ebpf.take_map(name).ok_or_else(|| LoadError::Maps(format!("no map {name}")))?;
    T::try_from(map).map_err(|_| LoadError::Maps(format!("the map {name} is of another kind")))
}

fn sleeping_flag(ebpf: &mut Ebpf) -> Result<SharedFlag, LoadError> {
    let Some(aya::maps::Map::Array(data)) = ebpf.map("SLEEPING") else {
        return Err(LoadError::Maps("no map SLEEPING".into()));
    };
    SharedFlag::map(data.fd().as_fd())
        .map_err(|error| LoadError::Maps(format!("the map SLEEPING can't be mapped: {error}")))
}

fn attach_ladder(
    ebpf: &mut Ebpf,
    btf: &Btf,
    types: &KernelTypes,
    forced: Option<Hook>,
) -> Result<(Hook, Vec<(Hook, String)>), LoadError> {
    if let Some(hook) = forced {
        return match attach(ebpf, btf, types, hook) {
            Ok(()) => Ok((hook, Vec::new())),
            Err(why) => Err(LoadError::Hook { hook, why }),
        };
    }
    let mut refused = Vec::new();
    for hook in Hook::LADDER {
        match attach(ebpf, btf, types, hook) {
            Ok(()) => return Ok((hook, refused)),
            Err(why) => {
                detach(ebpf, hook);
                refused.push((hook, why));
            }
        }
    }
    Err(LoadError::NoHook(refused))
}

/// The functions behind write to a pipe: from about 6.15 anonymous pipes and FIFOs have one each.
fn pipe_functions(types: &KernelTypes) -> Vec<&'static str> {
    ["pipe_write", "anon_pipe_write", "fifo_pipe_write"].into_iter().filter(|name| types.has_function(name)).collect()
}

/// Takes back what a hook of several programs has attached before one of them was refused: with the next hook on top
/// every write would be captured twice.
fn detach(ebpf: &mut Ebpf, hook: Hook) {
    // What was not loaded says so, and that is as good.
    for (_, program) in ebpf.programs_mut() {
        let _ = match (hook, program) {
            (Hook::Fexit, Program::FExit(program)) => program.unload(),
            (Hook::Kprobe, Program::KProbe(program)) => program.unload(),
            (Hook::TpBtf, Program::BtfTracePoint(program)) => program.unload(),
            (Hook::Tracepoint, Program::TracePoint(program)) => program.unload(),
            // One program, so nothing is attached where it was refused.
            _ => Ok(()),
        };
    }
}

fn attach(ebpf: &mut Ebpf, btf: &Btf, types: &KernelTypes, hook: Hook) -> Result<(), String> {
    match hook {
        Hook::Fexit => {
            // One program has one attach function: the second one gets a copy of its own.
            let functions = pipe_functions(types);
            for (index, function) in functions.iter().enumerate() {
                let name =
                    ["pipe_write_exit", "fifo_write_exit"].get(index).ok_or("more pipe functions than programs")?;
                attach_fexit(ebpf, btf, name, function)?;
            }
            for (name, call) in SPLICE_PROGRAMS.into_iter().zip(SPLICE_CALLS) {
                attach_fexit(ebpf, btf, name, &format!("{SYSTEM_CALL_PREFIX}{call}"))?;
            }
            attach_fexit(ebpf, btf, "tty_write_exit", "tty_write")
        }
        Hook::TpBtf => {
            let program: &mut BtfTracePoint = program(ebpf, "sys_exit_btf")?;
            load_program(|| program.load("sys_exit", btf))?;
            program.attach().map(drop).map_err(|error| chain(&error))
        }
        Hook::Kprobe => {
            for function in pipe_functions(types) {
                attach_kprobe(ebpf, "pipe_write_entry", function)?;
                attach_kprobe(ebpf, "pipe_write_return", function)?;
            }
            for call in SPLICE_CALLS {
                attach_kprobe(ebpf, "splice_return", &format!("{SYSTEM_CALL_PREFIX}{call}"))?;
            }
            attach_kprobe(ebpf, "tty_write_entry", "tty_write")?;
            attach_kprobe(ebpf, "tty_write_return", "tty_write")
        }
        Hook::RawTracepoint => attach_raw(ebpf, "sys_exit_raw", "sys_exit"),
        Hook::Tracepoint => {
            let program: &mut TracePoint = program(ebpf, "sys_exit_tracepoint")?;
            load_program(|| program.load())?;
            program.attach("raw_syscalls", "sys_exit").map(drop).map_err(|error| chain(&error))
        }
    }
}

/// Loads again what a signal has interrupted: the verifier gives up when one is pending, and says EAGAIN.
fn load_program(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), String> {
    let mut attempts = 1;
    loop {
        match load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == std::io::ErrorKind::WouldBlock && attempts < LOAD_ATTEMPTS =>
            {
                attempts += 1;
            }
            ended => return ended.map_err(|error| chain(&error)),
        }
    }
}

fn attach_fexit(ebpf: &mut Ebpf, btf: &Btf, name: &str, function: &str) -> Result<(), String> {
    let program: &mut FExit = program(ebpf, name)?;
    load_program(|| program.load(function, btf))?;
    program.attach().map(drop).map_err(|error| chain(&error))
}

fn attach_kprobe(ebpf: &mut Ebpf, name: &str, function: &str) -> Result<(), String> {
    let program: &mut KProbe = program(ebpf, name)?;
    if program.fd().is_err() {
        load_program(|| program.load())?;
    }
    program.attach(function, 0).map(drop).map_err(|error| chain(&error))
}

fn attach_raw(ebpf: &mut Ebpf, name: &str, tracepoint: &str) -> Result<(), String> {
    let program: &mut RawTracePoint = program(ebpf, name)?;
    load_program(|| program.load())?;
    program.attach(tracepoint).map(drop).map_err(|error| chain(&error))
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, String>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    let program = ebpf.program_mut(name).ok_or_else(|| format!("no program {name}"))?;
    program.try_into().map_err(|_| format!("the program {name} is of another kind"))
}

/// A cgroup v1 controller that is mounted, in the order in which runtimes can be expected to use it.
fn v1_controller() -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    ["memory", "pids", "cpu", "devices", "freezer"].into_iter().map(str::to_owned).find(|controller| {
        mounts.lines().any(|line| {
            line.split_once(" - ").is_some_and(|(_, rest)| {
                let mut words = rest.split(' ');
                words.next() == Some("cgroup")
                    && words.nth(1).is_some_and(|options| options.split(',').any(|option| option == controller))
            })
        })
    })
}

/// Inode of the mount namespace of process 1: the host's, where this process shares the host's pid namespace.
fn host_mount_namespace() -> u32 {
    use std::os::unix::fs::MetadataExt;
    // Some hosts hide the first process from everybody; Ringward's own namespace is the host's, or a container's whose
    // programs are no concern of anybody.
    let found = ["/proc/1/ns/mnt", "/proc/self/ns/mnt"].into_iter().find_map(|path| std::fs::metadata(path).ok());
    found.map_or(0, |metadata| metadata.ino() as u32)
}

/// Whether the kernel is locked down so far that its memory can't be read. Where securityfs is not mounted the
/// command line tells what was asked for.
fn is_confidential() -> bool {
    match std::fs::read_to_string("/sys/kernel/security/lockdown") {
        Ok(modes) => modes.contains("[confidentiality]"),
        Err(_) => std::fs::read_to_string("/proc/cmdline").is_ok_and(|line| line.contains("lockdown=confidentiality")),
    }
}

fn tried(refused: &[(Hook, String)]) -> String {
    refused.iter().map(|(hook, why)| format!("{hook}: {why}")).collect::<Vec<_>>().join("; ")
}

/// An error with its causes, without the verifier's log beyond its last lines.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    if std::env::var_os("RINGWARD_VERIFIER_LOG").is_some() {
        return text;
    }
    let statistics = ["processed ", "stack depth ", "verification time "];
    let mut lines: Vec<&str> =
        text.lines().filter(|line| !statistics.iter().any(|start| line.starts_with(start))).collect();
    if lines.len() > VERIFIER_LINES + 1 {
        lines.drain(1..lines.len() - VERIFIER_LINES);
    }
    lines.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_share_the_total_in_powers_of_two() {
        assert_eq!(ring_len(16 << 20, 2), 8 << 20);
        assert_eq!(ring_len(16 << 20, 3), 4 << 20);
        assert_eq!(ring_len(16 << 20, 96), MIN_RING_LEN);
    }

    fn options(hook: Option<Hook>) -> LoadOptions {
        LoadOptions { hook, ring_bytes: 1 << 20, max_write: 1 << 20, containers: true, console: true }
    }

    /// A program that failed half-way through its rung leaves the others of the rung attached, unless they are taken back.
    #[test]
    fn a_refused_rung_leaves_nothing_attached() {
        // A kernel without kprobes has nothing to take back.
        let Ok(mut capture) = load(&options(Some(Hook::Kprobe))) else { return };
        let loaded = |capture: &Capture| {
            let kprobes = capture.ebpf.programs().filter(|(_, program)| matches!(program, Program::KProbe(_)));
            kprobes.filter(|(_, program)| program.fd().is_ok()).count()
        };
        assert_eq!(loaded(&capture), 5);
        detach(&mut capture.ebpf, Hook::Kprobe);
        assert_eq!(loaded(&capture), 0);
    }

    /// Every rung loads, or is refused by the kernel and not by the verifier.
    #[test]
    fn every_rung_passes_the_verifier() {
        for hook in Hook::LADDER {
            match load(&options(Some(hook))) {
                Ok(capture) => assert_eq!(capture.hook, hook),
                Err(LoadError::Hook { why, .. }) => {
                    let refused_by_kernel =
                        !matches!(hook, Hook::TpBtf | Hook::RawTracepoint) && !why.contains("processed");
                    assert!(refused_by_kernel, "{hook}: {why}");
                }
                Err(other) => panic!("{hook}: {other}"),
            }
        }
    }
}
