//! The stand-in's server: takes a request, looks at it, finds its answer, sends that at its pace.

use super::{Answer, Asked, Pace, State, app, fits, git};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Starts it on a thread of its own, until the sender is dropped.
pub(super) fn start(state: Arc<Mutex<State>>) -> (u16, oneshot::Sender<()>) {
    let (stop, stopped) = oneshot::channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::select! {
                () = serve(listener, state) => {}
                _ = stopped => {}
            }
        });
    });
    (port, stop)
}

async fn serve(listener: tokio::net::TcpListener, state: Arc<Mutex<State>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(state.clone(), request));
            // Clients go away when they like.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let git = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).git;
    if let Some((port, _)) = git.zip(parts.uri.path().strip_prefix("/acme/")) {
        let shown = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
        let may = app::may_read(&state.lock().unwrap_or_else(std::sync::PoisonError::into_inner), shown);
        return if may { forward(port, parts, body).await } else { who() };
    }
    let held = || state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let meant = git::meant(&held(), parts.uri.path());
    if let Some((repository, below)) = meant {
        return Ok(tokio::task::spawn_blocking(move || git::answer(&repository, &below, &parts, &body)).await.unwrap());
    }
    let answer = decide(&mut held(), &parts, &body);
    send(&answer)
}

fn who() -> Result<Response<Body>, io::Error> {
    let response = Response::builder().status(401).header("www-authenticate", "Basic realm=\"GitHub\"");
    response.body(body(Bytes::new(), Pace::AtOnce)).map_err(io::Error::other)
}

/// Hands a request of git to the server that has the repositories.
async fn forward(port: u16, parts: http::request::Parts, body: Bytes) -> Result<Response<Body>, io::Error> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let target = parts.uri.to_string().replacen("/acme/", "/git/", 1);
    let mut request =
        Request::builder().method(parts.method).uri(target).body(Full::new(body)).map_err(io::Error::other)?;
    *request.headers_mut() = parts.headers;
    for gone in ["authorization", "transfer-encoding", "content-length"] {
        request.headers_mut().remove(gone);
    }
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    Ok(answer.map(|body| body.map_err(io::Error::other).boxed_unsync()))
}

fn decide(state: &mut State, parts: &http::request::Parts, body: &[u8]) -> Answer {
    let line = format!("{} {}", parts.method, parts.uri);
    let mut wrong = |why: String| state.faults.push(format!("{line}: {why}"));
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let Some(path) = parts.uri.path().strip_prefix("/api/v3").filter(|path| path.starts_with('/')) else {
        wrong("it is not below /api/v3".into());
        return Answer::refusal(404, "Not Found");
    };
    if !header("user-agent").is_some_and(|agent| agent.starts_with("towpath/")) {
        wrong(format!("the user agent is {:?}", header("user-agent")));
    }
    if header("accept") != Some("application/vnd.github+json") {
        wrong(format!("it accepts {:?}", header("accept")));
    }
    if header("x-github-api-version") != Some("2022-11-28") {
        wrong(format!("the version is {:?}", header("x-github-api-version")));
    }
    if parts.headers.get_all("authorization").iter().count() > 1 {
        wrong("it carries two credentials".into());
    }
    let json = serde_json::from_slice::<Value>(body);
    match &json {
        _ if body.is_empty() => {}
        _ if parts.method == "GET" => wrong("a GET has a body".into()),
        Err(error) => wrong(format!("its body is no JSON: {error}")),
        Ok(_) if header("content-type") != Some("application/json") => wrong("its body is not said to be JSON".into()),
        Ok(_) => {}
    }
    let caller = match app::caller(state, header("authorization")) {
        Ok(caller) => caller,
        Err(refusal) => return refusal,
    };
    let asked = Asked {
        method: parts.method.to_string(),
        path: path.to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: json.unwrap_or_default(),
        caller,
    };
    state.seen.push(asked.clone());
    find(state, &asked).unwrap_or_else(|| {
        state.faults.push(format!("{line}: nothing like it was expected"));
        Answer::refusal(404, "Not Found")
    })
}

fn find(state: &mut State, asked: &Asked) -> Option<Answer> {
    let meant = |method: &str, pattern: &str| method == asked.method && fits(pattern, &asked.path);
    if let Some(at) = state.once.iter().position(|(method, pattern, _)| meant(method, pattern)) {
        return Some(state.once.remove(at).2);
    }
    let route = state.routes.iter().find(|route| meant(route.method, &route.pattern));
    match route {
        Some(route) => Some((route.handler)(asked)),
        None => app::answer(state, asked),
    }
}

fn send(answer: &Answer) -> Result<Response<Body>, io::Error> {
    let mut response = Response::builder()
        .status(answer.status)
        .header("content-type", "application/json; charset=utf-8")
        .header("x-github-media-type", "github.v3; format=json")
        .header("x-github-request-id", "C001:1234:5678:9ABC:00000000");
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    let text = match &answer.body {
        Value::Null => Bytes::new(),
        body => Bytes::from(body.to_string()),
    };
    response.body(body(text, answer.pace)).map_err(io::Error::other)
}

fn body(text: Bytes, pace: Pace) -> Body {
    let endless = |bytes: Bytes, wait: Duration| {
        let stream = futures_util::stream::unfold((), move |()| {
            let bytes = bytes.clone();
            async move {
                tokio::time::sleep(wait).await;
                Some((Ok(Frame::data(bytes)), ()))
            }
        });
        StreamBody::new(stream).boxed_unsync()
    };
    match pace {
        Pace::AtOnce => Full::new(text).map_err(|never| match never {}).boxed_unsync(),
        Pace::Drip => endless(Bytes::from_static(b" "), Duration::from_millis(200)),
        Pace::Flood => endless(Bytes::from(vec![b' '; 1 << 16]), Duration::ZERO),
        Pace::BreakOff => {
            let half = text.slice(..text.len() / 2);
            let parts = futures_util::stream::unfold(Some(half), |half| async move {
                match half {
                    Some(half) => Some((Ok(Frame::data(half)), None)),
                    None => {
                        // Until what was sent has left.
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        Some((Err(io::Error::other("broken off")), None))
                    }
                }
            });
            StreamBody::new(parts).boxed_unsync()
        }
    }
}
