//! Patterns: text with `*`, `?` and policy variables (`${aws:username}`, `${aws:PrincipalTag/team, 'none'}`).

use super::context::Context;

/// The longest pattern; longer than any ARN.
pub(super) const LONGEST: usize = 2048;

/// How a pattern is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Version 2008-10-17: `${…}` is text like any other.
    Plain,
    /// Version 2012-10-17.
    Variables,
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
    /// Whether a variable is among them.
    varies: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// This character.
    Char(char),
    /// Any one character.
    One,
    /// Any characters.
    Any,
    /// What the request says of a key. Apart, so that a piece is no larger than a word: patterns are looked at with every call.
    Variable(Box<Variable>),
}

/// What the request says of a key; the default where it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    key: String,
    default: Option<String>,
}

/// Whether `*` and `?` stand for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wild {
    /// They do.
    Yes,
    /// They are themselves (`StringEquals`).
    No,
}

/// A pattern without variables, or with their values in their places.
pub(super) struct Resolved<'a>(std::borrow::Cow<'a, [Piece]>);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// In words, for a variable that is not closed or not named, and for one that is too long.
    pub fn read(text: &str, dialect: Dialect, wild: Wild) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes"));
        }
        let (mut pieces, mut varies, mut rest) = (Vec::with_capacity(text.len()), false, text);
        while let Some(c) = rest.chars().next() {
            if dialect == Dialect::Variables && rest.starts_with("${") {
                let (inside, after) = variable(rest)?;
                pieces.push(read_variable(inside)?);
                varies |= matches!(pieces.last(), Some(Piece::Variable(_)));
                rest = after;
                continue;
            }
            pieces.push(match c {
                '*' if wild == Wild::Yes => Piece::Any,
                '?' if wild == Wild::Yes => Piece::One,
                c => Piece::Char(c),
            });
            rest = &rest[c.len_utf8()..];
        }
        Ok(Self { pieces, varies })
    }

    /// The pattern with the request's values in place of variables; `None` where one has neither value nor default.
    /// Values are themselves: a `*` in one matches only a `*`.
    pub fn resolve(&self, context: &Context) -> Option<Resolved<'_>> {
        if !self.varies {
            return Some(Resolved(self.pieces.as_slice().into()));
        }
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            match piece {
                Piece::Variable(variable) => {
                    let value = context.single(&variable.key).or(variable.default.as_deref())?;
                    pieces.extend(value.chars().map(Piece::Char));
                }
                other => pieces.push(other.clone()),
            }
        }
        Some(Resolved(pieces.into()))
    }

    /// Whether a text matches in this context.
    pub fn matches(&self, text: &str, context: &Context) -> bool {
        // Most of what does not match does not begin alike, which is seen without putting values in their places.
        self.begins_like(text, context) && self.resolve(context).is_some_and(|pattern| pattern.matches(text))
    }

    /// Whether a text begins with what stands before the first `*` or `?`.
    fn begins_like(&self, text: &str, context: &Context) -> bool {
        let mut rest = text.chars();
        for piece in &self.pieces {
            let same = match piece {
                Piece::Any | Piece::One => return true,
                Piece::Char(c) => rest.next() == Some(*c),
                Piece::Variable(variable) => {
                    let value = context.single(&variable.key).or(variable.default.as_deref());
                    value.is_some_and(|value| value.chars().all(|c| rest.next() == Some(c)))
                }
            };
            if !same {
                return false;
            }
        }
        rest.next().is_none()
    }
}

impl Resolved<'_> {
    /// Whether a text matches.
    pub fn matches(&self, text: &str) -> bool {
        glob(&self.0, text)
    }

    /// Whether a text matches without regard to case.
    pub fn matches_ignoring_case(&self, text: &str) -> bool {
        let lower = |c: char| c.to_lowercase().collect::<String>();
        let ours: String =
            self.0.iter().map(|p| if let Piece::Char(c) = p { lower(*c) } else { String::new() }).collect();
        ours == text.chars().map(lower).collect::<String>()
    }

    /// Whether an ARN matches, each of its six parts by itself, so that a `*` does not reach over a colon into the next.
    pub fn matches_arn(&self, text: &str) -> bool {
        if matches!(self.0.as_ref(), [Piece::Any]) {
            return true;
        }
        let mut given = text.splitn(6, ':');
        let mut pieces = self.0.as_ref();
        for n in 0..6 {
            let end = if n == 5 { None } else { pieces.iter().position(|p| matches!(p, Piece::Char(':'))) };
            let (part, rest) = end.map_or((pieces, &[][..]), |end| (&pieces[..end], &pieces[end + 1..]));
            let Some(text) = given.next() else { return false };
            if !glob(part, text) || (n < 5 && end.is_none()) {
                return false;
            }
            pieces = rest;
        }
        true
    }
}

/// The inside of a variable at the beginning of a text, and what comes after it.
fn variable(text: &str) -> Result<(&str, &str), String> {
    let inside = text.get(2..).unwrap_or_default();
    let end = inside.find('}').ok_or("has a `${` without its `}`")?;
    Ok((&inside[..end], &inside[end + 1..]))
}

fn read_variable(inside: &str) -> Result<Piece, String> {
    match inside {
        "*" | "?" | "$" => return Ok(Piece::Char(inside.chars().next().unwrap_or('$'))),
        _ => {}
    }
    let (key, default) = match inside.split_once(',') {
        Some((key, default)) => {
            let quoted = default.trim().strip_prefix('\'').and_then(|d| d.strip_suffix('\''));
            let default = quoted.ok_or("has a variable whose default is not in single quotes: `${key, 'default'}`")?;
            (key.trim(), Some(default.to_owned()))
        }
        None => (inside.trim(), None),
    };
    if key.is_empty() || key.contains("${") {
        return Err("has a variable without a name".into());
    }
    Ok(Piece::Variable(Box::new(Variable { key: key.to_owned(), default })))
}

/// Whether a text matches. Nearly all are ASCII, whose characters are bytes: they are looked at with every call of the API.
fn glob(pattern: &[Piece], text: &str) -> bool {
    if text.is_ascii() { glob_of(pattern, text.bytes().map(char::from)) } else { glob_of(pattern, text.chars()) }
}

/// Greedy, going back to the last `*` only, which is enough.
fn glob_of(pattern: &[Piece], text: impl Iterator<Item = char> + Clone) -> bool {
    let (mut at, mut rest) = (0, text);
    // Where to go on after the last `*`: behind it in the pattern, and one character later in the text.
    let mut back = None;
    loop {
        let mut ahead = rest.clone();
        let step = match (pattern.get(at), ahead.next()) {
            // At the end it takes all that is left.
            (Some(Piece::Any), _) if at + 1 == pattern.len() => return true,
            (Some(Piece::Any), _) => {
                back = Some((at + 1, rest.clone()));
                at += 1;
                continue;
            }
            (Some(Piece::Char(c)), Some(t)) => *c == t,
            (Some(Piece::One), Some(_)) => true,
            (None, None) => return true,
            _ => false,
        };
        if step {
            at += 1;
            rest = ahead;
            continue;
        }
        let Some((after, mut from)) = back.take() else { return false };
        if from.next().is_none() {
            return false;
        }
        back = Some((after, from.clone()));
        (at, rest) = (after, from);
    }
}
