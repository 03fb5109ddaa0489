//! `ringward check`: says what a configuration means.

use std::fmt::Write;

use super::paint::Paint;
use crate::config::units::{Bytes, Period};
use crate::config::{
    DestinationConfig, FilesConfig, JournalConfig, ListenEndpoint, Loaded, RecordsChoice, ResolvedConfig, SegmentChoice,
};

/// Prints the summary; with `verbose`, every setting.
pub fn check(loaded: &Loaded, verbose: bool, paint: Paint) -> anyhow::Result<()> {
    super::print(&summary(loaded, verbose, paint)?)
}

fn summary(loaded: &Loaded, verbose: bool, paint: Paint) -> Result<String, std::fmt::Error> {
    let Loaded { config, warnings: _, ignored } = loaded;
    let mut out = String::new();
    writeln!(out, "{}", paint.bold("The configuration holds."))?;
    writeln!(out)?;
    writeln!(out, "{}", paint.bold("captures"))?;
    let capture = &config.capture;
    for (what, asked) in [
        ("the kernel's log".to_owned(), config.kernel.enabled),
        ("standard output and error of every container".to_owned(), capture.containers),
        (format!("processes {}", list(&capture.pids)), !capture.pids.is_empty()),
        (format!("control groups {}", list(&capture.cgroups)), !capture.cgroups.is_empty()),
        (format!("units {}", list(&capture.units)), !capture.units.is_empty()),
        ("what is written to the descriptors that memlogd is passed".to_owned(), config.memlogd.is_some()),
        ("Docker's containers whose logging driver it is".to_owned(), config.docker.is_some()),
    ] {
        if asked {
            writeln!(out, "  {what}")?;
        }
    }
    for files in &config.files {
        describe_files(files, verbose, &mut out)?;
    }
    if let Some(journal) = &config.journal {
        describe_journal(journal, verbose, &mut out)?;
    }
    for listen in &config.listen {
        let named =
            if listen.name == listen.endpoint.to_string() { String::new() } else { format!(" ({})", listen.name) };
        let how = match listen.endpoint {
            ListenEndpoint::Exec(_) => "what is printed by",
            ListenEndpoint::Stdin => "what comes by",
            _ => "what is sent to",
        };
        writeln!(out, "  {how} {}{named}", listen.endpoint)?;
        if verbose {
            let (kind, line) = (listen.parse, Bytes(listen.max_line as u64));
            write!(out, "    parse {kind}, max_line {line}")?;
            match listen.endpoint {
                ListenEndpoint::Tcp { .. } => writeln!(out, ", max_connections {}", listen.max_connections)?,
                ListenEndpoint::Udp { .. } => {
                    writeln!(out, ", receive_buffer {}", Bytes(listen.receive_buffer as u64))?
                }
                ListenEndpoint::Unix(_) => writeln!(out, ", mode {:04o}", listen.mode)?,
                ListenEndpoint::UnixStream(_) => {
                    writeln!(out, ", max_connections {}, mode {:04o}", listen.max_connections, listen.mode)?;
                }
                ListenEndpoint::Exec(_) | ListenEndpoint::Stdin => writeln!(out)?,
            }
        }
    }
    let taken_in = config.memlogd.is_some() || config.docker.is_some() || config.journal.is_some();
    let listed = !config.files.is_empty() || !config.listen.is_empty() || taken_in;
    if !config.kernel.enabled && !capture.wants_anything() && !listed {
        writeln!(out, "  nothing")?;
    }
    if !config.process.is_empty() {
        writeln!(out)?;
        writeln!(out, "{}", paint.bold("shapes records by"))?;
        for step in &config.process {
            let some = if step.when.is_some() { ", for some of them" } else { "" };
            writeln!(out, "  {}{some}", step.name)?;
        }
    }
    writeln!(out)?;
    writeln!(out, "{}", paint.bold("sends to"))?;
    for destination in &config.destinations {
        describe(destination, config.routes.is_some(), verbose, &mut out)?;
    }
    if verbose {
        writeln!(out)?;
        writeln!(out, "{}", paint.bold("with"))?;
        for (key, value) in settings(config) {
            writeln!(out, "  {key:<26} {value}")?;
        }
    }
    if verbose && !ignored.is_empty() {
        writeln!(out)?;
        writeln!(out, "{}", paint.bold("ignores, of Talos' documents"))?;
        for key in ignored {
            writeln!(out, "  {key}")?;
        }
    }
    Ok(out)
}

