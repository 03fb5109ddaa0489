//! What /proc says of a process.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

/// `BPF_MAP_TYPE_RINGBUF` of the kernel's `enum bpf_map_type`.
const RING_BUFFER: &str = "27";

#[derive(Clone)]
pub struct Process {
    pid: u32,
    folder: PathBuf,
}

/// Between two looks at memory: short beside a run.
const INTERVAL: Duration = Duration::from_millis(10);

/// One thread, as far as it was scheduled.
#[derive(Clone, Copy, Default)]
pub struct Scheduled {
    pub cpu: Duration,
    /// Times that it slept and was woken.
    pub wakeups: u64,
}

impl Process {
    pub fn new(pid: u32) -> Self {
        Self { pid, folder: PathBuf::from(format!("/proc/{pid}")) }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is there still, as far as /proc says; one that has ended and was not waited for has no memory.
    pub fn is_there(&self) -> bool {
        self.resident_bytes().is_ok()
    }

    /// User and system time of all threads. Exact to the nanosecond, but to 10 ms for what threads took that have ended.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = read_to_string(self.folder.join("stat"))?;
        // The name, in parentheses, may hold anything.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields.skip(11).take(2).map(|word| word.parse().unwrap_or(0)).sum::<u64>();
        let with_ended = Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64);
        let exact = self.threads().map(|threads| threads.values().map(|thread| thread.cpu).sum()).unwrap_or_default();
        Ok(with_ended.max(exact))
    }

    /// Each thread, by name and number; exact to the nanosecond.
    pub fn threads(&self) -> Result<BTreeMap<String, Scheduled>> {
        let mut threads = BTreeMap::new();
        for entry in std::fs::read_dir(self.folder.join("task"))? {
            let task = entry?.path();
            let name = read_to_string(task.join("comm"))?;
            let schedstat = read_to_string(task.join("schedstat"))?;
            let nanoseconds = schedstat.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let wakeups = field(&read_to_string(task.join("status"))?, "voluntary_ctxt_switches:").unwrap_or(0);
            let number = task.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let thread = Scheduled { cpu: Duration::from_nanos(nanoseconds), wakeups };
            threads.insert(format!("{} {number}", name.trim()), thread);
        }
        Ok(threads)
    }

    /// Resident memory that is the process's own, in bytes: heap, stacks, no files and no shared memory.
    pub fn anonymous_bytes(&self) -> Result<u64> {
        Ok(1024 * self.status("RssAnon:")?)
    }

    /// All resident memory, in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        Ok(1024 * self.status("VmRSS:")?)
    }

    /// Begins to look for the most of both: its own memory, and all of it.
    pub fn watch_memory(&self) -> (Peak, Peak) {
        let (one, other) = (self.clone(), self.clone());
        let anonymous = Peak::watch(INTERVAL, move || one.anonymous_bytes().unwrap_or(0));
        (anonymous, Peak::watch(INTERVAL, move || other.resident_bytes().unwrap_or(0)))
    }

    fn status(&self, name: &str) -> Result<u64> {
        field(&read_to_string(self.folder.join("status"))?, name).with_context(|| format!("no {name}"))
    }

    /// Memory of the BPF ring buffers that it holds, in bytes.
    pub fn bpf_ring_bytes(&self) -> Result<u64> {
        let mut bytes = BTreeMap::new();
        for entry in std::fs::read_dir(self.folder.join("fdinfo"))? {
            let Ok(text) = read_to_string(entry?.path()) else { continue };
            let is_ring = text
                .lines()
                .any(|line| line.strip_prefix("map_type:").is_some_and(|number| number.trim() == RING_BUFFER));
            if is_ring && let (Some(id), Some(size)) = (field(&text, "map_id:"), field(&text, "memlock:")) {
                bytes.insert(id, size);
            }
        }
        Ok(bytes.values().sum())
    }
}

/// The number behind `name` in a file of `name:\tnumber` lines.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Asks for a number again and again and keeps the largest.
pub struct Peak {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Peak {
    pub fn watch(interval: Duration, mut ask: impl FnMut() -> u64 + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut peak = 0;
            while !stopped.load(Ordering::Relaxed) {
                peak = peak.max(ask());
                std::thread::sleep(interval);
            }
            peak
        });
        Self { stop, thread }
    }

    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_read() {
        let process = Process::new(std::process::id());
        assert!(process.cpu().is_ok());
        assert!(process.anonymous_bytes().unwrap() > 0);
        assert!(process.resident_bytes().unwrap() > process.anonymous_bytes().unwrap());
        assert!(process.threads().unwrap().values().any(|thread| !thread.cpu.is_zero()));
        assert_eq!(process.bpf_ring_bytes().unwrap(), 0);
    }
}
