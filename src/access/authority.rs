//! The state of access control: in memory whole, written through; and the answer to *who signed this*.

use super::caller::{Caller, Identity};
use super::directory::{AccessKey, Change, Directory, KeyStatus, User};
use super::error::AccessError;
use super::keys::{make_id, make_secret};
use super::session::open_session;
use super::signature::{Expected, Presented, Request, SignatureFault, verify};
use super::vault::Vault;
use crate::model::{Secret, Timestamp};
use crate::store::Store;
use arc_swap::ArcSwap;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Where ARNs of this installation are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `local-1`.
    pub region: String,
    /// 12 digits.
    pub account: String,
}

/// Access control of an installation.
pub struct Access {
    place: Place,
    store: Arc<Store>,
    vault: Vault,
    directory: ArcSwap<Directory>,
    /// One change at a time: each is made of the state that the one before left.
    changing: Mutex<()>,
}

impl Access {
    /// Reads what is stored. The directory `secrets` holds, or gets, the key that secrets are stored under.
    ///
    /// # Errors
    /// When the store or the key cannot be read.
    pub async fn open(store: Arc<Store>, secrets: &Path, place: Place) -> Result<Self, AccessError> {
        let vault = Vault::open(&secrets.join("access.key"))?;
        let directory = Directory::read(store.entries(&Directory::kinds()).await?)?;
        if let Some(lost) = directory.keys.values().find(|key| reveal(&vault, key).is_none()) {
            let error = AccessError::OtherKey(lost.id.clone());
            tracing::error!(%error, "access keys cannot be used; put `secrets/access.key` back from a backup, or make new ones");
        }
        Ok(Self { place, store, vault, directory: ArcSwap::from_pointee(directory), changing: Mutex::new(()) })
    }

    /// The present state.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    /// Where this installation's ARNs are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Who signed a request, for one of these services.
    ///
    /// # Errors
    /// Every [`SignatureFault`].
    pub fn authenticate(
        &self,
        request: &Request<'_>,
        services: &[&str],
        now: Timestamp,
    ) -> Result<Caller, SignatureFault> {
        let presented = Presented::read(request)?;
        let directory = self.directory.load();
        let (identity, secret) = match &presented.token {
            Some(token) => {
                let account = &self.place.account;
                let opened = open_session(&self.vault, &directory, account, &presented.key_id, token, now)?;
                (Identity::Session(opened.0), opened.1)
            }
            None => self.holder_of(&directory, &presented.key_id).ok_or(SignatureFault::UnknownKey)?,
        };
        verify(request, &presented, &secret, &Expected { region: &self.place.region, services, now })?;
        Ok(Caller { identity, key_id: Some(presented.key_id) })
    }

    /// Who has a lasting key, and its secret.
    fn holder_of(&self, directory: &Directory, key_id: &str) -> Option<(Identity, Secret)> {
        let key = directory.keys.get(key_id).filter(|key| key.status == KeyStatus::Active)?;
        let user = directory.users.get(&key.user)?;
        let (name, id, account) = (user.name.clone(), user.id.clone(), self.place.account.clone());
        Some((Identity::User { name, id, account }, reveal(&self.vault, key)?))
    }

    /// A user, not stored yet.
    ///
    /// # Errors
    /// When there is no randomness.
    pub(super) fn new_user(&self, name: &str, policies: &[&str], now: Timestamp) -> Result<User, AccessError> {
        let policies = policies.iter().map(|p| (*p).to_owned()).collect();
        let (id, groups) = (make_id("AIDA")?, std::collections::BTreeSet::new());
        Ok(User { name: name.to_owned(), id, created_at: now, policies, groups, boundary: None, declared: None })
    }

    /// An access key, not stored yet. This is the only time that its secret is told.
    ///
    /// # Errors
    /// When there is no randomness.
    pub(super) fn new_key(&self, user: &str, now: Timestamp) -> Result<(AccessKey, Secret), AccessError> {
        let (id, secret) = (make_id("AKIA")?, make_secret()?);
        let sealed = self.vault.seal(&purpose(&id), secret.reveal().as_bytes())?;
        Ok((AccessKey { id, user: user.to_owned(), status: KeyStatus::Active, created_at: now, sealed }, secret))
    }

    /// Decides on changes by the present state, stores them, then makes them.
    pub(super) async fn edit<T>(
        &self,
        decide: impl FnOnce(&Directory) -> Result<(Vec<Change>, T), AccessError>,
    ) -> Result<T, AccessError> {
        let _turn = self.changing.lock().await;
        let mut next = Directory::clone(&self.directory.load());
        let (changes, result) = decide(&next)?;
        let writes: Vec<_> = changes.iter().map(Change::write).collect();
        changes.into_iter().try_for_each(|change| next.apply(change))?;
        self.store.write_entries(&writes).await?;
        self.directory.store(Arc::new(next));
        Ok(result)
    }

    /// What secrets and tokens are encrypted with.
    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }
}

fn purpose(key_id: &str) -> String {
    format!("access-key/{key_id}")
}

fn reveal(vault: &Vault, key: &AccessKey) -> Option<Secret> {
    let bytes = vault.unseal(&purpose(&key.id), &key.sealed)?;
    String::from_utf8(bytes).ok().map(Secret::new)
}
