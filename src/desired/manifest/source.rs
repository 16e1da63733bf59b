//! `source`: where a service's code comes from.

use super::{Context, connections, keys, signers, values};
use crate::desired::duration::parse_duration;
use crate::desired::fields::{Fields, checked, text_of};
use crate::desired::findings::{Findings, quote};
use crate::desired::yaml::{Entry, Span, Value};
use crate::model::{
    CodeSource, HostRules, ImageName, Invalid, Poll, Reference, RegistryCredentials, RepositoryUrl, RequiredChecks,
    Track,
};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest time between two polls.
const LONGEST_POLL: Duration = Duration::from_secs(7 * 86_400);

/// What is said of git repositories only.
const OF_REPOSITORIES: &[&str] =
    &["repository", "branch", "tag", "commit", "directory", "connection", "key", "verify", "report", "requireChecks"];

/// Reads `source` (rows S1, S2).
pub(super) fn read(service: &Fields, context: &Context, findings: &mut Findings) -> Option<CodeSource> {
    let hint = "say where the code is: `source: { repository: https://github.com/acme/hello }`";
    let fields = Fields::open(service.required("source", hint, findings)?, service.path("source"), findings)?;
    let fields = keys::check(fields, "source", findings);
    if fields.entry("image").is_some() {
        return image(&fields, context, findings);
    }
    let reference = reference(&fields, findings);
    let directory = fields.parsed("directory", "directory", findings);
    let key = key(&fields, context.directory, findings);
    let auto_deploy = fields.flag("autoDeploy", findings).unwrap_or(true);
    let verify = signers::verify(&fields, context, findings);
    let poll = poll(&fields, findings);
    let host = host_rules(&fields, findings);
    let hint = "write the URL or path of a git repository, or `image: registry.example.com/acme/hello:1.2`";
    fields.required("repository", hint, findings)?;
    let (text, span) = fields.value("repository").and_then(|_| fields.text("repository", findings))?;
    let repository = checked(repository(text, context.directory), "repository", span, findings)?;
    warn_of_plain_http(&repository, span, findings);
    refuse_credentials(&fields, findings)?;
    let connection = connections::named(&fields, &repository, context.shared, findings);
    check_that_checks_are_seen(&fields, &host, findings);
    let track = Track { reference, directory };
    Some(CodeSource { repository, track, key, connection, credentials: None, auto_deploy, verify, poll, host })
}

/// What is said to the host of the repository.
fn host_rules(fields: &Fields, findings: &mut Findings) -> HostRules {
    let report = fields.flag("report", findings).unwrap_or(true);
    let require_checks = required_checks(fields, findings).unwrap_or_default();
    HostRules { report, require_checks }
}

/// Checks that nobody can see would be waited for for ever.
fn check_that_checks_are_seen(fields: &Fields, host: &HostRules, findings: &mut Findings) {
    let Some(entry) = fields.entry("requireChecks") else { return };
    if !host.require_checks.is_none() && fields.entry("connection").is_none() {
        let message =
            format!("`{}` needs a connection to GitHub, which the source does not name", fields.path("requireChecks"));
        findings
            .error("checks", entry.key_span, message)
            .hint("declare one under `connections` and name it: `connection: NAME`");
    }
}

/// `true` for all, a list for some.
fn required_checks(fields: &Fields, findings: &mut Findings) -> Option<RequiredChecks> {
    let node = fields.present("requireChecks", "`true`, or a list of names", findings)?;
    let path = fields.path("requireChecks");
    let Value::Sequence(items) = &node.value else {
        let all = fields.flag("requireChecks", findings)?;
        return Some(if all { RequiredChecks::All } else { RequiredChecks::None });
    };
    if items.is_empty() {
        findings
            .error("checks", node.span, format!("`{path}` names no check"))
            .hint("name checks as GitHub shows them, or write `true` for all");
    }
    let name = |item| text_of(item, &path, findings).map(|(text, _)| text.to_owned());
    Some(RequiredChecks::Named(items.iter().filter_map(name).collect()))
}

/// `image: registry.example.com/acme/orders:1.2` (row S2).
fn image(fields: &Fields, context: &Context, findings: &mut Findings) -> Option<CodeSource> {
    let mut fits = true;
    for entry in fields.entries.iter().filter(|e| OF_REPOSITORIES.contains(&e.key.as_str())) {
        let message = format!("`{}` has no place beside `image`", fields.path(&entry.key));
        findings.error("source", entry.key_span, message).hint("a source is a git repository or an image");
        fits = false;
    }
    let auto_deploy = fields.flag("autoDeploy", findings).unwrap_or(true);
    let credentials = credentials(fields, context, findings);
    let (text, span) = fields.text("image", findings)?;
    let (name, reference) = checked(ImageName::parse_reference(text), "image", span, findings)?;
    let (repository, track) = (RepositoryUrl::Image(name), reference.into());
    let poll = poll(fields, findings);
    let (connection, verify, host) = (None, None, HostRules::default());
    let source = CodeSource { repository, track, key: None, connection, credentials, auto_deploy, verify, poll, host };
    fits.then_some(source)
}

