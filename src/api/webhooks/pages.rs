//! The pages that lead a browser through the handshake of a GitHub App. They are reached by a `state` that nobody can guess,
//! and show nothing else. Plain HTML without scripts; every text is escaped.

use super::Webhooks;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Where they are.
pub const PREFIX: &str = "/connections/";
/// More than any query of GitHub's.
const LONGEST_QUERY: usize = 2048;

/// Which page a browser asks for, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// What follows the prefix: `begin`, `callback`.
    pub page: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
}

/// What a browser is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// A form with one button that posts a text to another server.
    Form {
        /// What it is about.
        text: String,
        /// Where to.
        action: String,
        /// The server of that.
        server: String,
        /// The field's name and the text.
        field: (&'static str, String),
    },
    /// Another place.
    Elsewhere(String),
    /// All is done.
    Done(String),
    /// It cannot go on.
    Failed(String),
}

impl Webhooks {
    /// Answers a browser.
    pub(in crate::api) async fn page(&self, request: Request) -> Response<Body> {
        let query = request.uri().query().unwrap_or_default();
        if request.method() != Method::GET || query.len() > LONGEST_QUERY {
            return respond(StatusCode::BAD_REQUEST, "", &Page::Failed("This page is only looked at.".into()));
        }
        if !self.pace.admits() {
            let slow = Page::Failed("Too much is asked at once; try again in a moment.".into());
            return respond(StatusCode::TOO_MANY_REQUESTS, "", &slow);
        }
        let page = request.uri().path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
        let visit = Visit { page, query: pairs(query) };
        match self.hints.visit(visit).await {
            Page::Elsewhere(place) => elsewhere(&place),
            page => {
                let status = if matches!(page, Page::Failed(_)) { StatusCode::BAD_REQUEST } else { StatusCode::OK };
                let server = if let Page::Form { server, .. } = &page { server.clone() } else { String::new() };
                respond(status, &server, &page)
            }
        }
    }
}

/// The pairs of a query; of two that are alike the first.
fn pairs(query: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        pairs.entry(decoded(name)).or_insert_with(|| decoded(value));
    }
    pairs
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => b'?',
            },
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn elsewhere(place: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    match HeaderValue::from_str(place) {
        Ok(place) => {
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(header::LOCATION, place);
            keep_quiet(&mut response, "");
            response
        }
        Err(_) => respond(StatusCode::BAD_REQUEST, "", &Page::Failed("The way on is no URL.".into())),
    }
}

fn respond(status: StatusCode, server: &str, page: &Page) -> Response<Body> {
    let mut response = Response::new(Body::from(html(page)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    keep_quiet(&mut response, server);
    response
}

/// Nothing is loaded, framed, kept or told to others.
fn keep_quiet(response: &mut Response<Body>, server: &str) {
    let target = if server.is_empty() { "'none'" } else { server };
    let policy = format!("default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action {target}");
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn html(page: &Page) -> String {
    let body = match page {
        Page::Form { text, action, field: (name, value), .. } => format!(
            "<p>{}</p><form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"{name}\" value=\"{}\"><button>Go on to \
             GitHub</button></form>",
            escaped(text),
            escaped(action),
            escaped(value)
        ),
        Page::Elsewhere(place) | Page::Done(place) | Page::Failed(place) => format!("<p>{}</p>", escaped(place)),
    };
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>towpath</title><h1>towpath</h1>{body}</html>\n"
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '"' | '\'' => {
                // Writing to a text cannot fail.
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_what_is_shown_is_escaped() {
        let pairs = pairs("state=a%2Fb&code=x+y&state=z&broken&%zz=1");
        assert_eq!((pairs["state"].as_str(), pairs["code"].as_str()), ("a/b", "x y"));
        let shown = html(&Page::Failed("<script>alert('\"&')</script>".into()));
        assert!(!shown.contains("<script>") && shown.contains("&#60;script&#62;"), "{shown}");
    }
}
