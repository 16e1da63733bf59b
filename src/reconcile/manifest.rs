//! The manifest file: read again when it changed, watched so that a change is seen at once.

use super::core::Core;
use crate::api::control::ManifestState;
use crate::desired::{ManifestVersion, Parsed};
use crate::model::{EventSeverity, Place, Problem, Severity};
use notify_debouncer_full::notify::RecursiveMode;
use notify_debouncer_full::{DebounceEventResult, new_debouncer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The largest manifest that is read, in bytes.
const LARGEST: u64 = 10 * 1024 * 1024;
/// Editors write a file in several steps; this long after the last of them it is read.
const DEBOUNCE: Duration = Duration::from_millis(150);

/// Reads the manifest and puts what it declares in force, unless it is invalid: then nothing changes but its state.
pub async fn reload(core: &Arc<Core>) {
    let parsed = read(core).await;
    let state = {
        let state = core.state();
        let kept = state.desired.as_ref().map(|d| d.manifest.clone());
        match &parsed.value {
            Some(desired) => {
                ManifestState::InForce { version: desired.manifest.clone(), warnings: parsed.problems.clone() }
            }
            None => ManifestState::Invalid { problems: parsed.problems.clone(), kept },
        }
    };
    let changed = {
        let mut held = core.state();
        let changed = held.manifest != state;
        held.manifest = state.clone();
        if let Some(desired) = parsed.value {
            held.desired = Some(desired);
        }
        changed
    };
    if changed {
        announce(core, &state).await;
    }
}

async fn read(core: &Core) -> Parsed<crate::desired::Desired> {
    let path = &core.config.manifest;
    let file = core.config.manifest_shown.clone();
    match text(path).await {
        Ok(text) => {
            let directory = path.parent().unwrap_or(Path::new(".")).to_owned();
            let catalogue = core.config.catalogue.clone();
            let parse = move || crate::desired::parse_manifest(&file, &directory, &text, &catalogue);
            match tokio::task::spawn_blocking(parse).await {
                Ok(parsed) => parsed,
                Err(error) => unreadable(&core.config.manifest_shown, &format!("failed to read it: {error}")),
            }
        }
        Err(message) => unreadable(&core.config.manifest_shown, &message),
    }
}

async fn text(path: &Path) -> Result<String, String> {
    let size = tokio::fs::metadata(path).await.map_err(|e| e.to_string())?.len();
    if size > LARGEST {
        return Err(format!("it has {size} bytes, more than {LARGEST}"));
    }
    tokio::fs::read_to_string(path).await.map_err(|e| e.to_string())
}

fn unreadable(file: &str, message: &str) -> Parsed<crate::desired::Desired> {
    let problem = Problem {
        class: "unreadable".into(),
        severity: Severity::Error,
        message: format!("failed to read the manifest `{file}`: {message}"),
        place: Place { file: file.to_owned(), line: 0, column: 0 },
        length: 1,
        hint: Some("put it there, or name another with `towpath up -f FILE`".into()),
        source_line: None,
    };
    Parsed { value: None, problems: vec![problem] }
}

async fn announce(core: &Core, state: &ManifestState) {
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
            ("ManifestInvalid", EventSeverity::Error, format!("{} ({stays})", lines.join("; ")))
        }
    };
    core.emit_plain(kind, severity, message).await;
}

/// Watches the manifest's directory (an atomic rename blinds a watch of the file itself). Best effort: the loop reads
/// the file again every few seconds in any case.
pub fn watch(core: &Arc<Core>) -> Option<impl Send + use<>> {
    let path = core.config.manifest.clone();
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let waker = Arc::downgrade(core);
    let on_event = move |events: DebounceEventResult| {
        let touched = events.map(|events| events.iter().any(|e| !e.kind.is_access() && concerns(&e.paths, &path)));
        if touched.unwrap_or(true)
            && let Some(core) = waker.upgrade()
        {
            core.look_again();
        }
    };
    let mut debouncer = new_debouncer(DEBOUNCE, None, on_event)
        .inspect_err(|error| tracing::warn!(%error, "the manifest cannot be watched; it is read every few seconds"))
        .ok()?;
    let watched = debouncer.watch(&directory, RecursiveMode::NonRecursive);
    if let Err(error) = watched {
        tracing::warn!(%error, directory = %directory.display(), "the manifest's directory cannot be watched");
    }
    Some(debouncer)
}

/// Whether an event is about the manifest: itself, or the `..data` link that a mounted configuration is swapped by.
fn concerns(paths: &[PathBuf], manifest: &Path) -> bool {
    paths.iter().any(|p| p.file_name() == manifest.file_name() || p.file_name().is_some_and(|n| n == "..data"))
}
