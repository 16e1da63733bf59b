//! The first key: the administrator's, made at the first start, in a file that AWS' clients read.

use super::authority::Access;
use super::directory::{Change, Record};
use super::error::AccessError;
use super::vault::write_private;
use crate::model::Timestamp;
use std::path::Path;

/// The user that the first key is of.
const ADMINISTRATOR: &str = "admin";
/// The policy that allows everything.
const EVERYTHING: &str = "AdministratorAccess";

impl Access {
    /// At the very first start makes the administrator and a key, and writes the key to `file`. Afterwards never
    /// again: who removed the file or the key meant it, and makes another with `towpath keys create`. Returns whether
    /// it was made.
    ///
    /// # Errors
    /// When it cannot be stored or written.
    pub async fn ensure_administrator(&self, file: &Path, now: Timestamp) -> Result<bool, AccessError> {
        if !self.directory().users.is_empty() {
            return Ok(false);
        }
        let user = self.new_user(ADMINISTRATOR, &[EVERYTHING], now)?;
        let (key, secret) = self.new_key(ADMINISTRATOR, now)?;
        let region = &self.place().region;
        let text = format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\nregion = {region}\n",
            key.id,
            secret.reveal()
        );
        let failed = |source| AccessError::File { act: "write", path: file.to_owned(), source };
        write_private(file, &text).map_err(failed)?;
        // Last: a start that is cut off before this makes another key and writes the file again.
        let changes = vec![Change::Put(Record::User(user)), Change::Put(Record::Key(key))];
        self.edit(|_| Ok((changes, ()))).await?;
        Ok(true)
    }
}
