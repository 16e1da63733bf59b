//! What comes over the network before anybody is known: forms, targets, payloads of webhooks.

use super::cloud_logs::arn;
use super::protocol::{Protocol, Wanted, escape};
use crate::access::Place;
use crate::fuzzing::sentence;
use axum::http::Request;

const FORM: &[&str] = &[
    "Action=",
    "GetCallerIdentity",
    "AssumeRole",
    "&",
    "=",
    "Version=2011-06-15",
    "Version=",
    "%",
    "%41",
    "%zz",
    "+",
    "RoleArn=",
    "arn%3Aaws",
    "&&",
    "\u{e9}",
    "<b>",
    "\u{0}",
];

#[test]
fn a_form_and_a_query_of_any_text_want_something_or_nothing() {
    bolero::check!().with_max_len(200).for_each(|bytes: &[u8]| {
        let text = sentence(FORM, bytes);
        let form = "application/x-www-form-urlencoded";
        let Ok(request) = Request::builder().method("POST").uri("/").header("content-type", form).body(()) else {
            return;
        };
        let (head, ()) = request.into_parts();
        for body in [text.as_bytes(), bytes] {
            let _ = Wanted::read(Protocol::of(&head), &head, body).services();
        }
        let shown = escape(&text);
        assert!(!shown.contains('<') && !shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        if let Ok(request) = Request::builder().method("GET").uri(format!("/?{}", text.replace(' ', "+"))).body(()) {
            let (head, ()) = request.into_parts();
            let _ = Wanted::read(Protocol::of(&head), &head, b"");
        }
    });
}

#[test]
fn the_arn_of_a_log_group_of_any_name_stays_one_of_this_installation() {
    let place = Place { region: "local-1".into(), account: "000000000000".into() };
    bolero::check!().with_max_len(200).for_each(|bytes: &[u8]| {
        let name = sentence(&["arn:aws:logs:", ":log-group:", "/aws/apprunner/", ":*", ":", "*"], bytes);
        let arn = arn(&place, &serde_json::json!({ "logGroupIdentifier": name }));
        assert!(arn.starts_with("arn:aws:logs:local-1:000000000000:log-group:"), "{arn}");
    });
}
