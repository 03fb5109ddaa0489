//! One boot under qemu: two serial ports (the console into a file, the results to us), bounded in time.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::plan::Boot;
use crate::command::echo;
use crate::setup::kernels::Kernel;
use crate::ui;

/// A whole boot with all rungs takes a few minutes, or half an hour where others want the processors too.
const LIMIT: Duration = Duration::from_secs(45 * 60);
/// One that hangs shall not take CI's whole time: no scenario, start of Ringward included, takes as long as this.
const SILENCE: Duration = Duration::from_secs(5 * 60);

/// What came out of a boot.
pub struct Ended {
    /// Every line of the result port.
    pub lines: Vec<String>,
    pub timed_out: bool,
    pub console: PathBuf,
    pub took: Duration,
}

pub fn boot(boot: &Boot, kernel: &Kernel, image: &std::path::Path) -> Result<Ended> {
    let logs = super::folder()?.join("logs");
    std::fs::create_dir_all(&logs)?;
    let console = logs.join(format!("{}.log", boot.slug()));
    let mut qemu = Command::new("qemu-system-x86_64");
    // Never KVM: where it is there but nested, it hangs. And one thread for both processors: before version 8.1, qemu's
    // threads race where one translates code that the other patches, which every jump label and every trampoline of
    // eBPF is, and the kernel dies of a breakpoint that is no longer there ("Oops: int3").
    qemu.args(["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "1G"])
        .args(["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(image)
        .args(["-append", &boot.command_line()])
        .args(["-serial", &format!("file:{}", console.display()), "-serial", "stdio"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let line = echo(&qemu);
    let started = Instant::now();
    let mut child = qemu.spawn().with_context(|| format!("cannot run `{line}`"))?;
    let port = child.stdout.take().context("qemu has no stdout")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(port).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut lines = Vec::new();
    // The port closes when qemu ends.
    let timed_out = loop {
        match receiver.recv_timeout(LIMIT.saturating_sub(started.elapsed()).min(SILENCE)) {
            Ok(line) => {
                if ui::verbose() {
                    ui::doing(&format!("{} {:6.1} s  {line}", boot.slug(), started.elapsed().as_secs_f64()));
                }
                lines.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    if timed_out {
        child.kill()?;
    }
    child.wait()?;
    Ok(Ended { lines, timed_out, console, took: started.elapsed() })
}
