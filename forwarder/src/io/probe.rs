//! Whether this host lets us use io_uring, and why not.

use std::io;

/// Entries that the runtime asks for; the probe asks for as many, because locked memory may be limited.
const ENTRIES: u32 = 256;

/// Answer of [`probe`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UringSupport {
    Available,
    /// Refused; the sentence says by what, and what would allow it.
    Refused(String),
}

/// Tries to set up an io_uring and says what came of it.
pub fn probe() -> UringSupport {
    match io_uring::IoUring::new(ENTRIES) {
        Ok(_) => UringSupport::Available,
        Err(error) => UringSupport::Refused(explain(&error, disabled_setting().as_deref())),
    }
}

/// `kernel.io_uring_disabled`: "0", "1" or "2"; absent before Linux 6.6.
fn disabled_setting() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok().map(|text| text.trim().to_owned())
}

fn explain(error: &io::Error, disabled: Option<&str>) -> String {
    match (error.raw_os_error(), disabled) {
        (Some(libc::ENOSYS), _) => {
            "the kernel has no io_uring, or a seccomp filter hides it (io_uring_setup: ENOSYS)".into()
        }
        (Some(libc::EPERM), Some("2")) => {
            "io_uring is switched off for everybody (sysctl kernel.io_uring_disabled=2; 0 allows it)".into()
        }
        (Some(libc::EPERM), Some("1")) => "io_uring is switched off for this user (sysctl kernel.io_uring_disabled=1; \
            CAP_SYS_ADMIN or the group of kernel.io_uring_group allows it)"
            .into(),
        (Some(libc::EPERM | libc::EACCES), _) => {
            "a seccomp filter or security module forbids io_uring, as the default \
            profiles of Docker and containerd do (io_uring_setup: EPERM; a profile that allows io_uring_setup, \
            io_uring_enter and io_uring_register allows it)"
                .into()
        }
        (Some(libc::ENOMEM), _) => {
            "not enough lockable memory for an io_uring (io_uring_setup: ENOMEM; raise RLIMIT_MEMLOCK)".into()
        }
        _ => format!("io_uring_setup failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_what_would_allow_it() {
        let text = |errno, disabled| explain(&io::Error::from_raw_os_error(errno), disabled);
        assert!(text(libc::EPERM, Some("2")).contains("kernel.io_uring_disabled=2"));
        assert!(text(libc::EPERM, Some("1")).contains("io_uring_group"));
        assert!(text(libc::EPERM, Some("0")).contains("seccomp"));
        assert!(text(libc::EPERM, None).contains("seccomp"));
        assert!(text(libc::ENOSYS, None).contains("no io_uring"));
        assert!(text(libc::ENOMEM, None).contains("RLIMIT_MEMLOCK"));
        assert!(text(libc::EMFILE, None).contains("io_uring_setup failed"));
    }
}
