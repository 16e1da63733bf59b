//! Policies of any text: read or refused, and decided on without a panic.

use super::{Attempt, Context, Document, Grants, Kind, Principal, Resource, decide};
use crate::fuzzing::sentence;

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    " ",
    "\"Version\":\"2012-10-17\",",
    "\"Statement\":",
    "\"Effect\":\"Allow\",",
    "\"Effect\":\"Deny\",",
    "\"Action\":",
    "\"NotAction\":",
    "\"Resource\":",
    "\"NotResource\":",
    "\"Principal\":",
    "\"Condition\":",
    "\"apprunner:*\"",
    "\"*\"",
    "\"arn:aws:apprunner:*:*:service/*\"",
    "\"StringLike\":",
    "\"ForAllValues:",
    "ForAnyValue:",
    "IfExists\":",
    "\"Null\":",
    "\"IpAddress\":",
    "\"10.0.0.0/8\"",
    "\"DateGreaterThan\":",
    "\"2026-01-01\"",
    "\"NumericEquals\":",
    "\"aws:username\":",
    "\"aws:TagKeys\":",
    "${aws:username}",
    "${",
    "'x'",
    "*",
    "?",
    "true",
    "null",
    "1e9",
    "\\u0000",
    "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"apprunner:List*\",\"Resource\":\"*\"",
];

#[test]
fn a_policy_of_any_text_is_read_or_refused_and_decides_without_a_panic() {
    let mut context = Context::default();
    context.set("aws:username", "me");
    context.set("aws:SourceIp", "10.1.2.3");
    context.set_many("aws:TagKeys", vec!["a".into(), "b".into()]);
    bolero::check!().with_max_len(400).for_each(|bytes: &[u8]| {
        let text = sentence(WORDS, bytes);
        for kind in [Kind::Identity, Kind::Trust, Kind::Endpoint] {
            let Ok(document) = Document::read(&text, kind) else { continue };
            let (resource, principal) = (Resource::new(text.clone()), Principal::default());
            let attempt = Attempt {
                action: "apprunner:ListServices",
                resource: &resource,
                context: &context,
                principal: &principal,
            };
            decide(&Grants { identity: vec![&document], fences: vec![&document] }, &attempt);
        }
    });
}
