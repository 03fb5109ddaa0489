//! Finds containers and gives them their names.
//!
//! ```text
//!  exec event (pid, parent, cgroup leaf) ──► Namer ──► Named::Container(ContainerIdentity) ──► Origin
//!  procfs ─────────────────────────────────► scan  ──► what runs already, with its pipes
//!  names of containers ───────────────────► NamePattern ─► which of them are left out
//!  --pid, --cgroup, --unit ────────────────► select ─► processes that are no containers, with their pipes
//! ```
//!
//! Owns reading cgroup paths, command lines of shims and conmon, OCI bundles and the runtimes' own files. Asks no
//! daemon and no API server, so it works while they are down. Everything is read below a procfs that can be
//! chosen ([`Proc::new`]), because a DaemonSet sees the host's at another place.
//!
//! Limits: rootless Podman with `--cgroups=disabled` and without conmon in its ancestry looks like any sandbox and is
//! not named; Kata's and gVisor's guests have no process here.

mod bundle;
mod cgroup;
mod docker;
mod exclude;
mod identity;
mod kubernetes;
mod naming;
mod places;
mod proc;
mod runtime;
mod scan;
mod seen;
pub mod select;
mod storage;

pub use cgroup::{ContainerRef, Membership, PodUid, parse_leaf, parse_path, parse_proc_cgroup};
pub use exclude::NamePattern;
pub use identity::{ContainerIdentity, LogFile, LogFormat, Runtime};
pub use naming::{ExecEvent, Named, Namer, Reason};
pub use proc::{Proc, Status, StdioIdentity};
pub use scan::RunningContainer;
