//! Patterns: text with `*`, `?` and policy variables (`${aws:username}`, `${aws:PrincipalTag/team, 'none'}`).

use super::context::{Context, Key};
use std::borrow::Cow;

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
    /// This text, in which no colon is.
    Text(Box<str>),
    /// A colon. Apart, because ARNs are taken apart at theirs.
    Colon,
    /// Any one character.
    One,
    /// Any characters.
    Any,
    /// What the request says of a key.
    Variable(Box<Variable>),
}

/// What one step of reading yields.
enum Token {
    Char(char),
    Piece(Piece),
}

/// What the request says of a key; the default where it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    key: Key,
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

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// In words, for a variable that is not closed or not named, and for one that is too long.
    pub fn read(text: &str, dialect: Dialect, wild: Wild) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes"));
        }
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(c) = rest.chars().next() {
            let (token, after) = match c {
                '$' if dialect == Dialect::Variables && rest.starts_with("${") => {
                    let (inside, after) = variable(rest)?;
                    (read_variable(inside)?, after)
                }
                '*' if wild == Wild::Yes => (Token::Piece(Piece::Any), &rest[1..]),
                '?' if wild == Wild::Yes => (Token::Piece(Piece::One), &rest[1..]),
                c => (Token::Char(c), &rest[c.len_utf8()..]),
            };
            match token {
                Token::Char(c) => literal.push(c),
                Token::Piece(piece) => {
                    push_text(&mut pieces, &std::mem::take(&mut literal));
                    pieces.push(piece);
                }
            }
            rest = after;
        }
        push_text(&mut pieces, &literal);
        let varies = pieces.iter().any(|piece| matches!(piece, Piece::Variable(_)));
        Ok(Self { pieces, varies })
    }

    /// Whether a text matches. The request's values are themselves: a `*` in one matches only a `*`. A variable that has neither
    /// value nor default matches nothing.
    pub fn matches(&self, text: &str, context: &Context) -> bool {
        glob(&self.pieces, text, context)
    }

    /// Whether a text matches without regard to case. `*` and `?` are not asked for here.
    pub fn matches_ignoring_case(&self, text: &str, context: &Context) -> bool {
        let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
        let ours: Option<String> = self.pieces.iter().map(|piece| piece.literal(context)).collect();
        ours.is_some_and(|ours| lower(&ours) == lower(text))
    }

    /// Whether an ARN matches, each of its six parts by itself, so that a `*` does not reach over a colon into the next.
    pub fn matches_arn(&self, arn: &str, context: &Context) -> bool {
        let Some(resolved) = self.resolve(context) else { return false };
        if matches!(resolved.as_ref(), [Piece::Any]) {
            return true;
        }
        let mut given = arn.splitn(6, ':');
        let mut pieces = resolved.as_ref();
        for n in 0..6 {
            let end = if n == 5 { None } else { pieces.iter().position(|p| *p == Piece::Colon) };
            let (part, rest) = end.map_or((pieces, &[][..]), |end| (&pieces[..end], &pieces[end + 1..]));
            let Some(text) = given.next() else { return false };
            if !glob(part, text, context) || (n < 5 && end.is_none()) {
                return false;
            }
            pieces = rest;
        }
        true
    }

    /// The pieces with the request's values in place of variables, which may bring colons along.
    fn resolve(&self, context: &Context) -> Option<Cow<'_, [Piece]>> {
        if !self.varies {
            return Some(self.pieces.as_slice().into());
        }
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            match piece {
                Piece::Variable(variable) => push_text(&mut pieces, variable.value(context)?),
                other => pieces.push(other.clone()),
            }
        }
        Some(pieces.into())
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    for (n, part) in text.split(':').enumerate() {
        if n > 0 {
            pieces.push(Piece::Colon);
        }
        if !part.is_empty() {
            pieces.push(Piece::Text(part.into()));
        }
    }
}

impl Variable {
    fn value<'a>(&'a self, context: &'a Context) -> Option<&'a str> {
        context.single(&self.key).or(self.default.as_deref())
    }
}

impl Piece {
    /// The one text that it stands for, if there is one.
    fn literal<'a>(&'a self, context: &'a Context) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Colon => Some(":"),
            Self::Variable(variable) => variable.value(context),
            Self::One | Self::Any => None,
        }
    }

    /// What is left of a text that begins with it.
    fn strip<'a>(&self, text: &'a str, context: &Context) -> Option<&'a str> {
        match self {
            Self::One => without_first(text),
            other => text.strip_prefix(other.literal(context)?),
        }
    }
}

fn without_first(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    chars.next().map(|_| chars.as_str())
}

/// The inside of a variable at the beginning of a text, and what comes after it.
fn variable(text: &str) -> Result<(&str, &str), String> {
    let inside = text.get(2..).unwrap_or_default();
    let end = inside.find('}').ok_or("has a `${` without its `}`")?;
    Ok((&inside[..end], &inside[end + 1..]))
}

fn read_variable(inside: &str) -> Result<Token, String> {
    match inside {
        "*" => return Ok(Token::Char('*')),
        "?" => return Ok(Token::Char('?')),
        "$" => return Ok(Token::Char('$')),
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
    Ok(Token::Piece(Piece::Variable(Box::new(Variable { key: Key::new(key), default }))))
}

/// Greedy, going back to the last `*` only, which is enough.
fn glob(pieces: &[Piece], text: &str, context: &Context) -> bool {
    let (mut at, mut rest) = (0, text);
    // Where to go on after the last `*`: behind it in the pattern, and one character later in the text.
    let mut back = None;
    loop {
        let ahead = match pieces.get(at) {
            // At the end it takes all that is left.
            Some(Piece::Any) if at + 1 == pieces.len() => return true,
            Some(Piece::Any) => {
                at += 1;
                back = Some((at, rest));
                continue;
            }
            Some(piece) => piece.strip(rest, context),
            None if rest.is_empty() => return true,
            None => None,
        };
        if let Some(ahead) = ahead {
            (at, rest) = (at + 1, ahead);
            continue;
        }
        let Some((after, from)) = back else { return false };
        let Some(from) = without_first(from) else { return false };
        back = Some((after, from));
        (at, rest) = (after, from);
    }
}
