//! The manifest: read again when it changed, put in force when it is valid. What it is read from is `desired::files`'
//! business, how a change is noticed `watch`'s.

pub mod repository;

use self::repository::Read;
use super::core::Core;
use super::signers;
use crate::api::control::ManifestState;
use crate::desired::{Desired, ManifestFiles, Parsed, parse_manifest_files};
use crate::model::{Digest, EventSeverity, Place, Problem, Severity};
use crate::settings::{ManifestRepository, ManifestSource};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A changed manifest counts once it was read twice alike, so long apart: one that is half-written, or of which only some
/// files are there yet, would delete what is missing.
const SETTLE: Duration = Duration::from_millis(100);
/// How often it is read again while it goes on changing; then the next pass looks.
const PATIENCE: usize = 20;

/// Directories with what tells one from another that took its place: device and inode.
pub type Directories = BTreeMap<PathBuf, (u64, u64)>;

/// The directory that relative paths in the manifest are relative to.
pub fn directory(core: &Core) -> Option<PathBuf> {
    let path = match &core.config.manifest {
        ManifestSource::Path(path) => path.clone(),
        ManifestSource::Repository(repository) => repository::place(core, repository),
    };
    if path.is_dir() { Some(path) } else { Some(path.parent()?.to_owned()) }
}

/// Reads the manifest and puts what it declares in force, unless it is invalid: then nothing changes but its state.
pub async fn reload(core: &Arc<Core>) {
    match &core.config.manifest {
        ManifestSource::Path(path) => {
            if let Some(files) = settled(core, path).await {
                take(core, files, None).await;
            }
        }
        ManifestSource::Repository(repository) => {
            if let Some(read) = repository::newest(core, repository).await {
                take(core, read.files.clone(), Some((repository, &read))).await;
            }
        }
    }
}

/// Puts in force what was read, unless it was before.
async fn take(core: &Arc<Core>, files: ManifestFiles, from: Option<(&ManifestRepository, &Read)>) {
    let digest = Digest::of(&(files.digest(), from.map(|(_, read)| read.commit.id.as_str())));
    // Files of encrypted secrets lie elsewhere, and a key may have come: with secrets each pass looks.
    let same = core.state().manifest_read.as_ref() == Some(&digest);
    if same && !core.state().manifest_has_secrets {
        return;
    }
    let mut parsed = parse(core, files).await;
    let has_secrets = parsed.value.as_ref().is_some_and(|d| !d.secrets.is_empty() || signers::has_files(d));
    if let (Some(desired), Some((_, read))) = (&mut parsed.value, from) {
        desired.manifest.commit = Some(read.commit.clone());
    }
    let parsed = in_place(core, parsed, from).await;
    let valid = parsed.value.is_some();
    let state = {
        let mut held = core.state();
        let state = state_of(&parsed, held.desired.as_ref());
        held.manifest_read = Some(digest);
        held.manifest_has_secrets = has_secrets;
        let changed = held.manifest != state;
        held.manifest = state.clone();
        if let Some(desired) = parsed.value {
            super::feedback::previews::declare(&mut held, desired);
            // Secrets are looked at in each pass: what is the same stays reached.
            if changed || !same {
                held.manifest_converged = None;
            }
        }
        changed.then_some(state)
    };
    if let Some(state) = state {
        announce(core, &state).await;
    }
    if valid {
        keep_windows(core).await;
    }
    if valid && core.config.apply_automatically {
        super::identities::converge(core).await;
    }
    if let (true, Some((repository, read))) = (valid && !same, from) {
        repository::settle(core, repository, read).await;
    }
}

/// Remembers the deploy windows in force: after a restart with a manifest that is no good they hold as before.
async fn keep_windows(core: &Core) {
    let windows = core.state().desired.as_ref().map(|desired| desired.windows.clone()).unwrap_or_default();
    if core.policy().windows == windows {
        return;
    }
    let Ok(value) = serde_json::to_value(&windows) else { return };
    let write = crate::store::Write::PutMeta(super::META_WINDOWS.into(), value);
    if let Err(error) = core.transact(|_| (vec![write], ())).await {
        tracing::warn!(error = %super::chain(&error), "the deploy windows could not be remembered");
    }
}

