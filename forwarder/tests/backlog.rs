//! What a container printed before Ringward started comes from its log file, what it prints afterwards from the
//! capture: together every line exactly once and in order, wherever the one ends and the other begins.
#![cfg(feature = "ebpf")]

#[path = "container_naming/cri.rs"]
mod cri;
mod harness;
/// What `cri.rs` runs its commands by.
mod host {
    pub use crate::harness::process::output as run;
}

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use harness::containerd::Containerd;
use harness::docker::Docker;
use harness::process::output;
use harness::receiver::{Receiver, Record};
use harness::ringward::Ringward;
use harness::{Machine, PATIENCE, image};

/// Lines that are printed before Ringward is started.
const BEFORE: usize = 1000;

/// A thousand numbered lines at once; then `more`, which knows `print`, as long as `condition` holds.
fn script(condition: &str, more: &str) -> String {
    format!(
        "i=0; print() {{ echo \"line $i\"; i=$((i+1)); }}; \
         while [ $i -lt {BEFORE} ]; do print; done; while {condition}; do {more}; done"
    )
}

/// Ten lines each 20 ms or so. `sleep` is a program: something is executed in the container all the time.
const BUSY: &str = "print; print; print; print; print; print; print; print; print; print; sleep 0.02";
/// One short line now and then: nothing that could be recognised by its content.
const SLOW: &str = "print; sleep 0.4";
/// Nothing until it is asked for it.
const QUIET: &str = "sleep 0.1; if [ -e /flag/print ]; then rm /flag/print; print; fi";

/// A container with a log file, wherever it is.
struct Printing {
    flag: tempfile::TempDir,
    log: PathBuf,
}

impl Printing {
    fn flag() -> tempfile::TempDir {
        let flag = harness::folder();
        std::fs::write(flag.path().join("on"), "").unwrap();
        flag
    }

    /// Lines in its log file, and in those that it was rotated to.
    fn logged(&self) -> usize {
        let name = self.log.file_name().unwrap().to_str().unwrap();
        let files = std::fs::read_dir(self.log.parent().unwrap()).into_iter().flatten().flatten();
        let files = files.filter(|file| file.file_name().to_str().is_some_and(|other| other.starts_with(name)));
        let lines = |path| std::fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
        files.map(|file| lines(file.path())).sum()
    }

