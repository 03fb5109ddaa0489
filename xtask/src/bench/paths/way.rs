//! From where to where, and what the lines are.

use clap::ValueEnum;

use super::super::receiver::Transport;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Way {
    /// A file of plain lines to TCP
    FileTcp,
    /// The same to UDP
    FileUdp,
    /// The same to UDP with `udp.segment: pad`
    FileUdpPad,
    /// A container's CRI log file to TCP, with its pod's fields and a tag
    CriTcp,
    /// Talos' JSON lines over TCP, with a tag, to TCP
    TalosTcp,
    /// Datagrams at 300,000 a second to TCP
    UdpTcp,
    /// A file of 300,000 plain lines to a TCP receiver that closes ten times
    Closing,
}

/// What a line looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Plain,
    Cri,
    Talos,
}

/// How the lines come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    File,
    Tcp,
    Udp { rate: u64 },
}

impl Way {
    pub const ALL: [Self; 7] =
        [Self::FileTcp, Self::CriTcp, Self::TalosTcp, Self::UdpTcp, Self::FileUdp, Self::FileUdpPad, Self::Closing];

    /// Also the name of its files in `benches/peers/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FileTcp => "file-tcp",
            Self::FileUdp => "file-udp",
            Self::FileUdpPad => "file-udp-pad",
            Self::CriTcp => "cri-tcp",
            Self::TalosTcp => "talos-tcp",
            Self::UdpTcp => "udp-tcp",
            Self::Closing => "closing",
        }
    }

    /// Whose files in `benches/peers/` it takes.
    pub fn configuration(self) -> &'static str {
        if self == Self::Closing { Self::FileTcp.name() } else { self.name() }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::FileTcp => "plain file to json_lines over TCP",
            Self::FileUdp => "plain file to json_lines over UDP",
            Self::FileUdpPad => "plain file to json_lines over UDP, padded segments",
            Self::CriTcp => "CRI file to TCP, with the pod's fields and a tag",
            Self::TalosTcp => "Talos JSON over TCP, with a tag, to TCP",
            Self::UdpTcp => "UDP at 300,000 datagrams a second to TCP",
            Self::Closing => "plain file to a TCP receiver that closes ten times",
        }
    }

    pub fn input(self) -> Input {
        match self {
            Self::FileTcp | Self::FileUdp | Self::FileUdpPad | Self::CriTcp | Self::Closing => Input::File,
            Self::TalosTcp => Input::Tcp,
            Self::UdpTcp => Input::Udp { rate: 300_000 },
        }
    }

    pub fn shape(self) -> Shape {
        match self {
            Self::CriTcp => Shape::Cri,
            Self::TalosTcp => Shape::Talos,
            Self::FileTcp | Self::FileUdp | Self::FileUdpPad | Self::UdpTcp | Self::Closing => Shape::Plain,
        }
    }

    pub fn output(self) -> Transport {
        match self {
            Self::FileUdp | Self::FileUdpPad => Transport::Udp,
            Self::FileTcp | Self::CriTcp | Self::TalosTcp | Self::UdpTcp | Self::Closing => Transport::Tcp,
        }
    }

    pub fn listens(self) -> bool {
        self.input() != Input::File
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
            Self::FileUdp | Self::FileUdpPad | Self::UdpTcp | Self::Closing => None,
        }
    }
}
