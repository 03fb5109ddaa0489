//! The choice between the back ends, made once for a thread.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::str::FromStr;

use super::probe::{UringSupport, probe};

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoMode {
    /// io_uring where it is allowed, else epoll, and the log says why.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    Epoll,
}

/// What is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Uring,
    Epoll,
}

/// Why a back end could not be started.
#[derive(Debug, thiserror::Error)]
pub enum IoError {
    #[error("io_uring was asked for and is refused: {0}")]
    Refused(String),
    #[error("could not start the {0:?} event loop: {1}")]
    Start(Backend, #[source] io::Error),
    #[error("unknown I/O mode {0:?}: accepted are auto, uring and epoll")]
    UnknownMode(String),
}

impl FromStr for IoMode {
    type Err = IoError;

    fn from_str(text: &str) -> Result<Self, IoError> {
        match text {
            "auto" => Ok(Self::Auto),
            "uring" => Ok(Self::Uring),
            "epoll" => Ok(Self::Epoll),
            _ => Err(IoError::UnknownMode(text.to_owned())),
        }
    }
}

impl IoMode {
    /// The back end that this mode means on this host. `Auto` says in the log when it falls back.
    ///
    /// # Errors
    /// [`IoError::Refused`] where io_uring was asked for and is not allowed.
    pub fn choose(self) -> Result<Backend, IoError> {
        if self == Self::Epoll {
            return Ok(Backend::Epoll);
        }
        match (self, probe()) {
            (_, UringSupport::Available) => Ok(Backend::Uring),
            (Self::Uring, UringSupport::Refused(reason)) => Err(IoError::Refused(reason)),
            (_, UringSupport::Refused(reason)) => {
                tracing::warn!("using epoll instead of io_uring: {reason}");
                Ok(Backend::Epoll)
            }
        }
    }
}

thread_local! {
    static BACKEND: Cell<Backend> = const { Cell::new(Backend::Epoll) };
}

/// The back end of this thread: epoll outside of [`run`].
pub fn backend() -> Backend {
    BACKEND.get()
}

/// Runs `future` to its end on this thread, with the back end that `mode` means. Tasks that it spawns by
/// `tokio::task::spawn_local` run beside it and end with it.
///
/// # Errors
/// Where the back end is refused or can't be started.
pub fn run<F: Future>(mode: IoMode, future: F) -> Result<F::Output, IoError> {
    let backend = mode.choose()?;
    BACKEND.set(backend);
    let result = match backend {
        Backend::Uring => tokio_uring::Runtime::new(&tokio_uring::builder()).map(|runtime| runtime.block_on(future)),
        Backend::Epoll => tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
            let tasks = tokio::task::LocalSet::new();
            let output = runtime.block_on(tasks.run_until(future));
            // Tasks may own things of the reactor: they go first.
            drop(tasks);
            output
        }),
    };
    BACKEND.set(Backend::Epoll);
    result.map_err(|error| IoError::Start(backend, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes io_uring_setup fail with EPERM on this thread, as a container's seccomp profile does.
    fn forbid_io_uring() {
        const ALLOW: u32 = 0x7fff_0000;
        const EPERM: u32 = 0x0005_0000 | libc::EPERM as u32;
        let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
        let mut filter = [
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, EPERM),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: `program` points at a filter of `len` steps that lives through the call; it affects this thread.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
        }
    }

    #[test]
    fn where_io_uring_is_forbidden_auto_works_and_uring_says_why() {
        std::thread::spawn(|| {
            forbid_io_uring();
            let UringSupport::Refused(reason) = probe() else { panic!("the filter must refuse it") };
            assert!(reason.contains("seccomp") || reason.contains("io_uring_disabled"), "{reason}");
            assert_eq!(run(IoMode::Auto, async { backend() }).unwrap(), Backend::Epoll);
            let error = run(IoMode::Uring, async {}).unwrap_err();
            assert!(matches!(&error, IoError::Refused(_)), "{error}");
            assert!(error.to_string().starts_with("io_uring was asked for and is refused: "), "{error}");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn local_tasks_run_beside_the_future() {
        for mode in [IoMode::Auto, IoMode::Epoll] {
            let answer = run(mode, async { tokio::task::spawn_local(async { 7 }).await.unwrap() }).unwrap();
            assert_eq!(answer, 7);
        }
    }

    #[test]
    fn an_unknown_mode_is_told_what_is_accepted() {
        let error = "poll".parse::<IoMode>().unwrap_err();
        assert_eq!(error.to_string(), "unknown I/O mode \"poll\": accepted are auto, uring and epoll");
    }
}
