//! Ids and secrets in the forms that AWS' clients know.

use super::error::AccessError;
use crate::model::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The characters of ids: base 32 (RFC 4648 §6).
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Random bytes.
///
/// # Errors
/// When the operating system has none.
pub(super) fn random<const N: usize>() -> Result<[u8; N], AccessError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| AccessError::Crypto { act: "draw random bytes", why: e.to_string() })?;
    Ok(bytes)
}

/// An id: four letters that say what it is of (`AKIA`, `ASIA`, `AIDA`, `AROA`), and sixteen of chance.
///
/// # Errors
/// As [`random`].
pub(super) fn make_id(prefix: &str) -> Result<String, AccessError> {
    let chance = random::<16>()?;
    let letters = chance.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
    Ok(prefix.chars().chain(letters).collect())
}

/// A secret of 40 characters with 240 bits of chance.
///
/// # Errors
/// As [`random`].
pub(super) fn make_secret() -> Result<Secret, AccessError> {
    Ok(Secret::new(STANDARD.encode(random::<30>()?)))
}