/// What was read with its secrets opened: with the files of its commit in their place, which are put back if it is no good.
async fn in_place(
    core: &Arc<Core>,
    parsed: Parsed<Desired>,
    from: Option<(&ManifestRepository, &Read)>,
) -> Parsed<Desired> {
    let Some((_, read)) = from.filter(|_| parsed.value.is_some()) else {
        return resolve(core, parsed).await;
    };
    let before = match repository::switch(core, read) {
        Ok(before) => before,
        Err(error) => {
            let message = format!("the files of the manifest's commit could not be put in place: {error}");
            return Parsed { value: None, problems: vec![unreadable(core, message)] };
        }
    };
    let resolved = resolve(core, parsed).await;
    if resolved.value.is_none() {
        repository::switch_back(core, before.as_deref());
    }
    resolved
}

/// With what lies in files beside it: keys and secrets.
pub async fn resolve(core: &Arc<Core>, parsed: Parsed<Desired>) -> Parsed<Desired> {
    super::sealed::resolve(core, signers::resolve(parsed).await).await
}

/// The manifest as it is on disk; `None` while it keeps changing.
async fn settled(core: &Arc<Core>, path: &Path) -> Option<ManifestFiles> {
    let mut files = read(core, path).await?;
    if core.state().manifest_read.as_ref() == Some(&Digest::of(&(files.digest(), None::<&str>))) {
        return Some(files);
    }
    for _ in 0..PATIENCE {
        tokio::time::sleep(SETTLE).await;
        let again = read(core, path).await?;
        if again.digest() == files.digest() {
            return Some(again);
        }
        files = again;
    }
    core.look_again();
    None
}

async fn read(core: &Arc<Core>, path: &Path) -> Option<ManifestFiles> {
    let (path, name) = (path.to_owned(), core.config.manifest_shown.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let files = ManifestFiles::read(&path, &name);
        let identified = files.directories.iter().filter_map(|directory| {
            let metadata = std::fs::metadata(directory).ok()?;
            Some((directory.clone(), (metadata.dev(), metadata.ino())))
        });
        let directories: Directories = identified.collect();
        (files, directories)
    });
    // It does not panic; when the runtime shuts down there is nothing to read for.
    let (files, directories) = reading.await.ok()?;
    core.manifest_directories.send_if_modified(|known| {
        let changed = *known != directories;
        *known = directories;
        changed
    });
    Some(files)
}

async fn parse(core: &Arc<Core>, files: ManifestFiles) -> Parsed<Desired> {
    let catalogue = core.config.catalogue.clone();
    match tokio::task::spawn_blocking(move || parse_manifest_files(&files, &catalogue)).await {
        Ok(parsed) => super::identities::check(core, parsed),
        Err(error) => {
            let message = format!("failed to read the manifest `{}`: {error}", core.config.manifest_shown);
            Parsed { value: None, problems: vec![unreadable(core, message)] }
        }
    }
}

fn unreadable(core: &Core, message: String) -> Problem {
    Problem {
        class: "unreadable".into(),
        severity: Severity::Error,
        message,
        place: Place { file: core.config.manifest_shown.clone(), line: 0, column: 0 },
        length: 1,
        hint: None,
        source_line: None,
    }
}

fn state_of(parsed: &Parsed<Desired>, in_force: Option<&Desired>) -> ManifestState {
    let problems = parsed.problems.clone();
    match &parsed.value {
        Some(desired) => ManifestState::InForce { version: desired.manifest.clone(), warnings: problems },
        None => ManifestState::Invalid { problems, kept: in_force.map(|d| d.manifest.clone()) },
    }
}

async fn announce(core: &Arc<Core>, state: &ManifestState) {
    let (kind, severity, message) = match state {
        ManifestState::None => return,
        ManifestState::InForce { version, warnings } => {
            for warning in warnings {
                let line = warning.one_line();
                core.emit_plain("ManifestWarning", EventSeverity::Warn, line).await;
            }
            let message = match &version.commit {
                None => format!("{} is in force (contents {}).", version.file, &version.digest.short()[..7]),
                Some(commit) => format!("{version} is in force: {}, by {}.", commit.summary, commit.author),
            };
            ("ManifestApplied", EventSeverity::Info, message)
        }
        ManifestState::Invalid { problems, kept } => {
            let lines: Vec<String> = problems.iter().map(crate::model::Problem::one_line).collect();
            let stays = match kept {
                Some(version) if version.commit.is_some() => format!("{version} stays in force"),
                Some(version) => format!("contents {} stay in force", &version.digest.short()[..7]),
                None => "nothing is declared until it is valid".into(),
            };
            let file = &core.config.manifest_shown;
            let message = format!("{file} is invalid, {stays}:\n  {}", lines.join("\n  "));
            ("ManifestInvalid", EventSeverity::Error, message)
        }
    };
    core.emit_plain(kind, severity, message).await;
}
