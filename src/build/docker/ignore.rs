//! `.dockerignore`, by Docker's own rules: the last pattern that matches a path, or a directory that it is in, decides;
//! `!` takes back. Pure.
//!
//! The rules: <https://docs.docker.com/build/concepts/context/#dockerignore-files>. A pattern is matched against whole
//! paths from the root of the context; `*` and `?` stop at `/`, `**` does not.

/// The longest file that is read, and the most patterns.
const LONGEST: usize = 1 << 20;
const MOST: usize = 10_000;

/// What is left out of a context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    tokens: Vec<Token>,
    takes_back: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `**/`: nothing, or directories.
    Directories,
    /// `**` elsewhere.
    Anything,
    /// `[a-z]`, or with `true` all others.
    Class(Vec<(char, char)>, bool),
}

impl Ignore {
    /// Reads the file.
    ///
    /// # Errors
    /// In words, with the line of a pattern that is none.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it has more than {} KiB", LONGEST >> 10));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (takes_back, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let clean = clean(pattern);
            if clean.is_empty() {
                continue;
            }
            let tokens = tokens(&clean).ok_or_else(|| format!("line {}: `{line}` is not a pattern", number + 1))?;
            patterns.push(Pattern { tokens, takes_back });
        }
        if patterns.len() > MOST {
            return Err(format!("it has more than {MOST} patterns"));
        }
        Ok(Self { patterns })
    }

    /// Whether a path, relative to the context, is left out.
    pub fn excludes(&self, path: &str) -> bool {
        self.patterns.iter().fold(false, |out, pattern| {
            // A pattern that would change nothing need not be looked at.
            if pattern.takes_back != out || !pattern.matches(path) { out } else { !pattern.takes_back }
        })
    }

    /// Whether something in a directory that is left out may be in all the same.
    pub fn takes_back(&self) -> bool {
        self.patterns.iter().any(|p| p.takes_back)
    }
}

impl Pattern {
    /// The path itself, or one of the directories that it is in.
    fn matches(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        ends.into_iter().any(|end| matches(&self.tokens, &path[..end]))
    }
}

/// Without `.`, `..`, doubled and outer slashes.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' if chars.next_if_eq(&'*').is_some() => match chars.next_if_eq(&'/') {
                Some(_) => Token::Directories,
                None => Token::Anything,
            },
            '*' => Token::Many,
            '?' => Token::One,
            '\\' => Token::Char(chars.next()?),
            '[' => class(&mut chars)?,
            c => Token::Char(c),
        });
    }
    Some(tokens)
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let others = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let from = match chars.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class(ranges, others)),
            ']' | '-' => return None,
            '\\' => chars.next()?,
            c => c,
        };
        let to = match chars.next_if_eq(&'-') {
            None => from,
            Some(_) => match chars.next()? {
                '\\' => chars.next()?,
                ']' | '-' => return None,
                c => c,
            },
        };
        ranges.push((from, to));
    }
}

/// Whether the tokens make the whole text. Each pair of positions is looked at once: no pattern costs more than the
/// product of both lengths.
fn matches(tokens: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // Which beginnings of the text the tokens so far make.
    let mut made = vec![false; text.len() + 1];
    made[0] = true;
    for token in tokens {
        made = step(token, &made, &text);
    }
    made[text.len()]
}

fn step(token: &Token, made: &[bool], text: &[char]) -> Vec<bool> {
    let mut next = vec![false; made.len()];
    // Whether some beginning at or before this place was made: where `**` may go on.
    let mut begun = false;
    for at in 0..made.len() {
        begun |= made[at];
        let before = at.checked_sub(1).map(|i| text[i]);
        let from = at.checked_sub(1).is_some_and(|i| made[i]);
        next[at] = match token {
            Token::Char(c) => from && before == Some(*c),
            Token::One => from && before.is_some_and(|b| b != '/'),
            Token::Class(ranges, others) => {
                from && before
                    .is_some_and(|b| b != '/' && ranges.iter().any(|(a, z)| (*a..=*z).contains(&b)) != *others)
            }
            Token::Many => made[at] || (before.is_some_and(|b| b != '/') && at > 0 && next[at - 1]),
            Token::Directories => made[at] || (begun && before == Some('/')),
            Token::Anything => begun,
        };
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(file: &str, path: &str) -> bool {
        Ignore::read(file).unwrap().excludes(path)
    }

    #[test]
    fn patterns_mean_what_they_mean_to_docker() {
        for (pattern, out, stays) in [
            ("secret", &["secret", "secret/key"][..], &["a/secret", "secrets"][..]),
            ("/secret/", &["secret"], &["a/secret"]),
            ("*/temp*", &["a/temp", "a/temporary/x"], &["temp", "a/b/temp"]),
            ("*/*/temp*", &["a/b/temp.txt"], &["a/temp"]),
            ("temp?", &["tempa", "tempb/x"], &["temp", "tempab", "temp/"]),
            ("**/*.go", &["x.go", "a/x.go", "a/b/c.go"], &["x.god"]),
            ("**", &["a", "a/b", ".x"], &[]),
            ("a/**", &["a/b", "a/b/c"], &["a", "ab"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a/xb", "b"]),
            ("*", &["a", ".git", "a/b"], &[]),
            ("[a-c]x", &["ax", "cx"], &["dx", "/x"]),
            ("[^a-c]x", &["dx"], &["ax", "/x"]),
            ("\\*", &["*"], &["a"]),
            ("./a/../b", &["b"], &["a"]),
            ("ä?", &["äö"], &["ä"]),
        ] {
            out.iter().for_each(|path| assert!(excluded(pattern, path), "{pattern} should leave out {path}"));
            stays.iter().for_each(|path| assert!(!excluded(pattern, path), "{pattern} should not leave out {path}"));
        }
    }

    #[test]
    fn the_last_match_decides_and_an_exclamation_mark_takes_back() {
        let file = "# a comment\n*.md\n!README*.md\nREADME-secret.md\n\n";
        assert!(excluded(file, "a.md") && excluded(file, "README-secret.md"));
        assert!(!excluded(file, "README.md") && !excluded(file, "app.py"));
        let all_but = "*\n!src\n!Dockerfile\nsrc/*.key\n";
        assert!(!excluded(all_but, "src/a/b.py") && !excluded(all_but, "Dockerfile"));
        assert!(excluded(all_but, "src/x.key") && excluded(all_but, ".env"));
    }

    #[test]
    fn a_pattern_that_is_none_is_named_with_its_line() {
        assert_eq!(Ignore::read("a\n[x\n").unwrap_err(), "line 2: `[x` is not a pattern");
        assert!(Ignore::read("\\").is_err() && Ignore::read("[]").is_err() && Ignore::read("[a-]").is_err());
        assert_eq!(Ignore::read("\u{feff}\r\n/\r\n.\n!\n").unwrap(), Ignore::default());
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = "*a".repeat(60);
        let began = std::time::Instant::now();
        assert!(!excluded(&format!("{pattern}b\n"), &"a".repeat(4000)));
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }
}
