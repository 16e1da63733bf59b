//! The environment of an instance: the file's, the manifest's over it, and secrets, resolved when it starts.

use super::core::Core;
use crate::model::{CodeSource, EnvName, RegistryLogin, Revision, Secret, SecretRef};
use std::collections::BTreeMap;

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
    for name in revision.settings.secrets.keys().filter(|n| !env.contains_key(*n)) {
        unresolved.push(format!(
            "`{name}` (`run.secrets` of apprunner.yaml cannot be read in this version; declare it under `secrets:` of the service in the manifest)"
        ));
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

async fn resolve(reference: &SecretRef, core: &Core) -> Result<Secret, String> {
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
