//! The thread that finds out whose a pipe is. It reads /proc and the runtimes' files, which may be slow, so the
//! reader never does that itself.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, unbounded};
use forwarder_common::{ExecRecord, PipeKey};

use super::backlog::{self, Backlog, BacklogQuestion};
use crate::record::OriginHandle;

/// Knows containers.
pub trait Names: Send {
    /// Origins of the program's stdout and stderr; `None` where it is not one whose output is wanted.
    fn name(&mut self, exec: &ExecRecord) -> Option<[OriginHandle; 2]>;

    /// Of these pipes and terminals, the ones that some process has open for writing.
    fn held(&mut self, keys: &[PipeKey]) -> HashSet<PipeKey>;
}

pub(super) enum Question {
    Name(Box<ExecRecord>),
    AreHeld(Vec<(u32, PipeKey)>),
    Backlog(BacklogQuestion),
}

pub(super) enum Answer {
    Named { target: u32, origin: OriginHandle },
    Rejected { target: u32 },
    Held { target: u32, held: bool },
    Backlog { target: u32, backlog: Backlog },
}

pub(super) fn start(
    mut names: Box<dyn Names>,
    wake: Arc<OwnedFd>,
) -> std::io::Result<(Sender<Question>, Receiver<Answer>)> {
    let (questions, asked) = unbounded();
    let (answer, answers) = unbounded();
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
    Ok((questions, answers))
}

fn respond(names: &mut dyn Names, question: Question) -> Vec<Answer> {
    match question {
        Question::Backlog(question) => {
            vec![Answer::Backlog { target: question.target, backlog: backlog::find(&question) }]
        }
        Question::AreHeld(targets) => {
            let keys: Vec<PipeKey> = targets.iter().map(|(_, key)| *key).collect();
            let held = names.held(&keys);
            targets.into_iter().map(|(target, key)| Answer::Held { target, held: held.contains(&key) }).collect()
        }
        Question::Name(exec) => {
            let wanted = exec.targets.into_iter().enumerate().filter(|(_, target)| *target != 0);
            match names.name(&exec) {
                // Stdout and stderr in one pipe are one stream, under the first name.
                Some(origins) => {
                    wanted.map(|(index, target)| Answer::Named { target, origin: origins[index].clone() }).collect()
                }
                None => wanted.map(|(_, target)| Answer::Rejected { target }).collect(),
            }
        }
    }
}
