//! Trusted keys by group, and the verdict on a commit.

use super::commit::Commit;
use super::openpgp::{self, Certificate};
use super::ssh::{self, SshKey};
use super::{MOST_TEXT, Refusal};
use crate::model::{Invalid, KeyGroup, KeyText, Timestamp};
use std::fmt;

/// One trusted key.
#[derive(Clone, Debug)]
pub enum Key {
    /// An OpenPGP certificate: a key with its subkeys.
    OpenPgp(Box<Certificate>),
    /// An ssh key.
    Ssh(Box<SshKey>),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenPgp(certificate) => certificate.fmt(f),
            Self::Ssh(key) => key.fmt(f),
        }
    }
}

/// Who signed a commit, in words: `release-team: ssh key SHA256:… (dev@example.com)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The group and the key.
    pub by: String,
}

/// Trusted keys, by group.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    groups: Vec<(String, Vec<Key>)>,
}

impl Keyring {
    /// The keys of these groups. Their files have to be read already.
    ///
    /// # Errors
    /// Which group has which text that is no key.
    pub fn of(groups: &[KeyGroup]) -> Result<Self, Invalid> {
        let mut read = Vec::with_capacity(groups.len());
        for group in groups {
            let mut keys = Vec::new();
            for text in &group.keys {
                let KeyText::Text(text) = text else {
                    return Err(Invalid::new(format!("the key files of `{}` are not read yet", group.name)));
                };
                keys.extend(read_keys(text)?);
            }
            read.push((group.name.clone(), keys));
        }
        Ok(Self { groups: read })
    }

    /// What a commit's signature is worth: who signed it.
    ///
    /// A key that has expired or is revoked *now* counts for nothing, whatever time a signature bears: that time is
    /// written by who signs, and who stole an old key writes an old one.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn judge(&self, raw: &[u8], now: Timestamp) -> Result<Signed, Refusal> {
        let commit = Commit::parse(raw)?;
        let Some(signature) = &commit.signature else { return Err(Refusal::Unsigned) };
        if signature.starts_with(ssh::BEGIN) {
            return ssh::judge(self, signature, &commit, now);
        }
        if signature.starts_with(openpgp::BEGIN) {
            return openpgp::judge(self, signature, &commit, now);
        }
        Err(Refusal::Malformed("it is neither of OpenPGP nor of an ssh key".into()))
    }

    /// All keys with the name of their group.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &Key)> {
        self.groups.iter().flat_map(|(name, keys)| keys.iter().map(move |key| (name.as_str(), key)))
    }

    /// The names of the groups.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.groups.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }
}

/// Reads public keys: OpenPGP in text form, or lines of an `allowed_signers` file (with or without principals).
///
/// # Errors
/// What is no key, and what to write.
pub fn read_keys(text: &str) -> Result<Vec<Key>, Invalid> {
    if text.len() > MOST_TEXT {
        return Err(Invalid::new(format!("the keys have {} bytes together, {MOST_TEXT} are read", text.len())));
    }
    if text.contains("PRIVATE KEY") {
        return Err(Invalid::new("this is a private key")
            .hint("trust its public half; and replace the key, it is no secret any more"));
    }
    let keys = match text.trim_start().starts_with("-----BEGIN PGP") {
        true => openpgp::read(text)?,
        false => ssh::read(text)?,
    };
    if keys.is_empty() {
        return Err(Invalid::new("there is no public key here")
            .hint("write what `gpg --armor --export NAME` prints, or the line of an ssh key's `.pub` file"));
    }
    Ok(keys)
}
