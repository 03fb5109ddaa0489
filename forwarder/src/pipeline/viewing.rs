//! The socket where `ringward logs` and its like read the ring.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::config::ViewConfig;
use crate::io::unix::{SocketFile, SocketKind};
use crate::ring::Ring;
use crate::view::{Stages, ViewHandle, viewer};

/// The socket and its thread, where there is one.
pub(super) struct Viewing(Option<(ViewHandle, SocketFile)>);

impl Viewing {
    /// # Errors
    /// Where it can't be had and was asked for.
    pub(super) fn start(config: Option<&ViewConfig>, ring: &Arc<Ring>, stages: Stages) -> anyhow::Result<Self> {
        let Some(config) = config else { return Ok(Self(None)) };
        match serve(&config.socket, ring, stages) {
            Ok(served) => Ok(Self(Some(served))),
            Err(error) if config.required => Err(error),
            Err(error) => {
                tracing::warn!("`ringward logs` and its like will find nothing: {error:#}");
                Ok(Self(None))
            }
        }
    }

    /// Accepts nobody any more.
    pub(super) fn close(&self) {
        if let Some((handle, _)) = &self.0 {
            handle.close();
        }
    }

    /// Ends once the viewers have read everything, or have had a moment for it. The ring has been closed before.
    pub(super) fn stop(self) {
        if let Some((handle, _file)) = self.0 {
            handle.stop();
        }
    }
}

fn serve(socket: &Path, ring: &Arc<Ring>, stages: Stages) -> anyhow::Result<(ViewHandle, SocketFile)> {
    if let Some(folder) = socket.parent() {
        make_private(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    }
    let (socket, file) = SocketKind::Stream.bind_private(socket)?;
    let handle = viewer::start(socket, Arc::clone(ring), stages).context("viewers can't be served")?;
    Ok((handle, file))
}

/// One that is there stays as it is: the socket is private in any folder.
fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
