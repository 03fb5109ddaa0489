//! What is read: each source started as the configuration wants it, and stopped so that nothing is left behind.

use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::oneshot;

use super::captured::Captured;
#[cfg(feature = "ebpf")]
use super::captured::captured_before;
use super::memlogd::{Clients, Memlogd};
#[cfg(feature = "ebpf")]
use super::stream_ends;
use crate::config::{
    CaptureConfig, CaptureFrom, CaptureParse, FacilityChoice, FileFormat, FilesConfig, GroupingConfig, HookChoice,
    JournalConfig, JournalNames, KernelConfig, LinesConfig, ListenConfig, ListenEndpoint, MultilineConfig, ParseChoice,
    ReadFrom, RecordsChoice, ResolvedConfig, TraceChoice,
};
use crate::io::unix::{SocketFile, SocketKind};
use crate::parse::line::LineKind;
use crate::parse::multiline::{Grouping, Language};
use crate::parse::pattern::LinePattern;
use crate::ring::Ring;
use crate::source::docker::{self, DockerHandle, DockerOptions};
use crate::source::file::{self, FilesHandle, FilesOptions, Selection};
use crate::source::joiner::JoinOptions;
use crate::source::journal::{self, JournalHandle, JournalOptions};
use crate::source::kmsg::{self, FacilityNames, KmsgHandle, KmsgOptions};
use crate::source::network::{self, ListenHandle, ListenOptions};
use crate::state::StateDir;

/// What is read, and by what.
pub(super) struct Sources {
    kmsg: Option<KmsgHandle>,
    memlogd: Option<Memlogd>,
    files: Option<FilesHandle>,
    journal: Option<JournalHandle>,
    listen: Option<ListenHandle>,
    docker: Option<(DockerHandle, SocketFile)>,
    #[cfg(feature = "ebpf")]
    capture: Option<(crate::source::ebpf::handle::ReaderHandle, Option<StateDir>)>,
    parts: Vec<String>,
}

impl Sources {
    pub(super) fn start(
        config: &ResolvedConfig,
        ring: &Arc<Ring>,
        boot_id: &str,
        state: Option<&StateDir>,
        memlogd: Option<Memlogd>,
    ) -> anyhow::Result<Self> {
        let mut sources = Self {
            kmsg: None,
            memlogd,
            files: None,
            journal: None,
            listen: None,
            docker: None,
            #[cfg(feature = "ebpf")]
            capture: None,
            parts: Vec::new(),
        };
        // First, and before anything is attached: an address that can't be had ends the program.
        sources.start_listening(&config.listen, ring)?;
        sources.start_docker(config, ring, state)?;
        let console = sources.start_capture(&config.capture, &config.kernel, ring, state)?;
        sources.start_kmsg(&config.kernel, ring, boot_id, console, state);
        if sources.memlogd.is_some() {
            sources.parts.push("memlogd's descriptors".into());
        }
        sources.start_files(config, ring, state)?;
        sources.start_journal(config, ring, state)?;
        if sources.parts.is_empty() {
            bail!("nothing can be captured: neither container output nor the kernel log; `ringward doctor` says why");
        }
        Ok(sources)
    }

    fn start_listening(&mut self, config: &[ListenConfig], ring: &Arc<Ring>) -> anyhow::Result<()> {
        if config.is_empty() {
            return Ok(());
        }
        let handle = network::start(config.iter().map(listen_options).collect(), Arc::clone(ring))?;
        let (mut sent, mut printed) = (Vec::new(), Vec::new());
        for listening in &handle.listening {
            match &listening.endpoint {
                ListenEndpoint::Stdin => self.parts.push("standard input".into()),
                ListenEndpoint::Exec(words) => printed.extend(words.first().map(|program| format!("`{program}`"))),
                endpoint => sent.push(endpoint.to_string()),
            }
        }
        if !sent.is_empty() {
            self.parts.push(format!("what is sent to {}", sent.join(", ")));
        }
        if !printed.is_empty() {
            self.parts.push(format!("what is printed by {}", printed.join(", ")));
        }
        self.listen = Some(handle);
        Ok(())
    }

    fn start_docker(
        &mut self,
        config: &ResolvedConfig,
        ring: &Arc<Ring>,
        state: Option<&StateDir>,
    ) -> anyhow::Result<()> {
        let Some(docker) = &config.docker else { return Ok(()) };
        let (socket, file) = SocketKind::Stream.bind_private(&docker.socket)?;
        // The directory is ours where there is a state.
        let state = state.map(|_| config.state_dir.join("docker.json"));
        let options = DockerOptions { max_line: docker.max_line, state };
        let handle = docker::start(socket, options, Arc::clone(ring)).context("the plugin's socket can't be served")?;
        self.parts.push("what Docker's logging driver is given".into());
        self.docker = Some((handle, file));
        Ok(())
    }

