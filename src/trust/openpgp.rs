//! Signatures of OpenPGP keys as gpg makes them for git, and the keys with what their owners say of them: which may sign,
//! until when, and whether they are revoked (RFC 9580).

use super::commit::Commit;
use super::keyring::{Key, Keyring, Signed};
use super::{Refusal, SKEW_SECONDS};
use crate::model::{Invalid, Timestamp};
use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SignatureVersion, SubpacketData};
use pgp::types::{KeyDetails, Tag};
use std::fmt;
use std::time::Duration;

/// How such a signature begins.
pub(super) const BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";
const KEY_BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// A key with its subkeys, and what its owner says of them.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: SignedPublicKey,
    owner: String,
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenPGP key {}", hex(self.key.fingerprint().as_bytes()))?;
        if self.owner.is_empty() { Ok(()) } else { write!(f, " ({})", self.owner) }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Reads public keys in text form. Several may stand in one block, and several blocks after each other.
pub(super) fn read(text: &str) -> Result<Vec<Key>, Invalid> {
    let bad = |why: &str| {
        Invalid::new(format!("this is no OpenPGP public key: {why}"))
            .hint("write what `gpg --armor --export NAME` prints, whole")
    };
    let mut keys = Vec::new();
    for block in text.split(KEY_BEGIN).skip(1) {
        let block = format!("{KEY_BEGIN}{block}");
        let (read, _) = SignedPublicKey::from_string_many(&block).map_err(|error| bad(&error.to_string()))?;
        for key in read {
            let key = key.map_err(|error| bad(&error.to_string()))?;
            let certificate = Certificate { owner: owner(&key), key };
            certificate.check_readable()?;
            keys.push(Key::OpenPgp(Box::new(certificate)));
        }
    }
    Ok(keys)
}

/// Who the key says it is of: its first name, without what a terminal could obey.
fn owner(key: &SignedPublicKey) -> String {
    let name = key.details.users.first().map(|user| user.id.id());
    let name = name.map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// The verdict on a signature of an OpenPGP key.
pub(super) fn judge(keyring: &Keyring, text: &str, commit: &Commit, now: Timestamp) -> Result<Signed, Refusal> {
    let signature = one_signature(text)?;
    let issuers = Issuers::of(&signature);
    let mut refusal = None;
    let certificates = keyring.keys().filter_map(|(group, key)| match key {
        Key::OpenPgp(certificate) => Some((group, certificate)),
        Key::Ssh(_) => None,
    });
    for (group, certificate) in certificates {
        for part in certificate.parts().filter(|part| issuers.names(part)) {
            match certificate.check(part, &signature, commit, now) {
                Ok(()) => return Ok(Signed { by: format!("{group}: {certificate}") }),
                Err(why) => refusal = Some(why),
            }
        }
    }
    let foreign = || Refusal::Foreign { signer: issuers.to_string(), groups: keyring.names() };
    Err(refusal.unwrap_or_else(foreign))
}

/// The only signature in a text.
fn one_signature(text: &str) -> Result<Signature, Refusal> {
    let malformed = |why: &str| Refusal::Malformed(why.to_owned());
    if text.matches(BEGIN).count() != 1 || !text.trim_end().ends_with(END) {
        return Err(malformed("it is not one whole signature of OpenPGP"));
    }
    let (mut read, _) =
        DetachedSignature::from_string_many(text).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let first = read.next().ok_or_else(|| malformed("there is none in it"))?;
    let first = first.map_err(|error| Refusal::Malformed(error.to_string()))?;
    match read.next() {
        None => Ok(first.signature),
        Some(_) => Err(Refusal::Several),
    }
}

/// Which keys a signature says it was made with. Only a hint: what is checked is whether a key fits.
struct Issuers {
    fingerprints: Vec<Vec<u8>>,
    ids: Vec<Vec<u8>>,
}

impl Issuers {
    fn of(signature: &Signature) -> Self {
        Self {
            fingerprints: signature.issuer_fingerprint().iter().map(|f| f.as_bytes().to_vec()).collect(),
            ids: signature.issuer_key_id().iter().map(|id| id.as_ref().to_vec()).collect(),
        }
    }

    fn names(&self, part: &Part<'_>) -> bool {
        let (fingerprint, id) = match part {
            Part::Primary(key) => (key.primary_key.fingerprint(), key.primary_key.legacy_key_id()),
            Part::Sub(sub) => (sub.key.fingerprint(), sub.key.legacy_key_id()),
        };
        let by_fingerprint = self.fingerprints.iter().any(|known| known == fingerprint.as_bytes());
        by_fingerprint || (self.fingerprints.is_empty() && self.ids.iter().any(|known| known == id.as_ref()))
    }
}

impl fmt::Display for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fingerprints.first().or(self.ids.first()) {
            Some(name) => write!(f, "OpenPGP key {}", hex(name)),
            None => f.write_str("an OpenPGP key that it does not name"),
        }
    }
}

