//! What instances can reach on a real Docker engine (row A11): the internet, but neither each other, the host, nor the
//! addresses at which clouds answer.
//!
//! The internet and a cloud's metadata service are played by a network namespace with an address of each, behind a
//! route of this host: packets to them are forwarded, as to the real ones.

use crate::docker::Lab;
use crate::docker_engine::{spec, words};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use towpath::engine::Engine;
use towpath::engine::docker::{DockerEngine, Isolation, Reach};
use towpath::model::InstanceSpec;

/// Answers `/HOST/PORT` by whether that can be connected to from here.
const PROBE: &str = r#"
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            if self.path == "/":
                body = b"here"
            else:
                _, host, port = self.path.split("/")
                socket.create_connection((host, int(port)), timeout=1.5).close()
                body = b"open"
        except OSError as error:
            body = b"closed"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// Something that listens in a network namespace of its own, at addresses of others.
struct Elsewhere {
    name: String,
    server: Option<Child>,
}

impl Elsewhere {
    /// `None` where this cannot be made.
    fn new(tag: u8, addresses: &[Ipv4Addr]) -> Option<Self> {
        let name = format!("tpit{tag}");
        let mut made = Self { name: name.clone(), server: None };
        let (host, peer) = (format!("{name}h"), format!("{name}p"));
        ip(&["netns", "add", &name])?;
        ip(&["link", "add", &host, "type", "veth", "peer", "name", &peer, "netns", &name])?;
        let (ours, theirs) = (Ipv4Addr::new(198, 18, tag, 1), Ipv4Addr::new(198, 18, tag, 2));
        ip(&["addr", "add", &format!("{ours}/30"), "dev", &host])?;
        ip(&["link", "set", &host, "up"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        ip(&["-n", &name, "addr", "add", &format!("{theirs}/30"), "dev", &peer])?;
        ip(&["-n", &name, "link", "set", &peer, "up"])?;
        for address in addresses {
            ip(&["-n", &name, "addr", "add", &format!("{address}/32"), "dev", "lo"])?;
            ip(&["route", "add", &format!("{address}/32"), "via", &theirs.to_string()])?;
        }
        ip(&["-n", &name, "route", "add", "default", "via", &ours.to_string()])?;
        let server = Command::new("ip")
            .args([
                "netns",
                "exec",
                &name,
                "python3",
                "-m",
                "http.server",
                "80",
                "--bind",
                "0.0.0.0",
                "--directory",
                "/nonexistent",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        made.server = server.ok();
        made.server.is_some().then_some(made)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = ip(&["link", "del", &format!("{}h", self.name)]);
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Option<()> {
    let ran = Command::new("ip").args(arguments).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success()).then_some(())
}

async fn ask(instance: SocketAddr, path: &str) -> Option<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(instance).await.ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).filter(|body| !body.is_empty())
    };
    tokio::time::timeout(Duration::from_secs(5), exchange).await.ok()?
}

async fn start(engine: &DockerEngine, spec: &InstanceSpec) -> SocketAddr {
    let address = engine.start(spec).await.unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while ask(address, "/").await.is_none() {
        assert!(Instant::now() < end, "no answer from {address}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    address
}

/// From an instance to an address; asked again while it is not as wanted, since others load this machine.
async fn reaches(instance: SocketAddr, target: SocketAddr, wanted: &str) -> String {
    let path = format!("/{}/{}", target.ip(), target.port());
    let mut said = String::new();
    for _ in 0..3 {
        said = ask(instance, &path).await.unwrap_or_default();
        if said == wanted {
            break;
        }
    }
    said
}

#[tokio::test]
async fn an_instance_reaches_the_internet_but_no_neighbour_no_host_and_no_metadata() {
    let Some(lab) = Lab::open(false) else { return };
    let tag = lab.installation.as_str().bytes().fold(0u8, |sum, b| sum.wrapping_mul(31).wrapping_add(b));
    let (internet, metadata) = (Ipv4Addr::new(203, 0, 113, tag), Ipv4Addr::new(169, 254, 200, tag));
    let Some(_elsewhere) = Elsewhere::new(tag, &[internet, metadata]) else {
        eprintln!("SKIPPED: network namespaces cannot be made here: what instances reach is not tested");
        return;
    };
    let (listener, open) = (TcpListener::bind("0.0.0.0:0").unwrap(), TcpListener::bind("0.0.0.0:0").unwrap());
    let (closed_port, open_port) = (listener.local_addr().unwrap().port(), open.local_addr().unwrap().port());
    let engine = DockerEngine::connect(&lab.host, lab.installation.clone(), Reach::Auto).await.unwrap();
    let engine = engine.with_open_ports(vec![open_port]);
    let probe = |spec: InstanceSpec| InstanceSpec {
        command: words(&["python3", "-u", "-c", PROBE]),
        env: BTreeMap::new(),
        ..spec
    };
    let (one, two) = (probe(spec(&lab, 1).await), probe(spec(&lab, 2).await));
    let (first, second) = (start(&engine, &one).await, start(&engine, &two).await);
    assert!(matches!(engine.isolation(), Some(Isolation::Guarded(_))), "{:?}", engine.isolation());

    let gateway = lab.gateway().await;
    let host = |port| SocketAddr::from((gateway, port));
    let (internet, metadata) = (SocketAddr::from((internet, 80)), SocketAddr::from((metadata, 80)));
    let cases = [
        ("the internet", internet, "open"),
        ("the ingress", host(open_port), "open"),
        ("a neighbour", second, "closed"),
        ("a port of the host", host(closed_port), "closed"),
        ("a metadata address", metadata, "closed"),
    ];
    for (what, target, wanted) in cases {
        assert_eq!(reaches(first, target, wanted).await, wanted, "{what}, {target}");
    }
    // Without the rules the same questions are answered otherwise: it is them that close.
    engine.dismantle().await.unwrap();
    for target in [host(closed_port), metadata] {
        assert_eq!(reaches(first, target, "open").await, "open", "{target} without rules");
    }
    let table = format!("towpath-{}", &lab.installation.as_str()[..12]);
    let listed =
        Command::new("nft").args(["list", "tables"]).output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    assert!(!listed.unwrap_or_default().contains(&table), "dismantling leaves no table");
    for spec in [&one, &two] {
        engine.remove(&spec.id).await.unwrap();
    }
}
