//! What services share by name: health checks, scaling, sets of variables, secrets, keys. Collected from all files of the
//! manifest before any service is read, so that it does not matter which file declares what.

use super::{Part, connections, sealed, settings, signers, values};
use crate::desired::ConnectionSpec;
use crate::desired::fields::Fields;
use crate::desired::findings::{Findings, quote};
use crate::desired::keys::{listed, nearest};
use crate::desired::yaml::{Entry, Span};
use crate::model::{EnvName, HealthCheck, KeyText, Place, Scaling};
use sealed::Sealed;
use std::cell::Cell;
use std::collections::BTreeMap;

/// The autoscaling configuration that is always there (row I6).
const DEFAULT_SCALING: &str = "DefaultConfiguration";

/// Everything that services share.
pub(super) struct Shared {
    pub(super) health: Named<HealthCheck>,
    pub(super) scaling: Named<Scaling>,
    pub(super) env: Named<BTreeMap<EnvName, String>>,
    pub(super) secrets: Named<Sealed>,
    pub(super) connections: Named<ConnectionSpec>,
    pub(super) keys: Named<Vec<KeyText>>,
}

/// What one top-level key declares, by name.
pub(super) struct Named<T> {
    key: &'static str,
    /// What one of them is called in a message.
    noun: &'static str,
    declared: BTreeMap<String, Declared<T>>,
}

struct Declared<T> {
    value: T,
    /// In which of the manifest's files it stands, and where; `None` for what is always there.
    at: Option<(usize, Span, Place)>,
    used: Cell<bool>,
}

type Read<'r, T> = &'r dyn Fn(&Entry, &Fields, &mut Findings) -> Option<T>;

impl Shared {
    /// Reads the shared values of all files.
    pub(super) fn read(parts: &mut [Part<'_, '_>]) -> Self {
        let mut shared = Self {
            health: Named::new("health", "`health` configuration"),
            scaling: Named::new("autoscaling", "`autoscaling` configuration"),
            env: Named::new("env", "set of variables"),
            secrets: Named::new("secrets", "secret"),
            connections: Named::new("connections", "connection"),
            keys: Named::new("keys", "set of keys"),
        };
        let default = Declared { value: Scaling::default(), at: None, used: Cell::new(true) };
        shared.scaling.declared.insert(DEFAULT_SCALING.to_owned(), default);
        for (index, part) in parts.iter_mut().enumerate() {
            shared.health.collect(index, part, &|entry, section, findings| {
                Some(settings::health(Fields::open(&entry.value, section.path(&entry.key), findings)?, findings))
            });
            shared.scaling.collect(index, part, &|entry, section, findings| {
                Some(settings::scaling(Fields::open(&entry.value, section.path(&entry.key), findings)?, findings))
            });
            shared.env.collect(index, part, &values::set);
            let directory = part.directory;
            shared
                .secrets
                .collect(index, part, &|entry, section, findings| sealed::read(entry, section, directory, findings));
            shared
                .keys
                .collect(index, part, &|entry, section, findings| signers::group(entry, section, directory, findings));
        }
        // After all secrets are known, whichever file declares them.
        for (index, part) in parts.iter_mut().enumerate() {
            let (directory, secrets) = (part.directory, &shared.secrets);
            shared.connections.collect(index, part, &|entry, section, findings| {
                let fields = Fields::open(&entry.value, section.path(&entry.key), findings)?;
                connections::read(fields, directory, secrets, findings)
            });
        }
        shared
    }

    /// Warns of what no service uses.
    pub(super) fn warn_of_unused(&self, parts: &mut [Part<'_, '_>]) {
        self.health.warn_of_unused(parts);
        self.scaling.warn_of_unused(parts);
        self.env.warn_of_unused(parts);
        self.secrets.warn_of_unused(parts);
        self.connections.warn_of_unused(parts);
        self.keys.warn_of_unused(parts);
    }
}

impl<T: Clone> Named<T> {
    fn new(key: &'static str, noun: &'static str) -> Self {
        Self { key, noun, declared: BTreeMap::new() }
    }

    fn collect(&mut self, index: usize, part: &mut Part<'_, '_>, read: Read<'_, T>) {
        let Part { top: Some(top), findings, .. } = part else { return };
        let Some(section) = top.mapping(self.key, findings) else { return };
        for entry in section.entries {
            check_name(entry, self.key, findings);
            let Some(value) = read(entry, &section, findings) else { continue };
            if let Some((.., first)) = self.declared.get(&entry.key).and_then(|d| d.at.as_ref()) {
                let message = format!("the {} {} is declared twice", self.noun, quote(&entry.key));
                findings
                    .error("duplicate", entry.key_span, message)
                    .hint(format!("it is declared at {first} already; keep one of the two"));
                continue;
            }
            let at = Some((index, entry.key_span, findings.place(entry.key_span)));
            self.declared.entry(entry.key.clone()).or_insert(Declared { value, at, used: Cell::new(false) });
        }
    }

    /// What a service names; an unknown name is a problem.
    pub(super) fn find(&self, name: &str, span: Span, findings: &mut Findings) -> Option<T> {
        if let Some(found) = self.declared.get(name) {
            found.used.set(true);
            return Some(found.value.clone());
        }
        let names = self.declared.keys().map(String::as_str);
        let hint = match nearest(name, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.declared.is_empty() => format!("declare it under `{}` at the top level", self.key),
            None => format!("there are {}", listed(names.take(20))),
        };
        findings.error("unknown-name", span, format!("there is no {} {}", self.noun, quote(name))).hint(hint);
        None
    }

    fn warn_of_unused(&self, parts: &mut [Part<'_, '_>]) {
        for (name, declared) in self.declared.iter().filter(|(_, d)| !d.used.get()) {
            let Some((part, span)) = declared.at.as_ref().map(|(index, span, _)| (*index, *span)) else { continue };
            if let Some(part) = parts.get_mut(part) {
                let message = format!("the {} `{name}` is used by no service", self.noun);
                part.findings.warning("unused", span, message).hint("remove it, or name it in a service");
            }
        }
    }

    /// What is declared and used, by name, with its place.
    pub(super) fn used(&self) -> impl Iterator<Item = (&str, &T, &Place)> {
        self.all().filter(|(name, ..)| self.declared.get(*name).is_some_and(|d| d.used.get()))
    }

    /// What is declared, by name, with its place.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &T, &Place)> {
        self.declared.iter().filter_map(|(name, declared)| {
            let (.., place) = declared.at.as_ref()?;
            Some((name.as_str(), &declared.value, place))
        })
    }
}

/// Whether a text can be the name of something shared: 4–32 characters (App Runner's rule).
pub(super) fn is_name(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    plain && (4..=32).contains(&text.len()) && !text.starts_with(['-', '_'])
}

fn check_name(entry: &Entry, key: &str, findings: &mut Findings) {
    let name = entry.key.as_str();
    if name == DEFAULT_SCALING {
        findings.error("name", entry.key_span, format!("`{DEFAULT_SCALING}` is there already and cannot be declared"));
    } else if !is_name(name) {
        findings
            .error("name", entry.key_span, format!("{} cannot be a name under `{key}`", quote(name)))
            .hint("a name has 4 to 32 letters, digits, `-` or `_`, and starts with a letter or digit");
    }
}
