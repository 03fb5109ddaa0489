//! Colour, on a terminal that wants it.

use std::fmt::Display;
use std::io::IsTerminal;

use clap::builder::styling::{AnsiColor, Style};

/// Whether to colour what goes to one of the standard streams.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Paint {
    #[cfg(test)]
    pub const OFF: Paint = Paint(false);

    pub fn stdout() -> Paint {
        Paint(std::io::stdout().is_terminal() && wanted())
    }

    pub fn stderr() -> Paint {
        Paint(std::io::stderr().is_terminal() && wanted())
    }

    pub fn is_on(self) -> bool {
        self.0
    }

    /// `ringward: `
    pub fn name(self) -> String {
        self.bold("ringward: ")
    }

    /// `ringward: error:`
    pub fn error(self) -> String {
        format!("{}{}", self.name(), self.colour("error:", AnsiColor::Red))
    }

    /// `ringward: warning:`
    pub fn warning(self) -> String {
        format!("{}{}", self.name(), self.colour("warning:", AnsiColor::Yellow))
    }

    pub fn bold(self, text: impl Display) -> String {
        self.with(Style::new().bold(), text)
    }

    pub fn dim(self, text: impl Display) -> String {
        self.with(Style::new().dimmed(), text)
    }

    pub fn colour(self, text: impl Display, colour: AnsiColor) -> String {
        self.with(Style::new().fg_color(Some(colour.into())).bold(), text)
    }

    fn with(self, style: Style, text: impl Display) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}

/// <https://no-color.org>, and terminals that can't.
fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
