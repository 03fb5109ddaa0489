//! The blocks that are read, key by key. All that may stand there is here: another key is a mistake.

use super::url::GoUrl;
use crate::config::document::document;
use crate::config::value::{Located, Scalar, Tags};

document! {
    /// `machine.logging`
    pub struct Logging {
        /// Where the logs of services are sent.
        destinations: Vec<Located<LoggingDestination>> => "none",
    }
}

document! {
    /// An item of `machine.logging.destinations`.
    pub struct LoggingDestination {
        /// Where to send.
        endpoint: GoUrl => "required",

        /// The wire format.
        format: String => "required",

        /// Text that is added to every record, as it stands.
        extra_tags as "extraTags": Tags => "none",
    }
}

document! {
    /// A document of the kind `KmsgLogConfig`.
    pub struct KmsgLog {
        /// The version of the kind.
        api_version as "apiVersion": String => "required",

        /// The kind.
        kind: String => "required",

        /// The document's name: the destination's.
        name: String => "required",

        /// Where to send.
        url: GoUrl => "required",
    }
}

/// Any text; what is allowed is said where it is checked.
impl Scalar for String {
    fn accepted() -> String {
        "text".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}
