//! The installation's identities, in a directory that only its user enters:
//!
//! ```text
//! secrets/identities   age identities, the oldest first, in the form that `age -d -i` reads; the last one is current
//! secrets/digest.key   the key of the digests that tell one value from another
//! ```

use super::{Recipient, SecretsError, decrypt};
use crate::model::{Digest, Secret};
use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// How many identities are kept in use.
const MAX_IDENTITIES: usize = 100;

/// The keys of an installation.
pub struct Keyring {
    identities: Vec<Identity>,
    digest_key: [u8; 32],
}

impl Keyring {
    /// Reads the keys in this directory; makes them at first need.
    ///
    /// # Errors
    /// When they cannot be read or made, or are none.
    pub fn open(directory: &Path) -> Result<Self, SecretsError> {
        let path = directory.join("identities");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_directory(directory)?;
                create(&path, &entry(&Identity::generate()))?;
                fs::read_to_string(&path)
            }
            read => read,
        };
        let text = text.map_err(keys("read", &path))?;
        let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
        let read = lines.map(|(n, line)| {
            line.trim()
                .parse::<Identity>()
                .map_err(|why| SecretsError::NotKeys { path: path.clone(), why: format!("line {}: {why}", n + 1) })
        });
        let identities = read.collect::<Result<Vec<_>, _>>()?;
        if identities.is_empty() || identities.len() > MAX_IDENTITIES {
            let why = format!("it has {}, where 1 to {MAX_IDENTITIES} are read", identities.len());
            return Err(SecretsError::NotKeys { path, why });
        }
        Ok(Self { identities, digest_key: digest_key(directory)? })
    }

    /// Adds a new identity, which is the current one from then on; the others go on decrypting.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn rotate(directory: &Path) -> Result<Self, SecretsError> {
        Self::open(directory)?;
        let path = directory.join("identities");
        let text = fs::read_to_string(&path).map_err(keys("read", &path))?;
        let fresh = directory.join("identities.new");
        let _ = fs::remove_file(&fresh);
        create(&fresh, &(text + &entry(&Identity::generate())))?;
        fs::rename(&fresh, &path).map_err(keys("put in place", &path))?;
        Self::open(directory)
    }

    /// The public key that people encrypt to.
    pub fn recipient(&self) -> Recipient {
        // `open` refuses an empty list.
        self.identities[self.identities.len() - 1].to_public()
    }

    /// All public keys, the current one first.
    pub fn recipients(&self) -> Vec<Recipient> {
        self.identities.iter().rev().map(Identity::to_public).collect()
    }

    /// Decrypts a text.
    ///
    /// # Errors
    /// When it is encrypted for another key, is none of age's, or was changed.
    pub fn decrypt(&self, sealed: &str) -> Result<Secret, SecretsError> {
        decrypt(&self.identities, sealed).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => {
                let ours: Vec<String> = self.recipients().iter().map(|r| format!("`{r}`")).collect();
                SecretsError::OtherKey(ours.join(" or "))
            }
            other => SecretsError::Damaged(other.to_string().trim_end().to_owned()),
        })
    }

    /// The digest of a secret's value: equal for equal values of a name, and without the key telling nothing of them.
    pub fn digest(&self, name: &str, value: &Secret) -> Digest {
        let mac = hmac_sha256(&self.digest_key, &[name.as_bytes(), b"\0", value.reveal().as_bytes()]);
        Digest::of(&mac)
    }
}

fn keys(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SecretsError {
    let path = path.to_owned();
    move |source| SecretsError::Keys { act, path, source }
}

fn make_directory(path: &Path) -> Result<(), SecretsError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(keys("create", path)(error)),
        _ => Ok(()),
    }
}

/// An identity as `age-keygen` writes it.
fn entry(identity: &Identity) -> String {
    format!("# public key: {}\n{}\n", identity.to_public(), identity.to_string().expose_secret())
}

fn digest_key(directory: &Path) -> Result<[u8; 32], SecretsError> {
    let path = directory.join("digest.key");
    if let Err(error) = fs::metadata(&path)
        && error.kind() == io::ErrorKind::NotFound
    {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|e| keys("make", &path)(io::Error::other(e.to_string())))?;
        create(&path, &key.iter().map(|b| format!("{b:02x}")).collect::<String>())?;
    }
    let text = fs::read_to_string(&path).map_err(keys("read", &path))?;
    let byte = |n: usize| u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    key.ok_or_else(|| SecretsError::NotKeys { path, why: "it is not a key of 64 hex digits".into() })
}

/// Writes a private file that is whole as soon as it is there. One that somebody else made meanwhile stays.
fn create(path: &Path, text: &str) -> Result<(), SecretsError> {
    let fresh = path.with_extension(format!("{:016x}.tmp", fastrand::u64(..)));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
        fs::hard_link(&fresh, path)
    };
    let written = write();
    let _ = fs::remove_file(&fresh);
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(keys("write", path)(error)),
        _ => Ok(()),
    }
}

/// HMAC (RFC 2104) with SHA-256 and a key of at most one block.
pub(super) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |byte: u8| block.map(|b| b ^ byte);
    let inner = parts.iter().fold(Sha256::new_with_prefix(pad(0x36)), |hash, part| hash.chain_update(part));
    Sha256::new_with_prefix(pad(0x5c)).chain_update(inner.finalize()).finalize().into()
}
