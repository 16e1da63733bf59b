//! Policy evaluation against a second implementation, written in another way: it interprets the JSON as it stands, by the words
//! of IAM's reference, with wildcards by recursion, variables by substitution, and no document ever compiled.

use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use towpath::access::policy::{Attempt, Context, Decision, Document, Grants, Kind, Principal, Resource, decide};

/// A request to the second implementation.
#[derive(Clone, Debug)]
struct Asked {
    action: String,
    resource: String,
    keys: BTreeMap<String, Vec<String>>,
}

/// `(* ?)` by recursion; private characters stand for literal ones of variables.
fn wild(pattern: &[char], text: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some('*'), _) => wild(&pattern[1..], text) || (!text.is_empty() && wild(pattern, &text[1..])),
        (Some('?'), Some(_)) => wild(&pattern[1..], &text[1..]),
        (Some(p), Some(t)) => literal(*p) == *t && wild(&pattern[1..], &text[1..]),
        _ => false,
    }
}

fn literal(c: char) -> char {
    match c {
        '\u{e000}' => '*',
        '\u{e001}' => '?',
        c => c,
    }
}

fn like(pattern: &str, text: &str) -> bool {
    wild(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

fn arn_like(pattern: &str, text: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (p, t): (Vec<&str>, Vec<&str>) = (pattern.splitn(6, ':').collect(), text.splitn(6, ':').collect());
    p.len() == 6 && t.len() == 6 && p.iter().zip(&t).all(|(p, t)| like(p, t))
}

/// The forms of an ARN that policies may be written for.
fn forms(arn: &str) -> Vec<&str> {
    let short = arn.rsplit_once('/').filter(|(_, id)| id.len() == 32).map(|(head, _)| head);
    [Some(arn), short].into_iter().flatten().collect()
}

fn key<'a>(asked: &'a Asked, name: &str) -> Option<&'a Vec<String>> {
    asked.keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, values)| values)
}

/// Variables replaced; `None` where one has no value.
fn substituted(text: &str, asked: &Asked) -> Option<String> {
    let Some((before, rest)) = text.split_once("${") else { return Some(text.to_owned()) };
    let (inside, after) = rest.split_once('}').unwrap();
    let value = match inside {
        "*" => "\u{e000}".to_owned(),
        "?" => "\u{e001}".to_owned(),
        "$" => "$".to_owned(),
        inside => {
            let (name, default) =
                inside.split_once(',').map_or((inside, None), |(n, d)| (n, Some(d.trim().trim_matches('\''))));
            let value = key(asked, name).map(|values| values[0].as_str()).or(default)?;
            value.replace('*', "\u{e000}").replace('?', "\u{e001}")
        }
    };
    Some(format!("{before}{value}{}", substituted(after, asked)?))
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

fn one_matches(operator: &str, wanted: &str, given: &str, asked: &Asked) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    let both = |f: fn(f64, f64) -> bool| number(given).zip(number(wanted)).is_some_and(|(g, w)| f(g, w));
    match operator {
        "NumericEquals" => both(|g, w| g == w),
        "NumericLessThan" => both(|g, w| g < w),
        "NumericGreaterThanEquals" => both(|g, w| g >= w),
        "Bool" => wanted.eq_ignore_ascii_case(given),
        "IpAddress" => {
            let bits = |text: &str| {
                text.split('.').map(|part| format!("{:08b}", part.parse::<u8>().unwrap())).collect::<String>()
            };
            let (network, length) = wanted.split_once('/').map_or((wanted, 32), |(n, l)| (n, l.parse().unwrap()));
            bits(network)[..length] == bits(given)[..length]
        }
        operator => {
            let Some(wanted) = substituted(wanted, asked) else { return false };
            let exact: String = wanted.chars().map(literal).collect();
            match operator {
                "StringEquals" => exact == given,
                "StringEqualsIgnoreCase" => exact.to_lowercase() == given.to_lowercase(),
                "StringLike" => like(&wanted, given),
                "ArnLike" => forms(given).into_iter().any(|given| arn_like(&wanted, given)),
                other => panic!("{other}"),
            }
        }
    }
}

