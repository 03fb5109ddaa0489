//! What dockerd asks and is answered, as JSON.

use serde::{Deserialize, Serialize};

use crate::source::container::{ContainerIdentity, Runtime};

/// `LogDriver.StartLogging`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StartLogging {
    /// The FIFO.
    pub(super) file: String,
    pub(super) info: Info,
}

/// `LogDriver.StopLogging`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StopLogging {
    pub(super) file: String,
}

/// `LogDriver.ReadLogs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReadLogs {
    #[serde(default)]
    pub(super) config: ReadConfig,
    pub(super) info: Info,
}

/// Which entries are wanted. Times are RFC 3339; the year 1 means none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ReadConfig {
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    /// Negative: all.
    pub(super) tail: Option<i64>,
    pub(super) follow: bool,
}

/// A container, as dockerd sees it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Info {
    #[serde(rename = "ContainerID")]
    pub(super) id: String,
    /// With a slash before it.
    #[serde(rename = "ContainerName", default)]
    pub(super) name: String,
}

impl Info {
    /// The same names as a captured container of Docker has.
    pub(super) fn identity(&self) -> ContainerIdentity {
        let mut identity = ContainerIdentity::unresolved(self.id.clone(), Runtime::Docker);
        let name = self.name.trim_start_matches('/');
        if !name.is_empty() {
            identity.name = name.to_owned();
        }
        identity
    }
}

/// The answer to `Plugin.Activate`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Activated {
    pub(super) implements: [&'static str; 1],
}

/// The answer to `LogDriver.Capabilities`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Capabilities {
    pub(super) cap: Capability,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Capability {
    pub(super) read_logs: bool,
}

/// The answer to the rest; empty where it went well.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Outcome {
    pub(super) err: String,
}
