//! Repositories over ssh: whose host keys are trusted, and which key we show.
//!
//! Host keys are always checked, against the installation's files of known hosts; they are read anew for each connection,
//! so that a file that was mended counts at once. No agent is asked and no configuration of ssh is read.

use super::bounds::Bounds;
use super::known_hosts::{self, HostKey, Place, Verdict};
use super::{SourceError, mirror};
use crate::model::{RepositoryUrl, SshTarget};
use crate::source::access::Shown;
use git2::{CertificateCheckStatus, Cred, CredentialType, RemoteCallbacks};
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// More than any file of keys or known hosts.
const LONGEST_FILE: u64 = 4 << 20;

/// What the installation knows of ssh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshOptions {
    /// Files of known hosts; those that are not there are passed over. New hosts are to be added to the first.
    pub known_hosts: Vec<PathBuf>,
    /// The private key where a source names none.
    pub key: Option<PathBuf>,
}

/// The options, and the keys that sources name.
#[derive(Debug, Default)]
pub(super) struct Ssh {
    options: SshOptions,
    /// Where libssh2 finds the hosts, to ask a server for a key of a kind that is known.
    home: PathBuf,
    keys: RwLock<HashMap<RepositoryUrl, PathBuf>>,
}

impl Ssh {
    pub(super) fn new(options: SshOptions, home: PathBuf) -> Self {
        Self { options, home, keys: RwLock::default() }
    }

    /// Replaces the keys that sources name.
    pub(super) fn set_keys(&self, keys: HashMap<RepositoryUrl, PathBuf>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// A repository of no contents, for questions over HTTP; see [`super::http`].
    pub(super) fn asking(&self) -> PathBuf {
        self.home.join("asking.git")
    }

    fn key(&self, repository: &RepositoryUrl) -> Option<PathBuf> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(repository).cloned().or_else(|| self.options.key.clone())
    }

