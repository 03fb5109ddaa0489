//! Flags as Go's `flag` package reads them, for the programs whose place we take.
//!
//! `-name value`, `-name=value` and `--name` for `-name`; a switch needs no value and takes one only behind `=`. The
//! first word that is no flag, or `--`, ends the flags; what follows is the rest.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A flag that a program knows.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub name: &'static str,
    /// The default; a switch has none and is off.
    pub default: Option<&'static str>,
    pub help: &'static str,
}

/// What was said.
#[derive(Debug)]
pub struct Flags {
    known: &'static [Flag],
    given: BTreeMap<&'static str, OsString>,
    pub rest: Vec<OsString>,
}

/// Why there is nothing to run.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// Help was asked for: this is it.
    Help(String),
    /// What is wrong, and the help.
    Wrong(String),
}

impl Flags {
    /// # Errors
    /// Where help is asked for, or a flag is unknown or has no value.
    pub fn parse(program: &str, known: &'static [Flag], words: &[OsString]) -> Result<Self, Stop> {
        let mut flags = Self { known, given: BTreeMap::new(), rest: Vec::new() };
        let wrong = |what: String| Stop::Wrong(format!("{what}\n{}", usage(program, known)));
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            let Some(flag) = word.as_bytes().strip_prefix(b"-").filter(|name| !name.is_empty()) else {
                flags.rest.push(word.clone());
                break;
            };
            let flag = flag.strip_prefix(b"-").unwrap_or(flag);
            let equals = flag.iter().position(|byte| *byte == b'=');
            let name = &flag[..equals.unwrap_or(flag.len())];
            let shown = String::from_utf8_lossy(name);
            let Some(found) = known.iter().find(|flag| flag.name.as_bytes() == name) else {
                return Err(match name {
                    b"h" | b"help" => Stop::Help(usage(program, known)),
                    _ => wrong(format!("flag provided but not defined: -{shown}")),
                });
            };
            let value = match (equals, found.default) {
                (Some(equals), _) => OsStr::from_bytes(&flag[equals + 1..]).to_owned(),
                (None, None) => OsString::from("true"),
                (None, Some(_)) => match words.next() {
                    Some(value) => value.clone(),
                    None => return Err(wrong(format!("flag needs an argument: -{shown}"))),
                },
            };
            flags.given.insert(found.name, value);
        }
        flags.rest.extend(words.cloned());
        let switches = known.iter().filter(|flag| flag.default.is_none());
        for switch in switches {
            if let Some(value) = flags.given.get(switch.name)
                && truth(value).is_none()
            {
                return Err(wrong(format!("invalid boolean value {value:?} for -{}", switch.name)));
            }
        }
        Ok(flags)
    }

    /// Whether the flag was given at all.
    pub fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.given.get(name).and_then(|value| truth(value)).unwrap_or(false)
    }

    /// What was given, or the default.
    pub fn text(&self, name: &str) -> OsString {
        let default = || self.known.iter().find(|flag| flag.name == name).and_then(|flag| flag.default).unwrap_or("");
        self.given.get(name).cloned().unwrap_or_else(|| default().into())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.text(name).into()
    }

    /// A whole number from `least` to `most`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn number(&self, name: &str, least: i64, most: i64) -> Result<i64, Stop> {
        let text = self.text(name);
        let number = text.to_str().and_then(|text| match text.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        });
        match number {
            Some(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(Stop::Wrong(format!(
                "invalid value {text:?} for flag -{name}: a whole number from {least} to {most} is accepted\n"
            ))),
        }
    }
}

fn truth(value: &OsStr) -> Option<bool> {
    match value.to_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn usage(program: &str, known: &[Flag]) -> String {
    let mut out = format!("Usage of {program}:\n");
    for flag in known {
        let _ = match flag.default {
            Some(default) if !default.is_empty() => {
                writeln!(out, "  -{} VALUE\n        {} (default {default})", flag.name, flag.help)
            }
            Some(_) => writeln!(out, "  -{} VALUE\n        {}", flag.name, flag.help),
            None => writeln!(out, "  -{}\n        {}", flag.name, flag.help),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Flag] = &[
        Flag { name: "socket", default: Some("/s"), help: "the socket" },
        Flag { name: "n", default: Some("5"), help: "a number" },
        Flag { name: "f", default: None, help: "a switch" },
    ];

    fn parse(words: &[&str]) -> Result<Flags, Stop> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Flags::parse("p", KNOWN, &words)
    }

    #[test]
    fn every_form_is_read() {
        for words in [
            &["-socket", "/x", "-n=7", "-f", "cmd", "-f=0"][..],
            &["--socket=/x", "--n", "7", "-f=true", "cmd", "-f=0"],
            &["-f=1", "-n", "0x7", "-socket", "/x", "--", "cmd", "-f=0"],
        ] {
            let flags = parse(words).unwrap();
            assert_eq!(flags.path("socket"), PathBuf::from("/x"), "{words:?}");
            assert_eq!(flags.number("n", 0, 10), Ok(7), "{words:?}");
            assert!(flags.is_on("f"), "{words:?}");
            assert_eq!(flags.rest, ["cmd", "-f=0"], "{words:?}");
        }
        let flags = parse(&["-"]).unwrap();
        assert_eq!((flags.path("socket"), flags.rest.len()), (PathBuf::from("/s"), 1));
        assert!(!flags.is_on("f") && !flags.has("n"));
    }

    #[test]
    fn mistakes_are_told() {
        let wrong = |words: &[&str]| match parse(words) {
            Err(Stop::Wrong(text)) => text.lines().next().unwrap_or_default().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(wrong(&["-x"]), "flag provided but not defined: -x");
        assert_eq!(wrong(&["-n"]), "flag needs an argument: -n");
        assert_eq!(wrong(&["-f=2"]), "invalid boolean value \"2\" for -f");
        assert!(matches!(parse(&["-n", "11"]).unwrap().number("n", 0, 10), Err(Stop::Wrong(_))));
        assert!(matches!(parse(&["-n", "-1"]).unwrap().number("n", 0, 10), Err(Stop::Wrong(_))));
        let Err(Stop::Help(help)) = parse(&["-h"]) else { panic!("-h is help") };
        assert!(help.contains("-socket VALUE\n        the socket (default /s)"), "{help}");
    }
}
