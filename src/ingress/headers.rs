//! What happens to headers on the way: hop-by-hop ones go (RFC 9110 §7.6.1), forwarding ones are made or believed.

use http::header::{CONNECTION, EXPECT, HOST, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Names one request in the application's logs and on our error pages.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id that is taken over from a trusted proxy.
const LONGEST_ID: usize = 128;

/// Who the client is, as far as headers tell of it. Made once per connection.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    /// The peer's address.
    pub(super) address: HeaderValue,
    /// `http` or `https`.
    pub(super) scheme: HeaderValue,
    /// Whether what the peer says of others is believed.
    pub(super) trusted: bool,
}

/// Removes what concerns only one connection, and what `Connection` names.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // A client must not talk us out of these.
        .filter(|name| *name != HOST && *name != http::header::CONTENT_LENGTH)
        .collect();
    let general: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in named.iter().chain(&general) {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether a client could use a header to lie about where a request comes from.
fn is_forwarding(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "x-real-ip")
}

/// The request's id: the one of a trusted proxy, else the one given.
pub(super) fn request_id(headers: &HeaderMap, sender: &Sender, fresh: impl FnOnce() -> HeaderValue) -> HeaderValue {
    let theirs = headers.get(X_REQUEST_ID).filter(|id| sender.trusted && is_id(id));
    theirs.cloned().unwrap_or_else(fresh)
}

fn is_id(id: &HeaderValue) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// Makes a client's headers those of our request to an instance.
pub(super) fn forward(headers: &mut HeaderMap, sender: &Sender, host: &HeaderValue, id: &HeaderValue) {
    strip_hop_by_hop(headers);
    // We answer `100 Continue` ourselves, when the instance takes the body.
    headers.remove(EXPECT);
    headers.insert(HOST, host.clone());
    headers.insert(X_REQUEST_ID, id.clone());
    if sender.trusted {
        append_forwarded(headers, sender, host);
        return;
    }
    if headers.keys().any(is_forwarding) {
        let forged: Vec<HeaderName> = headers.keys().filter(|name| is_forwarding(name)).cloned().collect();
        for name in forged {
            headers.remove(name);
        }
    }
    headers.insert(X_FORWARDED_FOR, sender.address.clone());
    headers.insert(X_FORWARDED_PROTO, sender.scheme.clone());
    headers.insert(X_FORWARDED_HOST, host.clone());
}

fn append_forwarded(headers: &mut HeaderMap, sender: &Sender, host: &HeaderValue) {
    let mut chain: Vec<u8> =
        headers.get_all(X_FORWARDED_FOR).iter().flat_map(|v| [v.as_bytes(), b", "].concat()).collect();
    chain.extend_from_slice(sender.address.as_bytes());
    // Valid values joined by a comma are a valid value.
    headers.insert(X_FORWARDED_FOR, HeaderValue::from_bytes(&chain).unwrap_or_else(|_| sender.address.clone()));
    headers.entry(X_FORWARDED_PROTO).or_insert_with(|| sender.scheme.clone());
    headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
}

/// The protocol that a request asks to change to. Not `h2c`: through it requests would pass unseen.
pub(super) fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let asks = |value: &HeaderValue| {
        value.to_str().is_ok_and(|text| text.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")))
    };
    let names_h2c = protocol.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("h2c"));
    (headers.get_all(CONNECTION).iter().any(asks) && !names_h2c).then(|| protocol.clone())
}

/// Adds the upgrade back that [`forward`] took out.
pub(super) fn add_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    fn sender(trusted: bool) -> Sender {
        let (address, scheme) = (HeaderValue::from_static("192.0.2.1"), HeaderValue::from_static("http"));
        Sender { address, scheme, trusted }
    }

    fn forwarded(pairs: &[(&'static str, &'static str)], trusted: bool) -> HeaderMap {
        let mut headers = map(pairs);
        let (host, id) = (HeaderValue::from_static("a.test"), HeaderValue::from_static("id"));
        forward(&mut headers, &sender(trusted), &host, &id);
        headers
    }

    #[test]
    fn hop_by_hop_headers_go_and_so_do_those_that_connection_names() {
        let mut headers =
            map(&[("connection", "close, x-secret"), ("x-secret", "1"), ("te", "trailers"), ("accept", "*/*")]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("accept", "*/*")]));
    }

    #[test]
    fn connection_cannot_take_our_own_headers_out() {
        let headers =
            forwarded(&[("connection", "host, x-forwarded-for, content-length"), ("content-length", "3")], false);
        assert_eq!(headers["host"], "a.test");
        assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
        assert_eq!(headers["content-length"], "3");
    }

    #[test]
    fn a_stranger_cannot_forge_where_a_request_comes_from() {
        let forged = [
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-port", "1"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("x-request-id", "x"),
        ];
        let expected = map(&[
            ("host", "a.test"),
            ("x-request-id", "id"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "a.test"),
        ]);
        assert_eq!(forwarded(&forged, false), expected);
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_appended_to() {
        let headers = forwarded(&[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-proto", "https")], true);
        assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 192.0.2.1");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "a.test");
    }

    #[test]
    fn only_a_trusted_proxy_names_requests() {
        let headers = map(&[("x-request-id", "theirs")]);
        let fresh = || HeaderValue::from_static("ours");
        assert_eq!(request_id(&headers, &sender(true), fresh), "theirs");
        assert_eq!(request_id(&headers, &sender(false), fresh), "ours");
    }

    #[test]
    fn websockets_are_upgrades_and_h2c_is_not() {
        let upgrade = |protocol| wanted_upgrade(&map(&[("connection", "keep-alive, Upgrade"), ("upgrade", protocol)]));
        assert_eq!(upgrade("websocket").unwrap(), "websocket");
        assert_eq!(upgrade("h2c"), None);
        assert_eq!(wanted_upgrade(&map(&[("upgrade", "websocket")])), None);
    }
}
