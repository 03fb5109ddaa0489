//! dockerd's requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::DockerOptions;
use super::fifo::{Fifo, Shared, Stop};
use super::known::{self, Known};
use super::messages::{Activated, Capabilities, Capability, Info, Outcome, ReadLogs, StartLogging, StopLogging};
use super::read_logs::{self, Parts};
use crate::ring::Ring;

/// Bytes of a request; a container's labels and environment are in it.
const MAX_REQUEST: usize = 4 << 20;
/// What dockerd is told that the answers are.
const ANSWERS: HeaderValue = HeaderValue::from_static("application/vnd.docker.plugins.v1.2+json");
const ENTRIES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// How long the end of a FIFO may take, of which everything has been written.
const PATIENCE: Duration = Duration::from_secs(5);

type Answer = Response<Either<Full<Bytes>, Parts>>;

/// The plugin's state: FIFOs that are read, and those who read logs.
pub(super) struct Plugin {
    options: DockerOptions,
    ring: Arc<Ring>,
    shared: Rc<Shared>,
    /// By path.
    reading: RefCell<HashMap<String, Reading>>,
    /// Whether a container prints to us, by its id.
    active: RefCell<HashMap<String, watch::Sender<bool>>>,
    readers: RefCell<JoinSet<()>>,
}

/// A FIFO that is read.
struct Reading {
    known: Known,
    stop: watch::Sender<Stop>,
    /// Gives what it has read of an entry.
    task: JoinHandle<Vec<u8>>,
}

impl Plugin {
    pub(super) fn new(options: DockerOptions, ring: Arc<Ring>) -> Self {
        Self {
            options,
            shared: Rc::new(Shared::new(Arc::clone(&ring))),
            ring,
            reading: RefCell::default(),
            active: RefCell::default(),
            readers: RefCell::default(),
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, MAX_REQUEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Ok(refuse(StatusCode::BAD_REQUEST, &format!("the request can't be read: {error}"))),
        };
        if head.method != Method::POST {
            return Ok(refuse(StatusCode::METHOD_NOT_ALLOWED, "a plugin is asked by POST"));
        }
        Ok(match head.uri.path() {
            "/Plugin.Activate" => json(&Activated { implements: ["LogDriver"] }),
            "/LogDriver.Capabilities" => json(&Capabilities { cap: Capability { read_logs: true } }),
            "/LogDriver.StartLogging" => understood(&body, |request| outcome(self.start_logging(&request))),
            "/LogDriver.StopLogging" => match parse::<StopLogging>(&body) {
                Ok(request) => {
                    self.stop_logging(&request.file).await;
                    outcome(Ok(()))
                }
                Err(refusal) => *refusal,
            },
            "/LogDriver.ReadLogs" => understood(&body, |request| self.read_logs(request)),
            other => refuse(StatusCode::NOT_FOUND, &format!("a logging plugin has no {other}")),
        })
    }

    fn start_logging(&self, request: &StartLogging) -> Result<(), String> {
        let StartLogging { file, info } = request;
        let known = Known { file: file.clone(), id: info.id.clone(), name: info.name.clone(), rest: Vec::new() };
        self.start(known)?;
        self.save();
        Ok(())
    }

    /// Goes on with what an earlier run has read. dockerd has ended where nobody can be read any more.
    pub(super) fn resume(&self) {
        for known in self.options.state.as_deref().map(known::load).unwrap_or_default() {
            let name = known.name.clone();
            match self.start(known) {
                Ok(()) => tracing::info!("container {name} is read on"),
                Err(error) => tracing::info!("container {name} has ended meanwhile: {error}"),
            }
        }
        self.save();
    }

    fn save(&self) {
        let Some(state) = &self.options.state else { return };
        let known: Vec<Known> = self.reading.borrow().values().map(|reading| reading.known.clone()).collect();
        known::save(state, &known);
    }

