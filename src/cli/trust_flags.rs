//! The flags of `towpath up` that say which commits of the manifest's repository are put in force.

use super::failure::Failure;
use crate::desired::files::read_text;
use crate::model::{KeyGroup, KeyText, Verify};
use crate::trust::{MOST_TEXT, read_keys};
use clap::Args;
use std::path::{Path, PathBuf};

/// Whose commits count.
#[derive(Args, Debug)]
pub struct TrustArgs {
    /// Public keys: one of them has to have signed the commit of that repository; OpenPGP or ssh
    #[arg(long, value_name = "FILE", requires = "repo", env = "TOWPATH_SIGNED_BY", hide_env_values = true)]
    signed_by: Option<PathBuf>,
    /// Put no commit in force that does not descend from the one before
    #[arg(long, requires = "repo", env = "TOWPATH_FAST_FORWARD_ONLY", hide_env_values = true)]
    fast_forward_only: bool,
}

impl TrustArgs {
    /// What has to hold of a commit. The keys are read here, once.
    ///
    /// # Errors
    /// When the file has no public keys.
    pub fn verify(&self) -> Result<Verify, Failure> {
        let group = self.signed_by.as_deref().map(group).transpose()?;
        Ok(Verify { signed_by: group.into_iter().collect(), fast_forward_only: self.fast_forward_only })
    }
}

fn group(file: &Path) -> Result<KeyGroup, Failure> {
    let failed = |why: String| Failure::new(format!("the keys in `{}` cannot be used: {why}", file.display()));
    let text = read_text(file, MOST_TEXT as u64).map_err(failed)?;
    match read_keys(&text) {
        Ok(_) => Ok(KeyGroup { name: file.display().to_string(), keys: vec![KeyText::Text(text)] }),
        Err(invalid) => {
            let failure = failed(invalid.message);
            Err(match invalid.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            })
        }
    }
}
