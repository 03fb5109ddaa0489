//! The schema: what a person may write, key by key.
//!
//! The doc comments here are the user's documentation (`docs/configuration.md`), the texts behind `=` are the defaults.
//! Nothing here is valid or invalid beyond a single value's form; what must hold between keys is in `resolve.rs`.

use std::path::PathBuf;

pub use super::choices::{
    CaptureFrom, CaptureParse, CutChoice, EntryChoice, FacilityChoice, FileFormat, Format, HookChoice, IoChoice,
    JournalNames, ParseChoice, ReadFrom, RecordsChoice, SegmentChoice, TraceChoice,
};
use super::document::document;
use super::endpoint::{Endpoint, ListenEndpoint};
use super::journal::{FieldName, Match};
use super::multiline::Multiline;
use super::pattern::{Pattern, TimeText};
use super::record_limit::RecordLimit;
use super::shaping::raw::{Case, Route, Step};
use super::units::{Bytes, Period};
use super::value::{Auto, Cgroup, Limit, Located, Name, Permissions, Pid, Tags, Unit};
use crate::source::container::NamePattern;
use crate::source::file::Glob;

document! {
    /// A Ringward configuration. Every key may be left out.
    pub struct Raw {
        /// Where Ringward keeps what must survive a restart: checkpoints, and what is spilled for slow destinations.
        /// Nobody else may write to it: in a Kubernetes emptyDir, name a directory below it, which is then made.
        /// One running Ringward owns it. It must belong to Ringward's user or root, and nobody else may write to it.
        state_dir: PathBuf => "`$STATE_DIRECTORY` (set by systemd), else `/var/lib/ringward`",

        /// How files are read and connections are served: `uring` asks for io_uring, `epoll` avoids it, `auto` takes
        /// io_uring where the kernel allows it. The behaviour is the same; the start-up log says which was chosen.
        io: IoChoice = "auto",

        /// How long a stop (SIGTERM, SIGINT, SIGHUP) may take for delivering what was already captured. What is left then
        /// is reported, by destination. A second SIGTERM or SIGINT ends at once.
        shutdown_timeout: Period = "10s",

        /// The ring: the newest records, in memory, which all destinations read at their own pace.
        ring: Ring,

        /// What is captured of programs, and how.
        capture: Capture,

        /// The kernel's own log.
        kernel: Kernel,

        /// The socket where `ringward logs` and its like look at the ring.
        view: View,

        /// LinuxKit's memlogd: its sockets, with this ring behind them.
        memlogd: Memlogd,

        /// Docker's logging driver, with this ring behind it.
        docker: Docker,

        /// Documents of Talos Linux, which may stand beside Ringward's own.
        talos: Talos,

        /// Files to read and to follow. Where a file matches several of these, the first one holds.
        files: Vec<Located<Files>> => "none",

        /// The journal of systemd.
        journal: Journal,

        /// Where Ringward takes in what others send: lines over TCP and by connections to a unix socket, datagrams over UDP and
        /// to one as `/dev/log`.
        listen: Vec<Located<Listen>> => "none",

        /// Where records are sent. Each destination has its own connection, its own pace and its own retries: one that
        /// is down or slow never delays or loses anything for another.
        destinations: Vec<Located<Destination>> => "one: `stdout:`",

        /// What is done to records before they go into the ring, one step after the other: see `docs/shaping.md`.
        process: Vec<Located<Step>> => "none",

        /// Which destinations records go to. The first route whose condition holds counts; a record for which none does
        /// goes to the destinations that no route names. Without routes, each destination gets everything.
        routes: Vec<Located<Route>> => "none",

        /// Cases that `ringward test` runs: what goes in, and what must come out. `run` does nothing with them.
        tests: Vec<Located<Case>> => "none",
    }
}

