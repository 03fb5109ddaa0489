//! The wrapper: runs a command, and passes what it prints to memlogd and on.
//!
//! Standard error goes to memlogd as `NAME`, standard output as `NAME.out`, each by a socketpair whose other end is sent
//! to the log socket. A memlogd that goes away is not the command's fault: its output is then only passed on.

use std::ffi::{OsStr, OsString};
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::record::Stream;

/// Runs `command` to its end; the exit code is the command's own, 255 where a signal ended it, 1 where it can't be run.
pub(super) fn run(socket: &Path, name: &OsStr, command: &[OsString]) -> anyhow::Result<ExitCode> {
    let sender = UnixDatagram::unbound()?;
    sender.connect(socket).with_context(|| format!("{} can't be reached", socket.display()))?;
    let mut stdout_name = name.as_bytes().to_vec();
    stdout_name.extend_from_slice(Stream::STDOUT_ENDING.as_bytes());
    let out = pass(&sender, &stdout_name).context("standard output can't be passed to memlogd")?;
    let err = pass(&sender, name.as_bytes()).context("standard error can't be passed to memlogd")?;
    let [program, arguments @ ..] = command else { return Ok(ExitCode::FAILURE) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} can't be run", program.display()))?;
    let stdout = child.stdout.take().map(|from| std::thread::spawn(move || tee(from, out, std::io::stdout())));
    let stderr = child.stderr.take().map(|from| std::thread::spawn(move || tee(from, err, std::io::stderr())));
    for copying in [stdout, stderr].into_iter().flatten() {
        let _ = copying.join();
    }
    let status = child.wait().context("the command's end can't be waited for")?;
    // As Go's: a signal is -1.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(255);
    Ok(ExitCode::from(code))
}

/// Sends one end of a new socketpair with `name`, and keeps the other.
fn pass(sender: &UnixDatagram, name: &[u8]) -> anyhow::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let passed = [theirs.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&passed));
    sendmsg(sender, &[IoSlice::new(name)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(ours)
}

/// Copies to both until the end. One that fails is left out from then on.
fn tee(mut from: impl Read, to_memlogd: UnixStream, on: impl Write) {
    let (mut to_memlogd, mut on) = (Some(to_memlogd), Some(on));
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let data = &buffer[..read];
        to_memlogd = to_memlogd.take_if(|memlogd| memlogd.write_all(data).is_ok());
        on = on.take_if(|on| on.write_all(data).and_then(|()| on.flush()).is_ok());
    }
}
