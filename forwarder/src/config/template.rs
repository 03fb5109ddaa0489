//! Templates in tags: `${hostname}` and others, replaced by what this machine says of itself when the configuration is
//! read.
//!
//! `$${` stands for `${`; a `$` before anything else is itself. Nothing is looked up that is not asked for.

use super::host::Host;
use super::suggest;
use crate::shape::Piece;

/// The names that stand for something.
const NAMES: [&str; 4] = ["hostname", "machine-id", "boot-id", "ip"];
/// What stands before the name of an environment variable.
const VARIABLE: &str = "env:";
/// What stands before the name of a record's field, where there is a record.
const FIELD: &str = "field:";

/// Why a text can't be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TemplateError {
    pub(super) what: String,
    pub(super) accepted: String,
}

/// The text with its templates replaced.
pub(super) fn expand(text: &str, host: &Host) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(text.len());
    walk(text, host, false, |piece| match piece {
        Piece::Text(text) => out.push_str(&text),
        // Not accepted here.
        Piece::Field(_) => {}
    })?;
    Ok(out)
}

/// The text with its templates replaced, but for those of fields: `${field:NAME}`.
pub(super) fn pieces(text: &str, host: &Host) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces: Vec<Piece> = Vec::new();
    walk(text, host, true, |piece| match (piece, pieces.last_mut()) {
        (Piece::Text(more), Some(Piece::Text(text))) => text.push_str(&more),
        (Piece::Text(text), _) if text.is_empty() => {}
        (piece, _) => pieces.push(piece),
    })?;
    Ok(pieces)
}

fn walk(text: &str, host: &Host, has_fields: bool, mut put: impl FnMut(Piece)) -> Result<(), TemplateError> {
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            put(Piece::Text(format!("{before}${{")));
            rest = &rest[at + 2..];
            continue;
        }
        put(Piece::Text(rest[..at].to_owned()));
        let Some(end) = rest[at..].find('}') else {
            let what = format!("`{}` has no `}}`", suggest::abbreviate(&rest[at..]));
            return Err(TemplateError { what, accepted: "`${NAME}`; `$${` for `${` itself".into() });
        };
        let name = &rest[at + 2..at + end];
        put(match name.strip_prefix(FIELD).filter(|field| has_fields && !field.is_empty()) {
            Some(field) => Piece::Field(field.to_owned()),
            None => Piece::Text(lookup(name, host)?),
        });
        rest = &rest[at + end + 1..];
    }
    put(Piece::Text(rest.to_owned()));
    Ok(())
}

/// The template that expands to `text`.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

fn lookup(name: &str, host: &Host) -> Result<String, TemplateError> {
    let found = match name {
        "hostname" => host.hostname(),
        "machine-id" => host.machine_id(),
        "boot-id" => host.boot_id(),
        "ip" => host.ip(),
        _ => match name.strip_prefix(VARIABLE) {
            Some(variable) => host.variable(variable),
            None => {
                let shown = suggest::abbreviate(name);
                let what = format!("`${{{shown}}}` is unknown{}", suggest::did_you_mean(name, &NAMES));
                let names = NAMES.map(|name| format!("`${{{name}}}`")).join(", ");
                return Err(TemplateError {
                    what,
                    accepted: format!("{names}, `${{{VARIABLE}VARIABLE}}`; `$${{` for `${{` itself"),
                });
            }
        },
    };
    found.map_err(|why| TemplateError {
        what: format!("`${{{}}}` can't be replaced: {why}", suggest::abbreviate(name)),
        accepted: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, &Host::default()).map_err(|error| format!("{}; {}", error.what, error.accepted))
    }

    #[test]
    fn names_are_replaced_and_everything_else_stays() {
        let read = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();
        let hostname = read("/proc/sys/kernel/hostname");
        assert_eq!(expanded("node ${hostname}/x").unwrap(), format!("node {hostname}/x"));
        assert_eq!(expanded("${boot-id}").unwrap(), read("/proc/sys/kernel/random/boot_id"));
        assert_eq!(expanded("${env:PATH}").unwrap(), std::env::var("PATH").unwrap());
        for text in ["", "$", "a$b {c} $5", "é$"] {
            assert_eq!(expanded(text).unwrap(), text);
        }
        assert_eq!(expanded("$${hostname} $${").unwrap(), "${hostname} ${");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("${hostnam}", "`${hostnam}` is unknown (did you mean `hostname`?); `${hostname}`, `${machine-id}`"),
            ("x ${hostname", "`${hostname` has no `}`"),
            ("${}", "`${}` is unknown"),
            ("${env:RINGWARD_NOT_SET}", "can't be replaced: the environment has no RINGWARD_NOT_SET"),
            ("${env:}", "can't be replaced"),
        ] {
            let found = expanded(text).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_stays(text in "[$\\{\\}a:é]{0,20}") {
            prop_assert_eq!(expanded(&escape(&text)).unwrap(), text);
        }
    }
}
