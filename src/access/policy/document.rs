//! Policy documents: read strictly from JSON.

use super::condition::Condition;
use super::element::Element;
use super::operator::read_arn;
use super::pattern::{Dialect, Pattern, Wild};
use super::principal::{Named, Principals};

/// The longest document.
const LONGEST: usize = 10_240;
/// More statements than fit into one that long.
const MOST_STATEMENTS: usize = 200;

/// What is wrong with a document: where, and what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(pub String);

/// What a document is for, which decides what its statements have to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Attached to users, groups and roles; or a boundary: no principal, resources.
    Identity,
    /// Who may assume a role: principals, no resources.
    Trust,
    /// What may be called through a listener: principals if it likes, resources.
    Endpoint,
}

/// A policy document, ready to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub(super) statements: Vec<Statement>,
}

/// `Allow` or `Deny`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// A list, or everything but a list (`Action`, `NotAction`).
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    Only(Vec<Pattern>),
    AllBut(Vec<Pattern>),
}

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub effect: Effect,
    /// `None` where whose policy it is says whom it is about.
    pub principals: Option<Principals>,
    pub actions: Choice,
    /// `None` in a trust policy, which is its role's.
    pub resources: Option<Choice>,
    pub conditions: Vec<Condition>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// Everything that is not the language; what is not understood must not turn into a right.
    pub fn read(text: &str, kind: Kind) -> Result<Self, PolicyError> {
        if text.len() > LONGEST {
            return Err(PolicyError(format!("the policy is longer than {LONGEST} bytes")));
        }
        let root: Element =
            serde_json::from_str(text).map_err(|error| PolicyError(format!("the policy is not JSON: {error}")))?;
        read_document(&root, kind).map_err(PolicyError)
    }
}

fn read_document(root: &Element, kind: Kind) -> Result<Document, String> {
    let Element::Object(members) = root else { return Err("the policy must be a JSON object".into()) };
    let (mut dialect, mut statements) = (Dialect::Plain, None);
    for (name, element) in members {
        match (name.as_str(), element) {
            ("Version", Element::Text(version)) if version == "2012-10-17" => dialect = Dialect::Variables,
            ("Version", Element::Text(version)) if version == "2008-10-17" => {}
            ("Version", _) => return Err("`Version` must be \"2012-10-17\" or \"2008-10-17\"".into()),
            ("Id", Element::Text(_)) => {}
            ("Statement", element) => statements = Some(element),
            (other, _) => {
                return Err(format!(
                    "`{}` is no member of a policy: `Version`, `Id` and `Statement` are",
                    other.escape_debug()
                ));
            }
        }
    }
    let statements = match statements {
        Some(Element::List(list)) if (1..=MOST_STATEMENTS).contains(&list.len()) => list.as_slice(),
        Some(single @ Element::Object(_)) => std::slice::from_ref(single),
        _ => return Err("the policy needs `Statement`: one object, or a list of them".into()),
    };
    let mut sids = Vec::new();
    let read = |(n, element): (usize, &Element)| {
        let place = format!("Statement[{n}]");
        read_statement(element, kind, dialect, &mut sids).map_err(|why| format!("{place}: {why}"))
    };
    Ok(Document { statements: statements.iter().enumerate().map(read).collect::<Result<_, _>>()? })
}

