//! Rust source reduced to what the rules look at: no comments, no string content, no test module.

/// `source` with comments and the content of string literals blanked out; line breaks stay, so that lines keep their
/// numbers.
pub fn code(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest, out.chars().last()) {
            length
        } else if c == '"' {
            string(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") {
            4
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.extend(rest[..length].chars().filter(|c| *c == '\n'));
        rest = &rest[length..];
    }
    out
}

/// The length of the `"…"` that `text` begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the `r#"…"#` that `text` begins with, if it does.
fn raw_string(text: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(|c| c.is_alphanumeric() && c != 'b' || c == '_') {
        return None;
    }
    let hashes = text.strip_prefix('r')?.bytes().take_while(|byte| *byte == b'#').count();
    text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let body = 2 + hashes;
    Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()))
}

/// The part of a file before its test module.
pub fn without_tests(code: &str) -> &str {
    let test_module = code.match_indices("#[cfg(test)]").find(|(at, mark)| {
        let next = code[at + mark.len()..].trim_start();
        next.starts_with("mod ") && next[..next.find(['{', ';']).map_or(0, |end| end + 1)].ends_with('{')
    });
    test_module.map_or(code, |(at, _)| &code[..at])
}

/// Places where `word` stands alone, as (line number from 1).
pub fn lines_with_word<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .filter(move |(at, _)| !code[..*at].ends_with(part) && !code[at + word.len()..].starts_with(part))
        .map(|(at, _)| line(code, at))
}

/// Every module of this crate that is named by `crate::…`, groups included, as (line, module).
pub fn imports<'a>(code: &'a str, root: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices(root) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(group_heads(group).map(|name| (line(code, at), name)));
        } else {
            found.push((line(code, at), identifier(rest)));
        }
    }
    found
}

/// The first identifier of each item of a `{…}` group whose opening brace is gone already.
fn group_heads(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    let mut ended = false;
    group
        .split_inclusive(['{', '}', ','])
        .filter_map(move |piece| {
            let at_top = depth == 0 && !ended;
            match piece.chars().last() {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                _ => {}
            }
            ended |= depth < 0;
            at_top.then(|| identifier(piece.trim_start()))
        })
        .filter(|name| !name.is_empty())
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

fn line(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_cut_and_lines_stay() {
        let source = "a // unsafe\n/* unsafe\n */ b \"unsafe \\\" unsafe\" c r#\"unsafe \" \"# '\"' d";
        let code = code(source);
        assert!(!code.contains("unsafe"), "{code}");
        assert_eq!(code.matches('\n').count(), 2);
        assert!(code.contains('b') && code.contains('c') && code.ends_with('d'), "{code}");
    }

    #[test]
    fn imports_are_found_alone_and_in_groups() {
        let code =
            "use crate::ring::Ring;\nuse crate::{record::{Batch, Level}, encode, io::x};\nlet a = crate::sys::f();";
        assert_eq!(imports(code, "crate::"), [(1, "ring"), (2, "record"), (2, "encode"), (2, "io"), (3, "sys")]);
    }

    #[test]
    fn a_word_inside_another_does_not_count() {
        assert_eq!(lines_with_word("unsafe_code\nx unsafe {", "unsafe").collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn the_test_module_is_cut_but_a_test_only_import_is_not() {
        let code = "#[cfg(test)]\nuse a;\nb\n#[cfg(test)]\nmod tests {\n c }";
        assert!(without_tests(code).ends_with("b\n"));
        assert!(without_tests("#[cfg(test)]\nmod tests;\npub mod c;").ends_with("c;"));
    }
}
