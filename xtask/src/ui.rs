//! What the developer sees: headings, one line per step, colours where stderr is a terminal and `NO_COLOR` is unset.
//!
//! Progress goes to stderr, results that a program may parse (the closing line of `test`) to stdout.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

static VERBOSE: AtomicBool = AtomicBool::new(false);

pub fn set_verbose(verbose: bool) {
    VERBOSE.store(verbose, Ordering::Relaxed);
}

pub fn verbose() -> bool {
    VERBOSE.load(Ordering::Relaxed)
}

#[derive(Clone, Copy)]
pub enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
    Grey = 90,
}

/// `text`, which will go to stderr, in colour where that shows colours, else as it is.
pub fn paint(colour: Colour, text: &str) -> String {
    paint_on(&std::io::stderr(), colour, text)
}

/// The same for stdout.
pub fn paint_out(colour: Colour, text: &str) -> String {
    paint_on(&std::io::stdout(), colour, text)
}

fn paint_on(stream: &impl IsTerminal, colour: Colour, text: &str) -> String {
    if stream.is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[1;{}m{text}\x1b[0m", colour as u8)
    } else {
        text.to_owned()
    }
}

pub fn heading(text: &str) {
    eprintln!("{} {text}", paint(Colour::Blue, "==>"));
}

/// Something that was done.
pub fn done(text: &str) {
    eprintln!("  {} {text}", paint(Colour::Green, "done"));
}

/// Something that was there already.
pub fn have(text: &str) {
    eprintln!("  {} {text}", paint(Colour::Grey, "have"));
}

pub fn doing(text: &str) {
    eprintln!("  {} {text}", paint(Colour::Blue, " ..."));
}

pub fn warn(text: &str) {
    eprintln!("  {} {text}", paint(Colour::Yellow, "warn"));
}

pub fn error(text: &str) {
    eprintln!("{} {text}", paint(Colour::Red, "error:"));
}

/// An external command, shown with `-v`.
pub fn echo(line: &str) {
    if verbose() {
        eprintln!("  {} {line}", paint(Colour::Grey, "$"));
    }
}