document! {
    /// Bounds of the ring. Whichever is reached first lets go of the oldest records; what a destination still needed
    /// goes to its spill, or is counted lost for that destination.
    pub struct Ring {
        /// The most memory that records may take.
        bytes: Bytes = "4MiB",

        /// The most records to hold.
        records: Limit = "unlimited",

        /// Keep the ring in files too, in a folder of this path, which is made: then what is in it survives a restart,
        /// kill -9 and `switch_root`, and each destination goes on where it was. Meant for a tmpfs or pmem, such as
        /// `/run/ringward/ring`, where it takes as much again as the ring; on a disk, a slow one holds up sources. One
        /// Ringward has it. See `docs/delivery.md`.
        file: PathBuf => "none: in memory only",
    }
}

document! {
    /// Capture of what containers and chosen processes write to their standard output and error.
    pub struct Capture {
        /// Where the output of containers comes from. `auto`: as it is written, by eBPF; what that has missed, because
        /// Ringward was not running or a ring was full, comes from the container's log file (CRI, Docker, Podman's
        /// `k8s-file`), in its place and once. `ebpf`: log files are not looked at. `file`: only from log files, in
        /// `/var/log/pods` and `/var/lib/docker/containers`; nothing is loaded into the kernel.
        from: CaptureFrom = "auto",

        /// The kernel hook. `auto` takes the first that this kernel allows, in the order in which they are listed here;
        /// naming one makes it an error if it can't be had. `ringward doctor` says which would be chosen.
        hook: HookChoice = "auto",

        /// Memory that the kernel side shares with Ringward, for the whole machine: divided among the CPUs, in powers of
        /// two, at least 256KiB each. What does not fit is counted, and comes from the container's log file or is reported
        /// as lost.
        ring_bytes: Bytes = "16MiB",

        /// The most that is captured of one write; the rest of a longer one is counted, and comes from the container's log
        /// file or is reported as lost.
        max_write: Bytes = "1MiB",

        /// Output that does not end in a newline becomes a record, marked `partial`, after this time without more.
        idle_flush: Period = "1s",

        /// The longest line. A longer one is split there, and the pieces are marked.
        max_line: Bytes = "256KiB",

        /// What a captured line is taken for. `text`: text, whatever it looks like. `talos`: an object becomes fields, with
        /// its own time, level and `msg`, as Talos reads the output of its services (text may stand before the object).
        /// `logfmt`: so does a line of `key=value` pairs. `klog`: lines of Kubernetes' programs. `kata`: records of Kata
        /// Containers, with those within them. `detect`: an object, a line of klog, or pairs, by the looks of each line.
        /// `regex`: by `pattern`. What does not parse is text. See `docs/parsers.md`.
        parse: CaptureParse = "text",

        /// With `parse: regex`: what a line looks like. Groups with names, as `(?<msg>.*)`, become fields, but for `time`,
        /// `level` and `msg`, which are the record's. A line that does not match is text, marked `unparsed`.
        pattern: Pattern => "required with `parse: regex`",

        /// How `time` is written, by strptime(3).
        time_format: TimeText => "RFC 3339, ISO 8601, or seconds since 1970",

        /// Join lines that belong together to one record, as those of a stack trace. `all`, a language, or a mapping. See
        /// `docs/multiline.md`.
        multiline: Multiline => "each line is a record",

        /// Capture standard output and error of every container on this machine.
        containers: bool = "true",

        /// Containers that are not captured, by their names; with `/`, by namespace, pod and container. A receiver that
        /// runs here and prints what it is sent is one.
        exclude: Vec<Located<NamePattern>> => "none",

        /// Read from a container's log file (CRI or Docker), where there is one, what it printed before Ringward
        /// started.
        backlog: bool = "true",

        /// Processes to capture that are in no container, by their id; their children come along.
        pids: Vec<Located<Pid>> => "none",

        /// Control groups whose processes are captured, with those below them: the processes that run when Ringward
        /// starts. As `/proc/PID/cgroup` shows them, or as directories in `/sys/fs/cgroup`.
        cgroups: Vec<Located<Cgroup>> => "none",

        /// systemd units whose processes are captured: those that run when Ringward starts, and whose output is a
        /// pipe or a terminal (by default it is a socket of the journal, which is not captured).
        units: Vec<Located<Unit>> => "none",

        /// How much captured data may wait, in total, for the name of the container that wrote it, or behind a gap that its
        /// log file is to fill. A container is captured from its first instruction, but its name is known only
        /// milliseconds later.
        hold: Bytes = "4MiB",
    }
}

