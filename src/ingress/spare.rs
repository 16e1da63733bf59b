//! What it takes to make a request without body again: its head in one piece of memory.
//!
//! A copy of the header map would be a dozen allocations and counted references, for every request, to be used by one in
//! a million.

use super::upstream::Upload;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

/// See the module.
#[derive(Debug)]
pub(super) struct Spare {
    method: Method,
    uri: Uri,
    /// Per header: the lengths of name and value, two bytes each, then both.
    headers: Vec<u8>,
}

impl Spare {
    /// Of a request that may be repeated: idempotent and without body. `None` for others.
    pub(super) fn of(request: &Request<Upload>) -> Option<Self> {
        if !request.method().is_idempotent() || !matches!(request.body(), Upload::Empty) {
            return None;
        }
        let mut headers = Vec::with_capacity(512);
        for (name, value) in request.headers() {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            headers.extend_from_slice(&u16::try_from(name.len()).ok()?.to_be_bytes());
            headers.extend_from_slice(&u16::try_from(value.len()).ok()?.to_be_bytes());
            headers.extend_from_slice(name);
            headers.extend_from_slice(value);
        }
        Some(Self { method: request.method().clone(), uri: request.uri().clone(), headers })
    }

    /// The request again.
    pub(super) fn request(&self) -> Request<Upload> {
        let mut request = Request::new(Upload::Empty);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let mut rest = self.headers.as_slice();
        while let Some((name, value, tail)) = split(rest) {
            request.headers_mut().append(name, value);
            rest = tail;
        }
        request
    }
}

fn split(bytes: &[u8]) -> Option<(HeaderName, HeaderValue, &[u8])> {
    let (name_length, bytes) = bytes.split_first_chunk()?;
    let (value_length, bytes) = bytes.split_first_chunk()?;
    let (name, bytes) = bytes.split_at_checked(usize::from(u16::from_be_bytes(*name_length)))?;
    let (value, bytes) = bytes.split_at_checked(usize::from(u16::from_be_bytes(*value_length)))?;
    // They were these types before.
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spare_makes_the_same_request_with_every_value_of_every_header() {
        let request = Request::delete("/a?b")
            .header("host", "a.test")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("empty", "")
            .header("bytes", HeaderValue::from_bytes(&[0xff, 0x80]).unwrap())
            .body(Upload::Empty)
            .unwrap();
        let again = Spare::of(&request).unwrap().request();
        assert_eq!((again.method(), again.uri()), (request.method(), request.uri()));
        assert_eq!(again.headers(), request.headers());
    }

    #[test]
    fn what_must_not_be_repeated_has_no_spare() {
        assert!(Spare::of(&Request::post("/").body(Upload::Empty).unwrap()).is_none());
    }
}
