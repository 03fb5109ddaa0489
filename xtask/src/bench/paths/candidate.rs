//! A forwarder that is measured: where it is, how it is started, when it is ready.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::gateway::Gateway;
use super::way::{Input, Way};
use crate::bench::process::Process;
use crate::bench::sockets;
use crate::{command, setup, ui, workspace};

pub const OWN: &str = "ringward";
const READY: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(15);

/// `--peer NAME=PATH`.
#[derive(Clone, Debug)]
pub struct Given {
    name: String,
    program: PathBuf,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, program) = text.split_once('=').ok_or("takes NAME=PATH, as vector=/opt/vector/bin/vector")?;
        if !PEERS.iter().any(|peer| peer.name == name) {
            return Err(format!("`{name}` is not known; known are {}", PEERS.map(|peer| peer.name).join(", ")));
        }
        Ok(Self { name: name.to_owned(), program: program.into() })
    }
}

/// What is known of a forwarder besides its configuration.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    program: &'static str,
    /// Of its files in `benches/peers/`.
    extension: &'static str,
    /// What stands before and after the path of the configuration; `@STATE@` is its folder.
    before: &'static [&'static str],
    after: &'static [&'static str],
    output: Output,
}

/// How records leave it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    /// It connects to the receiver.
    Socket,
    /// It has no JSON over TCP: its standard output is passed on.
    Stdout,
    /// The same, by HTTP, in zstd.
    Http,
}

/// Of a configuration that is arguments, one a line.
const ARGUMENTS: &str = "args";

const PEERS: [Kind; 7] = [
    Kind {
        name: "rsyslog",
        program: "rsyslogd",
        extension: "conf",
        before: &["-n", "-f"],
        after: &["-i", "@STATE@/pid"],
        output: Output::Socket,
    },
    Kind {
        name: "syslog-ng",
        program: "syslog-ng",
        extension: "conf",
        before: &["-F", "--no-caps", "-f"],
        after: &["-R", "@STATE@/persist", "-c", "@STATE@/control", "-p", "@STATE@/pid"],
        output: Output::Socket,
    },
    Kind {
        name: "vector",
        program: "vector",
        extension: "yaml",
        before: &["--quiet", "--config"],
        after: &[],
        output: Output::Socket,
    },
    Kind {
        name: "fluent-bit",
        program: "fluent-bit",
        extension: "conf",
        before: &["-c"],
        after: &[],
        output: Output::Socket,
    },
    Kind {
        name: "filebeat",
        program: "filebeat",
        extension: "yml",
        before: &["-e", "--strict.perms=false", "-c"],
        after: &["--path.home", "@STATE@", "--path.data", "@STATE@/data"],
        output: Output::Stdout,
    },
    Kind {
        name: "otelcol",
        program: "otelcol",
        extension: "yaml",
        before: &["--config"],
        after: &[],
        output: Output::Stdout,
    },
    Kind {
        name: "vlagent",
        program: "vlagent",
        extension: ARGUMENTS,
        before: &[],
        after: &["-tmpDataPath=@STATE@/data", "-httpListenAddr=127.0.0.1:0"],
        output: Output::Http,
    },
];

const RINGWARD: Kind = Kind {
    name: OWN,
    program: OWN,
    extension: "yaml",
    before: &["run", "--config"],
    after: &["--state-dir", "@STATE@/state"],
    output: Output::Socket,
};

#[derive(Clone)]
pub struct Candidate {
    pub name: String,
    kind: Kind,
    program: PathBuf,
    /// Where its libraries and modules are, if they are not where it looks for them.
    unpacked: Option<PathBuf>,
}

/// Whether somebody of this name is not Ringward.
pub fn is_peer(name: &str) -> bool {
    PEERS.iter().any(|peer| peer.name == name)
}

/// Ringward, and the peers that are installed or given.
pub fn find_all(ringward: &Path, given: &[Given], none: bool) -> Result<Vec<Candidate>> {
    let own = Candidate { name: OWN.to_owned(), kind: RINGWARD, program: ringward.to_owned(), unpacked: None };
    let mut candidates = vec![own];
    for kind in PEERS.into_iter().filter(|_| !none) {
        let given = given.iter().find(|given| given.name == kind.name).map(|given| given.program.clone());
        let unpacked = setup::unpacked_peer(kind.name)?;
        let program = given.or_else(|| command::find(kind.program));
        let (program, unpacked) = match (program, unpacked) {
            (Some(program), _) => (program, None),
            (None, Some(folder)) => (folder.join("usr/sbin").join(kind.program), Some(folder)),
            (None, None) => {
                ui::warn(&format!("{} is not installed and not measured", kind.name));
                continue;
            }
        };
        candidates.push(Candidate { name: kind.name.to_owned(), kind, program, unpacked });
    }
    Ok(candidates)
}