fn describe_files(files: &FilesConfig, verbose: bool, out: &mut String) -> std::fmt::Result {
    write!(out, "  files {}", list(&files.include))?;
    if !files.exclude.is_empty() {
        write!(out, ", but not {}", list(&files.exclude))?;
    }
    if let Some(name) = &files.name {
        write!(out, ", as {name}")?;
    }
    writeln!(out)?;
    if verbose {
        let older = files.ignore_older.map_or("of any age".to_owned(), |age| format!("not older than {}", Period(age)));
        let (format, from, idle_flush) = (files.format, files.read_from, Period(files.idle_flush));
        let max_line = Bytes(files.max_line as u64);
        let gzip = if files.gzip { "compressed ones too, " } else { "" };
        write!(out, "    format {format}, {gzip}from the {from}, {older}, ")?;
        write!(out, "max_line {max_line}, idle_flush {idle_flush}")?;
        if let Some(time) = files.deleted_time {
            write!(out, ", deleted_time {}", Period(time))?;
        }
        if let Some(bytes) = files.deleted_bytes {
            write!(out, ", deleted_bytes {}", Bytes(bytes))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn describe_journal(journal: &JournalConfig, verbose: bool, out: &mut String) -> std::fmt::Result {
    let folders: Vec<_> = journal.folders.iter().map(|folder| folder.display().to_string()).collect();
    write!(out, "  the journal in {}", list(&folders))?;
    for (index, fields) in journal.matches.iter().enumerate() {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        write!(out, "{} {}", if index == 0 { ", entries with" } else { " or" }, fields.join(" "))?;
    }
    if journal.without_kernel {
        write!(out, ", but not what it has of the kernel's log")?;
    }
    writeln!(out)?;
    if verbose {
        let fields = journal.fields.as_ref().map_or("all".to_owned(), |fields| list(fields));
        let (from, names, max_field) = (journal.read_from, journal.names, Bytes(journal.max_field as u64));
        writeln!(out, "    from the {from}, fields {fields}, names {names}, max_field {max_field}")?;
    }
    Ok(())
}

fn describe(destination: &DestinationConfig, is_routed: bool, verbose: bool, out: &mut String) -> std::fmt::Result {
    write!(out, "  {}", destination.endpoint)?;
    if destination.name != destination.endpoint.to_string() {
        write!(out, " ({})", destination.name)?;
    }
    write!(out, ", {}", destination.format)?;
    match destination.records {
        RecordsChoice::All => {}
        RecordsChoice::Kernel => write!(out, ", only the kernel's records")?,
        RecordsChoice::Services => write!(out, ", all but the kernel's records")?,
    }
    if is_routed {
        write!(out, ", what is routed there")?;
    }
    if !destination.extra_tags.is_empty() {
        let tags: Vec<_> = destination.extra_tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        write!(out, ", tagged {}", tags.join(" "))?;
    }
    if destination.udp_segment == SegmentChoice::Pad {
        write!(out, ", udp.segment pad")?;
    }
    match &destination.spill {
        Some(spill) => writeln!(out, ", spilling up to {} to {}", Bytes(spill.bytes), spill.dir.display())?,
        None => writeln!(out)?,
    }
    if verbose {
        let limit = destination.max_record_bytes.map_or("unlimited".into(), |bytes| bytes.to_string());
        let window = destination.resend_window.map_or("auto".into(), |bytes| Bytes(bytes).to_string());
        let retry = destination.retry;
        writeln!(
            out,
            "    max_record_bytes {limit}, resend_window {window}, retry {} to {}",
            Period(retry.initial),
            Period(retry.max)
        )?;
    }
    Ok(())
}

fn settings(config: &ResolvedConfig) -> Vec<(&'static str, String)> {
    let ResolvedConfig {
        state_dir,
        io,
        shutdown_timeout,
        ring,
        capture,
        kernel,
        view,
        memlogd,
        docker,
        files: _,
        journal: _,
        listen: _,
        destinations: _,
        process: _,
        routes: _,
        tests: _,
    } = config;
    let bytes = |bytes: usize| Bytes(bytes as u64).to_string();
    let records = if ring.records == u64::MAX { "unlimited".to_owned() } else { ring.records.to_string() };
    let mut settings = vec![
        ("state_dir", state_dir.display().to_string()),
        ("io", io.to_string()),
        ("shutdown_timeout", Period(*shutdown_timeout).to_string()),
        ("ring.bytes", bytes(ring.bytes)),
        ("ring.records", records),
        ("ring.file", ring.file.as_ref().map_or("none".into(), |file| file.display().to_string())),
        ("capture.hook", capture.hook.to_string()),
        ("capture.ring_bytes", bytes(capture.ring_bytes)),
        ("capture.max_write", bytes(capture.max_write)),
        ("capture.idle_flush", Period(capture.idle_flush).to_string()),
        ("capture.max_line", bytes(capture.max_line)),
        ("capture.backlog", capture.backlog.to_string()),
        ("capture.hold", bytes(capture.hold_bytes)),
        ("kernel.kmsg", kernel.kmsg.display().to_string()),
        ("kernel.console_tracepoint", kernel.console_tracepoint.to_string()),
        ("kernel.facility_names", kernel.facility_names.to_string()),
    ];
    settings.push(("view.enabled", view.is_some().to_string()));
    settings.extend(view.as_ref().map(|view| ("view.socket", view.socket.display().to_string())));
    if let Some(memlogd) = memlogd {
        settings.extend([
            ("memlogd.log_socket", memlogd.log_socket.display().to_string()),
            ("memlogd.query_socket", memlogd.query_socket.display().to_string()),
            ("memlogd.format", memlogd.format.to_string()),
            ("memlogd.max_line", bytes(memlogd.max_line)),
            ("memlogd.cut", memlogd.cut.to_string()),
        ]);
    }
    if let Some(docker) = docker {
        settings.extend([
            ("docker.socket", docker.socket.display().to_string()),
            ("docker.max_line", bytes(docker.max_line)),
        ]);
    }
    settings
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
