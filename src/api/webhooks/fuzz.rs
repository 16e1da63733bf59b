//! Payloads of webhooks: anybody can send one.

use super::payload::repositories;
use crate::fuzzing::sentence;
use axum::http::{HeaderMap, HeaderValue};

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "\"repository\":",
    "\"project\":",
    "\"clone_url\":",
    "\"links\":",
    "\"html\":",
    "\"href\":",
    "\"https://git.example.com/a/b.git\"",
    "\"file:///etc\"",
    "\"-x\"",
    "payload=",
    "%7B",
    "%",
    "+",
    "&",
    "{\"repository\":{\"clone_url\":\"https://",
];

#[test]
fn a_payload_of_any_text_names_repositories_or_is_refused() {
    bolero::check!().with_max_len(300).for_each(|bytes: &[u8]| {
        let text = sentence(WORDS, bytes);
        for kind in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static(kind));
            for body in [text.as_bytes(), bytes] {
                if let Ok(urls) = repositories(&headers, body) {
                    assert!(!urls.is_empty());
                }
            }
        }
    });
}