fn condition_holds(name: &str, key_name: &str, wanted: &Value, asked: &Asked) -> bool {
    let given = key(asked, key_name);
    if name == "Null" {
        return given.is_none().to_string() == strings(wanted)[0];
    }
    let (set, rest) = name.split_once(':').map_or(("", name), |(set, rest)| (set, rest));
    let (rest, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |rest| (rest, true));
    let (operator, negated) = match rest {
        "NotIpAddress" => ("IpAddress".to_owned(), true),
        rest => (rest.replacen("Not", "", 1), rest.contains("Not")),
    };
    let Some(given) = given else {
        return if_exists || set == "ForAllValues" || (set.is_empty() && negated);
    };
    let any_wanted = |value: &String| strings(wanted).iter().any(|wanted| one_matches(&operator, wanted, value, asked));
    match (set, negated) {
        ("ForAllValues", false) => given.iter().all(any_wanted),
        ("ForAllValues", true) => !given.iter().any(any_wanted),
        ("ForAnyValue", false) | ("", false) => given.iter().any(any_wanted),
        ("ForAnyValue", true) => given.iter().any(|value| !any_wanted(value)),
        _ => !given.iter().any(any_wanted),
    }
}

fn statement_applies(statement: &Value, asked: &Asked) -> bool {
    let action = |pattern: &String| like(&pattern.to_lowercase(), &asked.action.to_lowercase());
    let resource = |pattern: &String| {
        substituted(pattern, asked).is_some_and(|p| forms(&asked.resource).into_iter().any(|form| arn_like(&p, form)))
    };
    let acts = match statement.get("Action") {
        Some(list) => strings(list).iter().any(action),
        None => !strings(&statement["NotAction"]).iter().any(action),
    };
    let on = match statement.get("Resource") {
        Some(list) => strings(list).iter().any(resource),
        None => !strings(&statement["NotResource"]).iter().any(resource),
    };
    let conditions = statement["Condition"].as_object().unwrap();
    acts && on
        && conditions.iter().all(|(operator, keys)| {
            keys.as_object().unwrap().iter().all(|(key, wanted)| condition_holds(operator, key, wanted, asked))
        })
}

fn second_opinion(document: &Value, asked: &Asked) -> Decision {
    let statements = document["Statement"].as_array().unwrap();
    let says = |effect: &str| statements.iter().any(|s| s["Effect"] == effect && statement_applies(s, asked));
    match (says("Deny"), says("Allow")) {
        (true, _) => Decision::ExplicitlyDenied,
        (false, true) => Decision::Allowed,
        (false, false) => Decision::NotAllowed,
    }
}

fn first_opinion(document: &Value, asked: &Asked) -> Decision {
    let document = Document::read(&document.to_string(), Kind::Identity).unwrap_or_else(|e| panic!("{e}: {document}"));
    let mut context = Context::default();
    for (key, values) in &asked.keys {
        match values.as_slice() {
            [value] if key != "aws:TagKeys" => context.set(key, value.as_str()),
            values => context.set_many(key, values.to_vec()),
        }
    }
    let (resource, principal) = (Resource::new(&asked.resource), Principal::default());
    let attempt = Attempt { action: &asked.action, resource: &resource, context: &context, principal: &principal };
    decide(&Grants { identity: vec![&document], fences: vec![] }, &attempt)
}

