//! The stand-in's repositories: git's own `http-backend`, at the paths that people see.

use super::{State, server};
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::{BodyExt, Full};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The repository that a request is for, and what of it; `None` where it is for none.
pub(super) fn meant(state: &State, path: &str) -> Option<(PathBuf, String)> {
    let below = ["/info/refs", "/git-upload-pack", "/git-receive-pack"].iter().find(|end| path.ends_with(**end))?;
    let name = path.strip_suffix(below)?.trim_matches('/');
    let repository = state.repositories.get(name.strip_suffix(".git").unwrap_or(name))?;
    Some((repository.clone(), (*below).to_owned()))
}

/// What git answers.
pub(super) fn answer(repository: &Path, below: &str, parts: &Parts, body: &[u8]) -> Response<server::Body> {
    let header = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let mut backend = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", repository)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("PATH_INFO", format!("/.git{below}"))
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = backend.stdin.take().unwrap();
    let body = body.to_vec();
    let feeding = std::thread::spawn(move || drop(input.write_all(&body)));
    let output = backend.wait_with_output().unwrap().stdout;
    feeding.join().unwrap();
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let mut response = Response::builder();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap()),
            name => response.header(name, value),
        };
    }
    let rest = Bytes::copy_from_slice(output.get(end + 4..).unwrap_or_default());
    response.body(Full::new(rest).map_err(|never| match never {}).boxed_unsync()).unwrap()
}