/// `credentials: { username: puller, password: { secret: registry } }`.
fn credentials(fields: &Fields, context: &Context, findings: &mut Findings) -> Option<Box<RegistryCredentials>> {
    let section = keys::check(fields.mapping("credentials", findings)?, "credentials", findings);
    section.required("username", "write who pulls the image", findings)?;
    section.required("password", "write where the password is read from: `{ secret: name }`", findings)?;
    let (username, span) = section.text("username", findings)?;
    // The colon ends it on the wire (RFC 7617).
    if username.is_empty() || username.len() > 255 || username.chars().any(|c| c.is_control() || c == ':') {
        findings.error("credentials", span, "this is not the name of a user of a registry");
        return None;
    }
    let password = values::secret(
        &section.path("password"),
        section.entry("password")?,
        (context.directory, &context.shared.secrets),
        findings,
    )?;
    Some(Box::new(RegistryCredentials { username: username.to_owned(), password }))
}

fn refuse_credentials(fields: &Fields, findings: &mut Findings) -> Option<()> {
    let Some(entry) = fields.entry("credentials") else { return Some(()) };
    let message = format!("`{}` is for images", fields.path("credentials"));
    findings.error("source", entry.key_span, message).hint("a private repository is read over ssh, with `key`");
    None
}

/// What of the repository counts: one branch, one tag or one commit.
fn reference(fields: &Fields, findings: &mut Findings) -> Reference {
    let written: Vec<&Entry> = ["branch", "tag", "commit"].into_iter().filter_map(|key| fields.entry(key)).collect();
    if let [first, others @ ..] = written.as_slice() {
        for other in others {
            let (one, two) = (fields.path(&first.key), fields.path(&other.key));
            let message = format!("`{two}` and `{one}` in line {} both say which version", first.key_span.line);
            findings.error("two-versions", other.key_span, message).hint("keep one of `branch`, `tag` and `commit`");
        }
    }
    let branch = fields.parsed("branch", "branch", findings).map(Reference::Branch);
    let tag = fields.parsed("tag", "tag", findings).map(Reference::Tag);
    let commit = fields.parsed("commit", "commit", findings).map(Reference::Commit);
    branch.or(tag).or(commit).unwrap_or_default()
}

/// `key: { file: … }`, relative to the manifest.
fn key(fields: &Fields, directory: &Path, findings: &mut Findings) -> Option<PathBuf> {
    let key = keys::check(fields.mapping("key", findings)?, "key", findings);
    key.required("file", "write `key: { file: PATH }`, the file of a private key", findings)?;
    let (text, span) = key.text("file", findings)?;
    checked(values::absolute(directory, text), "path", span, findings)
}

/// `poll`: a duration, or a line of crontab.
fn poll(fields: &Fields, findings: &mut Findings) -> Option<Box<Poll>> {
    let (text, span) = fields.text("poll", findings)?;
    let poll = checked(parse_poll(text), "unit", span, findings)?;
    if let Poll::Every(interval) = &poll
        && !(Duration::from_secs(1)..=LONGEST_POLL).contains(interval)
    {
        let message = format!("`{}` must be from 1s to 7d, not {}", fields.path("poll"), quote(text));
        findings.error("range", span, message);
        return None;
    }
    Some(Box::new(poll))
}

/// How often something is asked: `5m`, `*/10 * * * *`, or `CRON_TZ=Asia/Seoul */10 6-20 * * *`.
///
/// # Errors
/// What it is not, and how it is written.
pub fn parse_poll(text: &str) -> Result<Poll, Invalid> {
    let has_fields = text.trim().contains(char::is_whitespace) && text.contains(['*', ',', '/', '-', '=']);
    if has_fields || text.trim_start().starts_with('@') || text.split_whitespace().count() >= 5 {
        return text.parse().map(Poll::At);
    }
    parse_duration(text).map(Poll::Every).map_err(|_| {
        Invalid::new(format!("{} is neither a duration nor a crontab time", quote(text)))
            .hint("write it like `5m`, or like `*/10 6-20 * * *`")
    })
}

/// A repository; a relative path is relative to the manifest.
fn repository(text: &str, directory: &Path) -> Result<RepositoryUrl, crate::model::Invalid> {
    if matches!(text, "." | "..") || text.starts_with("./") || text.starts_with("../") {
        return Ok(RepositoryUrl::File(values::absolute(directory, text)?));
    }
    match text.parse()? {
        RepositoryUrl::Image(image) => Err(crate::model::Invalid::new("an image is no git repository")
            .hint(format!("write `image: {image}` in place of `repository`"))),
        repository => Ok(repository),
    }
}

/// Whoever is on the way can change what is deployed.
fn warn_of_plain_http(repository: &RepositoryUrl, span: Span, findings: &mut Findings) {
    let RepositoryUrl::Http(url) = repository else { return };
    let Some(rest) = url.strip_prefix("http://") else { return };
    let authority = rest.split('/').next().unwrap_or_default();
    if !is_loopback(authority) {
        findings
            .warning(
                "plain-http",
                span,
                "this repository is read without encryption: what is deployed can be changed on the way",
            )
            .hint("use `https://`");
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost", "localhost:3000", "127.0.0.1:80", "[::1]:80", "git.localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["example.com", "localhost.example.com", "10.0.0.1", "[::2]", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