fn pick(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

const ACTIONS: &[&str] = &[
    "*",
    "apprunner:*",
    "apprunner:List*",
    "AppRunner:deleteService",
    "apprunner:De?eteService",
    "apprunner:*Service*",
    "iam:*",
    "app*:*s",
];
const ASKED: &[&str] =
    &["apprunner:ListServices", "apprunner:DeleteService", "apprunner:deleteservice", "iam:PassRole"];
const ID: &str = "0123456789abcdef0123456789abcdef";
const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:apprunner:*:*:service/*",
    "arn:aws:apprunner:local-1:000000000000:service/shop",
    "arn:aws:apprunner:*:*:service/shop/*",
    "arn:aws:apprunner:*:*:service/${aws:username}*",
    "arn:*:*:*:*:*shop*",
    "arn:aws:apprunner:*:*:connection/?rod/*",
    "arn:aws:iam::*:role/${k, 'shop'}",
];
const NAMES: &[&str] = &["shop", "me-shop", "prod", "*", "s"];
const STRING_OPERATORS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
];
const STRING_VALUES: &[&str] =
    &["me", "ME", "m*", "?e", "${aws:username}", "${aws:username}*", "${k}", "${none, 'me'}", "${*}", "*", "true", "5"];
const GIVEN: &[&str] = &[
    "me",
    "Me",
    "me-shop",
    "*",
    "true",
    "5",
    "arn:aws:apprunner:local-1:000000000000:service/shop/0123456789abcdef0123456789abcdef",
];
const SETS: &[&str] = &["", "", "ForAllValues:", "ForAnyValue:"];
const EXISTS: &[&str] = &["", "", "IfExists"];

/// An operator with a value that it can be compared with.
fn comparison() -> impl Strategy<Value = (String, Value)> {
    let strings =
        (pick(STRING_OPERATORS), prop::collection::vec(pick(STRING_VALUES), 1..3)).prop_map(|(o, v)| (o, json!(v)));
    let arns = (pick(&["ArnLike", "ArnNotLike"]), pick(RESOURCES)).prop_map(|(o, v)| (o, json!(v)));
    let numbers = (pick(&["NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericGreaterThanEquals"]), 4..7)
        .prop_map(|(o, v)| (o, json!(v)));
    let flags = (pick(&["Bool"]), any::<bool>()).prop_map(|(o, v)| (o, json!(v)));
    prop_oneof![4 => strings, 2 => arns, 2 => numbers, 1 => flags]
}

fn condition() -> impl Strategy<Value = (String, String, Value)> {
    let compared = (pick(SETS), comparison(), pick(EXISTS), pick(&["k", "K", "aws:username", "aws:TagKeys", "gone"]))
        .prop_map(|(set, (operator, value), exists, key)| (format!("{set}{operator}{exists}"), key, value));
    let addresses =
        (pick(&["IpAddress", "NotIpAddress"]), pick(&["10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "10.1.0.0/15"]))
            .prop_map(|(operator, network)| (operator, "aws:SourceIp".to_owned(), json!(network)));
    let null = (any::<bool>(), pick(&["k", "gone", "aws:TagKeys"]))
        .prop_map(|(wanted, key)| ("Null".to_owned(), key, json!(wanted.to_string())));
    prop_oneof![8 => compared, 1 => addresses, 1 => null]
}

fn statement() -> impl Strategy<Value = Value> {
    let lists = (
        pick(&["Action", "Action", "Action", "NotAction"]),
        prop::collection::vec(pick(ACTIONS), 1..3),
        pick(&["Resource", "Resource", "NotResource"]),
        prop::collection::vec(pick(RESOURCES), 1..3),
    );
    (pick(&["Allow", "Allow", "Deny"]), lists, prop::collection::vec(condition(), 0..3)).prop_map(
        |(effect, (a, actions, r, resources), conditions)| {
            let mut condition = json!({});
            for (operator, key, value) in conditions {
                condition[operator][key] = value;
            }
            json!({ "Effect": effect, a: actions, r: resources, "Condition": condition })
        },
    )
}

fn document() -> impl Strategy<Value = Value> {
    let version = prop::sample::select(&["2012-10-17"][..]);
    (version, prop::collection::vec(statement(), 1..5))
        .prop_map(|(version, statements)| json!({ "Version": version, "Statement": statements }))
}

fn asked() -> impl Strategy<Value = Asked> {
    let resource =
        (pick(&["service", "connection", "role"]), pick(NAMES), any::<bool>()).prop_map(|(kind, name, whole)| {
            match (kind.as_str(), whole) {
                ("role", _) => format!("arn:aws:iam::000000000000:role/{name}"),
                (kind, true) => format!("arn:aws:apprunner:local-1:000000000000:{kind}/{name}/{ID}"),
                (kind, false) => format!("arn:aws:apprunner:local-1:000000000000:{kind}/{name}"),
            }
        });
    let tags = prop::option::of(prop::collection::vec(pick(GIVEN), 1..3));
    let values =
        (prop::option::of(pick(GIVEN)), prop::option::of(pick(&["me", "*"])), tags, pick(&["10.1.2.3", "11.0.0.1"]));
    (pick(ASKED), prop_oneof![4 => resource, 1 => Just("*".to_owned())], values).prop_map(
        |(action, resource, (k, name, tags, address))| {
            let mut keys = BTreeMap::from([("aws:SourceIp".to_owned(), vec![address])]);
            keys.extend(k.map(|k| ("k".to_owned(), vec![k])));
            keys.extend(name.map(|name| ("aws:username".to_owned(), vec![name])));
            keys.extend(tags.map(|tags| ("aws:TagKeys".to_owned(), tags)));
            Asked { action, resource, keys }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn two_implementations_decide_alike(document in document(), asked in asked()) {
        prop_assert_eq!(first_opinion(&document, &asked), second_opinion(&document, &asked), "{}", document);
    }
}

#[test]
fn the_cases_are_worth_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..2000 {
        let (document, asked) = (document(), asked()).new_tree(&mut runner).unwrap().current();
        *seen.entry(format!("{:?}", second_opinion(&document, &asked))).or_default() += 1;
    }
    assert!(seen.len() == 3 && seen.values().all(|count| *count > 200), "{seen:?}");
}

proptest! {
    #[test]
    fn nothing_that_is_read_as_a_policy_makes_a_panic(text in "[{}\\[\\]\",:$*?a-zA-Z0-9 /]{0,200}") {
        for kind in [Kind::Identity, Kind::Trust, Kind::Endpoint] {
            let _ = Document::read(&text, kind);
        }
    }
}
