//! Signatures of ssh keys as `ssh-keygen -Y sign -n git` makes them, and the keys as `allowed_signers` has them
//! (`ssh-keygen(1)`, ALLOWED SIGNERS).

use super::commit::Commit;
use super::keyring::{Key, Keyring, Signed};
use super::{Refusal, SKEW_SECONDS};
use crate::model::{Invalid, Timestamp};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};
use std::fmt;

/// How such a signature begins.
pub(super) const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// What git has its signatures made for; one that was made for something else is not of a commit.
const NAMESPACE: &str = "git";
/// Shorter RSA keys are broken, or will be.
const LEAST_RSA_BITS: usize = 2048;

/// A trusted ssh key.
#[derive(Clone, Debug)]
pub struct SshKey {
    key: PublicKey,
    /// Who it is said to be of: the comment, else the principals.
    owner: String,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", named(self.key.key_data()))?;
        if self.owner.is_empty() { Ok(()) } else { write!(f, " ({})", self.owner) }
    }
}

fn named(key: &KeyData) -> String {
    format!("ssh key {}", key.fingerprint(HashAlg::Sha256))
}

/// The verdict on a signature of an ssh key.
pub(super) fn judge(keyring: &Keyring, text: &str, commit: &Commit, now: Timestamp) -> Result<Signed, Refusal> {
    if text.matches(BEGIN).count() != 1 || !text.trim_end().ends_with(END) {
        return Err(Refusal::Malformed("it is not one whole signature of an ssh key".into()));
    }
    let signature = SshSig::from_pem(text.trim_end()).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let ours = keyring.keys().filter_map(|(group, key)| match key {
        Key::Ssh(key) if key.key.key_data() == signature.public_key() => Some((group, key)),
        _ => None,
    });
    let Some((group, key)) = ours.into_iter().next() else {
        return Err(Refusal::Foreign { signer: named(signature.public_key()), groups: keyring.names() });
    };
    key.check(&signature, commit, now)?;
    Ok(Signed { by: format!("{group}: {key}") })
}

impl SshKey {
    fn check(&self, signature: &SshSig, commit: &Commit, now: Timestamp) -> Result<(), Refusal> {
        let signer = self.to_string();
        let unusable = |why: String| Err(Refusal::Unusable { signer: signer.clone(), why });
        if signature.namespace() != NAMESPACE {
            let made_for = signature.namespace().escape_debug();
            return unusable(format!("the signature was made for `{made_for}`, not for `{NAMESPACE}`"));
        }
        // RSA with SHA-1 has an algorithm name of its own.
        if matches!(signature.algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
            return unusable("the signature hashes with SHA-1, which can be forged".into());
        }
        if self.key.verify(NAMESPACE, &commit.payload, signature).is_err() {
            return Err(Refusal::Unfit { signer });
        }
        let Some(committed) = commit.committed_at else { return unusable("the commit bears no time".into()) };
        if committed > now.plus(std::time::Duration::from_secs(SKEW_SECONDS.unsigned_abs())) {
            return unusable(format!("the commit is of {committed}, which is still to come"));
        }
        // Now and by the commit's own time, which its signer wrote.
        for at in [now, committed] {
            if let Some(before) = self.valid_before.filter(|before| *before <= at) {
                return unusable(format!("that key is trusted until {before} only"));
            }
            if let Some(after) = self.valid_after.filter(|after| *after > at) {
                return unusable(format!("that key is trusted from {after} on only"));
            }
        }
        Ok(())
    }
}

/// Reads the lines of an `allowed_signers` file; a line without principals, as a `.pub` file has it, is one too.
pub(super) fn read(text: &str) -> Result<Vec<Key>, Invalid> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| Ok(Key::Ssh(Box::new(read_line(line)?)))).collect()
}