document! {
    /// The kernel's log. It comes from two places that complete each other: the device has every detail and what was
    /// logged since boot, the tracepoint still has a record's text where a storm of messages overran the device.
    pub struct Kernel {
        /// Read the kernel's log.
        enabled: bool = "true",

        /// The device to read.
        kmsg: PathBuf = "/dev/kmsg",

        /// Also attach to the tracepoint `printk:console`, to fill gaps when the device is overrun. Needs eBPF.
        console_tracepoint: bool = "true",

        /// The names in `facility`: `linux` is right; `talos` is what Talos sends, which has 11 (`ftp`) to 18 (`local2`) as
        /// `local0` to `local7`, for those who sort by that.
        facility_names: FacilityChoice = "linux",
    }
}

document! {
    /// Where `ringward logs`, `dmesg`, `services` and `containers` read what the ring holds. See `docs/viewing.md`.
    pub struct View {
        /// Make the socket. Where that fails Ringward goes on without it, unless `socket` is written.
        enabled: bool = "true",

        /// Its path; only Ringward's user and root may connect. A file that a dead process left is replaced; it is removed
        /// at the end.
        socket: PathBuf => "`ringward.sock` in `state_dir`",
    }
}

document! {
    /// Takes the place of LinuxKit's memlogd: services pass their descriptors to the log socket, and `logread` and its
    /// like read the ring, with the records of all sources, from the query socket.
    pub struct Memlogd {
        /// Make both sockets. A file that a dead process left is replaced; both are removed at the end.
        enabled: bool = "false",

        /// Where names and descriptors are received.
        log_socket: PathBuf = "/var/run/linuxkit-external-logging.sock",

        /// Where clients ask for records.
        query_socket: PathBuf = "/var/run/memlogdq.sock",

        /// What clients get: `json` is JSON lines, as since LinuxKit v0.8.1; `text` is `TIME,SOURCE;TEXT`, as before.
        format: EntryChoice = "json",

        /// The longest line. The rest of a longer one is left out.
        max_line: Bytes = "256KiB",

        /// Where a longer line is cut: between two `characters`, and marked in `json`; or after so many `bytes`, without a
        /// mark there, as memlogd does. Destinations see a mark in any case.
        cut: CutChoice = "characters",
    }
}

document! {
    /// Ringward as a logging driver of Docker: `docker run --log-driver ringward`. See `docs/docker.md`.
    pub struct Docker {
        /// Make the plugin's socket. Not together with `capture.containers`, which captures Docker's containers already.
        enabled: bool = "false",

        /// Where dockerd finds the plugin: the file's name, without `.sock`, is the driver's. A file that a dead process
        /// left is replaced; it is removed at the end.
        socket: PathBuf = "/run/docker/plugins/ringward.sock",

        /// The longest line. dockerd cuts lines at 16 KiB; they are joined again up to this length, and come in marked parts
        /// beyond it.
        max_line: Bytes = "256KiB",
    }
}

document! {
    /// A machine's configuration and `KmsgLogConfig` documents are taken as they are. See `docs/talos.md`.
    pub struct Talos {
        /// Take the receiver of the kernel's log from `talos.logging.kernel=` on the kernel's command line
        /// (`/proc/cmdline`). `auto`: if there is a document of Talos' among the configuration. (On a node where Talos
        /// itself sends the kernel's log there, each record would come twice.)
        cmdline: Auto<bool> = "auto",
    }
}

