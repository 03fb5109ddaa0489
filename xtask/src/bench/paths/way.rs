//! From where to where, and what the lines are.

use clap::ValueEnum;

use super::super::receiver::Transport;
use super::shape::Shape;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Way {
    /// A file of plain lines to TCP
    FileTcp,
    /// A container's CRI log file to TCP, with its pod's fields and a tag
    CriTcp,
    /// A file of stack traces to TCP
    TracesTcp,
    /// A file of lines of which 30 % need escapes to TCP
    EscapesTcp,
    /// A file of lines with invalid UTF-8 to TCP
    InvalidTcp,
    /// Talos' JSON lines over TCP, with a tag, to TCP
    TalosTcp,
    /// JSON lines of a program over TCP, with a tag, to TCP
    JsonTcp,
    /// logfmt over TCP to TCP, its pairs as fields
    LogfmtTcp,
    /// What Talos' services print, over TCP, read as Talos reads it, to TCP
    ServiceTcp,
    /// Datagrams at 300,000 a second to TCP
    UdpTcp,
    /// Plain lines through a descriptor that memlogd's socket was given to TCP
    MemlogdTcp,
    /// A file of plain lines to UDP
    FileUdp,
    /// The same to UDP with `udp.segment: pad`
    FileUdpPad,
    /// A file of 300,000 plain lines to a TCP receiver that closes ten times
    Closing,
}

/// How the lines come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    File,
    Tcp,
    Udp { rate: u64 },
    Descriptor,
}

impl Way {
    /// Also the name of its files in `benches/peers/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FileTcp => "file-tcp",
            Self::CriTcp => "cri-tcp",
            Self::TracesTcp => "traces-tcp",
            Self::EscapesTcp => "escapes-tcp",
            Self::InvalidTcp => "invalid-tcp",
            Self::TalosTcp => "talos-tcp",
            Self::JsonTcp => "json-tcp",
            Self::LogfmtTcp => "logfmt-tcp",
            Self::ServiceTcp => "service-tcp",
            Self::UdpTcp => "udp-tcp",
            Self::MemlogdTcp => "memlogd-tcp",
            Self::FileUdp => "file-udp",
            Self::FileUdpPad => "file-udp-pad",
            Self::Closing => "closing",
        }
    }

    /// Whose files in `benches/peers/` it takes: other lines need no other configuration.
    pub fn configuration(self) -> &'static str {
        match self {
            Self::TracesTcp | Self::EscapesTcp | Self::InvalidTcp | Self::Closing => Self::FileTcp.name(),
            Self::JsonTcp => Self::TalosTcp.name(),
            other => other.name(),
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::FileTcp => "plain file to json_lines over TCP",
            Self::CriTcp => "CRI file to TCP, with the pod's fields and a tag",
            Self::TracesTcp => "file of stack traces to TCP",
            Self::EscapesTcp => "file to TCP, 30 % needing escapes",
            Self::InvalidTcp => "file to TCP, with invalid UTF-8",
            Self::TalosTcp => "Talos JSON over TCP, with a tag, to TCP",
            Self::JsonTcp => "JSON over TCP, with a tag, to TCP",
            Self::LogfmtTcp => "logfmt over TCP to TCP",
            Self::ServiceTcp => "output of Talos' services over TCP to TCP",
            Self::UdpTcp => "UDP at 300,000 datagrams a second to TCP",
            Self::MemlogdTcp => "memlogd's descriptors to TCP",
            Self::FileUdp => "plain file to json_lines over UDP",
            Self::FileUdpPad => "plain file to json_lines over UDP, padded segments",
            Self::Closing => "plain file to a TCP receiver that closes ten times",
        }
    }

    pub fn input(self) -> Input {
        match self {
            Self::TalosTcp | Self::JsonTcp | Self::LogfmtTcp | Self::ServiceTcp => Input::Tcp,
            Self::UdpTcp => Input::Udp { rate: 300_000 },
            Self::MemlogdTcp => Input::Descriptor,
            _ => Input::File,
        }
    }

    pub fn shape(self) -> Shape {
        match self {
            Self::CriTcp => Shape::Cri,
            Self::TracesTcp => Shape::Trace,
            Self::EscapesTcp => Shape::Escapes,
            Self::InvalidTcp => Shape::Invalid,
            Self::TalosTcp => Shape::Talos,
            Self::JsonTcp => Shape::Json,
            Self::LogfmtTcp => Shape::Logfmt,
            Self::ServiceTcp => Shape::Service,
            Self::FileTcp | Self::UdpTcp | Self::MemlogdTcp | Self::FileUdp | Self::FileUdpPad | Self::Closing => {
                Shape::Plain
            }
        }
    }

    pub fn output(self) -> Transport {
        match self {
            Self::FileUdp | Self::FileUdpPad => Transport::Udp,
            _ => Transport::Tcp,
        }
    }

    /// How often the receiver closes.
    pub fn closes(self) -> Option<u64> {
        (self == Self::Closing).then_some(10)
    }

    /// As many lines as it takes at most.
    pub fn most_lines(self) -> u64 {
        if self == Self::Closing { 300_000 } else { u64::MAX }
    }

    /// The most CPU that a line may cost Ringward, in microseconds.
    pub fn bar(self) -> Option<f64> {
        match self {
            Self::FileTcp => Some(0.2),
            Self::CriTcp => Some(0.25),
            Self::TalosTcp => Some(0.45),
            _ => None,
        }
    }
}
