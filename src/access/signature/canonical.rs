//! The canonical request: the one form of a request that client and server hash.

use super::Request;
use crate::model::ids::hex;
use http::HeaderMap;
use sha2::{Digest, Sha256};

/// The query parameter that carries a presigned request's signature, which is no part of what it signs.
pub(super) const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// SHA-256 in hex.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The canonical request as bytes: header values need not be text.
pub(super) fn canonical_request(request: &Request<'_>, signed: &[String], payload_hash: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    for line in [request.method, &canonical_path(request.path), &canonical_query(request.query)] {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    for name in signed {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        canonical_values(&mut out, request.headers, name);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(signed.join(";").as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash.as_bytes());
    out
}

/// Without empty and dotted segments (RFC 3986 §6), and encoded once more than it was sent.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &segments {
        out.push('/');
        encode(&mut out, segment.as_bytes());
    }
    let open = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    if segments.is_empty() || open {
        out.push('/');
    }
    out
}

/// Parameters by encoded name, then value, without the signature itself.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = parameters(query)
        .filter(|(name, _)| name.as_slice() != SIGNATURE_PARAMETER.as_bytes())
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// The parameters of a query in their order, decoded. `+` is itself: signers write a space as `%20`.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decoded(name.as_bytes()), percent_decoded(value.as_bytes()))
    })
}

/// Undoes percent encoding; a percent sign that begins none stays.
pub fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn encoded(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    encode(&mut out, bytes);
    out
}

/// Percent encoding of everything but RFC 3986's unreserved characters.
fn encode(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            byte => {
                out.push('%');
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}

/// All values of a header, in their order, joined by commas; white space around them goes, inside it shrinks to one.
fn canonical_values(out: &mut Vec<u8>, headers: &HeaderMap, name: &str) {
    for (n, value) in headers.get_all(name).iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        let words = value.as_bytes().split(|b| *b == b' ' || *b == b'\t').filter(|word| !word.is_empty());
        for (n, word) in words.enumerate() {
            if n > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(word);
        }
    }
}
