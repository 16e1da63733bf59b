//! Variables, secrets and tags: names with values, as a mapping or as a list of pairs.

use super::FILL_IN;
use super::draft::Draft;
use super::field::Field;
use crate::desired::export::text::Yaml;
use crate::model::EnvName;
use std::collections::BTreeMap;

/// The pairs of a mapping, or of a list of `{ Name, Value }` or `{ Key, Value }`; what is neither is said.
pub(super) fn pairs<'n>(field: &Field<'n>, draft: &mut Draft) -> Vec<(String, Field<'n>)> {
    if let Some(members) = field.members() {
        return members.rest().into_iter().map(|(name, field)| (name.to_owned(), field)).collect();
    }
    let Some(items) = field.items() else {
        draft.members(field);
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for item in items {
        let Some(mut members) = draft.members(&item) else { continue };
        let name = members.take("Name").or_else(|| members.take("Key"));
        let value = members.take("Value");
        match (name.as_ref().and_then(Field::text), value) {
            (Some(text), Some(value)) => {
                name.iter().for_each(|name| draft.carried(name));
                let path = format!("{}.{text}", field.path);
                pairs.push((text.to_owned(), Field { path, ..value }));
            }
            _ => draft.left_out(&item, "it has no name, or no value", "write it by hand"),
        }
        draft.rest(members);
    }
    pairs
}

/// Variables of the application. Those that are secrets as well give way.
pub(super) fn environment(field: &Field, secrets: &[String], draft: &mut Draft) {
    let mut env = Yaml::new();
    let pairs: BTreeMap<String, Field> = pairs(field, draft).into_iter().collect();
    for (name, value) in pairs {
        if !is_taken(&name, &value, draft) {
            continue;
        }
        if secrets.contains(&name) {
            draft.left_out(&value, "a secret has the same name, and a variable is declared once", "");
            continue;
        }
        match value.unresolved() {
            Some((written, why)) => {
                draft.missing_in_place(&value, format!("was `{written}`: {why}"), format!("it is `{FILL_IN}` now"));
                env.remarks([format!("was {written}: {why}").as_str()]);
                env.put(&name, Yaml::text(FILL_IN));
            }
            None => {
                let text = whole(&value);
                match text {
                    Some(text) => {
                        draft.carried(&value);
                        env.put(&name, Yaml::text(text));
                    }
                    None => draft.left_out(&value, format!("is {}, not a text", value.node.describe()), ""),
                }
            }
        }
    }
    draft.env = env;
}

/// A scalar's text, the empty one too.
fn whole<'n>(field: &Field<'n>) -> Option<&'n str> {
    match &field.node.value {
        crate::desired::yaml::Value::Scalar(text, _) => Some(text),
        _ => None,
    }
}

/// Whether a variable may have this name here.
fn is_taken(name: &str, value: &Field, draft: &mut Draft) -> bool {
    if name == "PORT" {
        draft.left_out(value, "`PORT` is always what `port` says", "");
        return false;
    }
    match name.parse::<EnvName>() {
        Ok(_) => true,
        Err(invalid) => {
            draft.left_out(value, invalid.message, invalid.hint.unwrap_or_default());
            false
        }
    }
}

/// Variables whose values AWS keeps: each is read from a file beside the manifest. The names that were taken.
pub(super) fn secrets(field: &Field, draft: &mut Draft) -> Vec<String> {
    let pairs: BTreeMap<String, Field> = pairs(field, draft).into_iter().collect();
    let mut names = Vec::new();
    for (name, value) in pairs {
        if !is_taken(&name, &value, draft) {
            continue;
        }
        let kept = value.text().map(str::to_owned);
        let kept = kept.or_else(|| value.unresolved().map(|(written, _)| written.to_owned())).unwrap_or_default();
        secret(&name, &value, &kept, draft);
        names.push(name);
    }
    names
}

/// A variable whose value AWS keeps under a name.
pub(super) fn secret(name: &str, field: &Field, kept: &str, draft: &mut Draft) {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let file: String = name.chars().map(plain).take(100).collect();
    let path = format!("secrets/{}/{}", draft.name, file.trim_start_matches('.'));
    let fetch = fetch(kept, &path);
    draft.missing_in_place(field, format!("AWS keeps its value ({kept})"), fetch.clone());
    draft.secrets.remarks([fetch.as_str()]);
    draft.secrets.put(name, Yaml::map([("file", Yaml::text(&path))]));
}

/// How the value comes from AWS into a file.
fn fetch(kept: &str, path: &str) -> String {
    let harmless = |text: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/:._-+=@".contains(&b);
        !text.is_empty() && text.bytes().all(plain) && !text.starts_with('-')
    };
    let parts: Vec<&str> = kept.split(':').collect();
    if !harmless(kept) {
        return format!("write its value into `{path}`");
    }
    let from_manager = |id: &str, key: Option<&&str>| {
        let get = format!("aws secretsmanager get-secret-value --secret-id {id} --query SecretString --output text");
        let pick = key.filter(|key| !key.is_empty()).map(|key| format!(" | jq -r '.\"{key}\"'")).unwrap_or_default();
        format!("`{get}{pick} | install -Dm600 /dev/stdin {path}`")
    };
    match parts.as_slice() {
        // arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME[:KEY:STAGE:VERSION]
        [_, _, "secretsmanager", _, _, "secret", _, rest @ ..] => from_manager(&parts[..7].join(":"), rest.first()),
        // As Copilot has it: secretsmanager:NAME[:KEY:STAGE:VERSION]
        ["secretsmanager", name, rest @ ..] => from_manager(name, rest.first()),
        _ => {
            let name = match parts.as_slice() {
                [_, _, "ssm", _, _, resource] => resource.strip_prefix("parameter").unwrap_or(resource),
                _ => kept,
            };
            let get = format!("aws ssm get-parameter --with-decryption --name {name} --query Parameter.Value");
            format!("`{get} --output text | install -Dm600 /dev/stdin {path}`")
        }
    }
}

/// Tags, without those that AWS makes itself.
pub(super) fn tags(field: &Field, draft: &mut Draft) {
    for (name, value) in pairs(field, draft) {
        let text = whole(&value).map(str::to_owned);
        if let Some((written, why)) = value.unresolved() {
            draft.left_out(&value, format!("was `{written}`"), why);
        } else if let Some(text) = text
            && tag(&name, &text, draft)
        {
            draft.carried(&value);
        } else {
            draft.left_out(&value, format!("`{name}` is no tag that is kept: AWS made it, or it is too long"), "");
        }
    }
}

/// Adds a tag if a manifest takes it.
pub(super) fn tag(name: &str, value: &str, draft: &mut Draft) -> bool {
    let fits = (1..=128).contains(&name.chars().count()) && value.chars().count() <= 256;
    let own = name.to_ascii_lowercase().starts_with("aws:");
    if fits && !own {
        draft.tags.put_once(name, Yaml::text(value));
    }
    fits && !own
}
