//! One service of the manifest.

use super::{Context, build, keys, previews, restraint, settings, source, values};
use crate::desired::fields::Fields;
use crate::desired::findings::Findings;
use crate::model::{BuildSource, Previews, ServiceName, ServiceSpec};

/// Reads a service; `None` where something that it needs is wrong, which is among the findings then.
pub(super) fn read(
    fields: Fields,
    name: Option<ServiceName>,
    context: &Context,
    findings: &mut Findings,
) -> Option<(ServiceSpec, Option<Previews>)> {
    let fields = &keys::check(fields, "service", findings);
    let spec = declared(fields, name, context, findings);
    let previews = previews::read(fields, spec.as_ref(), context.shared, findings);
    Some((spec?, previews))
}

fn declared(
    fields: &Fields,
    name: Option<ServiceName>,
    context: &Context,
    findings: &mut Findings,
) -> Option<ServiceSpec> {
    let source = source::read(fields, context, findings);
    let port = fields.number("port", 1..=65535, findings).and_then(|port| u16::try_from(port).ok());
    let build = build::read(fields, port, context, findings);
    let env = values::environment(fields, "env", context.shared, findings);
    let secrets = values::secrets(fields, context, findings);
    let instance = settings::instance(fields, findings);
    let health = settings::health_of(fields, context.shared, findings);
    let scaling = settings::scaling_of(fields, context.shared, findings);
    let deploy = settings::deploy(fields, findings);
    let tags = values::tags(fields, findings);
    let restraint = restraint::read(fields, findings);
    values::check_overlap(fields, findings);
    match &build {
        Some(BuildSource::Repository) => warn_of_port(fields, findings),
        Some(BuildSource::Inline(settings)) => values::warn_of_lost(fields, settings, findings),
        None => {}
    }
    Some(ServiceSpec {
        name: name?,
        source: source?,
        build: build?,
        instance,
        env: values::without(env, &secrets),
        secrets,
        health,
        scaling,
        deploy,
        tags,
        restraint,
        wire: None,
        preview: None,
    })
}

/// With a configuration file the values given here are ignored (row S6): not without a word.
fn warn_of_port(fields: &Fields, findings: &mut Findings) {
    if let Some(entry) = fields.entry("port") {
        let message = format!("`{}` has no effect: the port is read from `apprunner.yaml`", fields.path("port"));
        findings
            .warning("unused", entry.key_span, message)
            .hint("set `run.network.port` in that file, or build in place");
    }
}
