//! The manifest (`towpath.yaml`): what should run. Text in, desired state and every problem out.
//!
//! Strict: a key that is not known is an error, and so is a key of a feature that this version does not have, because
//! a declared thing that silently does not happen is worse than a file that is refused. Pure: no file is read.

mod build;
mod connections;
mod dockerfile;
mod identities;
mod keys;
mod previews;
mod restraint;
mod sealed;
mod service;
mod settings;
mod shared;
mod signers;
mod source;
#[cfg(test)]
mod tests;
mod values;

use super::fields::Fields;
use super::files::{ManifestFiles, ManifestText};
use super::findings::Findings;
use super::yaml::{self, Node, Span};
use super::{DeclaredConnection, DeclaredSecret, DeclaredService, DeclaredWindow, Desired, ManifestVersion, Parsed};
use crate::model::{Catalogue, Digest, HostLabel, Place, Problem, ServiceName, ServiceSpec, Severity};
pub(super) use keys::levels;
use restraint::Dependent;
pub use sealed::Sealed;
use shared::Shared;
pub use source::parse_poll;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// What reading a service needs to know beside its text.
struct Context<'c> {
    /// The absolute directory that relative paths are relative to.
    directory: &'c Path,
    catalogue: &'c Catalogue,
    shared: &'c Shared,
}

/// One file of the manifest while it is read.
struct Part<'t, 'n> {
    directory: &'t Path,
    findings: Findings<'t>,
    /// The whole file; `None` if it is nothing to read further.
    top: Option<Fields<'n>>,
}

/// Reads a manifest of one file. The value is there when no problem is an error.
///
/// `directory` is the absolute directory of the file: relative repositories and secret files are relative to it.
pub fn parse_manifest(file: &str, directory: &Path, text: &str, catalogue: &Catalogue) -> Parsed<Desired> {
    parse_manifest_files(&ManifestFiles::of_text(file, directory, text), catalogue)
}

/// Reads a manifest of one file or of all files of a directory. The value is there when no problem is an error.
pub fn parse_manifest_files(manifest: &ManifestFiles, catalogue: &Catalogue) -> Parsed<Desired> {
    let mut findings: Vec<Findings> = manifest.files.iter().map(|f| Findings::new(&f.file, &f.text)).collect();
    let mut budget = yaml::MAX_NODES;
    let read = |(file, findings): (&ManifestText, &mut Findings)| yaml::read_within(&file.text, &mut budget, findings);
    let roots: Vec<Option<Node>> = manifest.files.iter().zip(&mut findings).map(read).collect();
    let parts = manifest.files.iter().zip(findings).zip(&roots);
    let mut parts: Vec<Part> = parts.map(|((file, found), root)| part(file, found, root.as_ref())).collect();
    let shared = Shared::read(&mut parts);
    let single = matches!(&manifest.files[..], [only] if only.file == manifest.name);
    let services = services(&mut parts, &shared, catalogue, single);
    let windows = windows(&mut parts, &services);
    dependencies(&mut parts);
    let identities = identities::read(&mut parts);
    let mut problems = manifest.problems.clone();
    let has_errors = |problems: &[Problem]| problems.iter().any(|p| p.severity == Severity::Error);
    if !has_errors(&problems) && parts.iter().all(|part| !part.findings.has_errors()) {
        shared.warn_of_unused(&mut parts);
    }
    let sections = parts.iter().filter(|p| p.top.as_ref().is_some_and(|top| top.entry("services").is_some())).count();
    for part in parts {
        problems.extend(part.findings.finish(None::<()>).problems);
    }
    if !single && !has_errors(&problems) && (sections == 0 || services.is_empty()) {
        problems.push(without_services(&manifest.name, sections == 0));
    }
    let secrets = secrets(&shared);
    let version = ManifestVersion { file: manifest.name.clone(), digest: digest(&services, &windows), commit: None };
    let connections = connections(&shared);
    let desired = Desired { manifest: version, services, secrets, windows, identities, connections };
    Parsed { value: Some(desired).filter(|_| !has_errors(&problems)), problems }
}

fn part<'t, 'n>(file: &'t ManifestText, mut findings: Findings<'t>, root: Option<&'n Node>) -> Part<'t, 'n> {
    let top = root.and_then(|root| Fields::open(root, "", &mut findings));
    let top = top.filter(|top| !is_other_kind(top, &mut findings));
    let top = top.map(|top| keys::check(top, "", &mut findings));
    Part { directory: &file.directory, findings, top }
}

/// What a directory is told that declares no services at all.
fn without_services(name: &str, forgotten: bool) -> Problem {
    let (severity, message, hint) = match forgotten {
        true => (
            Severity::Error,
            format!("no file of the manifest directory `{name}` has `services`"),
            "declare the services under `services`; `services: {}` for none",
        ),
        false => (
            Severity::Warning,
            format!("the manifest directory `{name}` declares no services"),
            "everything that it declared before would be deleted",
        ),
    };
    Problem {
        class: "empty".into(),
        severity,
        place: Place { file: name.to_owned(), line: 0, column: 0 },
        length: 1,
        message,
        hint: Some(hint.into()),
        source_line: None,
    }
}

