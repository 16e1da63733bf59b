//! Repositories over ssh, from a real `sshd` on loopback with keys of its own.

use super::repo::Room;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use towpath::model::{Class, Reference, RepositoryUrl};
use towpath::source::{GitLimits, GitSource, SourceError, SshOptions};

/// A server, and the client's key and known hosts.
pub struct Sshd {
    dir: PathBuf,
    port: u16,
    child: Option<Child>,
}

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn keygen(kind: &str, path: &Path, passphrase: &str) {
    let path = path.to_str().unwrap();
    run("ssh-keygen", &["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", path]);
}

impl Sshd {
    /// Starts a server whose host has keys of three kinds, and knows the client's key.
    pub fn start(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { dir: dir.to_owned(), port, child: None };
        keygen("ed25519", &server.key(), "");
        let public = std::fs::read_to_string(server.key().with_extension("pub")).unwrap();
        std::fs::write(dir.join("authorized"), public).unwrap();
        server.new_host_keys();
        server
    }

    pub fn key(&self) -> PathBuf {
        self.dir.join("client")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    pub fn options(&self) -> SshOptions {
        SshOptions { known_hosts: vec![self.known_hosts()], key: Some(self.key()) }
    }

    pub fn url(&self, repository: &Path) -> RepositoryUrl {
        let user = run("id", &["-un"]);
        format!("ssh://{user}@127.0.0.1:{}{}", self.port, repository.display()).parse().unwrap()
    }

    /// Allows the client's key one command only, whatever it asks for.
    pub fn force(&self, command: &str) {
        let public = std::fs::read_to_string(self.key().with_extension("pub")).unwrap();
        std::fs::write(self.dir.join("authorized"), format!("restrict,command=\"{command}\" {public}")).unwrap();
    }

    /// Gives the host other keys, as after a new installation.
    pub fn new_host_keys(&mut self) {
        self.stop();
        let mut config = format!(
            "ListenAddress 127.0.0.1:{}\nAuthorizedKeysFile {}\nUsePAM no\nStrictModes no\nPidFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nUseDNS no\n",
            self.port,
            self.dir.join("authorized").display()
        );
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let path = self.host_key(kind);
            let _ = std::fs::remove_file(&path);
            keygen(kind, &path, "");
            config.push_str(&format!("HostKey {}\n", path.display()));
        }
        std::fs::write(self.dir.join("config"), config).unwrap();
        // As root it wants a directory for its unprivileged half.
        let _ = std::fs::create_dir_all("/run/sshd");
        let log = std::fs::File::create(self.dir.join("log")).unwrap();
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(self.dir.join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn host_key(&self, kind: &str) -> PathBuf {
        self.dir.join(format!("host_{kind}"))
    }

    /// Makes the host known by its key of one kind.
    pub fn trust(&self, kind: &str) {
        let public = std::fs::read_to_string(self.host_key(kind).with_extension("pub")).unwrap();
        std::fs::write(self.known_hosts(), format!("[127.0.0.1]:{} {public}", self.port)).unwrap();
    }

    pub fn fingerprint(&self, kind: &str) -> String {
        let public = self.host_key(kind).with_extension("pub");
        run("ssh-keygen", &["-l", "-f", public.to_str().unwrap()]).split(' ').nth(1).unwrap().to_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn source(room: &Room, options: SshOptions) -> GitSource {
    let limits = GitLimits { head_deadline: Duration::from_secs(20), ..GitLimits::default() };
    room.source_with(limits).with_ssh(options).unwrap()
}

#[tokio::test]
async fn a_repository_is_asked_fetched_and_followed_whatever_kind_of_host_key_is_known() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = Sshd::start(&room.dir.path().join("sshd"));
    let (source, url) = (source(&room, server.options()), server.url(&repo.path));
    for kind in ["ed25519", "rsa", "ecdsa"] {
        server.trust(kind);
        let head = source.head(&url, &Reference::Default).await;
        assert_eq!(head.unwrap_or_else(|e| panic!("{kind}: {e} {}", server.log())).commit, repo.id("HEAD"));
    }
    repo.git(&["tag", "-a", "v1", "-m", "one"]);
    let tag = Reference::Tag("v1".parse().unwrap());
    assert_eq!(source.fetch(&url, &tag, None).await.unwrap().id, repo.id("HEAD"));
    let second = repo.commit("b", "2");
    assert_eq!(source.fetch(&url, &Reference::Default, Some(&second)).await.unwrap().id, second);
    assert_eq!(source.read_file(&url, &second, "b").await.unwrap().unwrap(), b"2");
    let absent = server.url(&repo.path.join("nothing"));
    let error = source.head(&absent, &Reference::Default).await.unwrap_err();
    assert!(matches!(error, SourceError::NotFound { .. } | SourceError::Transport { .. }), "{error:?}");
}

#[tokio::test]
async fn an_unknown_host_is_refused_with_its_fingerprint_and_the_line_that_makes_it_known() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = Sshd::start(&room.dir.path().join("sshd"));
    let (source, url) = (source(&room, server.options()), server.url(&repo.path));
    let error = source.head(&url, &Reference::Default).await.unwrap_err();
    let SourceError::HostKey { problem, .. } = &error else { panic!("{error:?}") };
    assert!(problem.contains("is not known"), "{problem}");
    let shown = ["ed25519", "rsa", "ecdsa"].map(|kind| server.fingerprint(kind));
    assert!(shown.iter().any(|fingerprint| problem.contains(fingerprint)), "{problem} {shown:?}");
    assert_eq!(error.class(), Class::Retry);
    // What it says to do is enough, without a restart.
    let hint = error.hint().unwrap();
    assert!(hint.contains(&server.known_hosts().display().to_string()), "{hint}");
    let line = hint.rsplit('`').nth(1).unwrap();
    std::fs::write(server.known_hosts(), format!("{line}\n")).unwrap();
    assert!(source.head(&url, &Reference::Default).await.is_ok());
}

#[tokio::test]
async fn a_changed_host_key_is_refused_loudly_and_names_the_line_of_the_old_one() {
    let room = Room::new();
    let repo = room.repo("a");
    let mut server = Sshd::start(&room.dir.path().join("sshd"));
    let (source, url) = (source(&room, server.options()), server.url(&repo.path));
    server.trust("ed25519");
    source.fetch(&url, &Reference::Default, None).await.unwrap();
    let old = server.fingerprint("ed25519");
    server.new_host_keys();
    for error in [
        source.head(&url, &Reference::Default).await.unwrap_err(),
        source.fetch(&url, &Reference::Default, None).await.unwrap_err(),
    ] {
        let SourceError::HostKey { problem, .. } = &error else { panic!("{error:?}") };
        assert!(problem.contains("HAS CHANGED") && problem.contains(&old), "{problem}");
        assert!(problem.contains(&format!("{}:1", server.known_hosts().display())), "{problem}");
        assert!(problem.contains(&server.fingerprint("ed25519")), "{problem}");
    }
    server.trust("ed25519");
    assert!(source.fetch(&url, &Reference::Default, None).await.is_ok());
}

#[tokio::test]
async fn keys_that_are_refused_missing_open_to_others_or_locked_are_told_apart() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = Sshd::start(&room.dir.path().join("sshd"));
    let url = server.url(&repo.path);
    server.trust("ed25519");
    let ask = async |key: Option<PathBuf>| {
        let options = SshOptions { key, ..server.options() };
        let error = source(&room, options).head(&url, &Reference::Default).await.unwrap_err();
        let SourceError::Key { problem, hint, .. } = error else { panic!("{error:?}\n{}", server.log()) };
        format!("{problem} ({hint})")
    };
    let (stranger, locked) = (room.dir.path().join("stranger"), room.dir.path().join("locked"));
    keygen("ed25519", &stranger, "");
    keygen("ed25519", &locked, "secret words");
    assert!(ask(Some(stranger.clone())).await.contains("was refused for user"));
    assert!(ask(Some(locked)).await.contains("has a passphrase"));
    assert!(ask(Some(room.dir.path().join("nothing"))).await.contains("cannot be read"));
    assert!(ask(Some(room.dir.path().to_owned())).await.contains("cannot be read"));
    assert!(ask(None).await.contains("no key is set for it"));
    std::fs::set_permissions(&stranger, PermissionsExt::from_mode(0o640)).unwrap();
    let open = ask(Some(stranger)).await;
    assert!(open.contains("can be read by others (mode 0640)") && open.contains("chmod 600"), "{open}");
}

#[tokio::test]
async fn a_source_may_have_a_key_of_its_own_and_a_server_may_allow_one_command_only() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = Sshd::start(&room.dir.path().join("sshd"));
    server.trust("ed25519");
    let url = server.url(&repo.path);
    let source = source(&room, SshOptions { key: None, ..server.options() });
    assert!(source.head(&url, &Reference::Default).await.is_err());
    source.set_keys([(url.clone(), server.key())].into());
    server.force(&format!("git-upload-pack '{}'", repo.path.display()));
    assert_eq!(source.fetch(&url, &Reference::Default, None).await.unwrap().id, repo.id("HEAD"));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_at_the_deadline() {
    let room = Room::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url: RepositoryUrl = format!("ssh://git@127.0.0.1:{port}/x").parse().unwrap();
    let limits = GitLimits { head_deadline: Duration::from_secs(1), ..GitLimits::default() };
    let source = room.source_with(limits).with_ssh(SshOptions::default()).unwrap();
    let begun = Instant::now();
    let error = source.head(&url, &Reference::Default).await.unwrap_err();
    assert!(matches!(error, SourceError::Transport { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // The thread that hangs in libssh2 ends with the connection.
    drop(listener);
}