document! {
    /// Files, and how to read them. See `docs/files.md` for what is promised.
    pub struct Files {
        /// Which files: `*`, `?` and `[a-z]` stand for parts of a name, `**` for any number of folders. Files that appear
        /// later are found; a renamed one is read to its end.
        include: Vec<Located<Glob>> => "required",

        /// Which of these are left out.
        exclude: Vec<Located<Glob>> => "none",

        /// `text`: each line is a record. `cri` and `docker`: the logs of containers, with their time and stream, and
        /// with parts of a line joined; what is none of the format goes on as text. `auto` goes by the path: files below
        /// `pods/` and `containers/` as the kubelet and Docker name them are logs of containers, all others are text.
        format: FileFormat = "auto",

        /// Read what is in files that gzip has compressed, too: they are known by how they begin, whatever they are called.
        /// What was read before it was compressed does not come again. Without it they are not read, and it is said.
        gzip: bool = "false",

        /// Where to begin in a file that was not read before and is there when Ringward starts. What appears later is
        /// always read from its beginning, and what was read before is read on where it was left.
        read_from: ReadFrom = "beginning",

        /// A file that was not read before and has not been written to for so long is read only from where it ends now.
        ignore_older: Period => "none: files of any age",

        /// A file that was deleted, or moved to where it is not followed, is kept open until it is read, also while no
        /// destination takes anything. With this, at most for so long: what is left then is given up, and counted lost.
        deleted_time: Period => "none: until it is read",

        /// The same in bytes: what all files of this entry that were deleted have left to read. The oldest are given up.
        deleted_bytes: Bytes => "none: however many they are",

        /// The name of what the files hold: the `talos-service` of their records.
        name: Name => "the file's path; of a container's log, the container's name",

        /// What a line is taken for, without the time and stream that a container's log has before it: as
        /// `capture.parse`.
        parse: CaptureParse = "text",

        /// With `parse: regex`: what a line looks like. Groups with names, as `(?<msg>.*)`, become fields, but for `time`,
        /// `level` and `msg`, which are the record's. A line that does not match is text, marked `unparsed`.
        pattern: Pattern => "required with `parse: regex`",

        /// How `time` is written, by strptime(3).
        time_format: TimeText => "RFC 3339, ISO 8601, or seconds since 1970",

        /// Join lines that belong together to one record, as those of a stack trace. `all`, a language, or a mapping. See
        /// `docs/multiline.md`.
        multiline: Multiline => "each line is a record",

        /// The longest line. A longer one is split there, and the pieces are marked.
        max_line: Bytes = "256KiB",

        /// The end of a file that does not end in a newline, and a line of a container that never got its last part,
        /// become a record, marked `partial`, after this time without more.
        idle_flush: Period = "5s",
    }
}

document! {
    /// The journal of systemd, read from its files. See `docs/journal.md` for what is promised.
    pub struct Journal {
        /// Read it. Needs permission to read the files: root, or the group `systemd-journal`.
        enabled: bool = "false",

        /// Folders with journal files, or with folders that have them, as those of machines. In a container, where the
        /// host's are mounted.
        folders: Vec<Located<PathBuf>> => "`/var/log/journal` and `/run/log/journal`",

        /// Where to begin in files that were not read before and are there when Ringward starts. What appears later is
        /// always read from its beginning, and what was read before is read on where it was left.
        read_from: ReadFrom = "beginning",

        /// Which entries: those that one of these fits, with all its fields.
        matches: Vec<Located<Match>> => "all entries",

        /// Which fields of an entry its record has, by the journal's names, besides those that are its text, time and
        /// level.
        fields: Vec<Located<FieldName>> => "all",

        /// What fields are called: `short`: `_SYSTEMD_UNIT` is `unit`, `SYSLOG_IDENTIFIER` `identifier`, `_PID` `pid`,
        /// `SYSLOG_FACILITY` `facility`, by its name; others are in lower case, without `_` before them. `journal`: as in
        /// the journal.
        names: JournalNames = "short",

        /// Whether entries are taken that journald read from the kernel's log. `auto`: unless Ringward reads that log
        /// itself and there are no `matches`.
        kernel: Auto<bool> = "auto",

        /// The longest field, the text of an entry included. The rest of a longer one is cut off, and the record marked.
        max_field: Bytes = "1MiB",
    }
}