    fn start_kmsg(
        &mut self,
        config: &KernelConfig,
        ring: &Arc<Ring>,
        boot_id: &str,
        console: Option<ConsoleTexts>,
        state: Option<&StateDir>,
    ) {
        if !config.enabled {
            return;
        }
        let facility_names = match config.facility_names {
            FacilityChoice::Linux => FacilityNames::Linux,
            FacilityChoice::Talos => FacilityNames::Talos,
        };
        let path = config.kmsg.clone();
        let source = kmsg::source_key(boot_id);
        let after = state.map_or(0, |state| state.in_earlier_ring(&source));
        let options = KmsgOptions { path, source, after, facility_names, console };
        match kmsg::start(options, Arc::clone(ring)) {
            Ok(handle) => {
                self.parts.push("the kernel log".into());
                self.kmsg = Some(handle);
            }
            Err(error) => tracing::error!("the kernel log is not captured: {error}"),
        }
    }

    fn start_files(
        &mut self,
        config: &ResolvedConfig,
        ring: &Arc<Ring>,
        state: Option<&StateDir>,
    ) -> anyhow::Result<()> {
        if config.files.is_empty() {
            return Ok(());
        }
        let handle = file::start(
            FilesOptions {
                selections: config.files.iter().map(selection).collect(),
                state: state.cloned(),
                destinations: keeping(config),
            },
            Arc::clone(ring),
        )?;
        self.parts.push(match handle.found {
            1 => "1 file".to_owned(),
            found => format!("{found} files"),
        });
        self.files = Some(handle);
        Ok(())
    }

    fn start_journal(
        &mut self,
        config: &ResolvedConfig,
        ring: &Arc<Ring>,
        state: Option<&StateDir>,
    ) -> anyhow::Result<()> {
        let Some(journal) = &config.journal else { return Ok(()) };
        let options = JournalOptions {
            selection: journal_selection(journal),
            state: state.cloned(),
            destinations: keeping(config),
        };
        let handle = journal::start(options, Arc::clone(ring))?;
        self.parts.push(match handle.found {
            1 => "1 journal file".to_owned(),
            found => format!("{found} journal files"),
        });
        self.journal = Some(handle);
        Ok(())
    }

    #[cfg(feature = "ebpf")]
    fn start_capture(
        &mut self,
        config: &CaptureConfig,
        kernel: &KernelConfig,
        ring: &Arc<Ring>,
        state: Option<&StateDir>,
    ) -> anyhow::Result<Option<ConsoleTexts>> {
        use crate::source::container::Proc;
        use crate::source::ebpf::containers::{self, ContainerNames, LogUse, Seen};
        use crate::source::ebpf::handle::ReaderOptions;
        use crate::source::ebpf::load::{LoadOptions, load};
        use crate::source::ebpf::reader;
        use crate::source::ebpf::stream::StreamLimits;

        let wants_console = kernel.enabled && kernel.console_tracepoint;
        if config.from == CaptureFrom::File || (!config.wants_anything() && !wants_console) {
            return Ok(None);
        }
        let hook = forced_hook(config.hook);
        let options = LoadOptions {
            hook,
            ring_bytes: config.ring_bytes,
            max_write: config.max_write as u64,
            containers: config.containers,
            console: wants_console,
        };
        let capture = match load(&options) {
            Ok(capture) => capture,
            Err(error) if hook.is_some() => return Err(error.into()),
            Err(error) => {
                tracing::error!("container output is not captured: {error}; `ringward doctor` says what is missing");
                return Ok(None);
            }
        };
        crate::sys::release_free_memory();
        for (hook, why) in &capture.refused {
            tracing::info!("capture hook {hook} is not possible here: {why}");
        }
        if !capture.sees_uring {
            tracing::warn!("writes by io_uring are not seen on this kernel with the hook {}", capture.hook);
        }
        let has_console = capture.console;
        let part = format!(
            "container output by {} ({} rings of {} KiB)",
            capture.hook,
            capture.rings.len(),
            capture.ring_len >> 10
        );
        let limits = StreamLimits { max_line: config.max_line, hold: config.hold_bytes, ahead: config.hold_bytes };
        let (parse, join) =
            (captured_kind(config.parse, config.pattern.as_ref()), config.multiline.as_ref().map(joining));
        let fill = config.from == CaptureFrom::Auto;
        let resumes = fill && config.backlog && state.is_some();
        let options = ReaderOptions { idle_flush: config.idle_flush, limits, parse, join, resumes };
        let proc = Proc::new("/proc");
        let names = Box::new(ContainerNames::new(proc.clone(), config.exclude.clone(), fill));
        let (console, texts) = crossbeam::channel::unbounded();
        let handle = reader::start(capture, options, Arc::clone(ring), names, has_console.then_some(console))?;
        if config.containers {
            let logs = LogUse {
                backlog: config.backlog && fill,
                fill,
                from_ns: captured_before(state),
                ends: stream_ends::take(state),
            };
            let Seen { running, ended } = containers::add_running(&handle, &proc, &config.exclude, logs);
            tracing::info!("{running} containers run already");
            if !ended.is_empty() {
                let streams = ended.len();
                tracing::info!(
                    "{streams} streams of containers that have ended meanwhile are read from their log files"
                );
            }
            stream_ends::set_ended(state, ended);
        }
        containers::add_selected(&handle, &proc, &config.pids, &config.cgroups, &config.units)?;
        // Ready means that nothing is missed from here on.
        handle.confirm();
        if config.wants_anything() {
            self.parts.push(part);
        }
        self.capture = Some((handle, state.cloned()));
        Ok(has_console.then_some(texts))
    }

