//! The bearer token of the control socket: whoever reads the data directory may steer (architecture, *Process
//! instances*: the applications that run under this user are denied the directory, hence the token).

use crate::model::ids::hex;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// 32 random bytes in hex. Redacts itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Makes a new token and writes it to `path`, mode 0600, in one step: a reader sees the old or the new one whole.
    ///
    /// # Errors
    /// The file system's, and the random number generator's.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let token = Self(hex(&bytes));
        let fresh = path.with_extension("new");
        let _ = std::fs::remove_file(&fresh);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(token.0.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        Ok(token)
    }

    /// Reads the token that a server wrote.
    ///
    /// # Errors
    /// The file system's; `InvalidData` for a file that holds no token.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let text = text.trim_end();
        let whole = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if whole { Ok(Self(text.to_owned())) } else { Err(io::Error::from(io::ErrorKind::InvalidData)) }
    }

    /// The `Authorization` header that carries it.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether a header carries this token. Digests are compared, so that the time taken tells nothing of the token.
    pub fn admits(&self, header: &str) -> bool {
        let Some((scheme, given)) = header.split_once(' ') else { return false };
        scheme.eq_ignore_ascii_case("bearer") && Sha256::digest(given.trim()) == Sha256::digest(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••••")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_private_and_read_back_as_it_was_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let first = Token::create(&path).unwrap();
        let second = Token::create(&path).unwrap();
        assert_ne!(first, second);
        assert_eq!(Token::read(&path).unwrap(), second);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(second.admits(&second.header()) && !second.admits(&first.header()));
        assert!(!second.admits("Bearer") && !second.admits("") && !second.admits("Basic x"));
        assert!(!format!("{second:?}").contains(&second.0));
    }

    #[test]
    fn a_file_that_holds_no_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "short").unwrap();
        assert_eq!(Token::read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