    /// The files with their texts.
    fn known_hosts(&self) -> Vec<(PathBuf, String)> {
        let read = |path: &PathBuf| match read_text(path) {
            Ok(text) => Some((path.clone(), text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a file of known hosts cannot be read");
                None
            }
        };
        self.options.known_hosts.iter().filter_map(read).collect()
    }

    /// Before a connection: writes the known hosts where libssh2 looks for them. It only prefers kinds of keys by them.
    fn prepare(&self) -> io::Result<()> {
        let directory = self.home.join(".ssh");
        mirror::make_private(&directory)?;
        let (file, text) = (directory.join("known_hosts"), known_hosts::for_libssh2(&self.known_hosts()));
        if read_text(&file).is_ok_and(|there| there == text) {
            return Ok(());
        }
        // Whole in its place: another connection may be reading it.
        let new = directory.join(format!("new-{:x}", fastrand::u64(..)));
        fs::write(&new, text)?;
        fs::rename(new, file)
    }

    fn check_host(
        &self,
        repository: &RepositoryUrl,
        target: &SshTarget<'_>,
        key: HostKey<'_>,
    ) -> Result<(), SourceError> {
        let files = self.known_hosts();
        let refuse = |problem: String, hint: String| {
            Err(SourceError::HostKey { repository: repository.to_string(), problem, hint })
        };
        let host = known_hosts::name_of(target.host, target.port);
        let shown = format!("{} {}", key.kind, known_hosts::fingerprint(key.blob));
        let line = known_hosts::line(target.host, target.port, key);
        match known_hosts::judge(&files, target.host, target.port, key) {
            Verdict::Known => Ok(()),
            Verdict::Unknown => refuse(
                format!("the host key of `{host}` is not known; it showed {shown}"),
                format!(
                    "compare that with what its owner publishes; if it is the same, add this line to `{}`: `{line}`",
                    self.first_file()
                ),
            ),
            Verdict::Changed(places) => refuse(
                format!(
                    "THE HOST KEY OF `{host}` HAS CHANGED: it showed {shown}, but {}; someone may be in between, so \
                     nothing is fetched",
                    places.iter().map(said).collect::<Vec<_>>().join(", and ")
                ),
                format!("if its owner changed the key, put `{line}` in the place of the old line"),
            ),
            Verdict::Revoked(place) => refuse(
                format!("the host key of `{host}` is revoked: it showed {shown}, and {}", said(&place)),
                "ask its owner; a line with `@revoked` is never overruled".to_owned(),
            ),
        }
    }

    fn first_file(&self) -> String {
        self.options.known_hosts.first().map_or_else(|| "known_hosts".into(), |file| file.display().to_string())
    }

    /// The text of the key, after its permissions were looked at.
    fn read_key(&self, repository: &RepositoryUrl) -> Result<(PathBuf, String), SourceError> {
        let refuse = |problem: String, hint: &str| SourceError::Key {
            repository: repository.to_string(),
            problem,
            hint: hint.to_owned(),
        };
        let path = self.key(repository).ok_or_else(|| {
            refuse("no key is set for it".into(), "start with `--ssh-key FILE`, or write `source.key: { file: … }`")
        })?;
        let shown = path.display();
        let text = read_private(&path).map_err(|error| match error {
            KeyFile::Open(mode) => refuse(
                format!("the key `{shown}` can be read by others (mode {mode:04o})"),
                "make it yours alone: `chmod 600` it",
            ),
            KeyFile::Stranger => {
                refuse(format!("the key `{shown}` belongs to another user"), "make it belong to towpath's user")
            }
            KeyFile::Io(error) => refuse(format!("the key `{shown}` cannot be read: {error}"), "check its path"),
        })?;
        if is_encrypted(&text) {
            let hint = "use a key of its own for deployments, without one: `ssh-keygen -p` takes it off";
            return Err(refuse(format!("the key `{shown}` has a passphrase"), hint));
        }
        Ok((path, text))
    }
}

fn said(place: &Place) -> String {
    format!("`{}:{}` says {}", place.file.display(), place.line, place.fingerprint)
}

/// The key to show and its name: a connection's, else that of a file.
fn key_of(repository: &RepositoryUrl, bounds: &Bounds) -> Result<(String, String), SourceError> {
    if let Some((name, key)) = bounds.shown.as_ref().and_then(Shown::key) {
        if is_encrypted(key.reveal()) {
            let hint = "use a key of its own for deployments, without one: `ssh-keygen -p` takes it off".to_owned();
            let problem = format!("the key of {name} has a passphrase");
            return Err(SourceError::Key { repository: repository.to_string(), problem, hint });
        }
        return Ok((format!("the key of {name}"), key.reveal().to_owned()));
    }
    let (path, text) = bounds.ssh.read_key(repository)?;
    Ok((format!("the key `{}`", path.display()), text))
}

/// Adds what ssh asks for to the callbacks of a connection.
pub(super) fn authenticate<'a>(callbacks: &mut RemoteCallbacks<'a>, repository: &'a RepositoryUrl, bounds: &'a Bounds) {
    let RepositoryUrl::Ssh(_) = repository else { return };
    if let Err(error) = bounds.ssh.prepare() {
        tracing::warn!(%error, "libssh2 does not know which kinds of host keys are known");
    }
    callbacks.certificate_check(move |certificate, _| {
        let target = repository.ssh_target();
        let shown = certificate.as_hostkey().and_then(|key| Some((key.hostkey()?, key.hostkey_type()?)));
        let (Some(target), Some((blob, kind))) = (target, shown) else {
            return Err(git2::Error::from_str("it showed no host key"));
        };
        let checked = bounds.ssh.check_host(repository, &target, HostKey { kind: kind.name(), blob });
        checked.map_err(|error| bounds.refuse(error)).map(|()| CertificateCheckStatus::CertificateOk)
    });
    let mut tried = false;
    callbacks.credentials(move |_, user, allowed| {
        let user = user.unwrap_or("git");
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user);
        }
        let (name, text) = key_of(repository, bounds).map_err(|error| bounds.refuse(error))?;
        if std::mem::replace(&mut tried, true) || !allowed.contains(CredentialType::SSH_MEMORY) {
            return Err(bounds.refuse(SourceError::Key {
                repository: repository.to_string(),
                problem: format!("{name} was refused for user `{user}`"),
                hint: "add its public part there, as a deploy key that may read".to_owned(),
            }));
        }
        Cred::ssh_key_from_memory(user, None, &text, None)
    });
}

/// Why a key's file is not used.
enum KeyFile {
    Open(u32),
    Stranger,
    Io(io::Error),
}

/// Reads a file that nobody else may read. What is looked at is what was opened.
fn read_private(path: &Path) -> Result<String, KeyFile> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(KeyFile::Io)?;
    let metadata = file.metadata().map_err(KeyFile::Io)?;
    if !metadata.is_file() {
        return Err(KeyFile::Io(io::Error::other("it is no file")));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFile::Open(mode));
    }
    let ours = rustix::process::geteuid().as_raw();
    if metadata.uid() != ours && metadata.uid() != 0 && ours != 0 {
        return Err(KeyFile::Stranger);
    }
    let mut text = String::new();
    file.take(LONGEST_FILE).read_to_string(&mut text).map_err(KeyFile::Io)?;
    Ok(text)
}

fn read_text(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a key needs a passphrase: PEM says so; OpenSSH's own form names the cipher in its first bytes.
fn is_encrypted(text: &str) -> bool {
    use base64::Engine;
    if text.contains("ENCRYPTED") {
        return true;
    }
    let Some(body) = text.trim().strip_prefix("-----BEGIN OPENSSH PRIVATE KEY-----") else { return false };
    let body: String = body.chars().filter(|c| !c.is_whitespace()).take(64).collect();
    let head = base64::engine::general_purpose::STANDARD.decode(body).unwrap_or_default();
    // `openssh-key-v1\0`, the length of the cipher's name, the name.
    head.get(15..23).is_some_and(|name| name != b"\0\0\0\x04none")
}