    #[cfg(not(feature = "ebpf"))]
    fn start_capture(
        &mut self,
        config: &CaptureConfig,
        _: &KernelConfig,
        _: &Arc<Ring>,
        _: Option<&StateDir>,
    ) -> anyhow::Result<Option<ConsoleTexts>> {
        if config.from == CaptureFrom::File {
            return Ok(None);
        }
        if config.hook != HookChoice::Auto {
            bail!("this build has no eBPF capture (it was built with --no-default-features)");
        }
        if config.wants_anything() {
            tracing::error!("container output is not captured: this build has no eBPF capture");
        }
        Ok(None)
    }

    pub(super) fn describe(&self) -> String {
        format!("capturing {}", self.parts.join(" and "))
    }

    /// What container output is in the ring, where it is captured: ns since the epoch, and the ring's sequence.
    #[cfg(feature = "ebpf")]
    pub(super) fn captured_until(&self) -> Box<dyn Fn() -> Option<Captured>> {
        let counters = self.capture.as_ref().map(|(capture, _)| Arc::clone(&capture.counters));
        Box::new(move || {
            let until = *counters.as_ref()?.until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // Nothing yet, as long as there is no time.
            let ns = u64::try_from(until.ns).ok().filter(|ns| *ns > 0)?;
            Some((ns, until.sequence))
        })
    }

    #[cfg(not(feature = "ebpf"))]
    pub(super) fn captured_until(&self) -> Box<dyn Fn() -> Option<Captured>> {
        Box::new(|| None)
    }

    /// Where standard input is read: what says that it has ended.
    pub(super) fn take_input_ended(&mut self) -> Option<oneshot::Receiver<()>> {
        self.listen.as_mut()?.take_input_ended()
    }

    /// Hands on everything that was captured up to now. Who looks at the ring may go on until it is closed.
    pub(super) fn stop(self) -> Option<Clients> {
        if let Some(files) = self.files {
            let counters = Arc::clone(&files.counters);
            files.stop();
            tracing::info!("files: {counters}");
        }
        if let Some(journal) = self.journal {
            let counters = Arc::clone(&journal.counters);
            journal.stop();
            tracing::info!("journal: {counters}");
        }
        #[cfg(feature = "ebpf")]
        if let Some((capture, state)) = self.capture {
            let counters = Arc::clone(&capture.counters);
            stream_ends::set(state.as_ref(), capture.stop());
            tracing::info!("container output: {counters}");
        }
        if let Some(kmsg) = self.kmsg {
            kmsg.stop();
        }
        if let Some(listen) = self.listen {
            listen.stop();
        }
        if let Some((docker, _file)) = self.docker {
            docker.stop();
        }
        self.memlogd.map(Memlogd::stop_source)
    }
}

/// Which lines are joined.
fn joining(config: &MultilineConfig) -> Arc<JoinOptions> {
    let grouping = match &config.grouping {
        GroupingConfig::Start(pattern) => Grouping::Start(pattern.regex().clone()),
        GroupingConfig::Continuation(pattern) => Grouping::Continuation(pattern.regex().clone()),
        GroupingConfig::Traces(choice) => Grouping::traces(match choice {
            TraceChoice::All => &Language::ALL,
            TraceChoice::Go => &[Language::Go],
            TraceChoice::Java => &[Language::Java],
            TraceChoice::Python => &[Language::Python],
            TraceChoice::Rust => &[Language::Rust],
            TraceChoice::Dotnet => &[Language::Dotnet],
            TraceChoice::Ruby => &[Language::Ruby],
            TraceChoice::Javascript => &[Language::Javascript],
        }),
    };
    let &MultilineConfig { max_lines, max_bytes, timeout, .. } = config;
    Arc::new(JoinOptions { grouping, max_lines, max_bytes, timeout })
}

