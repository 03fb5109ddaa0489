//! What may be said on the command line.
//!
//! Values stay text here: `config::Overrides` parses them as it does a file's, so that all problems, of flags and of
//! files, are found and shown together.

use std::ffi::OsString;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::view::arguments as view;
use crate::config::Overrides;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default().bold());

const AFTER_HELP: &str = "\
Examples:
  ringward run
      Capture the kernel's log and all containers, print to standard output.
  ringward run --to udp://127.0.0.1:12345 --to tcp://logs.example.org:5044 --tag server=s03-rack07
      Send both to two receivers, with a tag; standard output stays quiet.
  ringward run --no-kernel --no-containers --pid 4711
      Only what one process and its children print to a terminal, a pipe or a file.
  ringward run --no-kernel --no-containers --listen tcp://0.0.0.0:5140 --to udp://127.0.0.1:12345
      Only what others send, as Talos does; no privileges needed.
  ringward run --no-kernel --no-containers --file '/var/log/*.log' --to tcp://logs.example.org:5044
      Only files, from where an earlier run left them; needs no root where they can be read.
  ringward check -v --config /etc/ringward/ringward.yaml
      Does this configuration hold, and what does it mean?
  ringward test /etc/ringward/ringward.yaml
      Do records come out as the configuration's own cases say?
  ringward doctor
      What does this machine allow, and how to get what is missing?
  ringward logs -f
      What goes through the Ringward that runs here? (also: dmesg, services, containers)
  ringward encode --as talos-service --service etcd
      What would be sent of the lines on standard input?

Exit codes:
  0  it ended in order (run: it was told to stop)
  1  it could not start, or failed while running
  2  a mistake in the arguments or the configuration: nothing was opened or started

Ringward's own log goes to standard error; RINGWARD_LOG sets its level where --log-level does not.";

/// Forwards the logs of a Linux node.
///
/// Ringward captures what the kernel and the containers of this machine print, the containers' output by eBPF and
/// without their help, and sends every record as a line of JSON to each destination.
#[derive(Debug, Parser)]
#[command(
    name = "ringward",
    version,
    styles = STYLES,
    after_help = AFTER_HELP,
    max_term_width = 120,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Capture and send, until told to stop
    ///
    /// Without any flag or file: the kernel's log and every container's output, to standard output. SIGTERM, SIGINT
    /// or SIGHUP stops; what was captured by then is still delivered, within `shutdown_timeout`. A second SIGTERM or
    /// SIGINT ends at once.
    Run(Run),
    /// Say whether a configuration holds, and what it means
    ///
    /// Opens nothing but the configuration files. Every mistake is shown, with its place and what would be accepted.
    Check(Check),
    /// Run the cases of a configuration: what goes in, and what must come out
    ///
    /// Each of `tests` goes through `process` and `routes` as records do in `run`; nothing is read or sent. Ends with 1 where
    /// a case fails.
    Test(Test),
    /// Say what this machine allows, what is missing, and how to get it
    ///
    /// Loads and attaches each capture hook for a moment, and leaves nothing behind. Run it as the user, and in
    /// the container or unit, that will run Ringward.
    Doctor(Doctor),
    /// Say what would be sent: lines, kernel records or syslog on standard input, json_lines on standard output
    ///
    /// Parses and encodes as `run` does, and opens nothing. What was read is answered before more is read.
    Encode(Encode),
    /// Show what the running Ringward holds: everything, or of one service or container
    ///
    /// ORIGIN is a name as `ringward services` and `ringward containers` list them; of a container also its bare name,
    /// NAMESPACE/POD, NAMESPACE/POD:CONTAINER, or the beginning of its id. Of one origin the lines are shown as they are;
    /// of all, each with its origin before it. What is shown is what the ring holds in memory: the newest records.
    #[command(after_help = view::LOGS_HELP)]
    Logs(view::Logs),
    /// Show what goes through the running Ringward from now on, at one stage of its way
    ///
    /// STAGE is `source`: as records came in; `ring`: as `process` has shaped them; or a destination's name: those that are
    /// routed to it. A destination's tags are not shown, they are its own.
    Tap(view::Tap),
    /// Show the kernel's log, as the running Ringward holds it
    ///
    /// As `FACILITY: PRIORITY: [TIME]: TEXT`, with lines of a record's dictionary behind it.
    Dmesg(view::Dmesg),
    /// List who has written to the running Ringward's ring, but for containers
    Services(view::Services),
    /// List the containers that have written to the running Ringward's ring
    Containers(view::Containers),
    /// Take the place of LinuxKit's memlogd, with its flags
    #[command(disable_help_flag = true)]
    Memlogd(Go),
    /// Show what memlogd holds, as LinuxKit's logread does
    #[command(disable_help_flag = true)]
    Logread(Go),
    /// Run a command with its output passed to memlogd, or write what memlogd holds to files, as LinuxKit's logwrites do
    #[command(disable_help_flag = true)]
    Logwrite(Go),
    /// Print the kernel's log, as LinuxKit's kmsg does
    #[command(disable_help_flag = true)]
    Kmsg(Go),
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub configured: Configured,

    /// Run below a small parent that keeps memlogd's sockets and descriptors, and starts Ringward again when it ends
    #[arg(long, help_heading = "Running")]
    pub fd_holder: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub configured: Configured,

    /// Show every setting, not only what is captured and where it goes
    #[arg(short, long)]
    pub verbose: bool,

    /// Print the reference of all keys, in Markdown
    #[arg(long, hide = true)]
    pub reference: bool,
}