/// The key itself, or one of its subkeys.
#[derive(Clone, Copy)]
enum Part<'k> {
    Primary(&'k SignedPublicKey),
    Sub(&'k SignedPublicSubKey),
}

/// What the owner of a key says of it or of a subkey, newest word first.
struct Standing {
    may_sign: bool,
    expires: Option<Timestamp>,
}

impl Certificate {
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        std::iter::once(Part::Primary(&self.key)).chain(self.key.public_subkeys.iter().map(Part::Sub))
    }

    /// That there is anything that its owner says of it with a hash that counts: without that it can never sign anything.
    fn check_readable(&self) -> Result<(), Invalid> {
        if self.self_signature().is_some() || self.is_revoked() {
            return Ok(());
        }
        let why = format!("{self} has no signature of itself that counts; SHA-1 and older hashes do not");
        Err(Invalid::new(why)
            .hint("renew it: `gpg --cert-digest-algo SHA256 --quick-set-expire KEY 1y`, and export it again"))
    }

    fn check(&self, part: Part<'_>, signature: &Signature, commit: &Commit, now: Timestamp) -> Result<(), Refusal> {
        let signer = self.to_string();
        let unusable = |why: String| Refusal::Unusable { signer: signer.clone(), why };
        if signature.typ() != Some(SignatureType::Binary) || !is_modern(signature) {
            return Err(unusable("it is not a signature of a file".into()));
        }
        if !hashes_well(signature) {
            let hash = signature.hash_alg().map(|hash| hash.to_string()).unwrap_or_default();
            return Err(unusable(format!("the signature hashes with {hash}, which can be forged")));
        }
        if let Some(unknown) = unknown_critical(signature) {
            return Err(unusable(format!("the signature demands something that is not known here ({unknown})")));
        }
        let fits = match part {
            Part::Primary(key) => signature.verify(&key.primary_key, commit.payload.as_slice()),
            Part::Sub(sub) => signature.verify(&sub.key, commit.payload.as_slice()),
        };
        fits.map_err(|_| Refusal::Unfit { signer: signer.clone() })?;
        self.check_times(part, signature, now).map_err(unusable)
    }

    /// That the key may sign, is neither expired nor revoked, and the signature neither too old nor of a time to come.
    fn check_times(&self, part: Part<'_>, signature: &Signature, now: Timestamp) -> Result<(), String> {
        if self.is_revoked() {
            return Err("that key is revoked".into());
        }
        let Some(primary) = self.standing() else { return Err("nothing that it says of itself counts".into()) };
        let Some(made) = signature.created().map(moment) else { return Err("the signature bears no time".into()) };
        let (standing, born) = match part {
            Part::Primary(key) => (Some(&primary), moment(key.primary_key.created_at())),
            Part::Sub(sub) => (None, moment(sub.key.created_at())),
        };
        let of_sub = match part {
            Part::Primary(_) => None,
            Part::Sub(sub) => Some(self.standing_of(sub)?),
        };
        let standing = of_sub.as_ref().or(standing).ok_or("nothing that it says of itself counts")?;
        if !standing.may_sign {
            return Err("that key is not made for signing".into());
        }
        let ends = [primary.expires, standing.expires].into_iter().flatten().min();
        if let Some(end) = ends.filter(|end| *end <= now || *end <= made) {
            return Err(format!("that key expired at {end}"));
        }
        if made > now.plus(Duration::from_secs(SKEW_SECONDS.unsigned_abs())) {
            return Err(format!("the signature is of {made}, which is still to come"));
        }
        if made < born {
            return Err(format!("the signature is of {made}, before that key was made"));
        }
        let lasts = signature.signature_expiration_time().map(|span| span.as_secs()).filter(|secs| *secs > 0);
        match lasts.map(|secs| made.plus(Duration::from_secs(secs.into()))).filter(|end| *end <= now) {
            Some(end) => Err(format!("the signature expired at {end}")),
            None => Ok(()),
        }
    }

    /// Whether its owner has revoked it, for whatever reason: what was signed before cannot be told from what was
    /// signed after and dated back.
    fn is_revoked(&self) -> bool {
        let primary = &self.key.primary_key;
        let revocations = self.key.details.revocation_signatures.iter();
        revocations
            .filter(|s| s.typ() == Some(SignatureType::KeyRevocation))
            .any(|signature| signature.verify_key(primary).is_ok())
    }

    /// The newest word of its owner: on a name of theirs, else on the key alone.
    fn self_signature(&self) -> Option<&Signature> {
        let primary = &self.key.primary_key;
        let on_names = self.key.details.users.iter().flat_map(|user| {
            let counts = |s: &&Signature| {
                s.is_certification() && counts(s) && s.verify_certification(primary, Tag::UserId, &user.id).is_ok()
            };
            user.signatures.iter().filter(counts)
        });
        let on_key = self
            .key
            .details
            .direct_signatures
            .iter()
            .filter(|s| s.typ() == Some(SignatureType::Key) && counts(s) && s.verify_key(primary).is_ok());
        newest(on_names).or_else(|| newest(on_key))
    }

    fn standing(&self) -> Option<Standing> {
        let word = self.self_signature()?;
        Some(Standing { may_sign: may_sign(word, true), expires: expiry(word, self.key.primary_key.created_at()) })
    }

    /// What the owner says of a subkey: that it is theirs, with which the subkey has to agree if it may sign.
    fn standing_of(&self, sub: &SignedPublicSubKey) -> Result<Standing, String> {
        let primary = &self.key.primary_key;
        let good = |s: &&Signature| s.verify_subkey_binding(primary, &sub.key).is_ok();
        let of_type = |kind: SignatureType| sub.signatures.iter().filter(move |s| s.typ() == Some(kind));
        if of_type(SignatureType::SubkeyRevocation).any(|s| good(&s)) {
            return Err("that subkey is revoked".into());
        }
        let bindings = of_type(SignatureType::SubkeyBinding).filter(|s| counts(s)).filter(good);
        let Some(binding) = newest(bindings) else { return Err("that subkey is not bound to its key".into()) };
        let back = binding.embedded_signature();
        let agreed = back.is_some_and(|b| counts(b) && b.verify_primary_key_binding(&sub.key, primary).is_ok());
        let may_sign = agreed && may_sign(binding, false);
        Ok(Standing { may_sign, expires: expiry(binding, sub.key.created_at()) })
    }
}

