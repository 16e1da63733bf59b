//! A certificate authority of a company: made here, known to nobody, with a server of packages and repositories behind it.

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A package index, files and repositories over TLS, by a certificate that nobody trusts.
pub struct Company {
    root: tempfile::TempDir,
    child: Child,
    /// `https://10.0.0.7:4711`: reached from this machine and from containers on it.
    pub url: String,
}

fn name(common: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", common).unwrap();
    name.build()
}

fn begin(subject: &str, issuer: &str, key: &PKey<Private>) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(120, MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name(subject)).unwrap();
    builder.set_issuer_name(&name(issuer)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder
}

/// Writes `authority.pem` and `server.pem` (certificate and key).
pub fn certify(root: &Path, address: IpAddr) {
    let key = || PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let (authority, server) = (key(), key());
    let mut builder = begin("Acme Test Authority", "Acme Test Authority", &authority);
    builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap()).unwrap();
    builder.sign(&authority, MessageDigest::sha256()).unwrap();
    std::fs::write(root.join("authority.pem"), builder.build().to_pem().unwrap()).unwrap();
    let mut builder = begin("packages", "Acme Test Authority", &server);
    let context = builder.x509v3_context(None, None);
    // Through a proxy npm compares a certificate with this name where it is asked for an address.
    let names = SubjectAlternativeName::new().ip(&address.to_string()).ip("127.0.0.1").dns("localhost").build(&context);
    let names = names.unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&authority, MessageDigest::sha256()).unwrap();
    let parts = [builder.build().to_pem().unwrap(), server.private_key_to_pem_pkcs8().unwrap()];
    std::fs::write(root.join("server.pem"), parts.concat()).unwrap();
}

/// The address by which this machine is known outside.
pub fn address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the kernel only chooses the way.
    match socket.connect("192.0.2.1:9") {
        Ok(()) => socket.local_addr().unwrap().ip(),
        Err(_) => "127.0.0.1".parse().unwrap(),
    }
}

/// Writes a wheel and an npm package.
const PACKAGES: &str = r#"
import io, sys, tarfile, zipfile
root = sys.argv[1]
info = "towpath_greeting-1.0.dist-info"
with zipfile.ZipFile(root + "/towpath_greeting-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("towpath_greeting.py", "GREETING = 'hello from the index'\n")
    wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\nName: towpath-greeting\nVersion: 1.0\n")
    wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "/RECORD", "")
with tarfile.open(root + "/greeting-1.0.0.tgz", "w:gz") as package:
    for name, text in [("package.json", '{"name": "greeting", "version": "1.0.0"}'), ("index.js", "module.exports = 'hi'")]:
        member = tarfile.TarInfo("package/" + name)
        member.size = len(text)
        package.addfile(member, io.BytesIO(text.encode()))
"#;

impl Company {
    pub fn open() -> Self {
        let root = tempfile::tempdir().unwrap();
        let address = address();
        certify(root.path(), address);
        let simple = root.path().join("simple/towpath-greeting");
        std::fs::create_dir_all(&simple).unwrap();
        let link = "<a href=\"../../towpath_greeting-1.0-py3-none-any.whl\">towpath_greeting-1.0-py3-none-any.whl</a>";
        std::fs::write(simple.join("index.html"), format!("<!DOCTYPE html><html><body>{link}</body></html>")).unwrap();
        std::fs::write(root.path().join("hello.txt"), "hello over TLS\n").unwrap();
        let made = Command::new("python3").args(["-c", PACKAGES]).arg(root.path()).status().unwrap();
        assert!(made.success());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/git_http.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(root.path())
            .arg(root.path().join("server.pem"))
            .arg("0.0.0.0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { root, child, url: format!("https://{address}:{}", line.trim()) }
    }

    /// Where files and repositories lie that it serves: `/files/NAME`, `/git/NAME`.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> PathBuf {
        self.root.path().join("authority.pem")
    }

    /// Build lines that fetch from it by every tool, with what each prints when it worked.
    pub fn fetching(&self) -> [(String, &'static str); 4] {
        let url = &self.url;
        let pip = "pip install --no-cache-dir --disable-pip-version-check";
        [
            (format!("curl -sSf {url}/files/hello.txt"), "hello over TLS"),
            (
                format!(
                    "{pip} --retries 0 --index-url {url}/files/simple/ towpath-greeting && \
                     python -c 'import towpath_greeting as g; print(g.GREETING)'"
                ),
                "hello from the index",
            ),
            (
                format!(
                    "npm install --no-audit --fetch-retries=0 --no-save {url}/files/greeting-1.0.0.tgz && \
                     node -p 'require(\"greeting\") + \" from npm\"'"
                ),
                "hi from npm",
            ),
            (format!("git ls-remote {url}/git/app | grep -o refs/heads/main"), "refs/heads/main"),
        ]
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
