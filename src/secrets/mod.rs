//! Secrets that stand encrypted in git, by age (<https://age-encryption.org/v1>): the installation's identities, encryption
//! to recipients, decryption, and the digest by which a value is told from another without being told.
//!
//! Imports `model`. In: the directory of the keys, texts. Out: texts and secrets. Must not print, log or store a value.

mod error;
mod keyring;
#[cfg(test)]
mod tests;

pub use error::SecretsError;
pub use keyring::Keyring;

use crate::model::Secret;
use age::armor::{ArmoredReader, ArmoredWriter, Format};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The public key that a secret is encrypted to: `age1…`.
pub type Recipient = age::x25519::Recipient;

/// The largest value of a secret.
pub const MAX_VALUE: u64 = 64 << 10;
/// The largest encrypted text that is read: a value with room for recipients and the text form.
pub const MAX_SEALED: u64 = 256 << 10;

/// Where a secret is kept that services ask for by its name (`RuntimeEnvironmentSecrets`), in the directory of the keys.
pub fn stored_at(directory: &Path, name: &str) -> PathBuf {
    directory.join("values").join(format!("{name}.age"))
}

/// A recipient as people write it.
///
/// # Errors
/// In words.
pub fn parse_recipient(text: &str) -> Result<Recipient, String> {
    text.trim()
        .parse()
        .map_err(|_| "a recipient is a public key like `age1…`; `towpath secrets recipient` prints it".into())
}

/// Encrypts a value to recipients, as text.
///
/// # Errors
/// Without recipients, and for a value that is too long.
pub fn encrypt(recipients: &[Recipient], value: &Secret) -> Result<String, SecretsError> {
    if value.reveal().len() as u64 > MAX_VALUE {
        return Err(SecretsError::TooLong);
    }
    let recipients = recipients.iter().map(|r| r as &dyn age::Recipient);
    let failed = |e: std::io::Error| SecretsError::Encrypt(Box::new(e));
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(|e| SecretsError::Encrypt(Box::new(e)))?;
    let mut sealed = Vec::new();
    let armor = ArmoredWriter::wrap_output(&mut sealed, Format::AsciiArmor).map_err(failed)?;
    let mut writer = encryptor.wrap_output(armor).map_err(failed)?;
    writer.write_all(value.reveal().as_bytes()).map_err(failed)?;
    writer.finish().and_then(ArmoredWriter::finish).map_err(failed)?;
    String::from_utf8(sealed).map_err(|e| SecretsError::Encrypt(Box::new(e)))
}

/// Decrypts a text with any of these identities. A line end at the end is no part of the value, as in a file.
fn decrypt(identities: &[age::x25519::Identity], sealed: &str) -> Result<Secret, age::DecryptError> {
    let decryptor = age::Decryptor::new_buffered(ArmoredReader::new(sealed.as_bytes()))?;
    let mut bytes = Vec::new();
    let reader = decryptor.decrypt(identities.iter().map(|i| i as &dyn age::Identity))?;
    reader.take(MAX_VALUE + 1).read_to_end(&mut bytes)?;
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    if bytes.len() as u64 > MAX_VALUE {
        return Err(invalid("its value is too long").into());
    }
    let text = String::from_utf8(bytes).map_err(|_| invalid("its value is not UTF-8 text"))?;
    if text.contains('\0') {
        return Err(invalid("its value holds a zero byte, which no variable can").into());
    }
    Ok(Secret::new(without_line_end(&text).to_owned()))
}

/// A text without the line end at its end.
pub fn without_line_end(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text))
}