fn read_statement(
    element: &Element,
    kind: Kind,
    dialect: Dialect,
    sids: &mut Vec<String>,
) -> Result<Statement, String> {
    let Element::Object(members) = element else { return Err("must be an object".into()) };
    let (mut effect, mut principals, mut actions, mut resources, mut conditions) = (None, None, None, None, Vec::new());
    for (name, element) in members {
        let named = |why: String| format!("`{name}` {why}");
        match name.as_str() {
            "Sid" => read_sid(element, sids)?,
            "Effect" => effect = Some(read_effect(element)?),
            "Principal" => once(&mut principals, Principals::Only(Named::read(element).map_err(named)?))?,
            "NotPrincipal" => once(&mut principals, Principals::AllBut(Named::read(element).map_err(named)?))?,
            "Action" => once(&mut actions, Choice::Only(read_actions(element).map_err(named)?))?,
            "NotAction" => once(&mut actions, Choice::AllBut(read_actions(element).map_err(named)?))?,
            "Resource" => once(&mut resources, Choice::Only(read_resources(element, dialect).map_err(named)?))?,
            "NotResource" => once(&mut resources, Choice::AllBut(read_resources(element, dialect).map_err(named)?))?,
            "Condition" => conditions = read_conditions(element, dialect)?,
            other => return Err(format!("`{}` is no member of a statement", other.escape_debug())),
        }
    }
    check_parts(kind, principals.is_some(), resources.is_some())?;
    Ok(Statement {
        effect: effect.ok_or("needs `Effect`: \"Allow\" or \"Deny\"")?,
        principals,
        actions: actions.ok_or("needs `Action` or `NotAction`")?,
        resources,
        conditions,
    })
}

/// An element and its opposite exclude each other.
fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), String> {
    if slot.replace(value).is_some() {
        Err("has an element together with its opposite (`Not…`)".into())
    } else {
        Ok(())
    }
}

fn check_parts(kind: Kind, has_principals: bool, has_resources: bool) -> Result<(), String> {
    match (kind, has_principals, has_resources) {
        (Kind::Identity, true, _) => {
            Err("names a principal, which is for trust policies: this policy is about whom it is attached to".into())
        }
        (Kind::Trust, false, _) => Err("needs `Principal`: who may assume the role".into()),
        (Kind::Trust, _, true) => Err("names a resource, but a trust policy is about its role".into()),
        (Kind::Identity | Kind::Endpoint, _, false) => Err("needs `Resource` or `NotResource`".into()),
        _ => Ok(()),
    }
}

fn read_sid(element: &Element, sids: &mut Vec<String>) -> Result<(), String> {
    let sid = element.text().ok_or("`Sid` must be a string")?;
    if !sid.is_empty() && sids.iter().any(|known| known == sid) {
        return Err(format!("the Sid `{}` stands twice", sid.escape_debug()));
    }
    sids.push(sid.to_owned());
    Ok(())
}

fn read_effect(element: &Element) -> Result<Effect, String> {
    match element.text() {
        Some("Allow") => Ok(Effect::Allow),
        Some("Deny") => Ok(Effect::Deny),
        _ => Err("`Effect` must be \"Allow\" or \"Deny\"".into()),
    }
}

/// Actions are the same in any case; they hold no variables.
fn read_actions(element: &Element) -> Result<Vec<Pattern>, String> {
    let read = |text: &str| {
        let (service, action) = text.split_once(':').unwrap_or(("*", if text == "*" { "*" } else { "" }));
        let plain =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-*?".contains(&b));
        if !plain(service) || !plain(action) {
            return Err(format!("has `{}`, which is no action like `apprunner:ListServices`", text.escape_debug()));
        }
        Pattern::read(&text.to_ascii_lowercase(), Dialect::Plain, Wild::Yes)
    };
    element.texts()?.into_iter().map(read).collect()
}

fn read_resources(element: &Element, dialect: Dialect) -> Result<Vec<Pattern>, String> {
    let read =
        |text: &str| read_arn(text, dialect).map_err(|why| format!("has `{}`, which {why}", text.escape_debug()));
    element.texts()?.into_iter().map(read).collect()
}

fn read_conditions(element: &Element, dialect: Dialect) -> Result<Vec<Condition>, String> {
    let Element::Object(operators) = element else { return Err("`Condition` must be an object".into()) };
    let mut conditions = Vec::new();
    for (operator, element) in operators {
        let Element::Object(keys) = element else {
            return Err(format!("`{}` must be an object of keys", operator.escape_debug()));
        };
        for (key, element) in keys {
            let values = element
                .values()
                .map_err(|why| format!("`{}` of `{}` {why}", key.escape_debug(), operator.escape_debug()))?;
            conditions.push(Condition::read(operator, key, &values, dialect)?);
        }
    }
    Ok(conditions)
}
