//! The published test suite of Signature Version 4, and what it does not cover.

use super::*;
use crate::model::{Secret, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

/// The requests of AWS' own suite, signed, but those that no HTTP server takes (folded headers) and those without
/// normalization of paths, which are S3's.
const SUITE: &str = include_str!("../../../fixtures/signature/requests.json");
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[derive(Deserialize)]
struct Case {
    name: String,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn suite() -> Vec<Case> {
    serde_json::from_str(SUITE).unwrap()
}

fn header_map(pairs: &[(String, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// 2015-08-30T12:36:00Z, when all of the suite were signed.
fn then() -> Timestamp {
    time::parse_basic("20150830T123600Z").unwrap()
}

fn check(case: &Case, secret: &str, now: Timestamp) -> Result<(), SignatureFault> {
    let headers = header_map(&case.headers);
    let (method, path, query) = (case.method.as_str(), case.path.as_str(), case.query.as_str());
    let request = Request { method, path, query, headers: &headers, body: case.body.as_bytes() };
    let presented = Presented::read(&request)?;
    let expected = Expected { region: "us-east-1", services: &["service"], now };
    verify(&request, &presented, &Secret::new(secret.into()), &expected)
}

#[test]
fn the_published_suite_verifies() {
    let cases = suite();
    assert!(cases.len() >= 50, "{}", cases.len());
    for case in &cases {
        // A session token that was added after signing is not protected: services but S3 refuse it.
        let unprotected = case.name.starts_with("post-sts-header-after");
        let checked = check(case, SECRET, then());
        assert_eq!(checked.is_ok(), !unprotected, "{}: {checked:?}", case.name);
    }
}

#[test]
fn no_case_of_the_suite_verifies_once_anything_is_changed() {
    for case in suite().iter_mut().filter(|case| !case.name.starts_with("post-sts-header-after")) {
        assert!(check(case, "another", then()).is_err(), "{}", case.name);
        for hours in [-200, 200] {
            assert!(check(case, SECRET, Timestamp(then().0 + hours * 3_600_000)).is_err(), "{}", case.name);
        }
        case.body.push('x');
        assert!(check(case, SECRET, then()).is_err(), "{}", case.name);
        case.body.pop();
        case.path.push('x');
        assert!(check(case, SECRET, then()).is_err(), "{}", case.name);
        case.path.pop();
        case.method = "PUT".into();
        assert!(check(case, SECRET, then()).is_err(), "{}", case.name);
    }
}

#[test]
fn a_presigned_request_lives_as_long_as_it_says_and_no_longer() {
    let suite = suite();
    let case = suite.iter().find(|case| case.name == "get-vanilla, query").unwrap();
    let after = |seconds: i64| check(case, SECRET, Timestamp(then().0 + seconds * 1000));
    assert_eq!(after(3599), Ok(()));
    assert!(matches!(after(3602), Err(SignatureFault::Mismatch(why)) if why.starts_with("Signature expired")));
    assert!(matches!(after(-301), Err(SignatureFault::Mismatch(why)) if why.starts_with("Signature not yet current")));
    for life in ["0", "604801", "-1", "x", ""] {
        let query = case.query.replace("X-Amz-Expires=3600", &format!("X-Amz-Expires={life}"));
        let headers = header_map(&case.headers);
        let request = Request { method: "GET", path: "/", query: &query, headers: &headers, body: b"" };
        assert!(matches!(Presented::read(&request), Err(SignatureFault::Incomplete(_))), "{life}");
    }
}

#[test]
fn a_path_is_encoded_once_more_than_it_was_sent() {
    let headers = header_map(&[("host".into(), "x".into())]);
    for (path, canonical) in [
        ("/test/@connections/JBDvjfGEIAMCERw%3D", "/test/%40connections/JBDvjfGEIAMCERw%253D"),
        ("/functions/arn%3Aaws%3Alambda/invocations", "/functions/arn%253Aaws%253Alambda/invocations"),
    ] {
        let request = Request { method: "POST", path, query: "", headers: &headers, body: b"" };
        let text = canonical::canonical_request(&request, &["host".into()], "hash");
        assert_eq!(String::from_utf8(text).unwrap().lines().nth(1), Some(canonical));
    }
}

#[test]
fn two_signatures_in_one_request_are_refused() {
    let suite = suite();
    let [header, query] =
        ["get-vanilla, header", "get-vanilla, query"].map(|n| suite.iter().find(|c| c.name == n).unwrap());
    let headers = header_map(&header.headers);
    let both = Request { method: "GET", path: "/", query: &query.query, headers: &headers, body: b"" };
    assert!(matches!(Presented::read(&both), Err(SignatureFault::Incomplete(_))));
    let twice = format!("{}&X-Amz-Date=20150830T123600Z", query.query);
    let headers = header_map(&query.headers);
    let twice = Request { method: "GET", path: "/", query: &twice, headers: &headers, body: b"" };
    assert!(matches!(Presented::read(&twice), Err(SignatureFault::Incomplete(_))));
}

#[test]
fn ours_are_verified_with_the_date_header_too() {
    let mut headers =
        header_map(&[("host".into(), "x".into()), ("date".into(), "Sun, 30 Aug 2015 12:36:00 GMT".into())]);
    let credentials = Credentials { key_id: "AKIDEXAMPLE".into(), secret: Secret::new(SECRET.into()), token: None };
    let request = Request { method: "POST", path: "/", query: "a=b", headers: &headers, body: b"{}" };
    let header = sign(&request, &credentials, "us-east-1", "service", then());
    headers.insert("authorization", header.parse().unwrap());
    let request = Request { method: "POST", path: "/", query: "a=b", headers: &headers, body: b"{}" };
    let presented = Presented::read(&request).unwrap();
    let expected = Expected { region: "us-east-1", services: &["service"], now: then() };
    assert_eq!(verify(&request, &presented, &credentials.secret, &expected), Ok(()));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_that_is_presented_makes_a_panic(header in "\\PC{0,200}", query in "[ -~]{0,200}", date in "\\PC{0,20}") {
            let mut headers = HeaderMap::new();
            for (name, value) in [("authorization", header), ("x-amz-date", date)] {
                if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                    headers.insert(name, value);
                }
            }
            let request = Request { method: "POST", path: &query, query: &query, headers: &headers, body: b"" };
            let _ = Presented::read(&request);
            canonical::canonical_request(&request, &["host".into()], "");
        }
    }
}
