//! Signatures that somebody made to be believed.

use super::signer::{Gpg, SshSigner, in_a_repository};
use super::{judged, says, trusting};
use towpath::trust::{Commit, Refusal};

/// A commit with another signature than it had, as a header.
fn with_signature(raw: &[u8], signatures: &[&str]) -> Vec<u8> {
    let payload = String::from_utf8(Commit::parse(raw).unwrap().payload).unwrap();
    let (header, message) = payload.split_once("\n\n").unwrap();
    let header_of = |signature: &&str| format!("\ngpgsig {}", signature.trim_end().replace('\n', "\n "));
    let signatures: String = signatures.iter().map(header_of).collect();
    format!("{header}{signatures}\n\n{message}").into_bytes()
}

fn signature_of(raw: &[u8]) -> String {
    Commit::parse(raw).unwrap().signature.unwrap()
}

#[test]
fn a_signature_of_another_commit_does_not_fit() {
    let (repository, gpg, ssh) = (in_a_repository(), Gpg::new(), SshSigner::new("ed25519", "256"));
    let key = gpg.key("Jane <jane@example.com>", "ed25519", "never");
    let keyring = trusting(&[&gpg.export(&key), &ssh.public()]);
    for flags in [gpg.flags(&key), ssh.flags()] {
        let first = repository.signed(&flags);
        let second = repository.signed::<&str>(&[]);
        assert!(judged(&keyring, &with_signature(&first, &[&signature_of(&first)])).is_ok(), "the helper is right");
        says(judged(&keyring, &with_signature(&second, &[&signature_of(&first)])), "does not fit its contents");
        let changed = String::from_utf8(first).unwrap().replace("Change file", "Change more");
        says(judged(&keyring, changed.as_bytes()), "does not fit its contents");
    }
}

#[test]
fn a_signature_cut_short_is_none() {
    let (repository, gpg, ssh) = (in_a_repository(), Gpg::new(), SshSigner::new("ed25519", "256"));
    let key = gpg.key("Jane <jane@example.com>", "ed25519", "never");
    let keyring = trusting(&[&gpg.export(&key), &ssh.public()]);
    for flags in [gpg.flags(&key), ssh.flags()] {
        let raw = repository.signed(&flags);
        let signature = signature_of(&raw);
        for kept in [30, signature.len() / 2, signature.len() - 10] {
            let cut = judged(&keyring, &with_signature(&raw, &[&signature[..kept]]));
            assert!(matches!(cut, Err(Refusal::Malformed(_))), "{kept}: {cut:?}");
        }
        // A line is missing in its middle.
        let mut lines: Vec<&str> = signature.lines().collect();
        lines.remove(lines.len() - 3);
        assert!(judged(&keyring, &with_signature(&raw, &[&lines.join("\n")])).is_err());
    }
}

#[test]
fn a_key_of_the_same_name_is_another_key() {
    let (repository, gpg) = (in_a_repository(), Gpg::new());
    let ours = gpg.key("Jane <jane@example.com>", "ed25519", "never");
    let exported = gpg.export(&ours);
    let other = Gpg::new();
    let theirs = other.key("Jane <jane@example.com>", "ed25519", "never");
    says(judged(&trusting(&[&exported]), &repository.signed(&other.flags(&theirs))), "not among `team`");
}

#[test]
fn two_signatures_are_none() {
    let (repository, gpg, ssh) = (in_a_repository(), Gpg::new(), SshSigner::new("ed25519", "256"));
    let (jane, mallory) =
        (gpg.key("Jane <jane@example.com>", "ed25519", "never"), gpg.key("Mal <mal@example.com>", "ed25519", "never"));
    let keyring = trusting(&[&gpg.export(&jane), &ssh.public()]);
    let raw = repository.signed(&gpg.flags(&jane));
    let payload = Commit::parse(&raw).unwrap().payload;
    let (ours, theirs) = (gpg.sign(&jane, &payload), gpg.sign(&mallory, &payload));
    assert!(judged(&keyring, &with_signature(&raw, &[&ours])).is_ok());
    // As two headers, in either order; git itself would read them as one text.
    for pair in [[ours.as_str(), &theirs], [&theirs, &ours], [&ours, &ours]] {
        assert_eq!(judged(&keyring, &with_signature(&raw, &pair)), Err(Refusal::Several));
    }
    // As one header with two blocks, and of both kinds.
    let both = format!("{ours}{theirs}");
    assert!(judged(&keyring, &with_signature(&raw, &[&both])).is_err());
    let mixed = format!("{}{theirs}", ssh.sign("git", &payload));
    assert!(judged(&keyring, &with_signature(&raw, &[&mixed])).is_err());
    // As one block with two signatures in it.
    let joined = gpg.with(&["--local-user", &mallory], || gpg.sign(&jane, &payload));
    assert_eq!(judged(&keyring, &with_signature(&raw, &[&joined])), Err(Refusal::Several));
}

#[test]
fn an_oversized_signature_is_not_looked_at() {
    let (repository, ssh) = (in_a_repository(), SshSigner::new("ed25519", "256"));
    let raw = repository.signed(&ssh.flags());
    let long = format!("-----BEGIN SSH SIGNATURE-----\n{}-----END SSH SIGNATURE-----", "U1NIU0lH\n".repeat(20_000));
    says(judged(&trusting(&[&ssh.public()]), &with_signature(&raw, &[&long])), "bytes, 65536 are read");
}

#[test]
fn a_signature_that_an_ssh_key_made_for_something_else_does_not_count() {
    let (repository, ssh) = (in_a_repository(), SshSigner::new("ed25519", "256"));
    let raw = repository.signed::<&str>(&[]);
    let payload = Commit::parse(&raw).unwrap().payload;
    let keyring = trusting(&[&ssh.public()]);
    let file = with_signature(&raw, &[&ssh.sign("file", &payload)]);
    says(judged(&keyring, &file), "was made for `file`, not for `git`");
    assert!(judged(&keyring, &with_signature(&raw, &[&ssh.sign("git", &payload)])).is_ok());
}
