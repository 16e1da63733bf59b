//! The nearest known word to one that somebody wrote, for hints.

use crate::model::runtime::bare;

/// The known word that `text` most likely means: the same but for case and separators, else one with one or two
/// letters mistyped. `None` when nothing is near.
pub fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let text = bare(text);
    // A longer word is a sentence, not a slip.
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    let allowed = if text.len() <= 4 { 1 } else { 2 };
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&text, &bare(word)), word))
        .filter(|(distance, word)| *distance <= allowed && *distance < word.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// A list of words for a hint: "`a`, `b` and `c`".
pub fn listed<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let mut quoted: Vec<String> = words.into_iter().map(|w| format!("`{w}`")).collect();
    match quoted.pop() {
        None => "none".into(),
        Some(last) if quoted.is_empty() => last,
        Some(last) => format!("{} and {last}", quoted.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_over_case_separators_and_slips() {
        let known = ["pre-build", "build", "post-build", "runtime-version", "run"];
        for (text, word) in
            [("pre_build", "pre-build"), ("postBuild", "post-build"), ("biuld", "build"), ("rum", "run")]
        {
            assert_eq!(nearest(text, known), Some(word), "{text}");
        }
        for text in ["services", "", "ports", "x"] {
            assert_eq!(nearest(text, known), None, "{text}");
        }
    }
}
