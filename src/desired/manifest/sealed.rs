//! `secrets` at the top level: values that stand in git, encrypted with age. Nothing is decrypted here.

use super::values;
use crate::desired::fields::{Fields, checked};
use crate::desired::findings::Findings;
use crate::desired::manifest::keys;
use crate::desired::yaml::{Entry, Value};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How an age file in text form begins and ends (<https://age-encryption.org/v1>, *ASCII armor*).
const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";

/// Where the encrypted text of a secret stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sealed {
    /// In the manifest.
    Text(String),
    /// In a file, by its absolute path.
    File(PathBuf),
}

/// One secret of the top level.
pub(super) fn read(entry: &Entry, section: &Fields, directory: &Path, findings: &mut Findings) -> Option<Sealed> {
    let path = section.path(&entry.key);
    let hint = "make one with `towpath secrets encrypt`, and paste it under `KEY: |`; or write `{ file: NAME.age }`";
    if let Value::Mapping(_) = &entry.value.value {
        let fields = keys::check(Fields::open(&entry.value, path, findings)?, "sealed", findings);
        if fields.entries.is_empty() {
            fields.required("file", hint, findings)?;
        }
        let (text, span) = fields.text("file", findings)?;
        return checked(values::absolute(directory, text), "path", span, findings).map(Sealed::File);
    }
    // What stands there may be the secret itself: it is not repeated.
    let text = entry.value.text().map(str::trim).unwrap_or_default();
    if text.starts_with(BEGIN) && text.ends_with(END) {
        return Some(Sealed::Text(format!("{text}\n")));
    }
    let message = format!("`{path}` must be a text that age encrypted, or the file that holds it");
    findings.error("sealed", entry.key_span, message).hint(hint);
    None
}
