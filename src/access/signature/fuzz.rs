//! Signatures of any text: refused, never believed, never a panic.

use super::{Expected, Presented, Request, verify};
use crate::fuzzing::sentence;
use crate::model::{Secret, Timestamp};
use http::{HeaderMap, HeaderValue};

const WORDS: &[&str] = &[
    "AWS4-HMAC-SHA256 ",
    "Credential=",
    "AKIDEXAMPLE/",
    "20150830/",
    "us-east-1/",
    "service/",
    "aws4_request",
    ", ",
    ",",
    "=",
    "/",
    ";",
    "SignedHeaders=",
    "host;x-amz-date",
    "Signature=",
    "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    "X-Amz-Algorithm=",
    "AWS4-HMAC-SHA256",
    "X-Amz-Credential=",
    "X-Amz-Date=",
    "20150830T123600Z",
    "X-Amz-Expires=",
    "86400",
    "X-Amz-SignedHeaders=",
    "host",
    "X-Amz-Signature=",
    "X-Amz-Security-Token=",
    "&",
    "%2F",
    "%",
    "%zz",
    "+",
    " ",
    "99999999999999999999",
];

fn try_verify(request: &Request<'_>) {
    let Ok(presented) = Presented::read(request) else { return };
    let now = Timestamp(1_440_938_160_000);
    let expected = Expected { region: "us-east-1", services: &["service"], now };
    let believed = verify(request, &presented, &Secret::new("another secret".into()), &expected);
    assert!(believed.is_err(), "a signature was guessed: {presented:?}");
}

#[test]
fn a_header_of_any_text_is_refused() {
    bolero::check!().with_max_len(200).for_each(|bytes: &[u8]| {
        let (authorization, date) = bytes.split_at(bytes.len() - bytes.len() / 8);
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("example.amazonaws.com"));
        for (name, text) in [("authorization", sentence(WORDS, authorization)), ("x-amz-date", sentence(WORDS, date))] {
            if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
                headers.insert(name, value);
            }
        }
        try_verify(&Request { method: "POST", path: "/", query: "", headers: &headers, body: bytes });
    });
}

#[test]
fn a_query_and_a_path_of_any_text_are_refused() {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("example.amazonaws.com"));
    bolero::check!().with_max_len(200).for_each(|bytes: &[u8]| {
        let (path, query) = bytes.split_at(bytes.len() / 4);
        let (path, query) = (format!("/{}", sentence(WORDS, path)), sentence(WORDS, query));
        try_verify(&Request { method: "GET", path: &path, query: &query, headers: &headers, body: b"" });
    });
}
