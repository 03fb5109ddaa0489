//! The command line: what the person at the terminal asked for, and how it ended.
//!
//! In: arguments and a few environment variables. Out: standard output holds what was asked for (records, a summary, a
//! report), standard error everything else, errors as `ringward: error: …`. The exit code is decided here and nowhere
//! else.

mod arguments;
mod check;
pub mod doctor;
mod encode;
mod entry;
mod go_flags;
mod holder;
mod kmsg;
mod linuxkit;
mod log_writer;
mod logging;
mod logread;
mod logwrite;
mod memlogd;
mod paint;
mod run;
mod test;
mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::config::{Loaded, Overrides, Problems};
use arguments::{Arguments, Command, Configured, Encode};
use linuxkit::Program;
use paint::Paint;

/// How a command ended.
enum Ended {
    Well,
    /// Exit code 1.
    Failed(anyhow::Error),
    /// Exit code 2: nothing was opened or started.
    Misconfigured(Problems),
}

impl Ended {
    fn report(self) -> ExitCode {
        let paint = Paint::stderr();
        match self {
            Ended::Well => ExitCode::SUCCESS,
            Ended::Failed(error) => {
                logging::say(&format!("{} {}\n", paint.error(), told(&error)));
                ExitCode::from(1)
            }
            Ended::Misconfigured(problems) => {
                for problem in &problems.0 {
                    logging::say(&format!("{} {problem}\n", paint.error()));
                }
                if problems.0.len() > 1 {
                    let count = problems.0.len();
                    logging::say(&format!("{} {count} problems, nothing was started\n", paint.error()));
                }
                ExitCode::from(2)
            }
        }
    }
}

/// An error and its causes; one that names its cause itself is not followed by it again.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Runs the command that the process's arguments name.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os();
    if let Some(program) = words.next().as_deref().and_then(Program::named) {
        return program.run(&words.collect::<Vec<_>>());
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let ended = match arguments.command {
        Command::Run(run) if run.fd_holder => with_config(&run.configured, |_, _| run::hold(&run.configured)),
        Command::Run(run) => with_config(&run.configured, |loaded, _| run::run(loaded)),
        Command::Check(check) if check.reference => printed(crate::config::reference::markdown()),
        Command::Check(check) => {
            with_config(&check.configured, |loaded, paint| check::check(&loaded, check.verbose, paint))
        }
        Command::Test(tested) => with_config(&tested.configured(), |loaded, paint| test::test(&loaded, paint)),
        Command::Doctor(doctor) => {
            with_config(&doctor.configured, |loaded, paint| doctor::doctor(&loaded.config, doctor.json, paint))
        }
        Command::Encode(arguments) => encode(&arguments),
        Command::Logs(logs) => view::logs(logs),
        Command::Tap(tap) => view::tap(tap),
        Command::Dmesg(dmesg) => view::dmesg(dmesg),
        Command::Services(services) => view::services(&services),
        Command::Containers(containers) => view::containers(&containers),
        Command::Memlogd(go) => return Program::Memlogd.run(&go.words),
        Command::Logread(go) => return Program::Logread.run(&go.words),
        Command::Logwrite(go) => return Program::Logwrite.run(&go.words),
        Command::Kmsg(go) => return Program::Kmsg.run(&go.words),
    };
    let code = ended.report();
    logging::finish();
    code
}

/// Help and version were asked for and end well; anything else is a usage error, in the form of our other errors.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A reader that closed its end has seen enough.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let paint = Paint::stderr();
    let rendered = error.render();
    let text = if paint.is_on() { rendered.ansi().to_string() } else { rendered.to_string() };
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        logging::say(&text);
    } else {
        logging::say(&format!("{}{text}", paint.name()));
    }
    ExitCode::from(2)
}

/// Checks flags, environment and files, all of them, and only then does what was asked.
fn with_config(configured: &Configured, command: impl FnOnce(Loaded, Paint) -> anyhow::Result<()>) -> Ended {
    let mut problems = Problems::default();
    let filter = logging::filter(configured.log_level.as_deref(), &mut problems);
    let environment = crate::config::Environment::of_process();
    let loaded = match crate::config::load(&configured.config, &configured.overrides(), &environment) {
        Ok(loaded) if problems.is_empty() => loaded,
        Ok(_) => return Ended::Misconfigured(problems),
        Err(more) => {
            problems.0.extend(more.0);
            return Ended::Misconfigured(problems);
        }
    };
    logging::start(filter);
    for warning in &loaded.warnings {
        logging::say(&format!("{} {warning}\n", Paint::stderr().warning()));
    }
    match command(loaded, Paint::stdout()) {
        Ok(()) => Ended::Well,
        Err(error) => Ended::Failed(error),
    }
}

/// The tags are read as those of `run` are.
fn encode(arguments: &Encode) -> Ended {
    let overrides = Overrides { tags: arguments.tag.clone(), ..Overrides::default() };
    let loaded = crate::config::load(&[], &overrides, &crate::config::Environment::of_process());
    let mut problems = encode::check(arguments).err().unwrap_or_default();
    match loaded {
        Ok(Loaded { mut config, .. }) if problems.is_empty() => {
            let tags = config.destinations.pop().map(|destination| destination.extra_tags).unwrap_or_default();
            match encode::encode(arguments, tags) {
                Ok(()) => Ended::Well,
                Err(error) => Ended::Failed(error),
            }
        }
        Ok(_) => Ended::Misconfigured(problems),
        Err(more) => {
            problems.0.extend(more.0);
            Ended::Misconfigured(problems)
        }
    }
}

fn printed(text: String) -> Ended {
    match print(&text) {
        Ok(()) => Ended::Well,
        Err(error) => Ended::Failed(error),
    }
}

/// Writes to standard output; a reader that closed its end (`| head`) is not an error.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("can't write to standard output"))
        }
        _ => Ok(()),
    }
}
