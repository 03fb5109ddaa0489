//! Destinations against real sockets on 127.0.0.1, each test with io_uring and with epoll.

mod bench;
mod documented;
#[path = "../harness/mod.rs"]
mod harness;
mod otelcol;
mod programs;
mod real_receivers;
mod receiver;
mod tcp;
mod tcp_closing;
mod tcp_faults;
mod udp;
mod udp_segments;
mod unread;

use ringward::io::{IoMode, UringSupport, probe};

/// Makes a test of each function for each back end.
macro_rules! on_both_backends {
    ($($name:ident),* $(,)?) => {
        mod epoll {
            $(#[test] fn $name() { super::$name(ringward::io::IoMode::Epoll); })*
        }
        mod uring {
            $(#[test] fn $name() {
                if crate::has_uring() {
                    super::$name(ringward::io::IoMode::Uring);
                }
            })*
        }
    };
}
pub(crate) use on_both_backends;

/// Whether this host allows io_uring; says so where it does not.
fn has_uring() -> bool {
    match probe() {
        UringSupport::Available => true,
        UringSupport::Refused(reason) => {
            eprintln!("skipped with io_uring: {reason}");
            false
        }
    }
}

#[test]
fn the_mode_that_is_asked_for_is_used() {
    use ringward::io::{Backend, backend, run};
    assert_eq!(run(IoMode::Epoll, async { backend() }).unwrap(), Backend::Epoll);
    if has_uring() {
        assert_eq!(run(IoMode::Uring, async { backend() }).unwrap(), Backend::Uring);
    }
}
