//! Who has written: the tables of `talosctl services` and `talosctl containers`.
//!
//! What Ringward can't know of them (their state, health, image, process) is `?`: it sees what they write.

use std::path::Path;

use anyhow::{Context, bail};

use super::answer::Waited;
use super::arguments::{Containers, Services};
use super::table::{go_duration, table};
use super::{connect, now_ns, with_socket, write};
use crate::cli::Ended;
use crate::view::request::{CONTROL, Control, Listed, Request, Show};

const UNKNOWN: &str = "?";
/// Characters of a last message that are shown.
const SHOWN: usize = 60;
/// Where containers of Kubernetes are, and others, for `talosctl`.
const KUBERNETES: &str = "k8s.io";

pub fn services(services: &Services) -> Ended {
    let as_table = |listed: Vec<Listed>| {
        let node = node();
        let rows = listed.into_iter().map(|service| {
            let age = now_ns().saturating_sub(service.last_ns).max(0) / 1_000_000_000;
            let last_change = format!("{} ago", go_duration(age.unsigned_abs()));
            let event = if service.last.is_empty() { "<none>".to_owned() } else { cut(&service.last) };
            [node.clone(), service.id, UNKNOWN.into(), UNKNOWN.into(), last_change, event]
        });
        let head = ["NODE", "SERVICE", "STATE", "HEALTH", "LAST CHANGE", "LAST EVENT"].map(str::to_owned);
        table(&[head].into_iter().chain(rows).collect::<Vec<_>>())
    };
    with_socket(&services.daemon, |socket| list(socket, Show::Services, services.json, |_| true, as_table))
}

pub fn containers(containers: &Containers) -> Ended {
    let as_table = |listed: Vec<Listed>| {
        let node = node();
        let mut rows = vec![["NODE", "NAMESPACE", "ID", "IMAGE", "PID", "STATUS"].map(str::to_owned)];
        let row = |namespace: &str, id: String| {
            [node.clone(), namespace.into(), id, UNKNOWN.into(), UNKNOWN.into(), UNKNOWN.into()]
        };
        let mut last_pod = None;
        for container in listed {
            let pod = container.namespace.as_ref().zip(container.pod.as_ref());
            let Some((namespace, name)) = pod else {
                rows.push(row(UNKNOWN, container.id));
                continue;
            };
            let pod = format!("{namespace}/{name}");
            if last_pod.as_ref() != Some(&pod) {
                rows.push(row(KUBERNETES, pod.clone()));
                last_pod = Some(pod);
            }
            rows.push(row(KUBERNETES, format!("└─ {}", container.id)));
        }
        table(&rows)
    };
    let wanted = |container: &Listed| !containers.kubernetes || container.pod.is_some();
    with_socket(&containers.daemon, |socket| list(socket, Show::Containers, containers.json, wanted, as_table))
}

/// Prints who is wanted: as it came, or as a table.
fn list(
    socket: &Path,
    show: Show,
    json: bool,
    wanted: impl Fn(&Listed) -> bool,
    as_table: impl FnOnce(Vec<Listed>) -> String,
) -> anyhow::Result<()> {
    let mut answer = connect(socket, &Request { show, ..Request::default() })?;
    let (mut listed, mut lines) = (Vec::new(), Vec::new());
    'answer: loop {
        while let Some(line) = answer.line() {
            if let Some(control) = line.strip_prefix(&[CONTROL]) {
                match serde_json::from_slice(control).context("Ringward's answer is not understood")? {
                    Control::Error(why) => bail!("{why}"),
                    Control::Done(_) => break 'answer,
                    Control::At(_) => continue,
                }
            }
            let one: Listed = serde_json::from_slice(line).context("Ringward's answer is not understood")?;
            if wanted(&one) {
                lines.extend_from_slice(line);
                lines.push(b'\n');
                listed.push(one);
            }
        }
        match answer.wait().context("Ringward's answer can't be read")? {
            Waited::More => {}
            Waited::Closed => bail!("Ringward has ended before it had listed everything"),
            Waited::Unread => return Ok(()),
        }
    }
    let text = if json { lines } else { as_table(listed).into_bytes() };
    write(&text).map(drop)
}

fn node() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