    fn start(&self, mut known: Known) -> Result<(), String> {
        let file = &known.file;
        if self.reading.borrow().get(file).is_some_and(|reading| !reading.task.is_finished()) {
            return Err(format!("{file} is read already"));
        }
        let info = Info { id: known.id.clone(), name: known.name.clone() };
        let rest = std::mem::take(&mut known.rest);
        let fifo = Fifo::open(Path::new(&known.file), &info.identity(), self.options.max_line, rest);
        let fifo = fifo.map_err(|error| format!("{} can't be read: {error}", known.file))?;
        let (stop, stopping) = watch::channel(Stop::No);
        let shared = Rc::clone(&self.shared);
        let active = self.active(&info.id);
        active.send_replace(true);
        let task = tokio::task::spawn_local(async move {
            let rest = fifo.read(&shared, stopping).await;
            active.send_replace(false);
            rest
        });
        self.reading.borrow_mut().insert(known.file.clone(), Reading { known, stop, task });
        Ok(())
    }

    /// Returns when everything that was written to the FIFO has been read. dockerd says it before it closes.
    async fn stop_logging(&self, file: &str) {
        let Some(reading) = self.reading.borrow_mut().remove(file) else { return };
        let container = reading.known.id.clone();
        reading.end(Stop::Written).await;
        self.active.borrow_mut().remove(&container);
        self.save();
    }

    fn read_logs(&self, request: ReadLogs) -> Answer {
        let ReadLogs { config, info } = request;
        let (sender, parts) = Parts::channel();
        let active = match self.active.borrow().get(&info.id) {
            Some(active) => active.subscribe(),
            None => watch::channel(false).1,
        };
        let mut readers = self.readers.borrow_mut();
        while readers.try_join_next().is_some() {}
        readers.spawn_local(read_logs::send(Arc::clone(&self.ring), info.id, config, active, sender));
        response(StatusCode::OK, ENTRIES, Either::Right(parts))
    }

    fn active(&self, container: &str) -> watch::Sender<bool> {
        self.active.borrow_mut().entry(container.to_owned()).or_insert_with(|| watch::channel(false).0).clone()
    }

    /// Reads what has been written to the FIFOs, and reads no more.
    pub(super) async fn leave(&self) {
        let mut known = Vec::new();
        for reading in self.reading.take().into_values() {
            known.push(reading.end(Stop::Leaving).await);
        }
        if let Some(state) = &self.options.state {
            known::save(state, &known);
        }
    }

    /// Waits for those who read logs.
    pub(super) async fn readers_done(&self) {
        let mut readers = self.readers.take();
        while readers.join_next().await.is_some() {}
    }
}

impl Reading {
    /// Ends it once everything has been read that was written, and gives what is to be kept for the next run.
    async fn end(self, why: Stop) -> Known {
        let Self { mut known, stop, task } = self;
        let _ = stop.send(why);
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(rest) => known.rest = rest.unwrap_or_default(),
            Err(_) => tracing::warn!("container {} had more to read when the time was up", known.name),
        }
        known
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Box<Answer>> {
    let refusal = |error| refuse(StatusCode::BAD_REQUEST, &format!("the request is not understood: {error}"));
    serde_json::from_slice(body).map_err(|error| Box::new(refusal(error)))
}

fn understood<T: DeserializeOwned>(body: &[u8], answer: impl FnOnce(T) -> Answer) -> Answer {
    parse(body).map_or_else(|refusal| *refusal, answer)
}

fn outcome(result: Result<(), String>) -> Answer {
    if let Err(error) = &result {
        tracing::error!("{error}");
    }
    json(&Outcome { err: result.err().unwrap_or_default() })
}

fn json(answer: &impl Serialize) -> Answer {
    // Texts and booleans alone: there is nothing that could fail.
    let body = serde_json::to_vec(answer).unwrap_or_default();
    response(StatusCode::OK, ANSWERS, Either::Left(Full::from(body)))
}

fn refuse(status: StatusCode, why: &str) -> Answer {
    let body = serde_json::to_vec(&Outcome { err: why.to_owned() }).unwrap_or_default();
    response(status, ANSWERS, Either::Left(Full::from(body)))
}

fn response(status: StatusCode, kind: HeaderValue, body: Either<Full<Bytes>, Parts>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
