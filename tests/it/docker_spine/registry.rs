//! A real registry of images, Debian's `docker-registry`, and images for it.

use bollard::query_parameters as query;
use futures_util::TryStreamExt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use towpath::model::DockerHost;

const LIMIT: Duration = Duration::from_secs(60);

/// All that is in the images: a server that answers with its greeting. Static, so that it needs nothing beside it.
const SERVER: &str = r#"
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **words) {
    const char *greeting = count > 1 ? words[1] : GREETING;
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(LISTENED)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 64)) return 1;
    for (;;) {
        char request[4096], answer[512];
        int client = accept(listener, 0, 0);
        if (client < 0) continue;
        if (read(client, request, sizeof request) > 0) {
            int length = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                                  strlen(greeting), greeting);
            if (write(client, answer, length) < 0) { }
        }
        close(client);
    }
}
"#;

/// `s3cret-of-the-registry`, the password of `puller`, by bcrypt, which is what the registry reads.
const PASSWORDS: &str = "puller:$2y$05$abcdefghijklmnopqrstuuW1e3orFpi1hSyUIjjQsvB7886Cb.S5.\n";

/// A registry on this machine; ends when it is dropped.
pub struct Registry {
    directory: tempfile::TempDir,
    address: SocketAddr,
    /// Where the engine finds the authority of one that speaks TLS.
    trusted: Option<PathBuf>,
    server: Option<Child>,
}

impl Registry {
    pub fn new() -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into())
    }

    /// One that speaks TLS by a certificate of an authority that only the engine trusts; see [`Self::authority`].
    pub fn behind_authority() -> Self {
        Self::at(crate::authority::address())
    }

    fn at(ip: IpAddr) -> Self {
        let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        let mut registry = Self { directory: tempfile::tempdir().unwrap(), address, trusted: None, server: None };
        if !ip.is_loopback() {
            crate::authority::certify(registry.path(), ip);
            // As engines know registries; read at each request.
            let trusted = PathBuf::from(format!("/etc/docker/certs.d/{address}"));
            std::fs::create_dir_all(&trusted).unwrap();
            std::fs::copy(registry.authority(), trusted.join("ca.crt")).unwrap();
            registry.trusted = Some(trusted);
        }
        registry.configure("");
        registry.start();
        registry
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> PathBuf {
        self.path().join("authority.pem")
    }

    /// What it is started with from now on, with more lines.
    pub fn configure(&self, more: &str) {
        let data = self.path().join("data");
        let server = self.path().join("server.pem");
        let tls = match self.trusted {
            Some(_) => format!(", tls: {{ certificate: {0}, key: {0} }}", server.display()),
            None => String::new(),
        };
        let config = format!(
            "version: 0.1\nlog: {{ level: warn }}\nstorage:\n  filesystem: {{ rootdirectory: {} }}\nhttp: {{ addr: \
             '{}'{tls} }}\n{more}",
            data.display(),
            self.address
        );
        std::fs::write(self.path().join("config.yml"), config).unwrap();
    }

    /// Lets in nobody but `puller`, from now on.
    pub fn close(&mut self) {
        self.stop();
        let passwords = self.path().join("passwords");
        std::fs::write(&passwords, PASSWORDS).unwrap();
        self.configure(&format!("auth:\n  htpasswd: {{ realm: tests, path: {} }}\n", passwords.display()));
        self.start();
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn start(&mut self) {
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(self.directory.path().join("config.yml"));
        self.server = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("docker-registry"));
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(begun.elapsed() < LIMIT, "the registry does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn name(&self) -> String {
        format!("{}/acme/orders", self.address)
    }

    /// Makes an image that answers with a greeting, and pushes it under a tag.
    pub fn push(&self, host: &DockerHost, tag: &str, greeting: &str) {
        self.push_program(host, tag, archive(self.directory.path(), greeting, "atoi(getenv(\"PORT\"))"));
    }

    /// The same of one that listens on a port of its own, whatever it is told.
    pub fn push_stubborn(&self, host: &DockerHost, tag: &str, port: u16) {
        self.push_program(host, tag, archive(self.directory.path(), "stubborn", &port.to_string()));
    }

    fn push_program(&self, host: &DockerHost, tag: &str, archive: Vec<u8>) {
        let name = self.name();
        let changes = vec!["CMD [\"/greet\"]".to_owned()];
        let import = query::CreateImageOptionsBuilder::default().from_src("-").repo(&name).tag(tag).changes(changes);
        let push = query::PushImageOptionsBuilder::default().tag(tag).build();
        // One of this runtime's own: connections do not outlive theirs.
        let work = async {
            let docker = crate::docker::client(host);
            let made = docker.create_image(Some(import.build()), Some(bollard::body_full(archive.into())), None);
            made.try_collect::<Vec<_>>().await.unwrap();
            let named = format!("{name}:{tag}");
            if docker.inspect_image(&named).await.is_err() {
                // Podman does not read the tag.
                let options = query::TagImageOptionsBuilder::default().repo(&name).tag(tag).build();
                let latest = format!("{name}:latest");
                docker.tag_image(&latest, Some(options)).await.unwrap();
                docker.remove_image(&latest, None::<query::RemoveImageOptions>, None).await.unwrap();
            }
            docker.push_image(&name, Some(push), None).try_collect::<Vec<_>>().await.unwrap();
            docker.remove_image(&named, None::<query::RemoveImageOptions>, None).await.unwrap();
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    }

    /// The digest of a tag, as the registry itself says it.
    pub fn digest(&self, tag: &str) -> String {
        let url = format!("http://{}/v2/acme/orders/manifests/{tag}", self.address);
        let accept = "Accept: application/vnd.docker.distribution.manifest.v2+json";
        let ran = Command::new("curl").args(["-sfI", "-H", accept, &url]).output().unwrap();
        let head = String::from_utf8(ran.stdout).unwrap().to_ascii_lowercase();
        let line = head.lines().find_map(|l| l.strip_prefix("docker-content-digest: ").map(str::trim));
        line.unwrap_or_else(|| panic!("{head}")).to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
        if let Some(trusted) = &self.trusted {
            let _ = std::fs::remove_dir_all(trusted);
        }
    }
}

/// A file system with the server in it.
fn archive(directory: &Path, greeting: &str, port: &str) -> Vec<u8> {
    let (source, program) = (directory.join("greet.c"), directory.join("greet"));
    std::fs::write(&source, SERVER).unwrap();
    let (define, listened) = (format!("-DGREETING=\"{greeting}\""), format!("-DLISTENED={port}"));
    let ran = Command::new("cc")
        .args(["-static", "-O1", &define, &listened, "-o"])
        .arg(&program)
        .arg(&source)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_path_with_name(&program, "greet").unwrap();
    archive.into_inner().unwrap()
}
