//! Values that are not shown although they stand in a manifest as plain text: what looks like a secret has no place in a
//! terminal's history, a build log or a comment on a pull request. Pure. In doubt a value is hidden; that it differs is said.

use super::FieldChange;

/// What stands for a hidden value.
pub const HIDDEN: &str = "(hidden)";

/// Maps of names that people choose; other fields have names of ours.
const MAPS: &[&str] = &["env.", "build.env.", "build.buildEnv.", "build.args.", "build.secrets.", "tags."];
/// Parts of names that only secrets have, in lower case without separators.
const PARTS: &[&str] =
    &["password", "passwd", "passphrase", "secret", "apikey", "accesskey", "privatekey", "credential", "authorization"];
/// Whole words of names that mostly secrets have; as a part they are in too many other words (`tokenizer`).
const WORDS: &[&str] = &["token", "tokens", "pat", "pw", "pwd"];
/// How well-known keys and tokens begin.
const BEGINNINGS: &[&str] = &[
    "-----BEGIN ",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "sk_live_",
    "AKIA",
    "AGE-SECRET-KEY-",
];

/// The field as it may be shown: both values hidden where its name or one of them says secret.
pub fn masked(field: &FieldChange) -> FieldChange {
    let named = MAPS.iter().find_map(|map| field.field.strip_prefix(map)).is_some_and(names_secret);
    let values = [&field.from, &field.to];
    let hidden = named || values.into_iter().flatten().any(|value| holds_secret(value));
    let shown = |value: &Option<String>| value.as_ref().map(|v| if hidden { HIDDEN.to_owned() } else { v.clone() });
    FieldChange { field: field.field.clone(), from: shown(&field.from), to: shown(&field.to) }
}

/// Whether a variable's name says that its value is secret.
fn names_secret(name: &str) -> bool {
    let bare: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase);
    PARTS.iter().any(|part| bare.contains(part)) || words.any(|word| WORDS.contains(&word.as_str()))
}

/// Whether a value holds a password of a URL, an assignment to a variable that names a secret, or a well-known token.
fn holds_secret(value: &str) -> bool {
    let mut words = value.split(|c: char| c.is_whitespace() || "\"',;()[]".contains(c));
    words.any(|word| {
        let assigned = word.split_once('=').is_some_and(|(name, to)| !to.is_empty() && names_secret(name));
        let value = word.rsplit('=').next().unwrap_or_default();
        assigned || has_password(word) || BEGINNINGS.iter().any(|b| value.starts_with(b))
    }) || value.contains("-----BEGIN ")
}

/// `://user:password@host`.
fn has_password(word: &str) -> bool {
    word.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, p)| !p.is_empty()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(field: &str, value: &str) -> String {
        let change = FieldChange { field: field.into(), from: None, to: Some(value.into()) };
        masked(&change).to.unwrap()
    }

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        for (field, value) in [
            ("env.DB_PASSWORD", "\"x\""),
            ("env.github_token", "\"x\""),
            ("env.AWS_SECRET_ACCESS_KEY", "\"x\""),
            ("env.spring.datasource.password", "\"x\""),
            ("build.args.NPM_TOKEN", "\"x\""),
            ("tags.apiKey", "\"x\""),
            ("env.URL", "\"postgres://shop:hunter2@db/shop\""),
            ("build.start", "\"PGPASSWORD=hunter2 python app.py\""),
            ("build.command", "[\"pip install x\", \"curl -H 'Authorization: ghp_abcdef'\"]"),
            ("env.CERT", "\"-----BEGIN RSA PRIVATE KEY-----\\nabc\""),
        ] {
            assert_eq!(shown(field, value), HIDDEN, "{field} {value}");
        }
    }

    #[test]
    fn other_values_are_shown() {
        for (field, value) in [
            ("env.LOG_LEVEL", "\"info\""),
            ("env.TOKENIZERS_PARALLELISM", "\"false\""),
            ("env.URL", "\"https://example.com/a?b=c@d\""),
            ("secrets.DB_PASSWORD", "file /etc/password"),
            ("source.key", "file /etc/key"),
            ("build.start", "\"gunicorn app:app --bind 0.0.0.0:$PORT\""),
            ("source.repository", "ssh://git@example.com:2222/x"),
            ("env.PATH", "\"/opt/x/bin\""),
        ] {
            assert_eq!(shown(field, value), value, "{field}");
        }
    }

    #[test]
    fn that_a_hidden_value_differs_is_still_said() {
        let change = FieldChange { field: "env.TOKEN".into(), from: Some("\"a\"".into()), to: Some("\"b\"".into()) };
        let shown = masked(&change);
        assert_eq!((shown.from.as_deref(), shown.to.as_deref()), (Some(HIDDEN), Some(HIDDEN)));
    }
}
