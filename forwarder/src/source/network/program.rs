//! A program whose output is records: started, read, and started again when it ends.
//!
//! Lines of its standard output are what the listener takes them for; those of its standard error are text, with `stream`
//! `stderr`. It runs in a process group of its own, with nothing as its standard input. While the ring has no room nothing
//! is read, so that it waits in its own writes, and nobody else does.
//!
//! It has ended when it is gone and nobody has its output open any more: all that was printed has been read then. After a
//! pause, which doubles from [`FIRST_PAUSE`] to [`LONGEST_PAUSE`] and begins anew after a run of that length, it is started
//! again. At a stop it is asked to end by SIGTERM, and killed when it has not ended in time.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::frames::Frames;
use super::intake::Intake;
use super::stream::Stream;
use super::{Listener, STOP_PATIENCE, stopped};
use crate::io::watch_readable;
use crate::source::clock::realtime_ns;
use crate::source::memlogd::descriptor::Descriptor;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Runs the program until the stop. `errors` takes its standard error.
pub(super) async fn serve(
    words: Vec<String>,
    listener: Rc<Listener>,
    errors: Rc<Listener>,
    intake: Rc<Intake>,
    mut stop: watch::Receiver<bool>,
) {
    let mut pause = FIRST_PAUSE;
    while !*stop.borrow() {
        let begun = Instant::now();
        let how = match Running::start(&words) {
            Ok(running) => {
                listener.counters.connections.add(1);
                running.run(&listener, &errors, &intake, &mut stop).await
            }
            Err(error) => format!("could not be started: {error}"),
        };
        if *stop.borrow() {
            break;
        }
        listener.counters.exits.add(1);
        if begun.elapsed() >= LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        tracing::warn!("{}: the program {how}; it is started again in {pause:?}", listener.options.endpoint);
        let _ = timeout(pause, stopped(&mut stop)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

struct Running {
    child: Child,
    group: Pid,
    pidfd: AsyncFd<OwnedFd>,
    output: Stream,
    errors: Stream,
}

impl Running {
    fn start(words: &[String]) -> io::Result<Self> {
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        match watched(&mut child) {
            Ok((group, pidfd, output, errors)) => Ok(Self { child, group, pidfd, output, errors }),
            Err(error) => {
                // It would run on unseen.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Reads all that it prints, and waits until it has ended; how.
    async fn run(
        mut self,
        listener: &Listener,
        errors: &Listener,
        intake: &Intake,
        stop: &mut watch::Receiver<bool>,
    ) -> String {
        let group = self.group;
        {
            let mut reading = pin!(self.read(listener, errors, intake));
            tokio::select! {
                biased;
                how = &mut reading => return how,
                () = stopped(stop) => {}
            }
            signal(group, Signal::TERM);
            if let Ok(how) = timeout(STOP_PATIENCE, &mut reading).await {
                return how;
            }
            tracing::warn!("{}: the program did not end by SIGTERM and is killed", listener.options.endpoint);
            signal(group, Signal::KILL);
            if let Ok(how) = timeout(STOP_PATIENCE, reading).await {
                return how;
            }
        }
        for (stream, listener) in [(&self.output, listener), (&self.errors, errors)] {
            let left = stream.unread().unwrap_or(0);
            if left > 0 {
                intake.lose_bytes(listener, left);
            }
        }
        "has left its output to somebody else".into()
    }

    async fn read(&mut self, listener: &Listener, errors: &Listener, intake: &Intake) -> String {
        let Self { child, pidfd, output, errors: error_output, .. } = self;
        let gone = async { pidfd.readable().await.map(|mut ready| ready.retain_ready()) };
        let (.., gone) = tokio::join!(read(output, listener, intake), read(error_output, errors, intake), gone);
        // Not before: as long as it is not waited for, its number, which is its group's, is nobody else's.
        match gone.and_then(|()| child.wait()) {
            Ok(status) => format!("ended ({status})"),
            Err(error) => format!("can't be waited for: {error}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where it was waited for, there is nothing left to wait for.
        let _ = self.child.try_wait();
    }
}

type Watched = (Pid, AsyncFd<OwnedFd>, Stream, Stream);

fn watched(child: &mut Child) -> io::Result<Watched> {
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or(io::ErrorKind::NotFound)?;
    let pidfd = watch_readable(pidfd_open(pid, PidfdFlags::NONBLOCK)?)?;
    let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let errors = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let stream = |fd: OwnedFd| Stream::new(Descriptor::new(fd).map_err(io::Error::other)?);
    Ok((pid, pidfd, stream(output.into())?, stream(errors.into())?))
}

async fn read(stream: &Stream, listener: &Listener, intake: &Intake) {
    let mut frames = Frames::of(listener, None);
    if let Err(error) = stream.read_all(listener, intake, &mut frames).await {
        tracing::error!("{}: what the program prints can't be read any more: {error}", listener.options.endpoint);
    }
    intake.take_unfinished(listener, &mut frames, realtime_ns(), true);
    intake.seal_soon();
}

fn signal(group: Pid, signal: Signal) {
    // Fails only where all of it has ended.
    let _ = kill_process_group(group, signal);
}
