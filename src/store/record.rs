//! Records: a value as JSON text with a checksum. SQLite notices damaged pages, not damaged text in them; the checksum
//! tells a damaged record from one that another version of towpath wrote.

use super::error::StoreError;
use crate::model::ids::hex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// A value ready to be stored.
pub(super) struct Sealed {
    pub(super) record: String,
    pub(super) checksum: String,
}

/// A value as it was stored.
pub(super) struct Row {
    pub(super) table: &'static str,
    pub(super) key: String,
    pub(super) record: String,
    pub(super) checksum: String,
}

pub(super) fn seal<T: Serialize>(table: &'static str, key: &str, value: &T) -> Result<Sealed, StoreError> {
    let record = serde_json::to_string(value).map_err(|source| StoreError::Unwritable { table, source })?;
    let checksum = checksum(table, key, &record);
    Ok(Sealed { record, checksum })
}

impl Row {
    /// The value, if the record is what was stored under this key.
    pub(super) fn open<T: DeserializeOwned>(&self, path: &Path) -> Result<T, StoreError> {
        let (table, key) = (self.table, &self.key);
        if checksum(table, key, &self.record) != self.checksum {
            let detail = format!("the record `{}` in `{table}` is not what was written", key.escape_debug());
            return Err(StoreError::Damaged { path: path.to_owned(), detail });
        }
        serde_json::from_str(&self.record).map_err(|source| StoreError::Unreadable { table, key: key.clone(), source })
    }
}

/// A revision's key within its table.
pub(super) fn revision_key(service: &str, number: i64) -> String {
    format!("{service}/{number}")
}

/// Sixteen hex digits: against accidents, not against people.
fn checksum(table: &str, key: &str, record: &str) -> String {
    let mut hash = Sha256::new();
    for part in [table, key, record] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..8])
}
