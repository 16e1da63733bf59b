//! What instances and builds can reach on a real Docker engine (row A11): the internet, but neither each other, the host, nor the
//! addresses at which clouds answer.
//!
//! The internet and a cloud's metadata service are played by a network namespace with an address of each, behind a
//! route of this host: packets to them are forwarded, as to the real ones.

use crate::docker::Lab;
use crate::docker_build::{BOTH, guarded_builder, run, settings, unique};
use crate::docker_engine::{spec, words};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use towpath::build::docker::Backend;
use towpath::engine::Engine;
use towpath::engine::docker::{DockerEngine, Isolation, Reach};
use towpath::model::{BuildNetwork, InstanceSpec};

/// Answers `/HOST/PORT` by whether that can be connected to from here.
pub const PROBE: &str = r#"
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

pub async fn start(engine: &DockerEngine, spec: &InstanceSpec) -> SocketAddr {
    let address = engine.start(spec).await.unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while ask(address, "/").await.is_none() {
        assert!(Instant::now() < end, "no answer from {address}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    address
}

/// From an instance to an address; asked again while it is not as wanted, since others load this machine.
pub async fn reaches(instance: SocketAddr, target: SocketAddr, wanted: &str) -> String {
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
    what_an_instance_reaches(&lab).await;
}

/// The same on any engine.
pub async fn what_an_instance_reaches(lab: &Lab) {
    let podman = lab.docker.version().await.unwrap().components.unwrap().iter().any(|c| c.name.contains("Podman"));
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
    let (one, two) = (probe(spec(lab, 1).await), probe(spec(lab, 2).await));
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
    // Without the rules the same questions are answered otherwise: it is them that close. On Podman, that goes for neighbours too.
    engine.dismantle().await.unwrap();
    for target in [Some(host(closed_port)), Some(metadata), podman.then_some(second)].into_iter().flatten() {
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

/// Prints for each of its arguments whether that can be connected to from here.
pub const ASK: &str = r#"
import socket, sys
gateway = [l.split() for l in open("/proc/net/route")][1:]
gateway = next(l[2] for l in gateway if l[1] == "00000000")
gateway = ".".join(str(int(gateway[i:i+2], 16)) for i in (6, 4, 2, 0))
for target in sys.argv[1:]:
    host, port = target.replace("GATEWAY", gateway).split(":")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
        print(target, "open")
    except OSError:
        print(target, "closed")
"#;

#[tokio::test]
async fn a_build_reaches_the_internet_but_no_host_and_no_metadata() {
    // Alone: while a guarded build runs, so are those of other tests.
    let Some(lab) = Lab::open(true) else { return };
    what_a_build_reaches(&lab, &BOTH).await;
}

/// The same on any engine, asked of these builders.
pub async fn what_a_build_reaches(lab: &Lab, backends: &[Backend]) {
    let tag = lab.installation.as_str().bytes().fold(0u8, |sum, b| sum.wrapping_mul(31).wrapping_add(b));
    let (internet, metadata) = (Ipv4Addr::new(203, 0, 113, tag), Ipv4Addr::new(169, 254, 201, tag));
    let Some(_elsewhere) = Elsewhere::new(tag, &[internet, metadata]) else {
        eprintln!("SKIPPED: network namespaces cannot be made here: what builds reach is not tested");
        return;
    };
    let std::net::IpAddr::V4(host) = crate::authority::address() else { panic!("an address of version 4") };
    let (listener, open) = (TcpListener::bind("0.0.0.0:0").unwrap(), TcpListener::bind("0.0.0.0:0").unwrap());
    let (closed, open) = (listener.local_addr().unwrap().port(), open.local_addr().unwrap().port());
    let engine = DockerEngine::connect(&lab.host, lab.installation.clone(), Reach::Auto).await.unwrap();
    let engine = Arc::new(engine.with_reach_of_builds(vec![SocketAddrV4::new(host, open)]));
    let cases = [
        (format!("{internet}:80"), "open"),
        (format!("{host}:{open}"), "open"),
        (format!("{host}:{closed}"), "closed"),
        (format!("GATEWAY:{closed}"), "closed"),
        (format!("{metadata}:80"), "closed"),
    ];
    let targets: Vec<&str> = cases.iter().map(|(target, _)| target.as_str()).collect();
    let line = format!("python3 -c '{ASK}' {}", targets.join(" "));
    let guarded: Arc<dyn BuildNetwork> = engine.clone();
    for backend in backends.iter().copied() {
        for network in [Some(guarded.clone()), None] {
            let without = network.is_none();
            let builder = guarded_builder(lab, backend, network).await;
            let (built, log, _) = run(lab, &builder, settings(&[&unique(), &line])).await;
            built.unwrap();
            for (target, wanted) in &cases {
                // Without the rules the same questions are answered otherwise: it is them that close.
                let wanted = if without { "open" } else { wanted };
                let line = format!("[Build] {target} {wanted}");
                assert!(log.contains(&line), "{backend:?}, without guard: {without}: {line} in {log:#?}");
            }
        }
    }
    engine.dismantle().await.unwrap();
    let listed = Command::new("nft").args(["list", "tables"]).output().unwrap();
    let table = format!("towpath-{}", &lab.installation.as_str()[..12]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains(&table), "no table is left");
}

#[tokio::test]
async fn others_on_the_default_bridge_go_on_reaching_the_host_while_builds_are_guarded() {
    let Some(lab) = Lab::open(true) else { return };
    let engine = DockerEngine::connect(&lab.host, lab.installation.clone(), Reach::Auto).await.unwrap();
    let engine = Arc::new(engine);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let guarded: Arc<dyn BuildNetwork> = engine.clone();
    let held = guarded.guard().await.unwrap();
    let line = format!("sleep 2; python3 -c '{ASK}' GATEWAY:{port}");
    let body = bollard::models::ContainerCreateBody {
        image: Some(crate::docker::IMAGE.into()),
        cmd: Some(["sh", "-c", &line].map(String::from).into()),
        labels: Some([("io.towpath.installation".to_owned(), lab.installation.to_string())].into()),
        ..Default::default()
    };
    let options = None::<bollard::query_parameters::CreateContainerOptions>;
    let container = lab.docker.create_container(options, body).await.unwrap().id;
    lab.docker.start_container(&container, None).await.unwrap();
    let wait = lab.docker.wait_container(&container, None::<bollard::query_parameters::WaitContainerOptions>);
    let _ = futures_util::StreamExt::collect::<Vec<_>>(wait).await;
    let logs = bollard::query_parameters::LogsOptionsBuilder::default().stdout(true).stderr(true).build();
    let logs = futures_util::StreamExt::collect::<Vec<_>>(lab.docker.logs(&container, Some(logs))).await;
    let said: String = logs.into_iter().map(|line| line.unwrap().to_string()).collect();
    assert!(said.contains(&format!("GATEWAY:{port} open")), "{said}");
    drop(held);
    engine.dismantle().await.unwrap();
}
