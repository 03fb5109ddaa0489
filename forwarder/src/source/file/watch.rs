//! News of folders and of the files in them, by inotify: nothing is polled.
//!
//! Watched is every folder in which a pattern may have files or folders; of a folder that is missing, the nearest one
//! above it that exists. In: folders to watch. Out: [`Change`]s with paths. A folder that is known by several paths is
//! watched once and its changes are told for each of them.
//!
//! Limits: the kernel's `fs.inotify.max_user_watches`, one for each folder; network file systems tell nothing of what
//! other machines write.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::io::Readable;

/// Room for some hundred events a read.
const BUFFER_LEN: usize = 16 << 10;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) enum Change {
    /// A file was written to.
    Written(PathBuf),
    /// Something is there that was not there, or may be read now.
    Appeared(PathBuf),
    /// A name is gone: deleted, or called something else now.
    Left(PathBuf),
    /// What has just [`Change::Left`] the name `from` is called `to` now.
    Renamed { from: PathBuf, to: PathBuf },
    /// A folder is there.
    Folder(PathBuf),
    /// A folder that was watched is gone, or is called something else.
    FolderLeft(PathBuf),
    /// Changes were missed: everything has to be looked at.
    Missed,
}

pub(in crate::source) struct Watcher {
    inotify: Rc<Readable>,
    /// By the kernel's number of their watch, the paths that lead to them.
    folders: HashMap<i32, Vec<PathBuf>>,
    /// The name that was left last by renaming, with the kernel's number of that renaming.
    moved: Option<(u32, PathBuf)>,
    buffer: Box<[MaybeUninit<u8>]>,
}

impl Watcher {
    /// Must be called inside of the thread's runtime.
    ///
    /// # Errors
    /// Where the user has too many of them (`fs.inotify.max_user_instances`), or no descriptor is left.
    pub(in crate::source) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self {
            inotify: Rc::new(Readable::new(inotify)?),
            folders: HashMap::new(),
            moved: None,
            buffer: vec![MaybeUninit::uninit(); BUFFER_LEN].into(),
        })
    }

    /// Tells of what comes and goes in a folder, and of what is written to its files where `files` says so.
    pub(in crate::source) fn add(&mut self, folder: &Path, files: bool) -> io::Result<()> {
        let mut events = WatchFlags::CREATE
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::MASK_ADD;
        if files {
            events |= WatchFlags::MODIFY | WatchFlags::ATTRIB;
        }
        let watch = inotify::add_watch(&self.inotify, folder, events)?;
        let paths = self.folders.entry(watch).or_default();
        if !paths.iter().any(|path| path == folder) {
            paths.push(folder.to_owned());
        }
        Ok(())
    }

    /// Completes when there may be changes.
    ///
    /// # Cancellation
    /// Safe.
    pub(in crate::source) async fn wait(&self) -> io::Result<()> {
        self.inotify.wait().await
    }

    /// Adds the changes that there are.
    pub(in crate::source) fn take(&mut self, changes: &mut Vec<Change>) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.take_into(&mut buffer, changes);
        self.buffer = buffer;
        result
    }

    fn take_into(&mut self, buffer: &mut [MaybeUninit<u8>], changes: &mut Vec<Change>) -> io::Result<()> {
        let inotify = Rc::clone(&self.inotify);
        let mut reader = inotify::Reader::new(&inotify, buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            self.on_event(event.wd(), event.events(), event.cookie(), name, changes);
        }
        self.inotify.is_empty();
        Ok(())
    }

    fn on_event(
        &mut self,
        watch: i32,
        events: ReadFlags,
        cookie: u32,
        name: Option<&OsStr>,
        changes: &mut Vec<Change>,
    ) {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            changes.push(Change::Missed);
            return;
        }
        if events.contains(ReadFlags::IGNORED) {
            for path in self.folders.remove(&watch).unwrap_or_default() {
                changes.push(Change::FolderLeft(path));
            }
            return;
        }
        if events.contains(ReadFlags::MOVE_SELF) {
            // What it is called now is unknown: it is watched again when it is found.
            let _ = inotify::remove_watch(&self.inotify, watch);
            return;
        }
        let (Some(paths), Some(name)) = (self.folders.get(&watch), name) else { return };
        let (is_folder, left) = (events.contains(ReadFlags::ISDIR), ReadFlags::DELETE | ReadFlags::MOVED_FROM);
        for folder in paths {
            let path = folder.join(name);
            let change = match is_folder {
                // Its own watch tells when it is gone.
                true if events.intersects(left) => continue,
                true => Change::Folder(path),
                false if events.contains(ReadFlags::MODIFY) => Change::Written(path),
                false if events.intersects(left) => {
                    if events.contains(ReadFlags::MOVED_FROM) {
                        self.moved = Some((cookie, path.clone()));
                    }
                    Change::Left(path)
                }
                false if events.contains(ReadFlags::MOVED_TO) => match self.moved.take() {
                    Some((same, from)) if same == cookie => Change::Renamed { from, to: path },
                    _ => Change::Appeared(path),
                },
                false => Change::Appeared(path),
            };
            if changes.last() != Some(&change) {
                changes.push(change);
            }
        }
    }
}
