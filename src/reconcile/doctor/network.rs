//! Ports and names.

use crate::cli::{Examination, Finding};
use crate::settings::datadir::DataDir;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

/// How long a name may take.
const ANSWER: Duration = Duration::from_secs(5);

pub(super) async fn examine(examination: &Examination) -> Vec<Finding> {
    let holder = DataDir::at(&examination.data_dir).holder();
    let mut findings: Vec<Finding> = examination.http.iter().map(|at| port(*at, "services", holder)).collect();
    findings.push(port(examination.api, "the API", holder));
    findings.extend(examination.http.iter().filter_map(|at| exposed(*at, "services")));
    findings.extend(exposed(examination.api, "the API"));
    findings.push(resolver(resolve("localhost").await));
    findings.push(hosts(resolve("towpath-doctor.localhost").await));
    findings
}

/// Whether somebody could listen there. `holder`: the towpath that runs on the data directory.
fn port(at: SocketAddr, what: &str, holder: Option<u32>) -> Finding {
    let Err(error) = TcpListener::bind(at) else {
        return Finding::ok("port", format!("{at} is free for {what}"));
    };
    match (error.kind(), holder) {
        (io::ErrorKind::AddrInUse, Some(pid)) => {
            Finding::ok("port", format!("{at} is in use, and a towpath runs on this data directory (pid {pid})"))
        }
        (io::ErrorKind::AddrInUse, None) => Finding::problem(
            "port",
            format!("{at}, where {what} would answer, is in use"),
            format!("find who uses it: `ss -ltnp 'sport = :{}'`; or choose another address", at.port()),
        ),
        (io::ErrorKind::PermissionDenied, _) => Finding::problem(
            "port",
            format!("{at} may not be listened on by this user"),
            "run as root, give `CAP_NET_BIND_SERVICE`, or choose a port from 1024 on",
        ),
        (_, _) => Finding::problem(
            "port",
            format!("{at} cannot be listened on: {error}"),
            "choose an address of this machine",
        ),
    }
}

fn exposed(at: SocketAddr, what: &str) -> Option<Finding> {
    (!at.ip().is_loopback()).then(|| {
        let found = format!("{what} would answer at {at}, which other machines reach, without TLS");
        Finding::warn(
            "exposure",
            found,
            "keep it to 127.0.0.1 behind a proxy that speaks TLS, or to a network that you trust",
        )
    })
}

/// A name's addresses; the system's resolver blocks, and may hang.
async fn resolve(name: &'static str) -> Result<Vec<SocketAddr>, String> {
    let asked = tokio::task::spawn_blocking(move || (name, 80).to_socket_addrs().map(Iterator::collect));
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(Ok(Ok(addresses))) => Ok(addresses),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

fn resolver(localhost: Result<Vec<SocketAddr>, String>) -> Finding {
    let mend = "mend `/etc/hosts` (`127.0.0.1 localhost`) and `/etc/resolv.conf`";
    match localhost {
        Ok(found) if found.iter().all(|a| a.ip().is_loopback()) => {
            Finding::ok("resolver", "`localhost` is this machine")
        }
        Ok(found) => Finding::problem("resolver", format!("`localhost` is {found:?}, not this machine"), mend),
        Err(error) => Finding::problem("resolver", format!("`localhost` is not found: {error}"), mend),
    }
}

/// Browsers and curl know such names by themselves; other programs ask the resolver.
fn hosts(answer: Result<Vec<SocketAddr>, String>) -> Finding {
    match answer {
        Ok(found) if !found.is_empty() && found.iter().all(|a| a.ip().is_loopback()) => {
            Finding::ok("names", "`*.localhost` is this machine for all programs")
        }
        _ => Finding::warn(
            "names",
            "`*.localhost` is not found by this system's resolver; browsers and curl know it by themselves, other programs do not",
            "install `libnss-myhostname`, or ask with the header: `curl -H 'Host: hello.localhost' http://127.0.0.1:8080/`",
        ),
    }
}
