//! Each thing that capture would like is taken away: a clear sentence, and what can still work does.

mod harness;

use std::process::{Command, Output};
use std::time::Duration;

use harness::Machine;
use harness::daemon::Daemon;
use harness::receiver::Receiver;
use harness::ringward::Ringward;

/// `ringward run ARGS` behind `prefix`, for a moment; its log.
#[track_caller]
fn log_of(prefix: &[&str], arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new(prefix[0]);
    command.args(&prefix[1..]).arg(env!("CARGO_BIN_EXE_ringward")).arg("run").args(arguments).env("NO_COLOR", "1");
    let mut daemon = Daemon::spawn(&mut command);
    let ready =
        daemon.wait_for(Duration::from_secs(60), |line| line.contains("ready: ") || line.contains("ringward: error"));
    let log = daemon.log();
    daemon.stop(Duration::from_secs(10));
    assert!(ready.is_some(), "neither ready nor an error:\n{}", log.join("\n"));
    log
}

fn said(log: &[String], parts: &[&str]) -> bool {
    log.iter().any(|line| parts.iter().all(|part| line.contains(part)))
}

/// Runs in a mount namespace of its own, after `script`.
fn after(script: &str) -> Vec<String> {
    ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("{script}; exec \"$@\""), "sh".to_owned()])
        .collect()
}

#[track_caller]
fn log_after(script: &str, arguments: &[&str]) -> Vec<String> {
    let prefix = after(script);
    log_of(&prefix.iter().map(String::as_str).collect::<Vec<_>>(), arguments)
}

#[test]
fn without_capabilities_the_kernel_log_still_works() {
    let Some(_machine) = Machine::claim() else { return };
    let drop = ["setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin", "--inh-caps=-bpf,-perfmon,-sys_admin"];
    let log = log_of(&drop, &["--to", "stdout:"]);
    assert!(said(&log, &["ERROR", "container output is not captured", "ringward doctor"]), "{log:#?}");
    assert!(said(&log, &["ready: capturing the kernel log"]), "{log:#?}");
}

#[test]
fn without_btf_the_kernel_log_still_works() {
    let Some(_machine) = Machine::claim() else { return };
    let log = log_after("mount -t tmpfs none /sys/kernel/btf", &["--to", "stdout:"]);
    assert!(said(&log, &["ERROR", "container output is not captured", "/sys/kernel/btf/vmlinux"]), "{log:#?}");
    assert!(said(&log, &["ready: capturing the kernel log"]), "{log:#?}");
}

#[test]
fn without_kmsg_containers_are_still_captured() {
    let Some(_machine) = Machine::claim() else { return };
    let folder = harness::folder();
    let config = folder.path().join("ringward.yaml");
    std::fs::write(&config, "kernel: { kmsg: /dev/there-is-no-kmsg }\n").unwrap();
    let log = log_of(&["env"], &["--config", config.to_str().unwrap()]);
    assert!(said(&log, &["ERROR", "the kernel log is not captured", "/dev/there-is-no-kmsg"]), "{log:#?}");
    assert!(said(&log, &["ready: capturing container output"]), "{log:#?}");
}

#[test]
fn without_tracefs_and_bpffs_the_better_hooks_work() {
    let Some(_machine) = Machine::claim() else { return };
    let hide = "umount -l /sys/kernel/tracing; umount -l /sys/kernel/debug; umount -l /sys/fs/bpf; true";
    let log = log_after(hide, &["--to", "stdout:"]);
    assert!(said(&log, &["ready: capturing container output by"]), "{log:#?}");
    let log = log_after(hide, &["--to", "stdout:", "--capture-hook", "tracepoint"]);
    assert!(said(&log, &["ringward: error", "tracepoint"]), "{log:#?}");
}

#[test]
fn without_io_uring_epoll_carries_the_same_records() {
    let Some(_machine) = Machine::claim() else { return };
    let receiver = Receiver::tcp().unwrap();
    let ringward = Ringward::start(&["--to", &receiver.url(), "--io", "epoll"]);
    ringward.said("by epoll");
    let mut kmsg = std::fs::OpenOptions::new().write(true).open("/dev/kmsg").unwrap();
    std::io::Write::write_all(&mut kmsg, b"<14>ringward-epoll-test\n").unwrap();
    let found = receiver.wait(harness::PATIENCE, |seen| seen.iter().any(|one| one.msg == "ringward-epoll-test\n"));
    ringward.stop();
    assert!(found);
}

#[test]
fn a_forced_hook_that_can_not_be_had_is_an_error_that_says_why() {
    let Some(_machine) = Machine::claim() else { return };
    let drop = ["setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin", "--inh-caps=-bpf,-perfmon,-sys_admin"];
    let log = log_of(&drop, &["--capture-hook", "tp_btf"]);
    assert!(said(&log, &["ringward: error"]), "{log:#?}");
}

#[test]
fn the_doctor_names_what_is_missing() {
    let Some(_machine) = Machine::claim() else { return };
    let doctor = |prefix: &[String]| -> Output {
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).args([env!("CARGO_BIN_EXE_ringward"), "doctor"]).env("NO_COLOR", "1");
        command.output().unwrap()
    };
    let all = doctor(&["env".to_owned()]);
    let text = String::from_utf8_lossy(&all.stdout);
    assert!(text.contains("would be chosen"), "{text}");
    let without = doctor(&after("mount -t tmpfs none /sys/kernel/btf"));
    let text = String::from_utf8_lossy(&without.stdout);
    assert!(text.contains("/sys/kernel/btf/vmlinux") && text.contains("can't be captured"), "{text}");
}
