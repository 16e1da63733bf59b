//! `connections`: access to private repositories (row C1), and `source.connection`, which names one.

use super::sealed::Sealed;
use super::shared::{Named, Shared};
use super::{keys, values};
use crate::desired::ConnectionSpec;
use crate::desired::fields::Fields;
use crate::desired::findings::Findings;
use crate::model::{ConnectionName, HostUrl, Means, Provider, RepositoryUrl, SecretRef};
use std::path::Path;

/// More than any id at GitHub.
const LARGEST_ID: u32 = u32::MAX - 1;

/// Where secrets are read from.
type Secrets<'s> = (&'s Path, &'s Named<Sealed>);

/// One connection.
pub(super) fn read(
    fields: Fields,
    directory: &Path,
    sealed: &Named<Sealed>,
    findings: &mut Findings,
) -> Option<ConnectionSpec> {
    let fields = keys::check(fields, "connection", findings);
    fields.required("provider", "write `provider: GITHUB`, `BITBUCKET`, or `GIT` for every other server", findings)?;
    let provider: Provider = fields.parsed("provider", "provider", findings)?;
    let means = means(&fields, provider, (directory, sealed), findings)?;
    let host = host(&fields, provider, findings)?;
    Some(ConnectionSpec { provider, host, means })
}

fn host(fields: &Fields, provider: Provider, findings: &mut Findings) -> Option<HostUrl> {
    match (fields.entry("url"), provider.host()) {
        (None, Some(usual)) => Some(usual),
        (None, None) => {
            fields.required("url", "write the server's URL: `url: https://git.example.com`", findings)?;
            None
        }
        (Some(_), _) => fields.parsed("url", "url", findings),
    }
}

/// How it gets in: `Some(None)` where that is left to the handshake, `None` where something is wrong with it.
fn means(fields: &Fields, provider: Provider, secrets: Secrets<'_>, findings: &mut Findings) -> Option<Option<Means>> {
    let written = fields.entries.iter().filter(|e| matches!(e.key.as_str(), "token" | "basic" | "sshKey" | "app"));
    let written: Vec<_> = written.collect();
    match written.as_slice() {
        [] => Some(None),
        [only] => match only.key.as_str() {
            "basic" => basic(fields, secrets, findings).map(Some),
            "app" => app(fields, provider, secrets, findings).map(Some),
            "token" => secret(fields, "token", secrets, findings).map(|token| Some(Means::Token(token))),
            _ => secret(fields, "sshKey", secrets, findings).map(|key| Some(Means::SshKey(key))),
        },
        [first, others @ ..] => {
            for other in others {
                let (one, two) = (fields.path(&first.key), fields.path(&other.key));
                let message = format!("`{two}` and `{one}` in line {} both say how to get in", first.key_span.line);
                let hint = "keep one of them; a second connection can have the other";
                findings.error("two-means", other.key_span, message).hint(hint);
            }
            None
        }
    }
}

fn secret(fields: &Fields, key: &str, secrets: Secrets<'_>, findings: &mut Findings) -> Option<SecretRef> {
    let hint = "write `{ file: PATH }`, `{ env: NAME }` or `{ secret: NAME }`";
    fields.required(key, hint, findings)?;
    values::secret(&fields.path(key), fields.entry(key)?, secrets, findings)
}

fn basic(fields: &Fields, secrets: Secrets<'_>, findings: &mut Findings) -> Option<Means> {
    let basic = keys::check(fields.mapping("basic", findings)?, "basic", findings);
    let password = secret(&basic, "password", secrets, findings);
    basic.required("username", "write the user name that goes with the password", findings)?;
    let (username, span) = basic.text("username", findings)?;
    if username.is_empty() || username.len() > 255 || username.chars().any(|c| c.is_control() || c == ':') {
        let message = format!("`{}` is no user name: it has 1 to 255 characters and no `:`", basic.path("username"));
        findings.error("username", span, message);
        return None;
    }
    Some(Means::Basic { username: username.to_owned(), password: password? })
}

fn app(fields: &Fields, provider: Provider, secrets: Secrets<'_>, findings: &mut Findings) -> Option<Means> {
    let app = keys::check(fields.mapping("app", findings)?, "app", findings);
    if provider != Provider::GitHub {
        let message = format!("`{}` is GitHub's: {provider} has no Apps", fields.path("app"));
        findings.error("app", app.span, message).hint("use `token`, `basic` or `sshKey`");
        return None;
    }
    app.required("id", "write the App's id, which stands in its settings", findings);
    let id = app.number("id", 1..=LARGEST_ID, findings);
    let key = secret(&app, "privateKey", secrets, findings);
    let installation = app.number("installation", 1..=LARGEST_ID, findings);
    Some(Means::App { id: id?.into(), key: key?, installation: installation.map(u64::from) })
}

/// `source.connection`: it has to be declared, and to lead to the repository.
pub(super) fn named(
    fields: &Fields,
    repository: &RepositoryUrl,
    shared: &Shared,
    findings: &mut Findings,
) -> Option<ConnectionName> {
    let (text, span) = fields.text("connection", findings)?;
    let spec = shared.connections.find(text, span, findings)?;
    if let Some(key) = fields.entry("key") {
        let message = format!("`{}` and `{}` both say how to get in", fields.path("key"), fields.path("connection"));
        findings.error("two-means", key.key_span, message).hint("keep one of them");
    }
    if !spec.host.has(repository) {
        let message = format!("the connection `{text}` does not lead to this repository: it belongs to {}", spec.host);
        let hint = "its credentials are shown to that server only; declare another connection for this one";
        findings.error("other-server", span, message).hint(hint);
    }
    let over_ssh = matches!(repository, RepositoryUrl::Ssh(_));
    match &spec.means {
        Some(Means::SshKey(_)) if !over_ssh => wrong_protocol(text, "a key for ssh", "git@HOST:PATH", span, findings),
        Some(means) if over_ssh && !matches!(means, Means::SshKey(_)) => {
            wrong_protocol(text, &format!("`{}`", means.word()), "https://…", span, findings);
        }
        _ => {}
    }
    text.parse().ok()
}

fn wrong_protocol(name: &str, has: &str, form: &str, span: crate::desired::yaml::Span, findings: &mut Findings) {
    let message = format!("the connection `{name}` has {has}, which is of no use with this URL");
    findings.error("other-protocol", span, message).hint(format!("write the repository as `{form}`"));
}