fn read_line(line: &str) -> Result<SshKey, Invalid> {
    let bad = |why: &str| {
        Err(Invalid::new(format!("this is no public key: {why}")).hint(
            "write the line of a `.pub` file, like `ssh-ed25519 AAAA… dev@example.com`, or what `gpg --armor --export NAME` prints",
        ))
    };
    let words = words(line);
    // The first word may be principals, whatever they look like; the type of a key is known by what follows it.
    let Some(at) = words.windows(2).position(|pair| Algorithm::new(&pair[0]).is_ok() && pair[1].starts_with("AAAA"))
    else {
        return bad("a key has its type, like `ssh-ed25519`, and then its text");
    };
    let key = match PublicKey::from_openssh(&words[at..].join(" ")) {
        Ok(key) => key,
        Err(error) => return bad(&error.to_string()),
    };
    if let Some(why) = weakness(key.key_data()) {
        return Err(Invalid::new(format!("this key cannot be trusted: {why}")));
    }
    let principals = words[..at].first().filter(|_| at > 0).cloned().unwrap_or_default();
    let owner = if key.comment().is_empty() { principals } else { key.comment().to_owned() };
    let owner = owner.chars().filter(|c| !c.is_control()).take(100).collect();
    let mut read = SshKey { key, owner, valid_after: None, valid_before: None };
    for option in words[..at].iter().skip(1).flat_map(|word| split_options(word)) {
        read.set(&option)?;
    }
    Ok(read)
}

/// What keeps a key from being trusted at all.
fn weakness(key: &KeyData) -> Option<String> {
    match key {
        KeyData::Dsa(_) => Some("DSA keys sign with SHA-1 only, which can be forged".into()),
        KeyData::Rsa(rsa) => {
            let bits = rsa.n.as_positive_bytes().map_or(0, |bytes| bytes.len() * 8);
            (bits < LEAST_RSA_BITS).then(|| format!("its RSA key has {bits} bits, {LEAST_RSA_BITS} are needed"))
        }
        KeyData::Ed25519(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => None,
        KeyData::Ecdsa(_) if matches!(key.algorithm().as_str(), "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384") => None,
        other => Some(format!("keys of type {} are not read by this version", other.algorithm())),
    }
}

impl SshKey {
    /// An option of `allowed_signers`.
    fn set(&mut self, option: &str) -> Result<(), Invalid> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = value.trim_matches('"');
        match name.to_ascii_lowercase().as_str() {
            "namespaces" if value.split(',').any(|namespace| namespace == NAMESPACE) => Ok(()),
            "namespaces" => Err(Invalid::new(format!("this key may sign for `{}` only", value.escape_debug()))
                .hint("commits are signed for `git`: add it to `namespaces`")),
            "valid-after" => time(value).map(|at| self.valid_after = Some(at)),
            "valid-before" => time(value).map(|at| self.valid_before = Some(at)),
            "cert-authority" => Err(Invalid::new("certificate authorities of ssh are not read by this version")
                .hint("trust the keys themselves")),
            _ => Err(Invalid::new(format!("`{}` is no option of an allowed signer", name.escape_debug()))
                .hint("the options are `namespaces`, `valid-after` and `valid-before`")),
        }
    }
}

/// The words of a line; spaces in quotes do not part them.
fn words(line: &str) -> Vec<String> {
    parted(line, |c| c.is_whitespace())
}

fn split_options(word: &str) -> Vec<String> {
    parted(word, |c| c == ',')
}

fn parted(text: &str, at: impl Fn(char) -> bool) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for c in text.chars() {
        quoted ^= c == '"';
        match parts.last_mut() {
            _ if !quoted && at(c) => parts.push(String::new()),
            Some(last) => last.push(c),
            None => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// `YYYYMMDD` or `YYYYMMDDHHMM[SS]`, in UTC with or without a `Z` at its end.
fn time(text: &str) -> Result<Timestamp, Invalid> {
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let form = match digits.len() {
        8 => "%Y%m%d",
        12 => "%Y%m%d%H%M",
        14 => "%Y%m%d%H%M%S",
        _ => "",
    };
    let midnight = if digits.len() == 8 { format!("{digits}0000") } else { digits.to_owned() };
    let form = if form == "%Y%m%d" { "%Y%m%d%H%M" } else { form };
    let read = jiff::civil::DateTime::strptime(form, midnight).and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC));
    read.map(|at| Timestamp(at.timestamp().as_millisecond())).map_err(|_| {
        Invalid::new(format!("`{}` is no time", text.escape_debug()))
            .hint("write it like `20270131` or `202701311200Z`")
    })
}
