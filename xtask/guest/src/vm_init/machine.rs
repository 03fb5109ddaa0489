//! The machine: file systems, the loopback device, kernel settings, and what the command line asked for.
//!
//! ```text
//! ringward.cgroup=v1|v2           which hierarchy is at /sys/fs/cgroup
//! ringward.rungs=fexit,tp_btf     the --capture-hook values, in order
//! ringward.scenarios=a,b          only scenarios whose name contains one of these (all, when it is not there)
//! ringward.lockdown=none|…        what lockdown= was set to: a rung may then be denied
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

/// The v1 controllers, each in a hierarchy of its own, as Debian's cgroupfs-mount does it.
const V1_CONTROLLERS: [&str; 8] = ["cpuset", "cpu", "cpuacct", "blkio", "memory", "devices", "freezer", "pids"];

const RESULT_PORT: &str = "/dev/ttyS1";

pub struct Settings {
    pub rungs: Vec<String>,
    scenarios: Vec<String>,
    pub lockdown: String,
    pub cgroup: String,
}

impl Settings {
    pub fn from_command_line() -> Result<Self> {
        let line = std::fs::read_to_string("/proc/cmdline")?;
        let list = |key: &str| {
            value(&line, key)
                .unwrap_or_default()
                .split(',')
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        Ok(Self {
            rungs: list("ringward.rungs"),
            scenarios: list("ringward.scenarios"),
            lockdown: value(&line, "ringward.lockdown").unwrap_or("none").to_owned(),
            cgroup: value(&line, "ringward.cgroup").unwrap_or("v2").to_owned(),
        })
    }

    pub fn wants(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|part| scenario.contains(part.as_str()))
    }
}

fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// Everything that a distribution's init would have done before a forwarder starts.
pub fn prepare() -> Result<()> {
    at("proc", "/proc", "proc", "")?;
    at("sysfs", "/sys", "sysfs", "")?;
    at("devtmpfs", "/dev", "devtmpfs", "")?;
    at("devpts", "/dev/pts", "devpts", "ptmxmode=0666")?;
    at("tmpfs", "/tmp", "tmpfs", "")?;
    at("tmpfs", "/run", "tmpfs", "")?;
    at("securityfs", "/sys/kernel/security", "securityfs", "")?;
    at("bpf", "/sys/fs/bpf", "bpf", "")?;
    // Lockdown denies tracefs in confidentiality mode; whoever needs it will say so.
    if let Err(error) = at("tracefs", "/sys/kernel/tracing", "tracefs", "") {
        eprintln!("vm-init: {error:#}");
    }
    let line = std::fs::read_to_string("/proc/cmdline")?;
    if value(&line, "ringward.cgroup") == Some("v1") {
        at("tmpfs", "/sys/fs/cgroup", "tmpfs", "")?;
        for controller in V1_CONTROLLERS {
            // Debian's 6.12 has neither memory nor cpuset for v1; runc does without.
            if let Err(error) = at("cgroup", &format!("/sys/fs/cgroup/{controller}"), "cgroup", controller) {
                eprintln!("vm-init: {error:#}");
                std::fs::remove_dir(format!("/sys/fs/cgroup/{controller}"))?;
            }
        }
    } else {
        at("cgroup2", "/sys/fs/cgroup", "cgroup2", "")?;
        write("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +memory +pids")?;
    }
    // Else records written to /dev/kmsg are rate-limited, and lines get lost that nobody forwarded wrongly.
    // The kernel takes it only with its newline.
    write("/proc/sys/kernel/printk_devkmsg", "on\n")?;
    loopback_up()
}

fn at(source: &str, target: &str, kind: &str, data: &str) -> Result<()> {
    // The initramfs has /dev and /proc of its own; what is missing is made.
    let _ = std::fs::create_dir_all(target);
    let data = std::ffi::CString::new(data).context("mount options hold a NUL")?;
    mount(source, target, kind, MountFlags::empty(), data.as_c_str())
        .with_context(|| format!("cannot mount {kind} at {target}"))
}

fn write(path: &str, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {text} to {path}"))
}

fn loopback_up() -> Result<()> {
    let status = std::process::Command::new("/bin/busybox").args(["ip", "link", "set", "lo", "up"]).status()?;
    anyhow::ensure!(status.success(), "cannot bring up the loopback device");
    Ok(())
}

/// The serial port that the host reads results from; it is nobody's console.
pub fn result_port() -> Result<File> {
    let port =
        OpenOptions::new().write(true).open(RESULT_PORT).with_context(|| format!("cannot open {RESULT_PORT}"))?;
    Ok(port)
}

pub fn print(port: &mut File, line: &str) -> Result<()> {
    eprintln!("vm-init: {line}");
    port.write_all(format!("{line}\n").as_bytes()).context("cannot write a result")
}

pub fn drain_result_port() {
    if Path::new(RESULT_PORT).exists()
        && let Ok(port) = result_port()
    {
        let _ = rustix::termios::tcdrain(&port);
    }
}
