//! Commits signed by real gpg, ssh-keygen and git: which count, and what becomes of those that do not.

mod deployed;
mod forged;
pub mod signer;

use signer::{Gpg, SshSigner, in_a_repository};
use towpath::model::{KeyGroup, KeyText, Timestamp};
use towpath::trust::{Keyring, Refusal, Signed};

/// Trusted keys under the name `team`.
pub fn trusting(keys: &[&str]) -> Keyring {
    let keys = keys.iter().map(|key| KeyText::Text((*key).to_owned())).collect();
    Keyring::of(&[KeyGroup { name: "team".into(), keys }]).unwrap()
}

pub fn judged(keyring: &Keyring, raw: &[u8]) -> Result<Signed, Refusal> {
    keyring.judge(raw, Timestamp::now())
}

fn says(refused: Result<Signed, Refusal>, what: &str) {
    let text = refused.unwrap_err().to_string();
    assert!(text.contains(what), "{text}");
}

#[test]
fn a_commit_signed_by_an_openpgp_key_of_any_usual_kind_is_known_by_it() {
    let gpg = Gpg::new();
    let repository = in_a_repository();
    for kind in ["ed25519", "rsa2048", "nistp256"] {
        let key = gpg.key(&format!("Jane {kind} <jane@example.com>"), kind, "never");
        let raw = repository.signed(&gpg.flags(&key));
        let signed = judged(&trusting(&[&gpg.export(&key)]), &raw).unwrap();
        assert!(signed.by.starts_with("team: OpenPGP key ") && signed.by.contains("Jane"), "{kind}: {}", signed.by);
        assert!(signed.by.contains(&key), "{}", signed.by);
    }
}

#[test]
fn a_subkey_signs_for_its_key() {
    let gpg = Gpg::new();
    let key = gpg.key("Jane <jane@example.com>", "ed25519", "never");
    gpg.run(&["--quick-add-key", &key, "ed25519", "sign", "never"]);
    let raw = in_a_repository().signed(&gpg.flags(&key));
    let exported = gpg.export(&key);
    // The newest key that may sign is taken: the subkey, which the exported key names.
    assert!(judged(&trusting(&[&exported]), &raw).unwrap().by.contains(&key));
}

#[test]
fn a_commit_signed_by_an_ssh_key_of_any_usual_kind_is_known_by_it() {
    let repository = in_a_repository();
    for (kind, bits) in [("ed25519", "256"), ("rsa", "3072"), ("ecdsa", "256"), ("ecdsa", "384")] {
        let key = SshSigner::new(kind, bits);
        let raw = repository.signed(&key.flags());
        let signed = judged(&trusting(&[&key.public()]), &raw).unwrap();
        assert!(
            signed.by.starts_with("team: ssh key SHA256:") && signed.by.contains("dev@example.com"),
            "{}",
            signed.by
        );
        let line = format!("jane@example.com namespaces=\"git\" {}", key.public());
        assert!(judged(&trusting(&[&line]), &raw).is_ok(), "{kind}");
    }
}

#[test]
fn an_unsigned_commit_and_one_of_a_stranger_do_not_count_and_it_is_said_whose_they_are() {
    let (gpg, repository) = (Gpg::new(), in_a_repository());
    let (ours, theirs) = (SshSigner::new("ed25519", "256"), SshSigner::new("ed25519", "256"));
    let stranger = gpg.key("Mallory <m@example.com>", "ed25519", "never");
    let keyring = trusting(&[&ours.public()]);
    assert_eq!(judged(&keyring, &repository.signed::<&str>(&[])), Err(Refusal::Unsigned));
    let of_ssh = judged(&keyring, &repository.signed(&theirs.flags()));
    let fingerprint = theirs.fingerprint();
    says(of_ssh, &format!("is signed by ssh key {fingerprint}, whose key is not among `team`"));
    says(judged(&keyring, &repository.signed(&gpg.flags(&stranger))), &format!("OpenPGP key {stranger}"));
    let both = trusting(&[&ours.public(), &gpg.export(&stranger)]);
    assert!(judged(&both, &repository.signed(&gpg.flags(&stranger))).is_ok());
    assert!(judged(&both, &repository.signed(&ours.flags())).is_ok());
}

#[test]
fn an_expired_key_counts_for_nothing_whatever_time_it_writes() {
    let gpg = Gpg::new();
    let repository = in_a_repository();
    let key = gpg.at("20200101T000000", || gpg.key("Jane <jane@example.com>", "ed25519", "30d"));
    let raw = gpg.at("20200110T000000", || repository.signed(&gpg.flags(&key)));
    says(judged(&trusting(&[&gpg.export(&key)]), &raw), "that key expired at 2020-01-31");
    // In its time it did.
    let then = Timestamp(1_579_000_000_000);
    assert!(trusting(&[&gpg.export(&key)]).judge(&raw, then).is_ok());
    // And does again once its owner has extended it.
    gpg.run(&["--quick-set-expire", &key, "0"]);
    assert!(judged(&trusting(&[&gpg.export(&key)]), &raw).is_ok());
}

#[test]
fn a_revoked_key_counts_for_nothing() {
    let (gpg, repository) = (Gpg::new(), in_a_repository());
    let key = gpg.key("Jane <jane@example.com>", "ed25519", "never");
    let raw = repository.signed(&gpg.flags(&key));
    assert!(judged(&trusting(&[&gpg.export(&key)]), &raw).is_ok());
    gpg.revoke(&key);
    says(judged(&trusting(&[&gpg.export(&key)]), &raw), "that key is revoked");
}

#[test]
fn a_signature_of_a_time_to_come_does_not_count() {
    let (gpg, repository) = (Gpg::new(), in_a_repository());
    let key = gpg.key("Jane <jane@example.com>", "ed25519", "never");
    let raw = gpg.at("20990101T000000", || repository.signed(&gpg.flags(&key)));
    says(judged(&trusting(&[&gpg.export(&key)]), &raw), "which is still to come");
}

#[test]
fn a_signature_that_hashes_with_sha_1_does_not_count() {
    let (gpg, repository) = (Gpg::new(), in_a_repository());
    let key = gpg.key("Jane <jane@example.com>", "rsa2048", "never");
    let raw = gpg.with(&["--digest-algo", "SHA1"], || repository.signed(&gpg.flags(&key)));
    says(judged(&trusting(&[&gpg.export(&key)]), &raw), "hashes with SHA1, which can be forged");
}

#[test]
fn an_ssh_key_counts_in_its_time_only() {
    let (repository, key) = (in_a_repository(), SshSigner::new("ed25519", "256"));
    let raw = repository.signed(&key.flags());
    let line = |option: &str| format!("dev@example.com {option} {}", key.public());
    says(judged(&trusting(&[&line("valid-before=\"20200101\"")]), &raw), "is trusted until 2020-01-01");
    says(judged(&trusting(&[&line("valid-after=\"20980101Z\"")]), &raw), "is trusted from 2098-01-01");
    assert!(judged(&trusting(&[&line("valid-after=\"20200101\",valid-before=\"20980101\"")]), &raw).is_ok());
}

#[test]
fn a_short_rsa_key_is_not_trusted_at_all() {
    let key = SshSigner::new("rsa", "1024");
    let refused = towpath::trust::read_keys(&key.public()).unwrap_err();
    assert!(refused.message.contains("1024 bits"), "{refused}");
}