document! {
    /// A listener. A line (TCP, a program's output, standard input) or a datagram (UDP, unix socket; newlines at its end
    /// don't count, others belong to it) is a record.
    pub struct Listen {
        /// Where to listen: `udp://ADDRESS:PORT`, `tcp://ADDRESS:PORT`, `unix:///PATH` for a socket that takes datagrams,
        /// as `unix:///dev/log`, or `unix-stream:///PATH` for one that takes connections. A name is looked up once, at the start.
        /// A socket's file that a dead process left is replaced; it is removed at the end. `exec:COMMAND ARGUMENT...`
        /// starts a program and reads what it prints; when it ends it is started again. `stdin:` reads standard input, whose
        /// end is the end of the run. See `docs/listening.md`.
        endpoint: ListenEndpoint => "required",

        /// `talos-service` of what does not say it, and the name in the log. Unique.
        name: Name => "the endpoint; of a program, its name; of standard input, `stdin`; at `/dev/log` and with `talos_syslog`, `syslogd`",

        /// What a line is taken for. `auto`: a line that is a whole JSON object is passed on as it is, sorted and
        /// compact, its `msg`, `talos-time`, `talos-level` and `talos-service` untouched, and what it lacks of these is
        /// added; any other line is text. `talos`: the output of a service, as Talos reads it: JSON, or text with JSON
        /// behind it, of which time, level, message and error are taken out; any other line is text. `logfmt`: a line of
        /// `key=value` pairs, as logrus, Kata and Heroku write it, of which `time` or `ts`, `level` and `msg` are taken
        /// out; any other line is text. `klog`: lines of Kubernetes' programs. `kata`: records of Kata Containers, with
        /// those within them. `detect`: an object as with `talos`, a line of klog, or pairs, by the looks of each line.
        /// `regex`: by `pattern`. `syslog`: a message of RFC 3164 or 5424, over TCP also behind its length; time,
        /// level and text are taken out, facility, host, program and structured data are fields; any other line is
        /// text, and marked `unparsed`. `talos_syslog`: the same as Talos' syslogd sends it, which cuts, drops and leaves
        /// `msg` empty; what is dropped is counted. `journal_export` (TCP, programs and standard input): entries of
        /// systemd's journal, as `journalctl -o export` prints them. `text`: text, whatever it looks like. Blank lines are skipped, but for
        /// `text`. See `docs/parsers.md` and `docs/syslog.md`.
        parse: ParseChoice => "`auto`; of a unix socket, `syslog`",

        /// With `parse: regex`: what a line looks like. Groups with names, as `(?<msg>.*)`, become fields, but for `time`,
        /// `level` and `msg`, which are the record's. A line that does not match is text, marked `unparsed`.
        pattern: Pattern => "required with `parse: regex`",

        /// How `time` is written, by strptime(3).
        time_format: TimeText => "RFC 3339, ISO 8601, or seconds since 1970",

        /// TCP, programs and standard input, and not with `syslog`: join lines that belong together to one record, as those of a stack trace. `all`, a
        /// language, or a mapping. See `docs/multiline.md`.
        multiline: Multiline => "each line is a record",

        /// The longest line. A longer one is split there, and the pieces are marked.
        max_line: Bytes = "256KiB",

        /// TCP and `unix-stream`: the most connections at a time. Others wait until one ends.
        max_connections: u32 = "512",

        /// UDP: room in the kernel for what was not read yet; what comes when it is full is counted, and reported as
        /// lost. Above `net.core.rmem_max` it takes CAP_NET_ADMIN; without, that is what there is, and the log says so.
        receive_buffer: Bytes = "16MiB",

        /// Unix socket: who may send to it, as the mode of its file.
        mode: Permissions = "0666",
    }
}

