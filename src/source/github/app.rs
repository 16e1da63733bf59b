//! The key of a GitHub App, and the tokens that it signs for itself: JSON web tokens, RS256, by OpenSSL.

use crate::model::{Invalid, Secret, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::Signer;
use serde_json::json;
use std::fmt;

/// Before now, so that a clock that is a little ahead of GitHub's does no harm (GitHub's advice).
const BEFORE: i64 = 60;
/// GitHub takes at most ten minutes from beginning to end.
const AFTER: i64 = 8 * 60;

/// An App and its private key.
pub struct AppKey {
    id: u64,
    key: PKey<Private>,
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl AppKey {
    /// Takes a key in PEM, as GitHub gives it out.
    ///
    /// # Errors
    /// When it is no RSA key, or has a passphrase. The message says nothing of the key.
    pub fn new(id: u64, pem: &Secret) -> Result<Self, Invalid> {
        let hint = "give the `.pem` file as GitHub gave it out, under *Private keys* of the App's settings";
        // Without this OpenSSL would ask for a passphrase on the terminal.
        let ask_nobody = |_: &mut [u8]| Err(ErrorStack::get());
        let key = PKey::private_key_from_pem_callback(pem.reveal().as_bytes(), ask_nobody);
        let key = key.map_err(|_| Invalid::new("the App's private key cannot be read").hint(hint))?;
        if key.id() != Id::RSA {
            return Err(Invalid::new("the App's private key is no RSA key").hint(hint));
        }
        Ok(Self { id, key })
    }

    /// The App's id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the App shows for itself at a moment.
    ///
    /// # Errors
    /// When OpenSSL does not sign.
    pub(super) fn token(&self, now: Timestamp) -> Result<Secret, ErrorStack> {
        let seconds = now.0.div_euclid(1000);
        let claims = json!({ "iat": seconds - BEFORE, "exp": seconds + AFTER, "iss": self.id.to_string() });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&claims));
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        let signature = signer.sign_oneshot_to_vec(text.as_bytes())?;
        Ok(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::rsa::Rsa;
    use openssl::symm::Cipher;

    #[test]
    fn a_key_that_is_none_is_refused_without_a_question_and_without_its_text() {
        let rsa = Rsa::generate(2048).unwrap();
        let locked = rsa.private_key_to_pem_passphrase(Cipher::aes_128_cbc(), b"hunter2").unwrap();
        let curve = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1).unwrap();
        let other = openssl::ec::EcKey::generate(&curve).unwrap().private_key_to_pem().unwrap();
        for bad in [locked, other, b"-----BEGIN RSA PRIVATE KEY-----\nhunter2".to_vec(), Vec::new()] {
            let error = AppKey::new(1, &Secret::new(String::from_utf8(bad).unwrap())).unwrap_err();
            assert!(!error.to_string().contains("hunter2") && error.hint.is_some(), "{error}");
        }
        let good = Secret::new(String::from_utf8(rsa.private_key_to_pem().unwrap()).unwrap());
        assert!(!format!("{:?}", AppKey::new(1, &good).unwrap()).contains("BEGIN"));
    }
}
