//! OpenSSH's `known_hosts` files (sshd(8)): which host has which key. Pure.
//!
//! Plain, hashed and patterned names, `[host]:port`, `!` and `@revoked` are understood; `@cert-authority` is not.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The kinds of key that libssh2 takes.
const KINDS: [&str; 5] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

/// A host key, as its server showed it.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostKey<'a> {
    pub(super) kind: &'a str,
    pub(super) blob: &'a [u8],
}

/// A line of a file that concerns a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    /// The fingerprint of the key that it names.
    pub(super) fingerprint: String,
}

/// What the files say of a host and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    /// No line names the host.
    Unknown,
    /// Lines name the host, none of them with this key.
    Changed(Vec<Place>),
    /// A line says that this key must not be trusted.
    Revoked(Place),
}

/// What files, with their texts, say.
pub(super) fn judge(files: &[(PathBuf, String)], host: &str, port: u16, key: HostKey<'_>) -> Verdict {
    let name = name_of(host, port);
    let mut known = false;
    let mut others = Vec::new();
    for (file, text) in files {
        for (number, entry) in entries(text).filter(|(_, entry)| entry.fits(&name)) {
            let place = || place(file, number, &entry);
            let same = entry.blob == key.blob;
            match entry.marker {
                Some("@revoked") if same => return Verdict::Revoked(place()),
                Some(_) => {}
                None if same => known = true,
                None => others.push(place()),
            }
        }
    }
    match others.is_empty() {
        _ if known => Verdict::Known,
        true => Verdict::Unknown,
        false => Verdict::Changed(others),
    }
}

fn place(file: &Path, line: usize, entry: &Entry<'_>) -> Place {
    Place { file: file.to_owned(), line, fingerprint: fingerprint(&entry.blob) }
}

/// The lines that libssh2 understands, for it to ask a server for a key of a kind that is known.
pub(super) fn for_libssh2(files: &[(PathBuf, String)]) -> String {
    let plain = |entry: &Entry<'_>| entry.marker.is_none() && !entry.names.contains(['*', '?', '!']);
    let all = files.iter().flat_map(|(_, text)| entries(text)).map(|(_, entry)| entry);
    all.filter(plain)
        .map(|entry| format!("{} {} {}\n", entry.names, entry.kind, STANDARD.encode(&entry.blob)))
        .collect()
}

/// A host as the files name it.
pub(super) fn name_of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// The line that makes a key known.
pub(super) fn line(host: &str, port: u16, key: HostKey<'_>) -> String {
    format!("{} {} {}", name_of(host, port), key.kind, STANDARD.encode(key.blob))
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

struct Entry<'a> {
    marker: Option<&'a str>,
    names: &'a str,
    kind: &'a str,
    blob: Vec<u8>,
}

/// The entries of a text with their line numbers. What is none is passed over, as OpenSSH does.
fn entries(text: &str) -> impl Iterator<Item = (usize, Entry<'_>)> {
    text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, entry(line)?)))
}

fn entry(line: &str) -> Option<Entry<'_>> {
    let mut words = line.split_ascii_whitespace().peekable();
    let marker = words.next_if(|word| word.starts_with('@'));
    let names = words.next().filter(|word| !word.starts_with('#'))?;
    let kind = words.next().filter(|kind| KINDS.contains(kind))?;
    let blob = STANDARD.decode(words.next()?).ok()?;
    Some(Entry { marker, names, kind, blob })
}

impl Entry<'_> {
    fn fits(&self, name: &str) -> bool {
        let mut fits = false;
        for pattern in self.names.split(',') {
            match pattern.strip_prefix('!') {
                Some(not) if matches(not, name) => return false,
                Some(_) => {}
                None => fits |= matches(pattern, name),
            }
        }
        fits
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("|1|") {
        Some(hashed) => is_hash_of(hashed, name),
        None => is_pattern_of(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()),
    }
}

