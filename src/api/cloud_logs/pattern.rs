//! CloudWatch's filter patterns for text: words that all have to be there, `?word`s of which one has to, `-word`s that must
//! not, and phrases in quotes. Letters count as they are written. Pure.

/// The longest pattern.
const LONGEST: usize = 1024;

/// A pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    /// Reads a pattern; an empty one fits everything.
    ///
    /// # Errors
    /// In words, for what is none, or is of a kind that is not known here.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.chars().count() > LONGEST {
            return Err(format!("`filterPattern` has at most {LONGEST} characters"));
        }
        let mut rest = text.trim_start();
        if rest.starts_with(['{', '[', '%']) {
            return Err(
                "`filterPattern`: this version knows words, `\"phrases\"`, `?this ?or-that` and `-without`; it \
                        reads no JSON (`{ … }`), fields (`[ … ]`) or regular expressions (`%…%`)"
                    .into(),
            );
        }
        let mut pattern = Self::default();
        while !rest.is_empty() {
            let (list, term) = match rest.as_bytes()[0] {
                b'?' => (&mut pattern.any, &rest[1..]),
                b'-' => (&mut pattern.none, &rest[1..]),
                _ => (&mut pattern.all, rest),
            };
            let (word, after) = word(term)?;
            list.push(word.to_owned());
            rest = after.trim_start();
        }
        Ok(pattern)
    }

    /// Whether a line fits.
    pub fn fits(&self, line: &str) -> bool {
        let has = |word: &String| line.contains(word.as_str());
        self.all.iter().all(has) && (self.any.is_empty() || self.any.iter().any(has)) && !self.none.iter().any(has)
    }
}

/// A word or a phrase in quotes, and what comes after it.
fn word(text: &str) -> Result<(&str, &str), String> {
    if let Some(phrase) = text.strip_prefix('"') {
        return phrase.split_once('"').ok_or_else(|| "`filterPattern`: a quote is not closed".to_owned());
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    if end == 0 {
        return Err("`filterPattern`: a word is missing after `?` or `-`".into());
    }
    Ok(text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_as_cloudwatch_documents() {
        for (pattern, line, fits) in [
            ("", "anything", true),
            ("ERROR", "[ERROR 400] BAD REQUEST", true),
            ("error", "[ERROR 400] BAD REQUEST", false),
            ("ERROR ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", true),
            ("ERROR ARGUMENTS", "[ERROR 400] BAD REQUEST", false),
            ("?ERROR ?ARGUMENTS", "[ERROR 400] BAD REQUEST", true),
            ("?WARN ?ARGUMENTS", "[ERROR 400] BAD REQUEST", false),
            ("\"INTERNAL SERVER ERROR\"", "[ERROR 500] INTERNAL SERVER ERROR", true),
            ("ERROR -ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", false),
            ("-\"BAD REQUEST\"", "[ERROR 500] INTERNAL SERVER ERROR", true),
        ] {
            assert_eq!(Pattern::read(pattern).unwrap().fits(line), fits, "{pattern} {line}");
        }
        for bad in ["{ $.level = \"x\" }", "[a, b]", "%x%", "\"open", "? x", &"x".repeat(1025)] {
            assert!(Pattern::read(bad).is_err(), "{bad}");
        }
    }
}
