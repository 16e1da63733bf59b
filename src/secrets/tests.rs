use super::*;
use std::os::unix::fs::PermissionsExt;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[test]
fn a_value_comes_back_and_only_with_the_key() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keyring = Keyring::open(&ours.path().join("secrets")).unwrap();
    let sealed = encrypt(&[keyring.recipient()], &secret("hunter2\n")).unwrap();
    assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") && !sealed.contains("hunter2"));
    assert_eq!(keyring.decrypt(&sealed).unwrap().reveal(), "hunter2");
    let other = Keyring::open(theirs.path()).unwrap();
    let refused = other.decrypt(&sealed).unwrap_err().to_string();
    assert!(refused.contains("another key") && refused.contains(&other.recipient().to_string()), "{refused}");
    let changed = sealed.replace(&sealed[60..70], "AAAAAAAAAA");
    assert!(matches!(keyring.decrypt(&changed), Err(SecretsError::Damaged(_))));
    assert!(matches!(keyring.decrypt("hunter2"), Err(SecretsError::Damaged(_))));
}

#[test]
fn several_recipients_can_each_decrypt() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let rings = directories.each_ref().map(|d| Keyring::open(d.path()).unwrap());
    let sealed = encrypt(&[rings[0].recipient(), rings[1].recipient()], &secret("x")).unwrap();
    assert!(rings.iter().all(|ring| ring.decrypt(&sealed).unwrap().reveal() == "x"));
    assert!(encrypt(&[], &secret("x")).is_err());
}

#[test]
fn a_new_identity_encrypts_and_the_old_ones_go_on_decrypting() {
    let directory = tempfile::tempdir().unwrap();
    let old = Keyring::open(directory.path()).unwrap();
    let sealed = encrypt(&[old.recipient()], &secret("x")).unwrap();
    let new = Keyring::rotate(directory.path()).unwrap();
    assert_ne!(new.recipient().to_string(), old.recipient().to_string());
    assert_eq!(new.recipients().len(), 2);
    assert_eq!(new.decrypt(&sealed).unwrap().reveal(), "x");
    assert_eq!(new.digest("shop-db", &secret("x")), old.digest("shop-db", &secret("x")));
}

#[test]
fn keys_are_made_once_and_for_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets");
    let made: Vec<_> = std::thread::scope(|scope| {
        let tasks: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Keyring::open(&path).unwrap().recipient().to_string())).collect();
        tasks.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(made.iter().all(|recipient| *recipient == made[0]), "{made:?}");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&path), mode(&path.join("identities")), mode(&path.join("digest.key"))], [0o700, 0o600, 0o600]);
    std::fs::write(path.join("identities"), "# a comment\nAGE-SECRET-KEY-1NONSENSE\n").unwrap();
    let refused = Keyring::open(&path).err().unwrap();
    assert!(refused.to_string().contains("line 2") && !refused.to_string().contains("NONSENSE"), "{refused}");
}

#[test]
fn digests_tell_values_apart_and_need_the_key() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = directories.each_ref().map(|d| Keyring::open(d.path()).unwrap());
    let digest = |ring: &Keyring, name: &str, value: &str| ring.digest(name, &secret(value));
    assert_eq!(digest(&a, "shop-db", "x"), digest(&a, "shop-db", "x"));
    assert_ne!(digest(&a, "shop-db", "x"), digest(&a, "shop-db", "y"));
    assert_ne!(digest(&a, "shop-db", "x"), digest(&a, "other-db", "x"));
    assert_ne!(digest(&a, "shop-db", "x"), digest(&b, "shop-db", "x"));
}

#[test]
fn the_digest_is_an_hmac() {
    // RFC 4231, test case 2.
    let mac = keyring::hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
    let hex: String = mac.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

#[test]
fn values_that_no_variable_can_hold_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ring = Keyring::open(directory.path()).unwrap();
    let sealed = encrypt(&[ring.recipient()], &secret("a\0b")).unwrap();
    assert!(ring.decrypt(&sealed).unwrap_err().to_string().contains("zero byte"));
    let long = "x".repeat(usize::try_from(MAX_VALUE).unwrap() + 1);
    assert!(matches!(encrypt(&[ring.recipient()], &secret(&long)), Err(SecretsError::TooLong)));
}
