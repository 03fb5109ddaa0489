//! The ladder of capture hooks, best first.

use std::fmt;
use std::str::FromStr;

/// A place in the kernel where writes are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// fexit on the pipe and tty write functions.
    Fexit,
    /// BTF-typed raw tracepoint on the exit of system calls.
    TpBtf,
    /// kprobe and kretprobe on the pipe and tty write functions.
    Kprobe,
    /// Raw tracepoint on the exit of system calls.
    RawTracepoint,
    /// Tracepoint on the exit of system calls.
    Tracepoint,
}

impl Hook {
    /// All hooks in the order in which they are tried.
    pub const LADDER: [Self; 5] = [Self::Fexit, Self::TpBtf, Self::Kprobe, Self::RawTracepoint, Self::Tracepoint];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fexit => "fexit",
            Self::TpBtf => "tp_btf",
            Self::Kprobe => "kprobe",
            Self::RawTracepoint => "raw_tracepoint",
            Self::Tracepoint => "tracepoint",
        }
    }

    /// Whether it sits on the pipe and tty functions, so that it sees every kind of writer.
    pub fn is_pipe_level(self) -> bool {
        matches!(self, Self::Fexit | Self::Kprobe)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a hook.
#[derive(Debug, thiserror::Error)]
#[error("unknown capture hook {0:?}; accepted: auto, fexit, tp_btf, kprobe, raw_tracepoint, tracepoint")]
pub struct UnknownHook(String);

impl FromStr for Hook {
    type Err = UnknownHook;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::LADDER.into_iter().find(|hook| hook.name() == name).ok_or_else(|| UnknownHook(name.to_owned()))
    }
}
