//! The environment of an instance: the file's, the manifest's over it, and secrets, resolved when it starts.

use super::core::Core;
use crate::desired::files::read_text;
use crate::model::{CodeSource, EnvName, RegistryLogin, Revision, Secret, SecretRef, ServiceSpec, ValueFrom};
use crate::secrets::{self, Keyring, MAX_SEALED};
use std::collections::BTreeMap;
use std::path::Path;

/// The largest secret file that is read, in bytes.
const LARGEST: u64 = 64 * 1024;

/// All variables of an instance but those that carry its port. Every unresolved secret is named in the error.
pub async fn environment(revision: &Revision, core: &Core) -> Result<BTreeMap<EnvName, Secret>, String> {
    let mut env: BTreeMap<EnvName, Secret> = BTreeMap::new();
    for (name, value) in revision.settings.env.iter().chain(&revision.spec.env) {
        env.insert(name.clone(), Secret::new(value.clone()));
    }
    let mut unresolved = Vec::new();
    for (name, reference) in &revision.spec.secrets {
        match resolve(reference, core).await {
            Ok(value) => drop(env.insert(name.clone(), value)),
            Err(why) => unresolved.push(format!("`{name}` ({why})")),
        }
    }
    for (name, from) in revision.settings.secrets.iter().filter(|(name, _)| !revision.spec.secrets.contains_key(*name))
    {
        match by_reference(revision, from, core).await {
            // What the manifest declares under the name holds, as ever.
            Ok(value) => drop(env.entry(name.clone()).or_insert(value)),
            Err(_) if env.contains_key(name) => {}
            Err(why) => unresolved.push(format!("`{name}` ({why})")),
        }
    }
    // The port setting wins over a PORT that a user set (row S7).
    env.retain(|name, _| name.as_str() != "PORT");
    if unresolved.is_empty() {
        Ok(env)
    } else {
        Err(format!("secrets could not be resolved: {}", unresolved.join(", ")))
    }
}

/// Who pulls the image of a source, with the password; `None` where everybody may, or it is no image.
pub async fn login(source: &CodeSource, core: &Core) -> Result<Option<RegistryLogin>, String> {
    let Some(credentials) = &source.credentials else { return Ok(None) };
    let password = resolve(&credentials.password, core).await;
    let password = password.map_err(|why| format!("the password of `source.credentials` could not be read: {why}"))?;
    Ok(Some(RegistryLogin { username: credentials.username.clone(), password }))
}

/// The value that a `value-from` names: a secret of the installation's own, which the service's instance role may read (row
/// L2). Who writes `apprunner.yaml` gets no secret by knowing its name.
async fn by_reference(revision: &Revision, from: &str, core: &Core) -> Result<Secret, String> {
    let reference: ValueFrom = from.parse().map_err(|e: crate::model::Invalid| e.to_string())?;
    let role = revision.spec.wire.as_ref().and_then(|wire| wire.instance_role.as_ref());
    let role =
        role.ok_or("the service has no instance role to read it with; in the manifest, declare it under `secrets:`")?;
    let access = core.access.get().ok_or("access control is not open yet")?;
    let arn = reference.arn(&core.config.region, &core.config.account);
    access.instances_may(role, reference.action(), &arn, core.now())?;
    let (directory, wanted) = (core.config.secrets.clone(), reference.clone());
    let opened = tokio::task::spawn_blocking(move || stored(&directory, &wanted)).await;
    let value = opened.map_err(|e| e.to_string())??;
    match reference.key() {
        None => Ok(value),
        Some(key) => member(&value, key).ok_or_else(|| format!("the secret is no JSON object with the key `{key}`")),
    }
}

/// Reads the secret that is kept under one of the names.
fn stored(directory: &Path, reference: &ValueFrom) -> Result<Secret, String> {
    let names = reference.names();
    let files = names.iter().map(|name| secrets::stored_at(directory, name));
    let Some(file) = files.into_iter().find(|file| file.is_file()) else {
        let plain = names.last().copied().unwrap_or_default();
        return Err(format!("no secret `{plain}` is kept here: `towpath secrets set {plain}` keeps one"));
    };
    let text = read_text(&file, MAX_SEALED)?;
    let opened = Keyring::open(directory).and_then(|keyring| keyring.decrypt(&text));
    opened.map_err(|error| super::chain(&error))
}

/// A member of a JSON object, as text.
fn member(value: &Secret, key: &str) -> Option<Secret> {
    let object: serde_json::Value = serde_json::from_str(value.reveal()).ok()?;
    let text = match object.as_object()?.get(key)? {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some(Secret::new(text))
}

/// The values of a declaration's secrets, as far as they can be read: to be kept out of what is told to others.
pub async fn values(spec: &ServiceSpec, core: &Core) -> Vec<Secret> {
    let mut values = Vec::with_capacity(spec.secrets.len());
    for reference in spec.secrets.values() {
        values.extend(resolve(reference, core).await.ok());
    }
    values
}

/// The value of a secret.
///
/// # Errors
/// In words.
pub(super) async fn resolve(reference: &SecretRef, core: &Core) -> Result<Secret, String> {
    match reference {
        SecretRef::Env(name) => core
            .config
            .environment
            .get(name)
            .cloned()
            .ok_or_else(|| format!("towpath's environment has no variable `{name}`")),
        SecretRef::Sealed { name, value } => super::sealed::open(core, name, value).await,
        SecretRef::File(path) => {
            let size = tokio::fs::metadata(path).await.map_err(|e| format!("{}: {e}", path.display()))?.len();
            if size > LARGEST {
                return Err(format!("{}: larger than {LARGEST} bytes", path.display()));
            }
            let text = tokio::fs::read_to_string(path).await.map_err(|e| format!("{}: {e}", path.display()))?;
            Ok(Secret::new(
                text.strip_suffix('\n').map(|t| t.strip_suffix('\r').unwrap_or(t)).unwrap_or(&text).to_owned(),
            ))
        }
    }
}
