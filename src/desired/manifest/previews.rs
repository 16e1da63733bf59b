//! `previews`: a service for each pull request.

use super::shared::Shared;
use super::{keys, settings, values};
use crate::desired::fields::{Fields, checked, text_of};
use crate::desired::findings::Findings;
use crate::desired::yaml::Value;
use crate::model::{EnvName, Previews, ServiceSpec};
use std::time::Duration;

/// How long a preview may stay.
const LONGEST: Duration = Duration::from_secs(90 * 24 * 3600);
const SHORTEST: Duration = Duration::from_secs(60);

/// Reads `previews` of a service.
pub(super) fn read(
    service: &Fields,
    spec: Option<&ServiceSpec>,
    shared: &Shared,
    findings: &mut Findings,
) -> Option<Previews> {
    let fields = keys::check(service.mapping("previews", findings)?, "previews", findings);
    let ttl = settings::duration(&fields, "ttl", SHORTEST..=LONGEST, findings).map(|(ttl, _)| ttl);
    let max = fields.number("max", 1..=50, findings);
    let forks = fields.flag("forks", findings).unwrap_or(false);
    let secrets = secrets(&fields, spec, findings);
    let env = values::environment(&fields, "env", shared, findings);
    let source = spec.map(|spec| &spec.source);
    if source.is_some_and(|source| source.connection.is_none()) {
        findings
            .error("previews", fields.span, "pull requests are seen by a connection, and the source names none")
            .hint("declare one under `connections` and name it: `source: { …, connection: NAME }`");
    }
    Some(Previews {
        ttl: ttl.unwrap_or(Duration::from_secs(72 * 3600)),
        max: max.unwrap_or(5),
        forks,
        secrets,
        env: values::without(env, &Default::default()),
    })
}

/// Secrets of the service, by the names of their variables.
fn secrets(fields: &Fields, spec: Option<&ServiceSpec>, findings: &mut Findings) -> Vec<EnvName> {
    let Some(node) = fields.present("secrets", "a list of variables", findings) else { return Vec::new() };
    let path = fields.path("secrets");
    let Value::Sequence(items) = &node.value else {
        crate::desired::fields::mismatch(
            node,
            &path,
            "a list of variables that the service has under `secrets`",
            findings,
        );
        return Vec::new();
    };
    let mut names = Vec::new();
    for item in items {
        let Some((text, span)) = text_of(item, &path, findings) else { continue };
        let Some(name) = checked(text.parse::<EnvName>(), "secrets", span, findings) else { continue };
        if spec.is_some_and(|spec| !spec.secrets.contains_key(&name)) {
            findings
                .error("unknown-name", span, format!("the service has no secret `{name}`"))
                .hint("name variables that stand under its `secrets`");
        }
        names.push(name);
    }
    names
}
