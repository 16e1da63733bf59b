//! Commits and keys as text. What gpg and ssh-keygen make is judged in `tests/it/signatures.rs`.

use super::*;
use crate::model::Timestamp;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKxV8bSUoCkkFBVdd9EZkD2B1dk3LZvCgCkrnQ9zBSkx";

fn commit(header: &str) -> Vec<u8> {
    format!("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n{header}committer A <a@b> 1700000000 +0000\n\nwork\n")
        .into_bytes()
}

#[test]
fn a_signature_is_taken_out_of_a_header_and_nothing_else_is() {
    let raw = commit("gpgsig -----BEGIN\n \n line\n -----END\nencoding x\n");
    let parsed = Commit::parse(&raw).unwrap();
    assert_eq!(parsed.signature.as_deref(), Some("-----BEGIN\n\nline\n-----END\n"));
    assert_eq!(parsed.payload, commit("encoding x\n"));
    assert_eq!(parsed.committed_at, Some(Timestamp(1_700_000_000_000)));
}

#[test]
fn what_looks_like_a_signature_in_a_message_is_none() {
    let mut raw = commit("");
    raw.extend(b"gpgsig -----BEGIN SSH SIGNATURE-----\n x\n");
    let parsed = Commit::parse(&raw).unwrap();
    assert_eq!((parsed.signature, parsed.payload), (None, raw));
}

#[test]
fn lines_of_a_merged_tag_stay_where_they_are() {
    let raw = commit("mergetag object 1\n type commit\n gpgsig x\ngpgsig one\n two\n");
    let parsed = Commit::parse(&raw).unwrap();
    assert_eq!(parsed.payload, commit("mergetag object 1\n type commit\n gpgsig x\n"));
    assert_eq!(parsed.signature.as_deref(), Some("one\ntwo\n"));
}

#[test]
fn a_second_signature_an_unknown_one_and_a_huge_one_are_refused() {
    assert_eq!(Commit::parse(&commit("gpgsig one\ngpgsig two\n")), Err(Refusal::Several));
    assert!(matches!(Commit::parse(&commit("gpgsig-sha512 one\n")), Err(Refusal::Unreadable(_))));
    let other = Commit::parse(&commit("gpgsig one\ngpgsig-sha256 two\n more\n")).unwrap();
    assert_eq!((other.signature.as_deref(), other.payload), (Some("one\n"), commit("")));
    let long = format!("gpgsig {}\n", "x".repeat(MOST_TEXT));
    assert!(matches!(Commit::parse(&commit(&long)), Err(Refusal::Malformed(_))));
    assert!(matches!(Commit::parse(&vec![b'x'; MOST_BYTES + 1]), Err(Refusal::Unreadable(_))));
    assert!(matches!(Commit::parse(b"parent 1\n"), Err(Refusal::Unreadable(_))));
}

#[test]
fn an_ssh_key_is_read_with_and_without_principals_and_options() {
    for line in [
        format!("{KEY} dev@example.com"),
        format!("dev@example.com {KEY}"),
        format!("dev@example.com,*@example.org namespaces=\"git,file\" {KEY}"),
        format!(
            "ssh-ed25519 namespaces=\"git\",valid-after=\"20200101\",valid-before=\"203001011200Z\" {KEY} Jane Doe"
        ),
        format!("# a comment\n\n{KEY}\n{KEY}\n"),
    ] {
        assert!(read_keys(&line).is_ok(), "{line}");
    }
    let shown = read_keys(&format!("jane@example.com {KEY}")).unwrap()[0].to_string();
    assert!(shown.starts_with("ssh key SHA256:") && shown.ends_with("(jane@example.com)"), "{shown}");
}

#[test]
fn what_is_no_key_is_refused_with_what_to_write() {
    let none = format!("dev namespaces=\"file\" {KEY}");
    let authority = format!("dev cert-authority {KEY}");
    let when = format!("dev valid-before=\"soon\" {KEY}");
    for (text, says) in [
        ("", "there is no public key"),
        ("hello", "this is no public key"),
        ("ssh-ed25519 AAAA", "this is no public key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nx", "private key"),
        ("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxx\n-----END PGP PUBLIC KEY BLOCK-----", "no OpenPGP public key"),
        ("-----BEGIN PGP PUBLIC KEY BLOCK-----", "no OpenPGP public key"),
        (&none, "may sign for `file` only"),
        (&authority, "certificate authorities"),
        (&when, "`soon` is no time"),
    ] {
        let refused = read_keys(text).unwrap_err();
        assert!(refused.message.contains(says), "{text}: {refused}");
    }
}

#[test]
fn texts_of_any_kind_are_judged_without_a_panic() {
    let keyring = Keyring::of(&[crate::model::KeyGroup {
        name: "team".into(),
        keys: vec![crate::model::KeyText::Text(KEY.into())],
    }])
    .unwrap();
    for signature in [
        "-----BEGIN PGP SIGNATURE-----\n -----END PGP SIGNATURE-----\n",
        "-----BEGIN PGP SIGNATURE-----\n \n wsB=\n =aaaa\n -----END PGP SIGNATURE-----\n",
        "-----BEGIN SSH SIGNATURE-----\n U1NIU0lH\n -----END SSH SIGNATURE-----\n",
        "-----BEGIN SSH SIGNATURE-----\n -----END SSH SIGNATURE-----\n",
        "-----BEGIN SIGNED MESSAGE-----\n x\n",
        "\n",
    ] {
        let raw = commit(&format!("gpgsig {signature}"));
        let refused = keyring.judge(&raw, Timestamp(1_800_000_000_000));
        assert!(matches!(refused, Err(Refusal::Malformed(_))), "{signature}: {refused:?}");
    }
}
