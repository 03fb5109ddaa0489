//! `ringward logs`, `dmesg`, `services` and `containers`: what the running Ringward holds.
//!
//! In: its answers, from its socket. Out: standard output has what was asked for, in the forms of `talosctl` or as
//! json_lines; standard error what was lost on the way, and that a Ringward has ended that is followed.

mod answer;
pub mod arguments;
mod line;
mod list;
mod table;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use self::answer::{Answer, Waited, is_unread};
use self::arguments::{Daemon, Dmesg, Filter, Logs, Shown, Since, Tap};
use self::line::{Line, Style};
use super::paint::Paint;
use super::{Ended, logging};
use crate::config::{Environment, Overrides, Problems};
use crate::view::request::{CONTROL, Control, Request, Whose};

pub use self::list::{containers, services};

/// What is written at once, about.
const WRITE_BYTES: usize = 64 << 10;
/// Between two looks for the next Ringward.
const LOOK: Duration = Duration::from_millis(100);

pub fn logs(logs: Logs) -> Ended {
    let Logs { origin, tail, kubernetes, shown } = logs;
    let style = style(origin.is_none(), kubernetes);
    let whose = if kubernetes { Whose::Pods } else { Whose::All };
    let tail = tail.and_then(|tail| tail.0);
    show(shown, style, Request { whose, origin, tail, ..Request::default() })
}

/// What comes from now on, at a stage.
pub fn tap(tap: Tap) -> Ended {
    let Tap { at, origin, filter } = tap;
    let style = style(origin.is_none(), false);
    let shown = Shown { follow: true, since: None, filter };
    show(shown, style, Request { at: Some(at), origin, tail: Some(0), ..Request::default() })
}

pub fn dmesg(dmesg: Dmesg) -> Ended {
    let Dmesg { tail, shown } = dmesg;
    show(shown, style(false, false), Request { whose: Whose::Kernel, tail, ..Request::default() })
}

fn style(origins: bool, cri: bool) -> Style {
    Style { origins, cri, paint: Paint::stdout(), terminal: io::stdout().is_terminal() }
}

fn show(shown: Shown, style: Style, request: Request) -> Ended {
    let Shown { follow, since, filter: Filter { level, grep, json, daemon } } = shown;
    let since_ns = since.map(|since| match since {
        Since::At(time) => time.0,
        Since::Ago(ago) => now_ns().saturating_sub(i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX)),
    });
    let request = Request { follow, since_ns, level, grep, ..request };
    with_socket(&daemon, |socket| read(socket, request, (!json).then_some(style)))
}

fn now_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Finds the socket as the daemon does, by the same flags and files.
fn with_socket(daemon: &Daemon, command: impl FnOnce(&Path) -> anyhow::Result<()>) -> Ended {
    let ended = |result: anyhow::Result<()>| result.map_or_else(Ended::Failed, |()| Ended::Well);
    match socket(daemon) {
        Ok(Some(socket)) => ended(command(&socket)),
        Ok(None) => ended(Err(anyhow!("there is no socket: the configuration has `view.enabled: false`"))),
        Err(problems) => Ended::Misconfigured(problems),
    }
}

fn socket(daemon: &Daemon) -> Result<Option<PathBuf>, Problems> {
    if let Some(socket) = &daemon.socket {
        return Ok(Some(socket.clone()));
    }
    let overrides = Overrides { state_dir: daemon.state_dir.clone(), ..Overrides::default() };
    let loaded = crate::config::load(&daemon.config, &overrides, &Environment::of_process())?;
    Ok(loaded.config.view.map(|view| view.socket))
}

/// The first connection: nobody waits for a Ringward that never ran.
fn connect(socket: &Path, request: &Request) -> anyhow::Result<Answer> {
    Answer::ask(socket, request).map_err(|error| {
        let path = socket.display();
        if is_absent(&error) {
            return anyhow!(
                "no Ringward listens on {path}: `ringward run` does while it runs; one with another socket is found by \
                 --socket, --state-dir or --config"
            );
        }
        let hint = if error.kind() == io::ErrorKind::PermissionDenied { " (only its user and root may)" } else { "" };
        anyhow!("{path} can't be connected to: {error}{hint}")
    })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// How an answer ended.
enum Outcome {
    /// All is shown, or nobody reads it any more.
    Done,
    /// Ringward has ended.
    Gone,
}

/// Shows what is asked for; in a style, or as it comes.
fn read(socket: &Path, mut request: Request, style: Option<Style>) -> anyhow::Result<()> {
    let mut answer = connect(socket, &request)?;
    loop {
        match show_all(&mut answer, &mut request, style)? {
            Outcome::Done => return Ok(()),
            Outcome::Gone if !request.follow => bail!("Ringward has ended before it had shown everything"),
            Outcome::Gone => {}
        }
        say("Ringward has ended, waiting for the next one");
        // Whatever it has is new, but for what the last one has shown.
        request.tail = None;
        answer = loop {
            if is_unread(None, Some(LOOK)).context("can't wait for standard output")? {
                return Ok(());
            }
            match Answer::ask(socket, &request) {
                Ok(answer) => break answer,
                Err(error) if is_absent(&error) => {}
                Err(_) => break connect(socket, &request)?,
            }
        };
    }
}

fn show_all(answer: &mut Answer, request: &mut Request, style: Option<Style>) -> anyhow::Result<Outcome> {
    let mut out = Vec::new();
    let mut done = false;
    loop {
        while let Some(line) = answer.line() {
            match (line.strip_prefix(&[CONTROL]), style) {
                (Some(control), _) => {
                    match serde_json::from_slice(control).context("Ringward's answer is not understood")? {
                        Control::At(at) => request.after.extend(at),
                        Control::Error(why) => {
                            write(&out)?;
                            bail!("{why}");
                        }
                        Control::Done(_) => done = true,
                    }
                }
                (None, None) => {
                    out.extend_from_slice(line);
                    out.push(b'\n');
                }
                (None, Some(style)) => match style.line(line) {
                    Line::Record(text) => out.extend_from_slice(text.as_bytes()),
                    Line::Loss(text) => {
                        if !write(&std::mem::take(&mut out))? {
                            return Ok(Outcome::Done);
                        }
                        say(&text);
                    }
                },
            }
            if out.len() >= WRITE_BYTES && !write(&std::mem::take(&mut out))? {
                return Ok(Outcome::Done);
            }
        }
        if !write(&std::mem::take(&mut out))? || done {
            return Ok(Outcome::Done);
        }
        match answer.wait().context("Ringward's answer can't be read")? {
            Waited::More => {}
            Waited::Closed => return Ok(Outcome::Gone),
            Waited::Unread => return Ok(Outcome::Done),
        }
    }
}

/// Writes to standard output; `false` where nobody reads it any more (`| head`), who has seen enough.
fn write(bytes: &[u8]) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("can't write to standard output"),
    }
}

fn say(text: &str) {
    logging::say(&format!("{} {text}\n", Paint::stderr().warning()));
}
