//! Which host a request is for (RFC 9112 §3.2): exactly one `Host` of a valid form, or the authority of an absolute URI.

use http::uri::Authority;
use http::{HeaderValue, Request, header};
use std::borrow::Cow;

/// The longest host name (RFC 1035) with a port.
const LONGEST: usize = 253 + 1 + 5;

/// The host as the client wrote it, with its port; whether it is one is for [`name`] to say. `None`: missing, or several.
pub(super) fn of<B>(request: &Request<B>) -> Option<HeaderValue> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return None;
    }
    // The absolute form wins over `Host`, which HTTP/1.1 demands nevertheless.
    match request.uri().authority() {
        Some(authority) => from_authority(authority),
        None => first.cloned(),
    }
}

fn from_authority(authority: &Authority) -> Option<HeaderValue> {
    // User information is no part of a host.
    let host = authority.as_str().rsplit('@').next()?;
    HeaderValue::from_str(host).ok()
}

/// The name to route by: lower case, without port and final dot. `None`: not a host.
pub(super) fn name(value: &HeaderValue) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(value.as_bytes()).ok().filter(|text| text.len() <= LONGEST)?;
    if text.starts_with('[') {
        return address(text);
    }
    let mut upper = false;
    let mut end = text.len();
    // One pass: every request comes through here.
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {}
            b'A'..=b'Z' => upper = true,
            b':' if is_port(&text[index..]) => {
                end = index;
                break;
            }
            _ => return None,
        }
    }
    let host = text[..end].strip_suffix('.').unwrap_or(&text[..end]);
    match (host.is_empty(), upper) {
        (true, _) => None,
        (_, true) => Some(Cow::Owned(host.to_ascii_lowercase())),
        (_, false) => Some(Cow::Borrowed(host)),
    }
}

fn is_port(text: &str) -> bool {
    text.is_empty() || (text.starts_with(':') && text[1..].bytes().all(|b| b.is_ascii_digit()))
}

/// An IPv6 address in brackets, in its canonical form.
fn address(text: &str) -> Option<Cow<'_, str>> {
    let (inside, port) = text.strip_prefix('[')?.split_once(']')?;
    let address: std::net::Ipv6Addr = inside.parse().ok()?;
    is_port(port).then(|| Cow::Owned(format!("[{address}]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Option<String> {
        name(&HeaderValue::from_bytes(text.as_bytes()).unwrap()).map(Cow::into_owned)
    }

    #[test]
    fn hosts_are_compared_without_case_port_and_final_dot() {
        let table = [
            ("shop.localhost", "shop.localhost"),
            ("Shop.LocalHost:8080", "shop.localhost"),
            ("shop.localhost.:80", "shop.localhost"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("my_shop:", "my_shop"),
        ];
        for (text, expected) in table {
            assert_eq!(named(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(300);
        for bad in ["", ".", ":80", "a b", "a/b", "a:b", "a:80:80", "[::1", "[x]", "[::1]x", "a@b", "ä", "a,b", &long]
        {
            assert_eq!(named(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_absolute_uri_wins_and_two_hosts_are_refused() {
        let absolute = Request::get("http://user@a.test:80/x").header("host", "b.test").body(()).unwrap();
        assert_eq!(of(&absolute).unwrap(), "a.test:80");
        let two = Request::get("/").header("host", "a.test").header("host", "a.test").body(()).unwrap();
        assert_eq!(of(&two), None);
        assert_eq!(of(&Request::get("/").body(()).unwrap()), None);
    }
}