    #[track_caller]
    fn wait_for(&self, lines: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.logged() < lines {
            assert!(Instant::now() < deadline, "{} of {lines} lines are in {}", self.logged(), self.log.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its last line has been written, and the runtime has logged it; how many there are.
    fn end(&self) -> usize {
        std::fs::remove_file(self.flag.path().join("on")).unwrap();
        let mut before = 0;
        // Longer than any pause between two lines.
        while self.logged() != before {
            before = self.logged();
            std::thread::sleep(Duration::from_secs(2));
        }
        before
    }
}

#[track_caller]
fn docker_prints(docker: &Docker, name: &str, more: &str, extra: &[&str]) -> Printing {
    let flag = Printing::flag();
    let volume = format!("{}:/flag", flag.path().display());
    let mut run = docker.docker();
    run.args(["run", "--detach", "--network", "none", "--name", name, "--volume", &volume]).args(extra);
    let id = output(run.args([image::NAME, "sh", "-c", &script("[ -e /flag/on ]", more)]));
    let id = id.trim();
    let log = docker.data_root().join("containers").join(id).join(format!("{id}-json.log"));
    let printing = Printing { flag, log };
    printing.wait_for(BEFORE);
    printing
}

fn of(records: &[Record], name: &str) -> Vec<String> {
    records.iter().filter(|record| record.service == name).map(|record| record.msg.clone()).collect()
}

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line {number}")).collect()
}

/// Every line once and in order, or where that ends.
#[track_caller]
fn exactly_once(receiver: &Receiver, name: &str, count: usize, log: &[String]) {
    receiver.wait(PATIENCE, |records| of(records, name).len() >= count);
    let seen = receiver.with(|records| of(records, name));
    let wrong = seen.iter().zip(lines(count)).position(|(seen, line)| *seen != line);
    if let Some(at) = wrong {
        let around = &seen[at.saturating_sub(2)..(at + 5).min(seen.len())];
        panic!("{name}, {count} lines: {around:?} came; log:\n{}", log.join("\n"));
    }
    assert_eq!(seen.len(), count, "{name}: the last is {:?}; log:\n{}", seen.last(), log.join("\n"));
}

#[track_caller]
fn is_whole(name: &str, printing: &Printing, then: impl FnOnce(&Printing)) {
    let receiver = Receiver::tcp().unwrap();
    let ringward = Ringward::start(&["--to", &receiver.url(), "--no-kernel"]);
    then(printing);
    let count = printing.end();
    exactly_once(&receiver, name, count, &ringward.log());
    ringward.stop();
    assert!(receiver.wait_closed(PATIENCE));
    exactly_once(&receiver, name, count, &[]);
}

#[test]
fn docker_that_goes_on_printing() {
    let Some(_machine) = Machine::claim() else { return };
    let docker = Docker::start();
    let printing = docker_prints(&docker, "busy", BUSY, &[]);
    let before = printing.logged();
    is_whole("busy", &printing, |printing| printing.wait_for(before + 500));
}

#[test]
fn docker_that_prints_now_and_then() {
    let Some(_machine) = Machine::claim() else { return };
    let docker = Docker::start();
    let printing = docker_prints(&docker, "slow", SLOW, &[]);
    is_whole("slow", &printing, |_| std::thread::sleep(Duration::from_secs(3)));
}

/// What nobody adds to comes as well, and what is added long afterwards comes behind it.
#[test]
fn docker_that_has_fallen_silent() {
    let Some(_machine) = Machine::claim() else { return };
    let docker = Docker::start();
    let printing = docker_prints(&docker, "quiet", QUIET, &[]);
    is_whole("quiet", &printing, |printing| {
        std::thread::sleep(Duration::from_secs(2));
        std::fs::write(printing.flag.path().join("print"), "").unwrap();
        printing.wait_for(BEFORE + 1);
    });
}

/// The log file has what the terminal has made of the lines.
#[test]
fn docker_on_a_terminal() {
    let Some(_machine) = Machine::claim() else { return };
    let docker = Docker::start();
    let printing = docker_prints(&docker, "terminal", BUSY, &["--tty"]);
    let before = printing.logged();
    let receiver = Receiver::tcp().unwrap();
    let ringward = Ringward::start(&["--to", &receiver.url(), "--no-kernel"]);
    printing.wait_for(before + 500);
    let count = printing.end();
    exactly_once(&receiver, "terminal", count, &ringward.log());
    ringward.stop();
}

/// One Ringward goes on where the one before ended, from the log file.
#[test]
fn docker_while_ringward_is_restarted() {
    let Some(_machine) = Machine::claim() else { return };
    let docker = Docker::start();
    let printing = docker_prints(&docker, "restarted", BUSY, &[]);
    let receiver = Receiver::tcp().unwrap();
    let arguments = ["--to", &receiver.url(), "--no-kernel"];
    let mut ringward = Ringward::start(&arguments);
    for _ in 0..3 {
        printing.wait_for(printing.logged() + 300);
        let (_, state) = ringward.stop_keeping_state();
        printing.wait_for(printing.logged() + 300);
        ringward = Ringward::start_in(state, &arguments);
    }
    printing.wait_for(printing.logged() + 300);
    let count = printing.end();
    exactly_once(&receiver, "restarted", count, &ringward.log());
    ringward.stop();
    assert!(receiver.wait_closed(PATIENCE));
    exactly_once(&receiver, "restarted", count, &[]);
}

/// What a container still printed when nobody captured it, and was gone when somebody came back.
#[test]
fn docker_that_ended_while_ringward_was_stopped() {
    let Some(_machine) = Machine::claim() else { return };
    let docker = Docker::start();
    let printing = docker_prints(&docker, "gone", BUSY, &[]);
    let receiver = Receiver::tcp().unwrap();
    let arguments = ["--to", &receiver.url(), "--no-kernel"];
    let ringward = Ringward::start(&arguments);
    printing.wait_for(printing.logged() + 300);
    let (_, state) = ringward.stop_keeping_state();
    printing.wait_for(printing.logged() + 300);
    let count = printing.end();
    // Killed before anything of it can have been delivered: it is read again.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ringward = Ringward::start_in(state, &["--to", &format!("tcp://{nobody}"), "--no-kernel"]);
    ringward.said("have ended meanwhile are read from their log files");
    std::thread::sleep(Duration::from_millis(2500));
    let mut ringward = Ringward::start_in(ringward.kill(), &arguments);
    exactly_once(&receiver, "gone", count, &ringward.log());
    for _ in 0..2 {
        ringward = Ringward::start_in(ringward.stop_keeping_state().1, &arguments);
    }
    ringward.stop();
    assert!(receiver.wait_closed(PATIENCE));
    exactly_once(&receiver, "gone", count, &[]);
}

/// What was captured and not delivered is in the log file, too.
#[test]
fn docker_while_ringward_is_killed() {
    let Some(_machine) = Machine::claim() else { return };
    let docker = Docker::start();
    let printing = docker_prints(&docker, "killed", BUSY, &[]);
    let receiver = Receiver::tcp().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Nothing that the first one captures is delivered, and it saves its state twice meanwhile.
    let mut ringward = Ringward::start(&["--to", &format!("tcp://{nobody}"), "--no-kernel"]);
    std::thread::sleep(Duration::from_millis(2500));
    let arguments = ["--to", &receiver.url(), "--no-kernel"];
    for _ in 0..3 {
        printing.wait_for(printing.logged() + 300);
        let state = ringward.kill();
        ringward = Ringward::start_in(state, &arguments);
    }
    let count = printing.end();
    let distinct = |records: &[Record]| of(records, "killed").into_iter().collect::<BTreeSet<_>>();
    receiver.wait(PATIENCE, |records| distinct(records).len() >= count);
    let seen = receiver.with(|records| distinct(records));
    assert_eq!(seen, lines(count).into_iter().collect(), "log:\n{}", ringward.log().join("\n"));
    ringward.stop();
}

/// Thousands of lines at once, again and again, through a ring that holds a fraction of them.
const FLOOD: &str = "n=0; while [ $n -lt 3000 ]; do print; n=$((n+1)); done; sleep 0.1";

/// Arguments for a ring in the kernel that is too small.
fn with_small_rings(folder: &tempfile::TempDir, receiver: &Receiver) -> Vec<String> {
    let configuration = folder.path().join("small.yaml");
    std::fs::write(&configuration, "capture: { ring_bytes: 256KiB, hold: 64KiB }\n").unwrap();
    let configuration = configuration.display().to_string();
    let url = receiver.url();
    ["--config", &configuration, "--to", &url, "--no-kernel", "--log-level", "debug"].map(str::to_owned).to_vec()
}

/// Every line once and in order, of which some had to come from the log file.
#[track_caller]
fn comes_whole(ringward: Ringward, receiver: &Receiver, name: &str, count: usize) {
    exactly_once(receiver, name, count, &ringward.log());
    let log = ringward.stop().log;
    assert!(receiver.wait_closed(PATIENCE));
    assert!(log.iter().any(|line| line.contains("from log files, 0 bytes lost")), "{}", log.join("\n"));
    assert!(!log.iter().any(|line| line.contains(", 0 bytes from log files")), "nothing was missed");
    exactly_once(receiver, name, count, &[]);
}

/// The ring in the kernel is too small, and Ringward is restarted: the log file fills every gap.
#[test]
fn docker_that_floods() {
    let Some(_machine) = Machine::claim() else { return };
    let docker = Docker::start();
    let printing = docker_prints(&docker, "flood", FLOOD, &[]);
    let (folder, receiver) = (harness::folder(), Receiver::tcp().unwrap());
    let arguments = with_small_rings(&folder, &receiver);
    let mut ringward = Ringward::start(&arguments);
    for _ in 0..2 {
        printing.wait_for(printing.logged() + 20_000);
        let (_, state) = ringward.stop_keeping_state();
        printing.wait_for(printing.logged() + 3_000);
        ringward = Ringward::start_in(state, &arguments);
    }
    // A reader that can't run while much is printed is what makes gaps.
    for _ in 0..5 {
        let logged = printing.logged();
        ringward.pause();
        printing.wait_for(logged + 30_000);
        ringward.signal(Signal::CONT);
    }
    let count = printing.end();
    comes_whole(ringward, &receiver, "flood", count);
}

/// As a kubelet would have it: a pod, and the container's log file in the pod's folder.
struct KubernetesPod {
    containerd: Containerd,
    cri: cri::Cri,
    sandbox: String,
    container: String,
    printing: Printing,
}

impl KubernetesPod {
    #[track_caller]
    fn start(more: &str) -> Self {
        let containerd = Containerd::start_with_cri();
        let uid = "1d0c9c1a-94d3-4a7e-8c1c-6f4d7b6c2e19";
        let logs = containerd.folder().join(format!("pods/shop_web-0_{uid}"));
        let calls = containerd.folder().join("cri");
        [&logs, &calls].into_iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
        let cri = cri::Cri { socket: containerd.socket(), directory: calls };
        let pod = cri::Pod { name: "web-0", uid, namespace: "shop", log_directory: &logs };
        let sandbox = cri.run_pod_sandbox(&pod);
        let printing = Printing { flag: Printing::flag(), log: logs.join("app/0.log") };
        let container = cri.start_container(&pod, &sandbox, "app", image::NAME, &script("true", more));
        printing.wait_for(BEFORE);
        Self { containerd, cri, sandbox, container, printing }
    }

    fn kill(&self) {
        self.containerd.kill("k8s.io", &self.container);
    }

    fn rotate(&self, number: u32) {
        let log = &self.printing.log;
        std::fs::rename(log, log.with_file_name(format!("0.log.20240101-{number:06}"))).unwrap();
        self.cri.reopen_log(&self.container);
    }
}

#[test]
fn cri_that_goes_on_printing() {
    let Some(_machine) = Machine::claim() else { return };
    let pod = KubernetesPod::start(BUSY);
    let before = pod.printing.logged();
    is_whole("app", &pod.printing, |printing| {
        printing.wait_for(before + 500);
        pod.kill();
    });
    pod.cri.remove_pod_sandbox(&pod.sandbox);
}

/// Gaps lie in files that were rotated before they could be filled.
#[test]
fn cri_that_floods_and_is_rotated() {
    let Some(_machine) = Machine::claim() else { return };
    let pod = KubernetesPod::start(FLOOD);
    let (folder, receiver) = (harness::folder(), Receiver::tcp().unwrap());
    let ringward = Ringward::start(&with_small_rings(&folder, &receiver));
    for number in 0..3 {
        let logged = pod.printing.logged();
        ringward.pause();
        pod.printing.wait_for(logged + 15_000);
        pod.rotate(2 * number);
        pod.printing.wait_for(logged + 30_000);
        pod.rotate(2 * number + 1);
        ringward.signal(Signal::CONT);
    }
    pod.kill();
    let count = pod.printing.end();
    comes_whole(ringward, &receiver, "app", count);
    pod.cri.remove_pod_sandbox(&pod.sandbox);
}