fn captured_kind(parse: CaptureParse, pattern: Option<&LinesConfig>) -> LineKind {
    match parse {
        CaptureParse::Detect => LineKind::Detect,
        CaptureParse::Talos => LineKind::Talos,
        CaptureParse::Logfmt => LineKind::Logfmt,
        CaptureParse::Klog => LineKind::Klog,
        CaptureParse::Kata => LineKind::Kata,
        CaptureParse::Regex => described(pattern),
        CaptureParse::Text => LineKind::Text,
    }
}

/// Lines as the configuration describes them. It holds until the program ends, and so does what is made of it.
fn described(lines: Option<&LinesConfig>) -> LineKind {
    let Some(lines) = lines else { return LineKind::Text };
    let pattern = LinePattern::new(lines.pattern.regex().clone(), lines.time.clone());
    LineKind::Pattern(Box::leak(Box::new(pattern)))
}

fn listen_options(config: &ListenConfig) -> ListenOptions {
    ListenOptions {
        endpoint: config.endpoint.clone(),
        name: config.name.clone(),
        kind: match (config.parse, &config.endpoint) {
            (ParseChoice::Auto, _) => LineKind::Auto,
            (ParseChoice::Detect, _) => LineKind::Detect,
            (ParseChoice::Klog, _) => LineKind::Klog,
            (ParseChoice::Kata, _) => LineKind::Kata,
            (ParseChoice::Regex, _) => described(config.pattern.as_ref()),
            (ParseChoice::Talos, _) => LineKind::Talos,
            (ParseChoice::Logfmt, _) => LineKind::Logfmt,
            (ParseChoice::Syslog, ListenEndpoint::Unix(_) | ListenEndpoint::UnixStream(_)) => LineKind::LocalSyslog,
            (ParseChoice::Syslog, _) => LineKind::Syslog,
            (ParseChoice::TalosSyslog, _) => LineKind::TalosSyslog,
            (ParseChoice::Text | ParseChoice::JournalExport, _) => LineKind::Text,
        },
        takes_entries: config.parse == ParseChoice::JournalExport,
        join: config.multiline.as_ref().map(joining),
        max_line: config.max_line,
        max_connections: config.max_connections,
        receive_buffer: config.receive_buffer,
        mode: config.mode,
    }
}

/// The destinations that keep how far they are in files. One that is down and wants none must not have them read again
/// from their beginnings.
fn keeping(config: &ResolvedConfig) -> Vec<String> {
    let keeping = config
        .destinations
        .iter()
        .filter(|destination| config.resumes(destination) && destination.records != RecordsChoice::Kernel);
    keeping.map(|destination| destination.name.clone()).collect()
}

fn journal_selection(config: &JournalConfig) -> journal::Selection {
    journal::Selection {
        folders: config.folders.clone(),
        read_from: read_from(config.read_from),
        matches: config.matches.clone(),
        fields: config.fields.clone().map_or(journal::Wanted::All, journal::Wanted::Only),
        names: match config.names {
            JournalNames::Short => journal::Names::Short,
            JournalNames::Journal => journal::Names::Journal,
        },
        without_kernel: config.without_kernel,
        max_field: config.max_field,
    }
}

fn read_from(choice: ReadFrom) -> file::ReadFrom {
    match choice {
        ReadFrom::Beginning => file::ReadFrom::Beginning,
        ReadFrom::End => file::ReadFrom::End,
    }
}

fn selection(config: &FilesConfig) -> Selection {
    Selection {
        include: config.include.clone(),
        exclude: config.exclude.clone(),
        format: match config.format {
            FileFormat::Auto => file::Format::Auto,
            FileFormat::Text => file::Format::Text,
            FileFormat::Cri => file::Format::Cri,
            FileFormat::Docker => file::Format::Docker,
        },
        gzip: config.gzip,
        read_from: read_from(config.read_from),
        ignore_older: config.ignore_older,
        deleted_time: config.deleted_time,
        deleted_bytes: config.deleted_bytes,
        name: config.name.clone(),
        kind: captured_kind(config.parse, config.pattern.as_ref()),
        join: config.multiline.as_ref().map(joining),
        max_line: config.max_line,
        idle_flush: config.idle_flush,
    }
}

/// Texts of the console tracepoint on their way to the kernel log's thread: CLOCK_MONOTONIC in ns, text.
type ConsoleTexts = crossbeam::channel::Receiver<(u64, Vec<u8>)>;

#[cfg(feature = "ebpf")]
fn forced_hook(choice: HookChoice) -> Option<crate::source::ebpf::hook::Hook> {
    use crate::source::ebpf::hook::Hook;

    match choice {
        HookChoice::Auto => None,
        HookChoice::Fexit => Some(Hook::Fexit),
        HookChoice::TpBtf => Some(Hook::TpBtf),
        HookChoice::Kprobe => Some(Hook::Kprobe),
        HookChoice::RawTracepoint => Some(Hook::RawTracepoint),
        HookChoice::Tracepoint => Some(Hook::Tracepoint),
    }
}