fn secrets(shared: &Shared) -> Vec<DeclaredSecret> {
    let used = shared.secrets.used();
    used.map(|(name, sealed, place)| DeclaredSecret {
        name: name.to_owned(),
        sealed: sealed.clone(),
        place: place.clone(),
    })
    .collect()
}

/// All connections, used or not: the API shows them too.
fn connections(shared: &Shared) -> Vec<DeclaredConnection> {
    let all = shared.connections.all();
    let declared = all.filter_map(|(name, spec, place)| {
        Some(DeclaredConnection { name: name.parse().ok()?, spec: spec.clone(), place: place.clone() })
    });
    declared.collect()
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
pub fn digest(services: &[DeclaredService], windows: &[DeclaredWindow]) -> Digest {
    let mut specs: Vec<&ServiceSpec> = services.iter().map(|s| &s.spec).collect();
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    match windows {
        [] => Digest::of(&specs),
        windows => Digest::of(&(specs, windows.iter().map(|declared| &declared.window).collect::<Vec<_>>())),
    }
}

/// The deploy windows of all files.
fn windows(parts: &mut [Part<'_, '_>], services: &[DeclaredService]) -> Vec<DeclaredWindow> {
    let known: Vec<&ServiceName> = services.iter().map(|declared| &declared.spec.name).collect();
    let mut windows = Vec::new();
    for part in parts {
        let Part { top: Some(top), findings, .. } = part else { continue };
        let read = restraint::windows(top, findings);
        // Where a service could not be read, its name is no mistake.
        if !findings.has_errors() {
            restraint::check_windows(&read, &known, findings);
        }
        windows.extend(read.windows);
    }
    windows
}

/// Checks what services depend on, over all files.
fn dependencies(parts: &mut [Part<'_, '_>]) {
    let of_part = |part: &Part<'_, '_>| -> Vec<(ServiceName, Option<Dependent>)> {
        let section = part.top.as_ref().and_then(|top| top.value("services")).and_then(Node::entries);
        let read = section.into_iter().flatten().filter_map(|entry| {
            let name: ServiceName = entry.key.parse().ok()?;
            let dependent = restraint::dependent(&name, &entry.value, part.findings.place(entry.key_span));
            Some((name, dependent))
        });
        read.collect()
    };
    let read: Vec<Vec<(ServiceName, Option<Dependent>)>> = parts.iter().map(of_part).collect();
    let known: Vec<&ServiceName> = read.iter().flatten().map(|(name, _)| name).collect();
    let all: BTreeMap<&ServiceName, &Dependent> =
        read.iter().flatten().filter_map(|(name, dependent)| Some((name, dependent.as_ref()?))).collect();
    for (part, own) in parts.iter_mut().zip(&read) {
        let own: Vec<&Dependent> = own.iter().filter_map(|(_, dependent)| dependent.as_ref()).collect();
        restraint::check_dependencies(&all, &own, &known, &mut part.findings);
    }
}

fn services(parts: &mut [Part<'_, '_>], shared: &Shared, catalogue: &Catalogue, single: bool) -> Vec<DeclaredService> {
    let mut labels = HashMap::new();
    let mut services = Vec::new();
    for part in parts {
        let context = Context { directory: part.directory, catalogue, shared };
        let Part { top: Some(top), findings, .. } = part else { continue };
        services.extend(services_of(top, &context, single, &mut labels, findings).unwrap_or_default());
    }
    services
}

fn services_of(
    top: &Fields,
    context: &Context,
    single: bool,
    labels: &mut Labels,
    findings: &mut Findings,
) -> Option<Vec<DeclaredService>> {
    if !single && top.entry("services").is_none() {
        return None;
    }
    let node = top.required("services", "declare the services under `services`; `services: {}` for none", findings)?;
    let section = Fields::open(node, "services", findings)?;
    if single && section.entries.is_empty() {
        findings
            .warning("empty", section.span, "this manifest declares no services")
            .hint("everything that it declared before would be deleted");
    }
    let mut services = Vec::with_capacity(section.entries.len());
    for entry in section.entries {
        let name = values::service_name(&entry.key, entry.key_span, findings);
        if let Some(name) = &name {
            check_label(name, entry.key_span, labels, findings);
        }
        let service = Fields::open(&entry.value, section.path(&entry.key), findings)
            .and_then(|fields| service::read(fields, name, context, findings));
        let place = findings.place(entry.key_span);
        services.extend(service.map(|(spec, previews)| DeclaredService { spec, place, previews }));
    }
    Some(services)
}

/// Which service has a host label, and where it is declared.
type Labels = HashMap<HostLabel, (ServiceName, Place)>;

/// Services answer by host name, where case and `_` make no difference.
fn check_label(name: &ServiceName, span: Span, labels: &mut Labels, findings: &mut Findings) {
    let label = name.host_label();
    match labels.get(&label) {
        Some((other, first)) if other == name => {
            findings
                .error("duplicate", span, format!("the service `{name}` is declared twice"))
                .hint(format!("it is declared at {first} already; keep one of the two"));
        }
        Some((other, first)) => {
            let message = format!("services `{name}` and `{other}` ({first}) share the host name `{label}`");
            findings
                .error("duplicate-host", span, message)
                .hint("rename one of them; upper case and `_` do not tell host names apart");
        }
        None => drop(labels.insert(label, (name.clone(), findings.place(span)))),
    }
}