/// `salt|hash`, both in base64: the HMAC-SHA1 of the name.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let hash = || {
        let (salt, hash) = hashed.split_once('|')?;
        let key = PKey::hmac(&STANDARD.decode(salt).ok()?).ok()?;
        let mut signer = Signer::new(MessageDigest::sha1(), &key).ok()?;
        signer.update(name.as_bytes()).ok()?;
        Some(signer.sign_to_vec().ok()? == STANDARD.decode(hash).ok()?)
    };
    hash().unwrap_or(false)
}

/// `*` is anything, `?` one character. Goes back to the last `*` only, so that it ends soon whatever is written.
fn is_pattern_of(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"one";
    const TWO: &[u8] = b"two";

    fn verdict(text: &str, host: &str, port: u16, blob: &[u8]) -> Verdict {
        judge(&[("known_hosts".into(), text.to_owned())], host, port, HostKey { kind: "ssh-ed25519", blob })
    }

    fn known(names: &str) -> String {
        format!("{names} ssh-ed25519 {} a comment\n", STANDARD.encode(ONE))
    }

    #[test]
    fn hosts_are_known_by_name_port_pattern_and_list() {
        for (names, host, port) in [
            ("git.example", "git.example", 22),
            ("git.example", "GIT.example", 22),
            ("[git.example]:2222", "git.example", 2222),
            ("other,git.example", "git.example", 22),
            ("*.example", "git.example", 22),
            ("[10.0.0.?]:*", "10.0.0.7", 2200),
        ] {
            assert_eq!(verdict(&known(names), host, port, ONE), Verdict::Known, "{names}");
        }
        for (names, host, port) in [
            ("git.example", "git.example", 2222),
            ("[git.example]:2222", "git.example", 22),
            ("*.example,!git.example", "git.example", 22),
            ("*.example", "example", 22),
        ] {
            assert_eq!(verdict(&known(names), host, port, ONE), Verdict::Unknown, "{names}");
        }
    }

    #[test]
    fn a_hashed_name_is_read_as_ssh_keygen_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        std::fs::write(&file, known("[git.example]:2222")).unwrap();
        let done = std::process::Command::new("ssh-keygen").arg("-H").arg("-f").arg(&file).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("|1|"), "{text}");
        assert_eq!(verdict(&text, "git.example", 2222, ONE), Verdict::Known);
        assert_eq!(verdict(&text, "git.example", 22, ONE), Verdict::Unknown);
    }

    #[test]
    fn another_key_is_a_changed_one_and_says_where_the_old_stands() {
        let text = format!("# comment\n\n{}", known("git.example"));
        let Verdict::Changed(places) = verdict(&text, "git.example", 22, TWO) else { panic!("not changed") };
        assert_eq!((places[0].line, places.len()), (3, 1));
        // A second line with the new key mends it; a revoked one never counts.
        let both = text + &format!("git.example ssh-ed25519 {}\n", STANDARD.encode(TWO));
        assert_eq!(verdict(&both, "git.example", 22, TWO), Verdict::Known);
        let revoked = format!("{both}@revoked * ssh-ed25519 {}\n", STANDARD.encode(TWO));
        assert!(matches!(verdict(&revoked, "git.example", 22, TWO), Verdict::Revoked(place) if place.line == 5));
        let authority = format!("@cert-authority * ssh-ed25519 {}\n", STANDARD.encode(ONE));
        assert_eq!(verdict(&authority, "git.example", 22, ONE), Verdict::Unknown);
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        for text in ["", "git.example", "git.example ssh-ed25519", "git.example ssh-ed25519 ***", "|1|x git ssh-rsa"] {
            assert_eq!(verdict(text, "git.example", 22, ONE), Verdict::Unknown, "{text}");
        }
        assert_eq!(verdict(&known(&"*a".repeat(200)), &"a".repeat(500), 22, ONE), Verdict::Known);
    }

    #[test]
    fn libssh2_gets_what_it_understands() {
        let text = format!("{}{}@revoked {}junk\n", known("a.example"), known("*.example"), known("b.example"));
        let told = for_libssh2(&[("f".into(), text)]);
        assert_eq!(told, format!("a.example ssh-ed25519 {}\n", STANDARD.encode(ONE)));
    }
}