#[derive(Debug, Args)]
pub struct Test {
    /// The configuration (`-`: standard input); later files add to and override earlier ones
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

impl Test {
    pub fn configured(&self) -> Configured {
        Configured { config: self.files.clone(), ..Configured::default() }
    }
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub configured: Configured,

    /// Print JSON: an array of objects with name, status, found and advice
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Encode {
    /// What standard input holds
    #[arg(long = "as", value_name = "KIND")]
    pub kind: EncodeKind,

    /// The service's name: `talos-service`; of syslog it is syslogd by default
    #[arg(long, value_name = "NAME", required_if_eq("kind", "talos-service"))]
    pub service: Option<String>,

    /// When the machine was started, as 2021-11-26T16:53:15.073050981Z: kernel records count from there
    #[arg(long, value_name = "RFC3339", required_if_eq("kind", "kmsg"), value_parser = Time::parse)]
    pub boot_time: Option<Time>,

    /// The time of what has no time of its own; without it, when it was read
    #[arg(long, value_name = "RFC3339", value_parser = Time::parse)]
    pub now: Option<Time>,

    /// The names of kernel records' facilities: Linux' by default
    #[arg(long, value_name = "NAMES")]
    pub facility_names: Option<FacilityKind>,

    /// Take syslog as Talos' syslogd does, with what it cuts and drops
    #[arg(long)]
    pub talos: bool,

    /// Add a tag, as server=s03-rack07 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub tag: Vec<String>,
}

/// What `ringward encode` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EncodeKind {
    /// The output of a service, as Talos reads it: JSON, text with JSON behind it, or text
    TalosService,
    /// Records of /dev/kmsg with their dictionaries, separated by a NUL or a blank line
    Kmsg,
    /// Messages of syslog (RFC 3164 and 5424), a line each or each behind its length, as over TCP
    Syslog,
}

impl EncodeKind {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::TalosService => "talos-service",
            Self::Kmsg => "kmsg",
            Self::Syslog => "syslog",
        }
    }
}

/// Whose names facilities have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FacilityKind {
    Linux,
    Talos,
}

/// A point in time, in ns since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time(pub i64);

impl Time {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let time: jiff::Timestamp = text.parse().map_err(|_| "this is no time as 2021-11-26T16:53:15Z".to_owned())?;
        let far = |_| "this is too far from now".to_owned();
        i64::try_from(time.as_nanosecond()).map(Self).map_err(far)
    }
}

