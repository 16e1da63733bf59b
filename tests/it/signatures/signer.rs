//! gpg and ssh-keygen with keys of a test's own, and a repository whose commits they sign.

use crate::installation::Repository;
use std::cell::RefCell;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// gpg with a home of its own. Its agent ends with it.
pub struct Gpg {
    home: TempDir,
    extra: RefCell<Vec<String>>,
}

impl Gpg {
    pub fn new() -> Self {
        // Directly below /tmp: the path of its agent's socket has to be short.
        let home = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let gpg = Self { home, extra: RefCell::default() };
        gpg.write_program();
        gpg
    }

    /// What git calls: gpg with this home, and what a test adds.
    fn write_program(&self) {
        let words: Vec<String> = self.extra.borrow().iter().map(|word| format!(" '{word}'")).collect();
        let home = self.home.path().display();
        let text = format!("#!/bin/sh\nexec gpg --homedir {home} --batch --quiet{} \"$@\"\n", words.concat());
        // Written anew beside its place: a program that is still running cannot be written.
        let (fresh, program) = (self.home.path().join("fresh"), self.program());
        std::fs::write(&fresh, text).unwrap();
        std::fs::set_permissions(&fresh, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(&fresh, program).unwrap();
    }

    fn program(&self) -> PathBuf {
        self.home.path().join("gpg.sh")
    }

    pub fn run(&self, args: &[&str]) -> String {
        let output = Command::new(self.program())
            .args(["--pinentry-mode", "loopback", "--passphrase", "", "--yes"])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("gpg runs; `scripts/install-missing test` installs it");
        assert!(output.status.success(), "gpg {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes a key; returns its fingerprint.
    pub fn key(&self, name: &str, kind: &str, expires: &str) -> String {
        self.run(&["--quick-generate-key", name, kind, "sign", expires]);
        let listed = self.run(&["--with-colons", "--list-keys", name]);
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    pub fn export(&self, key: &str) -> String {
        self.run(&["--armor", "--export", key])
    }

    /// By the certificate that gpg makes with every key, against use by accident with a colon in front.
    pub fn revoke(&self, key: &str) {
        let file = self.home.path().join(format!("openpgp-revocs.d/{key}.rev"));
        let text = std::fs::read_to_string(&file).unwrap().replace(":-----BEGIN", "-----BEGIN");
        std::fs::write(&file, text).unwrap();
        self.run(&["--import", &file.to_string_lossy()]);
    }

    /// Does something with gpg's clock at a time.
    pub fn at<T>(&self, time: &str, act: impl FnOnce() -> T) -> T {
        self.with(&["--faked-system-time", &format!("{time}!")], act)
    }

    /// Does something with more flags of gpg.
    pub fn with<T>(&self, flags: &[&str], act: impl FnOnce() -> T) -> T {
        *self.extra.borrow_mut() = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.write_program();
        let done = act();
        self.extra.borrow_mut().clear();
        self.write_program();
        done
    }

    /// What git is told to sign with a key.
    pub fn flags(&self, key: &str) -> Vec<String> {
        let program = self.program();
        vec![
            "-c".into(),
            format!("gpg.program={}", program.display()),
            "-c".into(),
            format!("user.signingkey={key}"),
            "-c".into(),
            "commit.gpgsign=true".into(),
        ]
    }

    /// A signature of a text.
    pub fn sign(&self, key: &str, text: &[u8]) -> String {
        let file = self.home.path().join("text");
        std::fs::write(&file, text).unwrap();
        self.run(&["--local-user", key, "--armor", "--detach-sign", "--output", "-", &file.to_string_lossy()])
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let home = self.home.path().as_os_str();
        let _ = Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).output();
    }
}

/// An ssh key.
pub struct SshSigner(TempDir);

impl SshSigner {
    pub fn new(kind: &str, bits: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", kind, "-b", bits, "-N", "", "-C", "dev@example.com", "-f"])
            .arg(home.path().join("key"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self(home)
    }

    pub fn public(&self) -> String {
        std::fs::read_to_string(self.0.path().join("key.pub")).unwrap().trim().to_owned()
    }

    pub fn fingerprint(&self) -> String {
        let shown = Command::new("ssh-keygen").arg("-lf").arg(self.0.path().join("key.pub")).output().unwrap();
        String::from_utf8(shown.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    pub fn flags(&self) -> Vec<String> {
        let key = self.0.path().join("key");
        let flags =
            ["gpg.format=ssh".to_owned(), format!("user.signingkey={}", key.display()), "commit.gpgsign=true".into()];
        flags.into_iter().flat_map(|flag| ["-c".to_owned(), flag]).collect()
    }

    /// A signature of a text for a namespace.
    pub fn sign(&self, namespace: &str, text: &[u8]) -> String {
        let mut signing = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-n", namespace, "-f"])
            .arg(self.0.path().join("key"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        signing.stdin.take().unwrap().write_all(text).unwrap();
        String::from_utf8(signing.wait_with_output().unwrap().stdout).unwrap()
    }
}

/// A repository that is gone with its test.
pub struct Signed {
    pub repository: Repository,
    _directory: TempDir,
}

pub fn in_a_repository() -> Signed {
    let directory = tempfile::tempdir().unwrap();
    Signed { repository: Repository::new(directory.path().join("work")), _directory: directory }
}

impl Signed {
    /// Makes a commit with more flags of git, and returns it as git stores it.
    pub fn signed<F: AsRef<str>>(&self, flags: &[F]) -> Vec<u8> {
        commit_signed(&self.repository, flags, "file", "text");
        self.raw("HEAD")
    }

    pub fn raw(&self, revision: &str) -> Vec<u8> {
        self.repository.git(&["cat-file", "commit", revision]).into_bytes()
    }
}

/// Commits a file with more flags of git; returns the id.
pub fn commit_signed<F: AsRef<str>>(repository: &Repository, flags: &[F], file: &str, text: &str) -> String {
    let path = repository.path().join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    repository.git(&["add", "-A"]);
    let message = format!("Change {file}");
    let mut words: Vec<&str> = flags.iter().map(AsRef::as_ref).collect();
    words.extend(["commit", "-q", "--allow-empty", "-m", &message]);
    repository.git(&words);
    repository.git(&["rev-parse", "HEAD"]).trim().to_owned()
}
