//! The manifest (`towpath.yaml`): what should run. Text in, desired state and every problem out.
//!
//! Strict: a key that is not known is an error, and so is a key of a feature that this version does not have, because
//! a declared thing that silently does not happen is worse than a file that is refused. Pure: no file is read.

mod build;
mod keys;
mod service;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod values;

use super::fields::Fields;
use super::findings::Findings;
use super::yaml::{self, Span};
use super::{DeclaredService, Desired, ManifestVersion, Parsed};
use crate::model::{Catalogue, Digest, HostLabel, ServiceName, ServiceSpec};
use settings::Shared;
use std::collections::HashMap;
use std::path::Path;

/// What reading a manifest needs to know beside its text.
struct Context<'c> {
    /// The absolute directory that relative paths are relative to.
    directory: &'c Path,
    catalogue: &'c Catalogue,
    shared: Shared,
}

/// Reads a manifest. The value is there when no problem is an error.
///
/// `directory` is the absolute directory of the file: relative repositories and secret files are relative to it.
pub fn parse_manifest(file: &str, directory: &Path, text: &str, catalogue: &Catalogue) -> Parsed<Desired> {
    let mut findings = Findings::new(file, text);
    let services = yaml::read(text, &mut findings).and_then(|root| {
        let top = Fields::open(&root, "", &mut findings)?;
        if is_other_kind(&top, &mut findings) {
            return None;
        }
        let top = keys::check(top, "", &mut findings);
        let context = Context { directory, catalogue, shared: Shared::read(&top, &mut findings) };
        services(&top, &context, &mut findings)
    });
    let desired = services.map(|services| Desired { manifest: version(file, &services), services });
    findings.finish(desired)
}

/// An `apprunner.yaml` taken for a manifest is one error, not one per key.
fn is_other_kind(top: &Fields, findings: &mut Findings) -> bool {
    let other = top.entry("services").is_none() && top.entry("runtime").is_some() && top.entry("run").is_some();
    if other {
        findings
            .error("kind", top.span, "this is an `apprunner.yaml`, not a manifest")
            .hint("name it `apprunner.yaml`; a manifest declares `services`");
    }
    other
}

/// The digest is of what is declared: neither comments, nor form, nor the order of services changes it.
fn version(file: &str, services: &[DeclaredService]) -> ManifestVersion {
    let mut specs: Vec<&ServiceSpec> = services.iter().map(|s| &s.spec).collect();
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    ManifestVersion { file: file.to_owned(), digest: Digest::of(&specs) }
}

fn services(top: &Fields, context: &Context, findings: &mut Findings) -> Option<Vec<DeclaredService>> {
    let node = top.required("services", "declare the services under `services`; `services: {}` for none", findings)?;
    let section = Fields::open(node, "services", findings)?;
    if section.entries.is_empty() {
        findings
            .warning("empty", section.span, "this manifest declares no services")
            .hint("everything that it declared before would be deleted");
    }
    let mut labels = HashMap::new();
    let mut services = Vec::with_capacity(section.entries.len());
    for entry in section.entries {
        let name = values::service_name(&entry.key, entry.key_span, findings);
        if let Some(name) = &name {
            check_label(name, entry.key_span, &mut labels, findings);
        }
        let service = Fields::open(&entry.value, section.path(&entry.key), findings)
            .and_then(|fields| service::read(fields, name, context, findings));
        services.extend(service.map(|spec| DeclaredService { spec, place: findings.place(entry.key_span) }));
    }
    Some(services)
}

/// Services answer by host name, where case and `_` make no difference.
fn check_label(
    name: &ServiceName,
    span: Span,
    labels: &mut HashMap<HostLabel, (String, Span)>,
    findings: &mut Findings,
) {
    let label = name.host_label();
    if let Some((other, first)) = labels.get(&label) {
        let message = format!("services `{name}` and `{other}` (line {}) share the host name `{label}`", first.line);
        findings
            .error("duplicate-host", span, message)
            .hint("rename one of them; upper case and `_` do not tell host names apart");
        return;
    }
    labels.insert(label, (name.to_string(), span));
}
