//! "Did you mean": the known word nearest to an unknown one.

/// ` (did you mean `x`?)`, or nothing where no word is near.
pub fn did_you_mean(unknown: &str, known: &[&str]) -> String {
    nearest(unknown, known).map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default()
}

/// `text` for showing in a message: on one line, and not longer than one.
pub fn abbreviate(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect::<String>().escape_debug().to_string();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

/// The words in backticks, with commas.
pub fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The word nearest to `unknown`: case, `-` and `_` don't count; a third of the letters may differ.
pub fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    // A whole value pasted where a key belongs is not a typo of anything, and comparing it would be slow.
    if unknown.len() > 64 {
        return None;
    }
    let folded = fold(unknown);
    known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&folded, &fold(word)), *word))
        .filter(|(distance, word)| *distance * 3 <= word.len().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_found_and_strangers_are_not() {
        let keys = ["destinations", "extraTags", "ring", "io", "idle_flush"];
        assert_eq!(nearest("destination", &keys), Some("destinations"));
        assert_eq!(nearest("extra_tags", &keys), Some("extraTags"));
        assert_eq!(nearest("idelFlush", &keys), Some("idle_flush"));
        assert_eq!(nearest("rign", &keys), Some("ring"));
        assert_eq!(nearest("machine", &keys), None);
        assert_eq!(nearest(&"x".repeat(100_000), &keys), None);
    }
}
