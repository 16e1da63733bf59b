//! How long a decision on 50 statements takes. The figure that counts is that of
//! `cargo test --release --test it policy_speed -- --nocapture`; an unoptimised build only has to stay in its order.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use towpath::access::policy::{Attempt, Context, Decision, Document, Grants, Kind, Principal, Resource, decide};

/// Statements that nearly apply: each has to be looked at to its last condition. 25 of them fit into one document.
fn statements(from: usize) -> Document {
    let statements: Vec<Value> = (from..from + 25)
        .map(|n| {
            json!({
                "Effect": if n % 10 == 0 { "Deny" } else { "Allow" },
                "Action": ["apprunner:Describe*", "apprunner:*Service"],
                "Resource": ["arn:aws:apprunner:*:*:service/*/*"],
                "Condition": {
                    "IpAddress": { "aws:SourceIp": ["10.0.0.0/8", "127.0.0.0/8"] },
                    "StringLike": { "apprunner:ResourceTag/Owner": format!("${{aws:username}}-{n}-*") },
                },
            })
        })
        .collect();
    Document::read(&json!({ "Version": "2012-10-17", "Statement": statements }).to_string(), Kind::Identity).unwrap()
}

#[test]
fn fifty_statements_are_decided_in_microseconds() {
    let halves = [statements(0), statements(25)];
    let mut context = Context::default();
    for (key, value) in [
        ("aws:SourceIp", "127.0.0.1"),
        ("aws:username", "richard-roe"),
        ("apprunner:ResourceTag/Owner", "richard-roe-x"),
    ] {
        context.set(key, value);
    }
    let resource =
        Resource::new("arn:aws:apprunner:local-1:000000000000:service/shop/0123456789abcdef0123456789abcdef");
    let principal = Principal::default();
    let attempt =
        Attempt { action: "apprunner:DeleteService", resource: &resource, context: &context, principal: &principal };
    let grants = Grants { identity: halves.iter().collect(), fences: vec![] };
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let begin = Instant::now();
            assert_eq!(decide(&grants, &attempt), Decision::NotAllowed);
            begin.elapsed()
        })
        .collect();
    times.sort();
    let median = times[times.len() / 2];
    println!("a decision on 50 statements: median {median:?}");
    let limit = Duration::from_micros(if cfg!(debug_assertions) { 2000 } else { 20 });
    assert!(median <= limit, "median {median:?} is over {limit:?}");
}
