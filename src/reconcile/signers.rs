//! Files of public keys that commits are signed with: read where a manifest is put in force, into the declarations that
//! name them, so that what is stored says by itself whom it trusts.

use crate::desired::files::read_text;
use crate::desired::{DeclaredService, Desired, Parsed};
use crate::model::{Invalid, KeyText, Problem, Severity};
use crate::trust::{MOST_TEXT, read_keys};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The text of each file, or why there is none.
type Read = BTreeMap<PathBuf, Result<String, Invalid>>;

/// Whether a manifest names such files.
pub fn has_files(desired: &Desired) -> bool {
    desired.services.iter().any(|service| files_of(service).next().is_some())
}

/// Reads the files. One that cannot be read, or has no keys, is an error at each service that names it.
pub async fn resolve(mut parsed: Parsed<Desired>) -> Parsed<Desired> {
    let Some(desired) = parsed.value.as_mut().filter(|desired| has_files(desired)) else { return parsed };
    let files: Vec<PathBuf> = desired.services.iter().flat_map(files_of).cloned().collect();
    let reading =
        tokio::task::spawn_blocking(move || files.into_iter().map(|file| (file.clone(), read(&file))).collect());
    // It does not panic; when the runtime shuts down there is nothing to read for.
    let read: Read = reading.await.unwrap_or_default();
    let problems: Vec<Problem> = desired.services.iter().flat_map(|service| problems_of(service, &read)).collect();
    if problems.is_empty() {
        desired.services.iter_mut().for_each(|service| put(service, &read));
        desired.manifest.digest = crate::desired::manifest::digest(&desired.services, &desired.windows);
    } else {
        parsed.value = None;
    }
    parsed.problems.extend(problems);
    parsed
}

fn files_of(service: &DeclaredService) -> impl Iterator<Item = &PathBuf> {
    let groups = service.spec.source.verify.iter().flat_map(|verify| &verify.signed_by);
    groups.flat_map(|group| &group.keys).filter_map(|key| match key {
        KeyText::File(path) => Some(path),
        KeyText::Text(_) => None,
    })
}

/// Keys of a file of this machine.
///
/// # Errors
/// Why there are none.
pub fn read(path: &Path) -> Result<String, Invalid> {
    let text = read_text(path, MOST_TEXT as u64).map_err(Invalid::new)?;
    read_keys(&text).map(|_| text)
}

fn problems_of<'r>(service: &'r DeclaredService, read: &'r Read) -> impl Iterator<Item = Problem> + 'r {
    files_of(service).filter_map(move |file| {
        let lost = Invalid::new("it was not read");
        let why = match read.get(file) {
            Some(Ok(_)) => return None,
            Some(Err(why)) => why,
            None => &lost,
        };
        Some(Problem {
            class: "key".into(),
            severity: Severity::Error,
            place: service.place.clone(),
            length: 1,
            message: format!(
                "the keys in `{}`, which `{}` trusts, cannot be used: {why}",
                file.display(),
                service.spec.name
            ),
            hint: why.hint.clone(),
            source_line: None,
        })
    })
}

fn put(service: &mut DeclaredService, read: &Read) {
    let groups = service.spec.source.verify.iter_mut().flat_map(|verify| &mut verify.signed_by);
    for key in groups.flat_map(|group| &mut group.keys) {
        let text = match key {
            KeyText::File(path) => read.get(path).and_then(|text| text.as_ref().ok()),
            KeyText::Text(_) => None,
        };
        if let Some(text) = text {
            *key = KeyText::Text(text.clone());
        }
    }
}
