//! Repositories for tests, made by the `git` command without the machine's configuration.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use towpath::model::{CommitId, Reference, RepositoryUrl};
use towpath::source::{GitLimits, GitSource};

/// A directory with repositories and a place for mirrors.
pub struct Room {
    pub dir: TempDir,
}

/// A repository with a work tree.
pub struct Repo {
    pub path: PathBuf,
}

impl Room {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    /// A repository whose default branch is `main`, without commits.
    pub fn empty_repo(&self, name: &str) -> Repo {
        let path = self.dir.path().join("repos").join(name);
        std::fs::create_dir_all(&path).unwrap();
        let repo = Repo { path };
        repo.git(&["init", "-q", "-b", "main"]);
        repo
    }

    /// A repository with one commit of one file.
    pub fn repo(&self, name: &str) -> Repo {
        let repo = self.empty_repo(name);
        repo.commit("hello.txt", "hello\n");
        repo
    }

    pub fn mirrors(&self) -> PathBuf {
        self.dir.path().join("mirrors")
    }

    pub fn source(&self) -> GitSource {
        self.source_with(GitLimits::default())
    }

    pub fn source_with(&self, limits: GitLimits) -> GitSource {
        GitSource::open(self.mirrors(), limits).unwrap()
    }

    pub fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub fn serve(&self) -> Server {
        Server::new(&self.dir.path().join("repos"), None)
    }

    /// Serves over TLS with a certificate of its own; returns where that is too.
    pub fn serve_tls(&self) -> (Server, PathBuf) {
        let pem = self.dir.path().join("server.pem");
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
            .arg(&pem)
            .arg("-out")
            .arg(pem.with_extension("crt"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut both = std::fs::read(&pem).unwrap();
        both.extend(std::fs::read(pem.with_extension("crt")).unwrap());
        std::fs::write(&pem, both).unwrap();
        (Server::new(&self.dir.path().join("repos"), Some(&pem)), pem.with_extension("crt"))
    }
}

impl Repo {
    pub fn url(&self) -> RepositoryUrl {
        RepositoryUrl::File(self.path.clone())
    }

    pub fn git(&self, args: &[&str]) -> String {
        self.git_with(args, b"")
    }

    pub fn git_with(&self, args: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "core.hooksPath=/nowhere"])
            .args(args)
            .current_dir(&self.path)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "git {args:?}");
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// Writes a file and commits everything; returns the commit.
    pub fn commit(&self, name: &str, contents: &str) -> CommitId {
        let file = self.path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, contents).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", &format!("Change {name}")]);
        self.id("HEAD")
    }

    pub fn id(&self, revision: &str) -> CommitId {
        self.git(&["rev-parse", revision]).parse().unwrap()
    }

    /// An object written as it is, however wrong.
    pub fn object(&self, kind: &str, contents: &[u8]) -> String {
        self.git_with(&["hash-object", "-t", kind, "-w", "--stdin", "--literally"], contents)
    }

    /// A commit on `main` with a root of these entries: mode, name, object.
    pub fn commit_entries(&self, entries: &[(&str, &[u8], &str)]) -> CommitId {
        let tree = self.tree(entries);
        self.commit_tree(&tree)
    }

    pub fn tree(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let mut tree = Vec::new();
        for (mode, name, id) in entries {
            tree.extend(mode.as_bytes());
            tree.push(b' ');
            tree.extend(*name);
            tree.push(0);
            tree.extend((0..40).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()));
        }
        self.object("tree", &tree)
    }

    pub fn commit_tree(&self, tree: &str) -> CommitId {
        let commit = self.git(&["commit-tree", "-m", "made", tree]);
        self.git(&["update-ref", "refs/heads/main", &commit]);
        commit.parse().unwrap()
    }
}

/// git's own HTTP backend.
pub struct Server {
    child: Child,
    port: u16,
    scheme: &'static str,
}

impl Server {
    pub fn new(root: &Path, certificate: Option<&Path>) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/git_http.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(root)
            .args(certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let scheme = if certificate.is_some() { "https" } else { "http" };
        Self { child, port: line.trim().parse().unwrap(), scheme }
    }

    /// The URL of a repository, served in one of the ways that `git_http.py` lists.
    pub fn url(&self, how: &str, name: &str) -> RepositoryUrl {
        format!("{}://127.0.0.1:{}/{how}/{name}", self.scheme, self.port).parse().unwrap()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server, without a path.
    pub fn host(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// How many requests came.
    pub fn count(&self) -> u64 {
        let figures = self.figures();
        figures["posts"].as_u64().unwrap() + figures["gets"].as_u64().unwrap()
    }

    /// How many requests and connections came, and the largest answer to a POST, in bytes of its body.
    pub fn figures(&self) -> serde_json::Value {
        use std::io::Read;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"GET /figures HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.rsplit("\r\n\r\n").next().unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn branch(name: &str) -> Reference {
    Reference::Branch(name.parse().unwrap())
}
