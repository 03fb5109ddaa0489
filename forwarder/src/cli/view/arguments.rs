//! What may be said to `ringward logs` and its like.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::arguments::Time;
use crate::config::units::Period;

pub const LOGS_HELP: &str = "\
Examples:
  ringward logs -f
      Everything, as it comes.
  ringward logs etcd --tail 100 --level warn
      The last hundred warnings and errors of a service.
  ringward logs -k kube-system/coredns-5d78c9869d-abcde -f --since 10m
      The containers of a pod, from ten minutes ago on.
  ringward logs --json --grep timeout | jq .msg
      What holds a text, as destinations get it.

Exit codes: 0 all was shown, or nobody reads it any more; 1 no Ringward runs, or it knows no such origin; 2 a mistake in
the arguments. What was lost before it could be shown is said on standard error.";

/// Where the running Ringward is found.
#[derive(Debug, Args)]
pub struct Daemon {
    /// The socket of the running Ringward; without it, the one of its configuration
    #[arg(long, value_name = "PATH", help_heading = "The running Ringward", conflicts_with_all = ["config", "state_dir"])]
    pub socket: Option<PathBuf>,

    /// The configuration FILE that it runs with, where that says where the socket is (repeatable)
    #[arg(short, long, value_name = "FILE", help_heading = "The running Ringward")]
    pub config: Vec<String>,

    /// The DIR where it keeps its state, and the socket
    #[arg(long, value_name = "DIR", help_heading = "The running Ringward")]
    pub state_dir: Option<String>,
}

/// Which records are shown, of whom, and how.
#[derive(Debug, Args)]
pub struct Filter {
    /// Show only this severity and what is more severe: emerg, alert, crit, error, warn, notice, info or debug
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    pub level: Option<u8>,

    /// Show only records whose message or one of whose fields holds TEXT (no pattern; upper and lower case differ)
    #[arg(long, value_name = "TEXT")]
    pub grep: Option<String>,

    /// Show records as json_lines, as destinations get them
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub daemon: Daemon,
}

/// From when on, and until when.
#[derive(Debug, Args)]
pub struct Shown {
    /// Also show what comes from now on, past restarts of Ringward, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,

    /// Show nothing older: a time as 2021-11-26T16:53:15Z, or how long ago, as 10m
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub since: Option<Since>,

    #[command(flatten)]
    pub filter: Filter,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// Whose records; without it, everyone's
    #[arg(value_name = "ORIGIN")]
    pub origin: Option<String>,

    /// Begin with the N newest of the records that are there; -1 is all, as without it
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = Tail::parse)]
    pub tail: Option<Tail>,

    /// Only containers of Kubernetes, each line with its time and stream, as the kubelet's log files have them
    #[arg(short, long)]
    pub kubernetes: bool,

    #[command(flatten)]
    pub shown: Shown,
}

#[derive(Debug, Args)]
pub struct Tap {
    /// Where to look: source (before `process`), ring (behind it), or the name of a destination (what is routed to it)
    #[arg(long, value_name = "STAGE")]
    pub at: String,

    /// Whose records; without it, everyone's
    #[arg(value_name = "ORIGIN")]
    pub origin: Option<String>,

    #[command(flatten)]
    pub filter: Filter,
}

#[derive(Debug, Args)]
pub struct Dmesg {
    /// Begin with the N newest of the records that are there; without N, with what comes
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub tail: Option<u64>,

    #[command(flatten)]
    pub shown: Shown,
}

#[derive(Debug, Args)]
pub struct Services {
    /// Print an object for each, a line each
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub daemon: Daemon,
}

#[derive(Debug, Args)]
pub struct Containers {
    /// Only containers of Kubernetes
    #[arg(short, long)]
    pub kubernetes: bool,

    /// Print an object for each, a line each
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub daemon: Daemon,
}

/// How many of the newest; `None` is all, which `talosctl` has as -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail(pub Option<u64>);

impl Tail {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(-1_i64) => Ok(Self(None)),
            Ok(count) if count >= 0 => Ok(Self(Some(count.unsigned_abs()))),
            _ => Err("this is no number of records; accepted: 0 and more, or -1 for all".to_owned()),
        }
    }
}

/// A point in time, or how long ago it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    At(Time),
    Ago(Duration),
}

impl Since {
    fn parse(text: &str) -> Result<Self, String> {
        match (Time::parse(text), Period::parse(text)) {
            (Ok(time), _) => Ok(Self::At(time)),
            (_, Ok(ago)) => Ok(Self::Ago(ago.0)),
            _ => Err("this is neither a time as 2021-11-26T16:53:15Z nor how long ago as 10m".to_owned()),
        }
    }
}

/// The names of syslog's severities, and Talos'.
const LEVELS: [(&str, u8); 10] = [
    ("emerg", 0),
    ("alert", 1),
    ("crit", 2),
    ("error", 3),
    ("err", 3),
    ("warn", 4),
    ("warning", 4),
    ("notice", 5),
    ("info", 6),
    ("debug", 7),
];

fn level(text: &str) -> Result<u8, String> {
    let found = LEVELS.iter().find(|(name, _)| *name == text);
    found
        .map(|(_, level)| *level)
        .ok_or_else(|| "this is no level; accepted: emerg, alert, crit, error, warn, notice, info or debug".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::Arguments;

    #[test]
    fn the_examples_of_the_help_are_accepted() {
        let examples: Vec<_> = LOGS_HELP.lines().filter(|line| line.starts_with("  ringward ")).collect();
        assert_eq!(examples.len(), 4);
        for example in examples {
            let words = example.split('|').next().unwrap_or_default().split_whitespace();
            let parsed = Arguments::try_parse_from(words);
            assert!(parsed.is_ok(), "{example}: {parsed:?}");
        }
    }

    #[test]
    fn as_many_of_the_newest_as_talosctl_takes() {
        let tail = |arguments: &[&str]| {
            let words = [&["ringward", "logs", "etcd"], arguments].concat();
            Arguments::try_parse_from(words).map(|parsed| format!("{parsed:?}")).map_err(|error| error.to_string())
        };
        for (given, expected) in
            [("--tail=-1", "Tail(None)"), ("--tail=0", "Tail(Some(0))"), ("--tail=7", "Tail(Some(7))")]
        {
            assert!(tail(&[given]).unwrap().contains(expected), "{given}");
        }
        assert_eq!(tail(&["--tail", "-1"]), tail(&["--tail=-1"]));
        for wrong in ["-2", "", "x", "1.5", "99999999999999999999"] {
            let said = tail(&["--tail", wrong]).unwrap_err();
            assert!(said.contains("accepted: 0 and more, or -1 for all"), "{wrong}: {said}");
        }
    }

    #[test]
    fn times_and_levels() {
        assert_eq!(Since::parse("1970-01-01T00:00:01Z"), Ok(Since::At(Time(1_000_000_000))));
        assert_eq!(Since::parse("10m"), Ok(Since::Ago(Duration::from_secs(600))));
        for wrong in ["", "10", "yesterday", "-1h", "9999-01-01T00:00:00Z"] {
            assert!(Since::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!((level("warn"), level("err"), level("emerg")), (Ok(4), Ok(3), Ok(0)));
        assert!(level("WARN").is_err() && level("").is_err());
    }
}