/// Flags in the way of Go's programs: `-h` shows them.
#[derive(Debug, Args)]
pub struct Go {
    #[arg(value_name = "FLAGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

/// The configuration, in files and flags.
#[derive(Debug, Default, Args)]
pub struct Configured {
    /// Read the configuration FILE (`-`: standard input); may be repeated, later files add to and override earlier ones
    #[arg(short, long, value_name = "FILE", help_heading = "Configuration")]
    pub config: Vec<String>,

    /// Send to URL: udp://HOST:PORT, tcp://HOST:PORT, unix:///PATH, 'exec:COMMAND ARGUMENT...' or stdout: (repeatable; adds
    /// to the files' destinations)
    #[arg(long, value_name = "URL", help_heading = "Destinations")]
    to: Vec<String>,

    /// Take in what others send to URL: udp://ADDRESS:PORT, tcp://ADDRESS:PORT, unix:///dev/log or unix-stream:///PATH; or
    /// what a program prints: 'exec:COMMAND ARGUMENT...' (repeatable)
    #[arg(long, value_name = "URL", help_heading = "Capture")]
    listen: Vec<String>,

    /// Take in lines of standard input; at its end all is delivered, and the run ends
    #[arg(long, help_heading = "Capture")]
    stdin: bool,

    /// Add a tag to the records of every destination, as server=s03-rack07 (repeatable)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Destinations")]
    tag: Vec<String>,

    /// Keep up to BYTES on disk for every udp or tcp destination that is slow or down, as 1GiB
    #[arg(long, value_name = "BYTES", help_heading = "Destinations", allow_hyphen_values = true)]
    spill: Option<String>,

    /// Capture process N and its children (repeatable)
    #[arg(long, value_name = "N", help_heading = "Capture", allow_hyphen_values = true)]
    pid: Vec<String>,

    /// Capture the control group at PATH, as /system.slice/cron.service (repeatable)
    #[arg(long, value_name = "PATH", help_heading = "Capture")]
    cgroup: Vec<String>,

    /// Capture the systemd unit NAME (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "Capture")]
    unit: Vec<String>,

    /// Read and follow the files that match GLOB, as '/var/log/*.log' (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "Capture")]
    file: Vec<String>,

    /// Leave out the kernel's log
    #[arg(long, help_heading = "Capture")]
    no_kernel: bool,

    /// Leave out the containers
    #[arg(long, help_heading = "Capture")]
    no_containers: bool,

    /// Force the kernel hook: auto, fexit, tp_btf, kprobe, raw_tracepoint or tracepoint
    #[arg(long, value_name = "HOOK", help_heading = "Capture")]
    capture_hook: Option<String>,

    /// Choose the I/O back end: auto, uring or epoll
    #[arg(long, value_name = "BACKEND", help_heading = "Running")]
    io: Option<String>,

    /// Keep checkpoints and spilled records in DIR
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    state_dir: Option<String>,

    /// Log at LEVEL: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", help_heading = "Running")]
    pub log_level: Option<String>,
}

impl Configured {
    pub fn overrides(&self) -> Overrides {
        Overrides {
            to: self.to.clone(),
            listen: self.listen.clone(),
            stdin: self.stdin,
            tags: self.tag.clone(),
            spill: self.spill.clone(),
            capture_hook: self.capture_hook.clone(),
            io: self.io.clone(),
            pids: self.pid.clone(),
            cgroups: self.cgroup.clone(),
            units: self.unit.clone(),
            files: self.file.clone(),
            no_kernel: self.no_kernel,
            no_containers: self.no_containers,
            state_dir: self.state_dir.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_examples_of_the_help_are_accepted() {
        let examples: Vec<_> = AFTER_HELP.lines().filter(|line| line.starts_with("  ringward ")).collect();
        assert_eq!(examples.len(), 10);
        for example in examples {
            let parsed = Arguments::try_parse_from(example.split_whitespace());
            assert!(parsed.is_ok(), "{example}: {parsed:?}");
        }
    }
}
