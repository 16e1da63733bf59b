//! Secrets that stand encrypted in git. When a manifest is read each value gets its digest, so that another value makes
//! another revision and another encryption of the same one does not; the encrypted texts are kept in the store by it.
//! Values are decrypted again when an instance starts, and kept nowhere.

use super::core::Core;
use crate::desired::export::SealedTexts;
use crate::desired::files::read_text;
use crate::desired::{DeclaredSecret, Desired, Parsed, Sealed};
use crate::model::{Digest, Means, Problem, Secret, SecretRef, ServiceSpec, Severity};
use crate::secrets::{Keyring, MAX_SEALED, SecretsError};
use crate::store::{World, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Where the store keeps encrypted texts: by name, then by the digest of the value.
const META_SEALED: &str = "sealed-secrets";

/// Gives each encrypted secret of a manifest the digest of its value. What cannot be decrypted is an error at its place.
pub async fn resolve(core: &Arc<Core>, mut parsed: Parsed<Desired>) -> Parsed<Desired> {
    let declared = parsed.value.as_ref().map(|d| d.secrets.clone()).unwrap_or_default();
    if declared.is_empty() {
        return parsed;
    }
    let directory = core.config.secrets.clone();
    let opened = tokio::task::spawn_blocking(move || open_all(&directory, &declared)).await;
    let opened =
        opened.unwrap_or_else(|error| Err(vec![problem(None, &core.config.manifest_shown, error.to_string(), None)]));
    let texts = match opened {
        Ok(texts) => texts,
        Err(problems) => {
            parsed.problems.extend(problems);
            parsed.value = None;
            return parsed;
        }
    };
    if let Some(desired) = &mut parsed.value {
        name_values(desired, &texts);
    }
    if let Err(error) = core.transact(|world| (keep(world, parsed.value.as_ref(), &texts), ())).await {
        let message = format!("the encrypted secrets could not be stored: {}", super::chain(&error));
        parsed.problems.push(problem(None, &core.config.manifest_shown, message, None));
        parsed.value = None;
    }
    parsed
}

/// As [`resolve`] for a manifest that is only looked at: its files lie in `directory`, where they would be behind `link`.
/// Nothing is kept, and nothing outside of the directory is read.
pub async fn preview(core: &Arc<Core>, mut parsed: Parsed<Desired>, link: &Path, directory: &Path) -> Parsed<Desired> {
    let mut declared = parsed.value.as_ref().map(|d| d.secrets.clone()).unwrap_or_default();
    if declared.is_empty() {
        return parsed;
    }
    let outside: Vec<Problem> = declared.iter_mut().filter_map(|secret| move_inside(secret, link, directory)).collect();
    let keys = core.config.secrets.clone();
    let opened = match outside.is_empty() {
        false => Err(outside),
        true => tokio::task::spawn_blocking(move || open_all(&keys, &declared))
            .await
            .unwrap_or_else(|error| Err(vec![problem(None, &core.config.manifest_shown, error.to_string(), None)])),
    };
    match (opened, &mut parsed.value) {
        (Ok(texts), Some(desired)) => name_values(desired, &texts),
        (Ok(_), None) => {}
        (Err(problems), _) => {
            parsed.problems.extend(problems);
            parsed.value = None;
        }
    }
    parsed
}

/// Makes the file of a secret the one in the directory; a problem if it is not in there.
fn move_inside(secret: &mut DeclaredSecret, link: &Path, directory: &Path) -> Option<Problem> {
    let Sealed::File(path) = &secret.sealed else { return None };
    let inside = path.strip_prefix(link).ok().and_then(|rest| directory.join(rest).canonicalize().ok());
    match inside.filter(|path| directory.canonicalize().is_ok_and(|directory| path.starts_with(directory))) {
        Some(path) => {
            secret.sealed = Sealed::File(path);
            None
        }
        None => {
            let message = format!("the file of the secret `{}` is not in the commit", secret.name);
            Some(problem(Some(secret), "", message, None))
        }
    }
}

fn problem(secret: Option<&DeclaredSecret>, manifest: &str, message: String, hint: Option<String>) -> Problem {
    let place = match secret {
        Some(secret) => secret.place.clone(),
        None => crate::model::Place { file: manifest.to_owned(), line: 0, column: 0 },
    };
    let length = secret.map_or(1, |s| u32::try_from(s.name.chars().count()).unwrap_or(1));
    Problem { class: "secret".into(), severity: Severity::Error, place, length, message, hint, source_line: None }
}

/// A secret's name, the digest of its value, and its encrypted text.
type Opened = (String, Digest, String);

/// All secrets opened; all problems at once.
fn open_all(directory: &Path, declared: &[DeclaredSecret]) -> Result<Vec<Opened>, Vec<Problem>> {
    let failed = |secret: &DeclaredSecret, (message, hint): (String, Option<String>)| {
        problem(Some(secret), "", format!("the secret `{}` cannot be used: {message}", secret.name), hint)
    };
    let keyring = Keyring::open(directory).map_err(|error| told(&error));
    let keyring = keyring.map_err(|why| declared.iter().take(1).map(|s| failed(s, why.clone())).collect::<Vec<_>>())?;
    let (mut opened, mut problems) = (Vec::new(), Vec::new());
    for secret in declared {
        match open_one(&keyring, secret) {
            Ok(one) => opened.push(one),
            Err(why) => problems.push(failed(secret, why)),
        }
    }
    if problems.is_empty() { Ok(opened) } else { Err(problems) }
}

fn open_one(keyring: &Keyring, secret: &DeclaredSecret) -> Result<Opened, (String, Option<String>)> {
    let text = match &secret.sealed {
        Sealed::Text(text) => text.clone(),
        Sealed::File(path) => read_text(path, MAX_SEALED).map_err(|e| (format!("`{}`: {e}", path.display()), None))?,
    };
    let value = keyring.decrypt(&text).map_err(|error| told(&error))?;
    Ok((secret.name.clone(), keyring.digest(&secret.name, &value), text))
}

/// An error in words, with what to do.
fn told(error: &SecretsError) -> (String, Option<String>) {
    (super::chain(error), error.hint())
}

fn name_values(desired: &mut Desired, texts: &[Opened]) {
    let values: BTreeMap<&str, &Digest> = texts.iter().map(|(name, value, _)| (name.as_str(), value)).collect();
    let of_connections = desired.connections.iter_mut().filter_map(|c| c.spec.means.as_mut()).map(Means::secret_mut);
    let of_services = desired.services.iter_mut().flat_map(|s| s.spec.secret_references_mut());
    for reference in of_services.chain(of_connections) {
        if let SecretRef::Sealed { name, value } = reference
            && let Some(known) = values.get(name.as_str())
        {
            *value = (*known).clone();
        }
    }
    desired.manifest.digest = crate::desired::manifest::digest(&desired.services, &desired.windows);
}

/// The texts that are kept: the new ones, and those that a revision or a declaration names.
fn keep(world: &World, desired: Option<&Desired>, texts: &[Opened]) -> Vec<Write> {
    let known = kept(world);
    let revisions = world.revisions.values().map(|r| &r.spec);
    let applied = world.services.values().filter_map(|r| r.applied.as_ref());
    let targets = world.operations.values().filter_map(|o| o.target.spec.as_ref());
    let declared = desired.iter().flat_map(|d| &d.services).map(|s| &s.spec);
    let specs = revisions.chain(applied).chain(targets).chain(declared);
    let connections =
        desired.iter().flat_map(|d| &d.connections).filter_map(|c| sealed(c.spec.means.as_ref()?.secret()));
    let named: BTreeSet<(&String, &Digest)> = specs.flat_map(sealed_of).chain(connections).collect();
    let mut wanted = SealedTexts::new();
    for (name, values) in &known {
        for (value, text) in values.iter().filter(|(value, _)| named.contains(&(name, value))) {
            wanted.entry(name.clone()).or_default().insert(value.clone(), text.clone());
        }
    }
    for (name, value, text) in texts {
        // The newest encryption counts: after a rotation of keys it is the one that can be decrypted.
        wanted.entry(name.clone()).or_default().insert(value.clone(), text.clone());
    }
    if wanted == known {
        return Vec::new();
    }
    let value = serde_json::to_value(wanted).unwrap_or_default();
    vec![Write::PutMeta(META_SEALED.into(), value)]
}

fn kept(world: &World) -> SealedTexts {
    world.meta.get(META_SEALED).and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default()
}

/// The encrypted texts that declarations name.
pub fn texts_of(core: &Core, specs: &[&ServiceSpec]) -> SealedTexts {
    let named: BTreeSet<(&String, &Digest)> = specs.iter().flat_map(|spec| sealed_of(spec)).collect();
    let mut kept = kept(&core.state().world);
    for (name, values) in &mut kept {
        values.retain(|value, _| named.contains(&(name, value)));
    }
    kept.retain(|_, values| !values.is_empty());
    kept
}

/// The encrypted secrets of a declaration, by name and digest.
fn sealed_of(spec: &ServiceSpec) -> impl Iterator<Item = (&String, &Digest)> {
    spec.secret_references().filter_map(sealed)
}

fn sealed(reference: &SecretRef) -> Option<(&String, &Digest)> {
    match reference {
        SecretRef::Sealed { name, value } => Some((name, value)),
        SecretRef::File(_) | SecretRef::Env(_) => None,
    }
}

/// The value of a secret, for an instance that starts.
///
/// # Errors
/// In words.
pub async fn open(core: &Core, name: &str, value: &Digest) -> Result<Secret, String> {
    let text = kept(&core.state().world).remove(name).and_then(|mut values| values.remove(value));
    let text = text.ok_or_else(|| format!("the encrypted text of the secret `{name}` is not kept any more"))?;
    let directory = core.config.secrets.clone();
    let opened = tokio::task::spawn_blocking(move || Keyring::open(&directory)?.decrypt(&text)).await;
    let opened = opened.map_err(|e| e.to_string())?;
    opened.map_err(|e| format!("the secret `{name}`: {}", super::chain(&e)))
}
