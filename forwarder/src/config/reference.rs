//! The reference of all keys, in Markdown, made from the schema: the part of `docs/configuration.md` between [`BEGIN`]
//! and [`END`]. `ringward check --reference` prints it; a test compares the page with it.

use std::fmt::Write;

use super::document::{Fallback, Field};
use super::raw::Raw;
use super::value::Value;

/// The line before the generated part of the page.
pub const BEGIN: &str =
    "<!-- reference: printed by `ringward check --reference`; the text comes from forwarder/src/config/raw.rs -->";
/// The line behind it.
pub const END: &str = "<!-- end of reference -->";

/// The reference, in Markdown, ending in a newline.
pub fn markdown() -> String {
    let mut out = String::new();
    section(&Raw::fields(), "", &mut out);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// The full paths of all keys, as `destinations[].retry.max`.
pub fn keys() -> Vec<String> {
    fn collect(fields: &[Field], path: &str, out: &mut Vec<String>) {
        for field in fields {
            let full = full_key(field, path);
            out.push(full.clone());
            collect(&field.fields, &below(field, &full), out);
        }
    }
    let mut out = Vec::new();
    collect(&Raw::fields(), "", &mut out);
    out
}

fn full_key(field: &Field, path: &str) -> String {
    if path.is_empty() { field.key.to_owned() } else { format!("{path}.{}", field.key) }
}

fn below(field: &Field, full: &str) -> String {
    format!("{full}{}", if field.list { "[]" } else { "" })
}

fn section(fields: &[Field], path: &str, out: &mut String) {
    // Writing to a String can't fail.
    for field in fields {
        let full = full_key(field, path);
        let heading = if path.is_empty() { "###" } else { "####" };
        let _ = writeln!(out, "{heading} `{full}`\n");
        let _ = writeln!(out, "{}\n", paragraph(field.doc));
        if field.fields.is_empty() {
            let _ = writeln!(out, "- Accepted: {}", field.accepted);
        }
        match field.default {
            Fallback::Text(text) => drop(writeln!(out, "- Default: `{text}`\n")),
            Fallback::Words("required") => drop(writeln!(out, "- Required\n")),
            Fallback::Words("") => {}
            Fallback::Words(words) => drop(writeln!(out, "- Default: {words}\n")),
        }
        section(&field.fields, &below(field, &full), out);
    }
}

fn paragraph(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_documented_and_has_a_default_that_parses() {
        fn check(fields: &[Field], path: &str) {
            for field in fields {
                let full = full_key(field, path);
                assert!(paragraph(field.doc).len() > 8, "{full} has no documentation");
                if field.fields.is_empty() {
                    assert_ne!(field.default, Fallback::Words(""), "{full} does not say its default");
                }
                check(&field.fields, &below(field, &full));
            }
        }
        check(&Raw::fields(), "");
        // The getters parse the defaults, and `expect` that they can.
        let config = crate::config::from_text("t", "destinations: [{endpoint: 'udp://h:1', spill: {bytes: 1GiB}}]");
        assert!(config.is_ok(), "{config:?}");
    }

    /// To bring the page up to date, put the output of `ringward check --reference` between its two marker lines.
    #[test]
    fn the_page_is_up_to_date() {
        let page = include_str!("../../../docs/configuration.md");
        let (_, rest) = page.split_once(BEGIN).expect("docs/configuration.md has the line that begins the reference");
        let (reference, _) = rest.split_once(END).expect("and the line that ends it");
        assert!(
            reference.trim() == markdown().trim(),
            "docs/configuration.md is out of date: run `ringward check --reference` and replace what is between the markers"
        );
    }

    #[test]
    fn the_example_shows_every_key() {
        let example = include_str!("../../../config/ringward.yaml");
        for key in keys() {
            let last = key.rsplit('.').next().unwrap_or(&key);
            let shown = example.lines().any(|line| {
                let line = line.trim_start().trim_start_matches(['#', '-', ' ']);
                line.starts_with(&format!("{last}:")) || line.contains(&format!(" {last}: "))
            });
            assert!(shown, "config/ringward.yaml does not show {key}");
        }
    }
}
