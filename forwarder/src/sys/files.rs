//! Durable file operations: what "written" means after a power cut.
//!
//! A file that was created or renamed is only there after its directory was synced as well; every function
//! here returns after that.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Creates `path` and what is missing above it, readable by this user only. One that exists is left as it is.
///
/// # Errors
/// Also where others could put files into one that exists ([`not_private`]).
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    if let Ok(metadata) = fs::metadata(path)
        && metadata.is_dir()
    {
        return not_private(&metadata).map_or(Ok(()), |why| Err(io::Error::other(why)));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Why a directory can't be trusted: whoever may write to it can replace our files, or have us write to theirs.
pub(crate) fn not_private(directory: &Metadata) -> Option<String> {
    let (owner, mode) = (directory.uid(), directory.mode() & 0o7777);
    let ourselves = rustix::process::geteuid().as_raw();
    if owner != ourselves && owner != 0 {
        return Some(format!("it belongs to the user {owner}, not to this one ({ourselves}) or root"));
    }
    (mode & 0o022 != 0).then(|| format!("others may write to it (mode {mode:04o}); forbid it by chmod go-w"))
}

/// Options for a file that only this user reads. A symbolic link is never followed: it could lead to another's file.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

/// The content of a file that is not a symbolic link.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Replaces the content of `path` so that a crash leaves the old content or the new one, never a mixture.
/// A file that an interrupted call left behind ([`temporary`]) is removed by the next.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = temporary(path);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_file().create_new(true).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Where [`replace`] writes before it renames.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".tmp");
    path.with_file_name(name)
}

/// A file can't be locked.
#[derive(Debug)]
pub(crate) enum LockError {
    Held { holder: Holder },
    Failed(io::Error),
}

/// The process that holds a lock, where it is known; shown as an addition to a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Holder(String);

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (pid {})", self.0) }
    }
}

/// Locks `path`, which is made, for as long as the file that is returned is open. Our process id is written into it, for
/// the error of another.
pub(crate) fn lock(path: &Path) -> Result<File, LockError> {
    let failed = LockError::Failed;
    let mut file = private_file().create(true).truncate(false).open(path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            return Err(LockError::Held { holder: Holder(holder.trim().to_owned()) });
        }
        Err(error) => return Err(failed(error.into())),
    }
    file.set_len(0).map_err(failed)?;
    file.write_all(std::process::id().to_string().as_bytes()).map_err(failed)?;
    Ok(file)
}

/// Writes everything, waiting for room where the file is non-blocking; how much was written in any case.
pub(crate) fn write_all(target: &OwnedFd, buffer: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < buffer.len() {
        let result = match rustix::io::write(target, &buffer[written..]) {
            Ok(bytes) => {
                written += bytes;
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(Errno::AGAIN) => match rustix::event::poll(&mut [PollFd::new(target, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => Ok(()),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            return (written, Err(error.into()));
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, dir.path().join("lock")).unwrap();
        assert!(private_file().create(true).truncate(true).open(dir.path().join("lock")).is_err());
        assert!(read(&dir.path().join("lock")).is_err());
        let state = dir.path().join("state.json");
        symlink(&victim, temporary(&state)).unwrap();
        replace(&state, b"new").unwrap();
        assert_eq!(read(&state).unwrap(), b"new");
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o770, 0o702, 0o1777] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            let error = create_private_directory(dir.path()).unwrap_err().to_string();
            assert!(error.contains("others may write to it") && error.contains("chmod go-w"), "{error}");
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        create_private_directory(dir.path()).unwrap();
    }
}