fn newest<'s>(signatures: impl Iterator<Item = &'s Signature>) -> Option<&'s Signature> {
    signatures.max_by_key(|signature| signature.created().map(|at| at.as_secs()))
}

/// Whether a signature is of a kind that is believed.
fn counts(signature: &Signature) -> bool {
    is_modern(signature) && hashes_well(signature) && unknown_critical(signature).is_none()
}

fn is_modern(signature: &Signature) -> bool {
    matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6)
}

/// Nobody makes two texts of one hash with these (RFC 9580, 9.5).
fn hashes_well(signature: &Signature) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha256, Sha384, Sha512};
    matches!(signature.hash_alg(), Some(Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512))
}

/// What a signature says must be understood and is not (RFC 9580, 5.2.3.7).
fn unknown_critical(signature: &Signature) -> Option<&'static str> {
    let critical = |data: &SubpacketData| match data {
        SubpacketData::Notation(_) => Some("a notation"),
        SubpacketData::Experimental(..) => Some("an experiment"),
        SubpacketData::Other(..) => Some("an unknown subpacket"),
        _ => None,
    };
    let hashed = signature.config().into_iter().flat_map(|config| config.hashed_subpackets.iter());
    hashed.filter(|packet| packet.is_critical).find_map(|packet| critical(&packet.data))
}

/// Whether a key is made for signing. A key that says nothing of what it is for may (RFC 9580, 5.2.3.29), a subkey not.
fn may_sign(word: &Signature, silent: bool) -> bool {
    let hashed = word.config().into_iter().flat_map(|config| config.hashed_subpackets.iter());
    let says = hashed.map(|packet| &packet.data).any(|data| matches!(data, SubpacketData::KeyFlags(_)));
    if says { word.key_flags().sign() } else { silent }
}

fn expiry(word: &Signature, born: pgp::types::Timestamp) -> Option<Timestamp> {
    let lasts = word.key_expiration_time().map(|span| span.as_secs()).filter(|secs| *secs > 0)?;
    Some(moment(born).plus(Duration::from_secs(lasts.into())))
}

fn moment(at: pgp::types::Timestamp) -> Timestamp {
    Timestamp(i64::from(at.as_secs()) * 1000)
}
