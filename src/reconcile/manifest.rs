//! The manifest: read again when it changed, put in force when it is valid. What it is read from is `desired::files`'
//! business, how a change is noticed `watch`'s.

use super::core::Core;
use crate::api::control::ManifestState;
use crate::desired::{Desired, ManifestFiles, ManifestVersion, Parsed, parse_manifest_files};
use crate::model::{EventSeverity, Place, Problem, Severity};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A changed manifest counts once it was read twice alike, so long apart: one that is half-written, or of which only some
/// files are there yet, would delete what is missing.
const SETTLE: Duration = Duration::from_millis(100);
/// How often it is read again while it goes on changing; then the next pass looks.
const PATIENCE: usize = 20;

/// Directories with what tells one from another that took its place: device and inode.
pub type Directories = BTreeMap<PathBuf, (u64, u64)>;

/// Reads the manifest and puts what it declares in force, unless it is invalid: then nothing changes but its state.
pub async fn reload(core: &Arc<Core>) {
    let Some(files) = settled(core).await else { return };
    let digest = files.digest();
    // Files of encrypted secrets lie elsewhere, and a key may have come: with secrets each pass looks.
    let same = core.state().manifest_read.as_ref() == Some(&digest);
    if same && !core.state().manifest_has_secrets {
        return;
    }
    let parsed = parse(core, files).await;
    let has_secrets = parsed.value.as_ref().is_some_and(|d| !d.secrets.is_empty());
    let parsed = super::sealed::resolve(core, parsed).await;
    let state = {
        let mut held = core.state();
        let state = state_of(&parsed, held.desired.as_ref());
        held.manifest_read = Some(digest);
        held.manifest_has_secrets = has_secrets;
        let changed = held.manifest != state;
        held.manifest = state.clone();
        if let Some(desired) = parsed.value {
            held.desired = Some(desired);
        }
        changed.then_some(state)
    };
    if let Some(state) = state {
        announce(core, &state).await;
    }
}

/// The manifest as it is on disk; `None` while it keeps changing.
async fn settled(core: &Arc<Core>) -> Option<ManifestFiles> {
    let mut files = read(core).await?;
    if core.state().manifest_read.as_ref() == Some(&files.digest()) {
        return Some(files);
    }
    for _ in 0..PATIENCE {
        tokio::time::sleep(SETTLE).await;
        let again = read(core).await?;
        if again.digest() == files.digest() {
            return Some(again);
        }
        files = again;
    }
    core.look_again();
    None
}

async fn read(core: &Arc<Core>) -> Option<ManifestFiles> {
    let (path, name) = (core.config.manifest.clone(), core.config.manifest_shown.clone());
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
        Ok(parsed) => parsed,
        Err(error) => {
            let file = core.config.manifest_shown.clone();
            let problem = Problem {
                class: "unreadable".into(),
                severity: Severity::Error,
                message: format!("failed to read the manifest `{file}`: {error}"),
                place: Place { file, line: 0, column: 0 },
                length: 1,
                hint: None,
                source_line: None,
            };
            Parsed { value: None, problems: vec![problem] }
        }
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
            let ManifestVersion { file, digest } = version;
            ("ManifestApplied", EventSeverity::Info, format!("{file} is in force (contents {}).", &digest.short()[..7]))
        }
        ManifestState::Invalid { problems, kept } => {
            let lines: Vec<String> = problems.iter().map(crate::model::Problem::one_line).collect();
            let stays = match kept {
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
