//! Applications that listen on a port of their own choice, on the process engine: their `bind` is moved to the leased port.
//!
//! Where this machine's kernel cannot be asked about binds, the tests say so loudly and check nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a test fails the test")]

use crate::engine_contract::{self as contract, Lab, get_when_up, wait_for_log};
use crate::installation::{Installation, Load};
use crate::process_apart::holds;
use crate::process_engine::ProcessLab;
use towpath::model::InstanceSpec;

/// Serves `hello` on whatever its first lines made as `listener`, a listening socket.
const ANSWERS: &str = r#"
while True:
    peer, _ = listener.accept()
    peer.recv(4096)
    peer.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
    peer.close()
"#;

/// An instance of the service's port 8080 whose application makes its listener so.
async fn instance(lab: &ProcessLab, listener: &str) -> InstanceSpec {
    lab.spec(&format!("import os, socket, threading\n{listener}\nlistener.listen()\n{ANSWERS}")).await
}

/// Starts it, and asserts that it answers on a port that is not the one in its code.
async fn answers_elsewhere(lab: &ProcessLab, spec: &InstanceSpec) {
    let address = lab.engine().start(spec).await.unwrap();
    assert_ne!(address.port(), 8080);
    assert_eq!(get_when_up(address).await, "hello");
    wait_for_log(spec, &format!("port 8080 of this instance is port {} of the machine", address.port())).await;
}

#[tokio::test]
async fn two_instances_that_bind_the_same_fixed_port_run_beside_each_other() {
    if !holds("fixed ports") {
        return;
    }
    let lab = ProcessLab::new().await;
    let listener = "listener = socket.create_server(('0.0.0.0', 8080))";
    let (first, second) = (instance(&lab, listener).await, instance(&lab, listener).await);
    answers_elsewhere(&lab, &first).await;
    answers_elsewhere(&lab, &second).await;
    contract::clean_up(&*lab.engine(), &first.id).await;
    contract::clean_up(&*lab.engine(), &second.id).await;
}

#[tokio::test]
async fn a_fixed_port_is_moved_on_every_kind_of_address_and_from_every_process() {
    if !holds("fixed ports") {
        return;
    }
    let lab = ProcessLab::new().await;
    let ways = [
        "listener = socket.create_server(('127.0.0.1', 8080))",
        "listener = socket.create_server(('::', 8080), family=socket.AF_INET6, dualstack_ipv6=True)",
        "listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n\
         def bind(): listener.bind(('', 8080))\nthread = threading.Thread(target=bind); thread.start(); thread.join()",
        "if os.fork() != 0: os.wait(); os._exit(0)\nlistener = socket.create_server(('', 8080))",
    ];
    for way in ways {
        let spec = instance(&lab, way).await;
        answers_elsewhere(&lab, &spec).await;
        contract::clean_up(&*lab.engine(), &spec.id).await;
    }
}

#[tokio::test]
async fn every_other_bind_does_what_it_says() {
    if !holds("fixed ports") {
        return;
    }
    let lab = ProcessLab::new().await;
    // Another port, a datagram socket on the same one, a path, a closed descriptor, an address that is not this machine's.
    let tries = r#"
other = socket.create_server(("127.0.0.1", 0)); print("other", other.getsockname()[1] not in (0, 8080), flush=True)
free = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); free.bind(("127.0.0.1", 0))
path = os.environ["TMPDIR"] + "/socket"
unix = socket.socket(socket.AF_UNIX); unix.bind(path); print("path", os.path.exists(path), flush=True)
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
address = (ctypes.c_uint8 * 16).from_buffer_copy(b"\x02\x00\x1f\x90" + bytes(12))
print("closed", libc.bind(999, address, 16) == -1 and ctypes.get_errno() == errno.EBADF, flush=True)
tcp = socket.socket()
print("nowhere", libc.bind(tcp.fileno(), None, 16) == -1 and ctypes.get_errno() == errno.EFAULT, flush=True)
print("short", libc.bind(tcp.fileno(), address, 3) == -1 and ctypes.get_errno() == errno.EINVAL, flush=True)
try: tcp.bind(("203.0.113.7", 8080))
except OSError as e: print("foreign", e.errno == errno.EADDRNOTAVAIL, flush=True)
listener = socket.create_server(("", 8080))
again = socket.socket()
try: again.bind(("", 8080))
except OSError as e: print("twice", e.errno == errno.EADDRINUSE, flush=True)
print("own", str(listener.getsockname()[1]) == os.environ["PORT"], flush=True)
"#;
    let spec = instance(&lab, tries).await;
    answers_elsewhere(&lab, &spec).await;
    let log = std::fs::read_to_string(&spec.log).unwrap();
    for said in ["other", "path", "closed", "nowhere", "short", "foreign", "twice", "own"] {
        assert!(log.contains(&format!("{said} True")), "{said}: {log}");
    }
    contract::clean_up(&*lab.engine(), &spec.id).await;
}

#[test]
fn a_service_with_a_port_fixed_in_its_code_is_deployed_blue_green_without_losing_a_request() {
    if !holds("fixed ports") {
        return;
    }
    let mut installation = Installation::new();
    let app = installation.repository("app");
    let program = |greeting: &str| {
        format!(
            "import http.server\nclass Handler(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        \
             self.send_response(200); self.send_header('Content-Length', '{}'); self.end_headers(); self.wfile.write(b'{greeting}')\n    \
             def log_message(self, *a): pass\nhttp.server.ThreadingHTTPServer(('', 8000), Handler).serve_forever()\n",
            greeting.len()
        )
    };
    app.commit("app.py", &program("one"));
    installation.declare(
        "services:\n  shop:\n    source: { repository: ./app }\n    build: { runtime: python3, start: python app.py }\n    port: 8000\n    \
         deploy: { drain: 2s }\n",
    );
    installation.up();
    installation.until_answer("shop", "one");
    let load = Load::start(installation.http, "shop", 4);
    for greeting in ["two", "three"] {
        app.commit("app.py", &program(greeting));
        installation.until_answer("shop", greeting);
        installation.until_status("shop", "RUNNING");
    }
    let tally = load.finish();
    assert!(tally.failures.is_empty() && tally.good > 20, "{tally:?}\n{}", installation.log());
}
