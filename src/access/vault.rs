//! Secrets at rest: AES-256-GCM under a key of the installation, in a file that only its user reads.
//!
//! Each text is bound to what it is for, so that one cannot be put in another's place.

use super::error::AccessError;
use super::keys::random;
use crate::model::ids::hex;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A nonce drawn at random is safe for 2³² texts under one key (NIST SP 800-38D §8.3).
const NONCE: usize = 12;
const TAG: usize = 16;

/// The key of the installation's stored secrets.
pub struct Vault {
    key: [u8; 32],
}

impl Vault {
    /// Reads the key; makes it at first need.
    ///
    /// # Errors
    /// When it cannot be read or made, or is none.
    pub fn open(path: &Path) -> Result<Self, AccessError> {
        let failed = |act| {
            let path = path.to_owned();
            move |source| AccessError::File { act, path, source }
        };
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_private(path, &hex(&random::<32>()?)).map_err(failed("write"))?;
                fs::read_to_string(path)
            }
            read => read,
        };
        let text = text.map_err(failed("read"))?;
        let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..32).map(|n| digit(2 * n)).collect();
        let key = bytes.filter(|_| text.trim_end().len() == 64).and_then(|bytes| bytes.try_into().ok());
        key.map(|key| Self { key }).ok_or_else(|| AccessError::NotAKey(path.to_owned()))
    }

    /// Encrypts a text for one purpose.
    ///
    /// # Errors
    /// When OpenSSL or the random number generator fails.
    pub fn seal(&self, purpose: &str, text: &[u8]) -> Result<String, AccessError> {
        let nonce = random::<NONCE>()?;
        let mut tag = [0; TAG];
        let sealed = encrypt_aead(Cipher::aes_256_gcm(), &self.key, Some(&nonce), purpose.as_bytes(), text, &mut tag)
            .map_err(|e| AccessError::Crypto { act: "encrypt a secret", why: e.to_string() })?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &tag, &sealed].concat()))
    }

    /// Decrypts a text that was sealed for this purpose; `None` for any other.
    pub fn unseal(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, rest) = bytes.split_at_checked(NONCE)?;
        let (tag, text) = rest.split_at_checked(TAG)?;
        decrypt_aead(Cipher::aes_256_gcm(), &self.key, Some(nonce), purpose.as_bytes(), text, tag).ok()
    }
}

/// Writes a file that only its user reads, whole or not at all; one that is there is replaced.
pub(super) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