document! {
    /// A destination.
    pub struct Destination {
        /// Where to send: `udp://HOST:PORT`, `tcp://HOST:PORT`, `unix:///PATH` (a stream socket that a program listens on),
        /// `exec:COMMAND ARGUMENT...` (a command that gets one record a line on its standard input, is started again when it
        /// ends, and is split into words as by a shell) or `stdout:`. A name is looked up at every connect.
        endpoint: Endpoint => "required",

        /// The name in logs and metrics, of its checkpoint and of its spill directory: changing it makes it a new
        /// destination. Unique.
        name: Name => "the endpoint",

        /// The wire format: `json_lines` is one JSON object for each record, in a datagram (UDP) or on a line.
        format: Format = "json_lines",

        /// Which records it gets: `all`; `kernel`, what the kernel logged; or `services`, everything but that.
        records: RecordsChoice = "all",

        /// Text that is added to every record. A tag replaces a field of the same name. `${hostname}`, `${machine-id}`,
        /// `${boot-id}`, `${ip}` (the address from which this machine sends to others far away) and `${env:VARIABLE}` are
        /// replaced by what they are when Ringward starts; `$${` stands for `${`.
        extra_tags as "extraTags": Tags => "none",

        /// The longest record to send, encoded, with the newline behind it (TCP). A longer one has its `msg` cut between two
        /// characters, is marked `"cut":true`, and stays valid JSON; where its other fields leave no room, the longest of
        /// them are left out. `auto` is 65507 for UDP (the largest datagram) and no limit for others. Lower it to what the
        /// receiver takes: one that closes the connection on a longer line would get it again, and again. `omni` is
        /// 4096, `fluent-bit` is 32KiB (32767 over UDP): what these take as they are set up by default.
        max_record_bytes: RecordLimit = "auto",

        /// UDP: how datagrams are sent.
        udp: Udp,

        /// All but stdout: waiting between attempts to connect, send, or start.
        retry: Retry,

        /// TCP: how much is sent again after a connection broke in a way that does not prove what the receiver had
        /// read. `auto` is up to twice the largest window that the receiver offered, at least 256KiB. Less means
        /// fewer doubled records, and gives up the promise that nothing is missing.
        resend_window: Auto<Bytes> = "auto",

        /// All but stdout: keep on disk what the ring had to let go before this destination took it.
        spill: Spill => "none: what does not fit the ring is counted lost",
    }
}

document! {
    /// How datagrams are sent.
    pub struct Udp {
        /// `pad` is several times as fast: neighbours of similar size go through the kernel together, and are cut apart
        /// behind it, by the network device where it can (UDP_SEGMENT, since Linux 4.18). For that they get one size:
        /// spaces follow the JSON, at most a quarter of its bytes. Each record is still a datagram of its own, in the
        /// same order. Where the kernel or the device can't do it, the log says so, and it is as with `off`.
        segment: SegmentChoice = "off",
    }
}

document! {
    /// The wait doubles from `initial` to `max`, with some randomness, and starts over once something was delivered.
    pub struct Retry {
        /// The first wait.
        initial: Period = "100ms",

        /// The longest wait.
        max: Period = "30s",
    }
}

document! {
    /// A spill, in `spill/` below `state_dir`.
    pub struct Spill {
        /// The most disk space that it may take. Required.
        bytes: Bytes => "required",
    }
}

/// What the command line says that is not a key of a document: it holds for every destination.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForAll {
    /// `--tag`: added to, and stronger than, each destination's `extraTags`.
    pub tags: Tags,
    /// `--spill`: instead of each destination's `spill`.
    pub spill: Option<Located<Bytes>>,
}