/// What a run of a candidate is given.
pub struct Place<'p> {
    /// The file to read, or empty.
    pub input: &'p Path,
    /// The receiver's port.
    pub receiver: u16,
    /// An empty folder.
    pub state: &'p Path,
    /// Whether what arrives is looked at, so that it is to be plain.
    pub is_looked_at: bool,
}

impl Candidate {
    pub fn takes(&self, way: Way) -> bool {
        // Behind a gateway, a receiver that closes would be the gateway's affair.
        self.template(way).is_file() && (self.kind.output == Output::Socket || way.closes().is_none())
    }

    fn template(&self, way: Way) -> PathBuf {
        let file = format!("{}.{}", way.configuration(), self.kind.extension);
        self.folder().join(file)
    }

    fn folder(&self) -> PathBuf {
        workspace::root().join("benches/peers").join(self.kind.name)
    }

    /// Starts it; returns when it listens, where it has to.
    pub fn start(&self, way: Way, place: &Place<'_>) -> Result<Running> {
        let port = match way.input() {
            Input::File | Input::Descriptor => 0,
            Input::Tcp => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port(),
            Input::Udp { .. } => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port(),
        };
        let mut gateway = None;
        let mut receiver = place.receiver;
        if self.kind.output == Output::Http {
            let (port, http) = Gateway::http(place.receiver, place.is_looked_at)?;
            receiver = port;
            gateway = Some(http);
        }
        let (shown, folder) = (place.state.to_string_lossy(), self.folder());
        let fill = |text: &str| {
            text.replace("@INPUT@", &place.input.to_string_lossy())
                .replace("@LISTEN@", &port.to_string())
                .replace("@PORT@", &receiver.to_string())
                .replace("@STATE@", &shown)
                .replace("@HERE@", &folder.to_string_lossy())
        };
        let template = self.template(way);
        let text = std::fs::read_to_string(&template).with_context(|| format!("{}", template.display()))?;
        let text = fill(&text);
        let mut command = Command::new(&self.program);
        if let Some(folder) = &self.unpacked {
            self.look_in(folder, &mut command)?;
        }
        command.args(self.kind.before);
        if self.kind.extension == ARGUMENTS {
            command.args(text.lines());
        } else {
            let configuration = place.state.join(format!("bench.{}", self.kind.extension));
            std::fs::write(&configuration, text)?;
            command.arg(&configuration);
        }
        command.args(self.kind.after.iter().map(|word| fill(word)));
        let said = place.state.join("said");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said)?);
        if self.kind.output == Output::Stdout {
            let (stdout, writer) = std::io::pipe()?;
            command.stdout(writer);
            gateway = Some(Gateway::pipe(stdout, place.receiver)?);
        }
        let line = command::echo(&command);
        let child = command.spawn().with_context(|| format!("cannot run `{line}`"))?;
        let log_socket = place.state.join("log.sock");
        let mut running = Running { child, port, said, log_socket, gateway };
        running.wait_ready(way.input()).with_context(|| format!("`{line}`"))?;
        Ok(running)
    }

    /// Debian's packages, unpacked and not installed: two syslog daemons don't go together there.
    fn look_in(&self, folder: &Path, command: &mut Command) -> Result<()> {
        let own = folder.join("usr/lib").join(self.kind.name);
        if !own.is_dir() {
            // One that was built has everything in it.
            return Ok(());
        }
        let libraries =
            [own.clone(), folder.join("usr/lib/x86_64-linux-gnu"), folder.join("usr/lib/aarch64-linux-gnu")];
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries)?);
        let version = std::fs::read_dir(&own)?.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.is_dir());
        command.arg("--module-path").arg(version.context("its modules are not there")?);
        Ok(())
    }
}

pub struct Running {
    child: Child,
    port: u16,
    said: PathBuf,
    log_socket: PathBuf,
    /// Ends when nothing comes from the child any more.
    gateway: Option<Gateway>,
}

impl Running {
    pub fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// Where it listens, or 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it takes descriptors, if it does.
    pub fn log_socket(&self) -> &Path {
        &self.log_socket
    }

    fn wait_ready(&mut self, input: Input) -> Result<()> {
        let deadline = Instant::now() + READY;
        while !match input {
            Input::File => true,
            Input::Descriptor => self.log_socket.exists(),
            Input::Udp { .. } => sockets::udp_listens(self.port),
            Input::Tcp => sockets::tcp_listens(self.port),
        } {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}: {}", self.said());
            }
            if Instant::now() > deadline {
                bail!("it did not listen after {} s: {}", READY.as_secs(), self.said());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL for one that does not end.
    pub fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended before it was stopped, with {status}: {}", self.said());
        }
        self.terminate();
        let deadline = Instant::now() + STOP;
        while self.child.try_wait()?.is_none() && self.process().is_there() {
            if Instant::now() > deadline {
                ui::warn("it did not end when it was asked to, and was killed");
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.gateway.take().map_or(Ok(()), Gateway::finish)
    }

    fn terminate(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
