//! Whether a commit is signed by a key that is trusted. In go the commit as git stores it, public keys and the time; out
//! come who signed it, or why it does not count.
//!
//! Pure, and imports `model` alone: it reads no file, no key ring and no clock, and starts no program. OpenPGP
//! signatures are checked by the crate `pgp`, those of ssh keys (SSHSIG, namespace `git`) by `ssh-key`.
//!
//! - [`Commit`]: a stored commit taken apart into its signature and what was signed.
//! - [`Keyring`]: trusted keys by group; [`Keyring::judge`] is the verdict.

mod commit;
mod keyring;
mod openpgp;
mod ssh;
#[cfg(test)]
mod tests;

pub use commit::{Commit, MOST_BYTES};
pub use keyring::{Keyring, Signed, read_keys};

/// The longest text of a group's keys, and the longest signature.
pub const MOST_TEXT: usize = 64 << 10;

/// How far a clock of who signed may be ahead of ours.
const SKEW_SECONDS: i64 = 3600;

/// Why a commit does not count as signed. In words that go after "commit 3f2a91c": what is wrong, and whose signature it
/// bears as far as that can be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody signed it.
    #[error("is not signed")]
    Unsigned,
    /// It bears more than one.
    #[error("bears more than one signature")]
    Several,
    /// It is no commit, or none that is read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The signature is none.
    #[error("bears a signature that cannot be read: {0}")]
    Malformed(String),
    /// The signer is nobody that is trusted.
    #[error("is signed by {signer}, whose key is not among `{groups}`")]
    Foreign {
        /// The key that it says it was made with.
        signer: String,
        /// The groups that were asked.
        groups: String,
    },
    /// The signature is of something else.
    #[error("bears a signature of {signer} that does not fit its contents")]
    Unfit {
        /// Who is said to have made it.
        signer: String,
    },
    /// The key, the hash or the time is not good enough.
    #[error("is signed by {signer}, but {why}")]
    Unusable {
        /// Who made it.
        signer: String,
        /// What is wrong.
        why: String,
    },
}
