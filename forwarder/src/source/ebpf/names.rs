//! The threads that find out whose a pipe is, what was printed before, and what was missed. They read /proc and the
//! runtimes' files, which may be slow, so the reader never does that itself; and log files, which may be long, so that has
//! threads of its own and never delays a name.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use forwarder_common::{ExecRecord, PipeKey};

use super::backlog::{self, Backlog, BacklogQuestion};
use super::fill::{ContainerLog, Fill, FillQuestion, Filler};
use crate::record::OriginHandle;

/// Whose the streams of a program are.
pub struct Known {
    /// Of its stdout and stderr.
    pub origins: [OriginHandle; 2],
    /// Where its runtime keeps what it prints, if gaps are to be filled from there.
    pub log: Option<ContainerLog>,
}

/// Knows containers.
pub trait Names: Send {
    /// Whose the program's stdout and stderr are; `None` where it is not one whose output is wanted.
    fn name(&mut self, exec: &ExecRecord) -> Option<Known>;

    /// Of these pipes and terminals, the ones that some process has open for writing.
    fn held(&mut self, keys: &[PipeKey]) -> HashSet<PipeKey>;
}

pub(super) enum Question {
    Name(Box<ExecRecord>),
    AreHeld(Vec<(u32, PipeKey)>),
}

pub(super) enum Answer {
    Named {
        target: u32,
        origin: OriginHandle,
        log: Option<ContainerLog>,
    },
    Rejected {
        target: u32,
    },
    Held {
        target: u32,
        held: bool,
    },
    /// `open`: that of the question.
    Backlog {
        target: u32,
        open: Weak<()>,
        backlog: Backlog,
    },
    /// `open`: that of the question.
    Fill {
        target: u32,
        open: Weak<()>,
        fill: Fill,
    },
}

/// Where questions go.
pub(super) struct Questions {
    pub(super) names: Sender<Question>,
    pub(super) backlogs: Sender<BacklogQuestion>,
    pub(super) fills: Sender<FillQuestion>,
}

/// Where answers come from. At most one backlog and one part of a gap wait to be taken: they may be long.
pub(super) struct Answers {
    names: Receiver<Answer>,
    backlogs: Receiver<Answer>,
    fills: Receiver<Answer>,
}

impl Answers {
    pub(super) fn try_next(&self) -> Option<Answer> {
        self.names.try_recv().or_else(|_| self.fills.try_recv()).or_else(|_| self.backlogs.try_recv()).ok()
    }

    pub(super) fn next(&self, timeout: Duration) -> Option<Answer> {
        crossbeam::channel::select! {
            recv(self.names) -> answer => answer.ok(),
            recv(self.backlogs) -> answer => answer.ok(),
            recv(self.fills) -> answer => answer.ok(),
            default(timeout) => None,
        }
    }
}

pub(super) fn start(mut names: Box<dyn Names>, wake: Arc<OwnedFd>) -> std::io::Result<(Questions, Answers)> {
    let (name_questions, asked) = unbounded();
    let (answer, name_answers) = unbounded();
    let file_wake = Arc::clone(&wake);
    std::thread::Builder::new().name("namer".into()).spawn(move || {
        for question in asked {
            for found in respond(&mut *names, question) {
                if answer.send(found).is_err() {
                    return;
                }
            }
            let _ = rustix::io::write(&*wake, &1u64.to_ne_bytes());
        }
    })?;
    let (backlogs, backlog_answers) = file_thread("backlogs", Arc::clone(&file_wake), |question: BacklogQuestion| {
        let backlog = backlog::find(&question);
        Answer::Backlog { target: question.target, open: question.open, backlog }
    })?;
    let mut filler = Filler::default();
    let (fills, fill_answers) = file_thread("fills", file_wake, move |question: FillQuestion| {
        let fill = filler.find(&question);
        Answer::Fill { target: question.target, open: question.open, fill }
    })?;
    let questions = Questions { names: name_questions, backlogs, fills };
    Ok((questions, Answers { names: name_answers, backlogs: backlog_answers, fills: fill_answers }))
}

/// A thread that reads log files. It waits until each answer has been taken.
fn file_thread<Q: Send + 'static>(
    name: &str,
    wake: Arc<OwnedFd>,
    mut answer: impl FnMut(Q) -> Answer + Send + 'static,
) -> std::io::Result<(Sender<Q>, Receiver<Answer>)> {
    let (questions, asked) = unbounded::<Q>();
    let (answers, found) = bounded(1);
    std::thread::Builder::new().name(name.into()).spawn(move || {
        for question in asked {
            if answers.send(answer(question)).is_err() {
                return;
            }
            let _ = rustix::io::write(&*wake, &1u64.to_ne_bytes());
        }
    })?;
    Ok((questions, found))
}

fn respond(names: &mut dyn Names, question: Question) -> Vec<Answer> {
    match question {
        Question::AreHeld(targets) => {
            let keys: Vec<PipeKey> = targets.iter().map(|(_, key)| *key).collect();
            let held = names.held(&keys);
            targets.into_iter().map(|(target, key)| Answer::Held { target, held: held.contains(&key) }).collect()
        }
        Question::Name(exec) => {
            let wanted = exec.targets.into_iter().enumerate().filter(|(_, target)| *target != 0);
            match names.name(&exec) {
                // Stdout and stderr in one pipe are one stream, under the first name.
                Some(Known { origins, log }) => {
                    let named = |(index, target): (usize, u32)| Answer::Named {
                        target,
                        origin: origins[index].clone(),
                        log: log.clone(),
                    };
                    wanted.map(named).collect()
                }
                None => wanted.map(|(_, target)| Answer::Rejected { target }).collect(),
            }
        }
    }
}
