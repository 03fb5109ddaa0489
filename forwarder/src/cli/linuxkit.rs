//! LinuxKit's programs, by their own names: `ringward memlogd`, or a link named `memlogd` to `ringward`.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use super::go_flags::Stop;
use super::{Ended, kmsg, logging, logread, logwrite, memlogd};
use crate::config::Problems;

/// A program whose place we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Memlogd,
    Logread,
    Logwrite,
    Kmsg,
}

impl Program {
    /// The program that is meant by the name that this process was started under.
    pub fn named(argument: &OsStr) -> Option<Self> {
        match Path::new(argument).file_name()?.to_str()? {
            "memlogd" => Some(Self::Memlogd),
            "logread" => Some(Self::Logread),
            "logwrite" => Some(Self::Logwrite),
            "kmsg" => Some(Self::Kmsg),
            _ => None,
        }
    }

    /// Runs it to its end.
    pub fn run(self, words: &[OsString]) -> ExitCode {
        let succeeded = |result: anyhow::Result<()>| result.map(|()| ExitCode::SUCCESS);
        let ended = match self {
            Self::Memlogd => {
                start_logging();
                memlogd::memlogd(words).map(succeeded)
            }
            Self::Logread => logread::logread(words).map(succeeded),
            Self::Logwrite => logwrite::logwrite(words),
            Self::Kmsg => kmsg::kmsg(words).map(succeeded),
        };
        let code = match ended {
            Ok(Ok(code)) => code,
            Ok(Err(error)) => Ended::Failed(error).report(),
            Err(Stop::Help(text)) => {
                // Where Go's flag package writes it.
                logging::say(&text);
                ExitCode::SUCCESS
            }
            Err(Stop::Wrong(text)) => {
                logging::say(&text);
                ExitCode::from(2)
            }
        };
        logging::finish();
        code
    }
}

/// Of the programs only the daemon has a log.
fn start_logging() {
    // A level that is wrong is no reason to be without logs at boot.
    logging::start(logging::filter(None, &mut Problems::default()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_last_name() {
        assert_eq!(Program::named(OsStr::new("/usr/bin/memlogd")), Some(Program::Memlogd));
        assert_eq!(Program::named(OsStr::new("logread")), Some(Program::Logread));
        assert_eq!(Program::named(OsStr::new("./logwrite")), Some(Program::Logwrite));
        assert_eq!(Program::named(OsStr::new("kmsg")), Some(Program::Kmsg));
        for other in ["ringward", "/usr/bin/", "memlogd2", ""] {
            assert_eq!(Program::named(OsStr::new(other)), None, "{other}");
        }
    }
}
