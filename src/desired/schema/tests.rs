//! What the schemas say is what the readers do: keys both ways, what is required, bounds, defaults, examples.

use super::{Key, Shape, apprunner, apprunner_schema, manifest, manifest_schema, plain};
use crate::desired::{Desired, parse_apprunner, parse_manifest};
use crate::desired::{Parsed, apprunner::levels as apprunner_levels, manifest::levels as manifest_levels};
use crate::model::Catalogue;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;

type Names = BTreeSet<(&'static str, &'static str)>;

fn described(keys: &'static [Key]) -> Names {
    assert_eq!(keys.iter().map(|k| (k.level, k.name)).collect::<Names>().len(), keys.len(), "a key stands twice");
    keys.iter().map(|k| (k.level, k.name)).collect()
}

#[test]
fn every_key_that_the_readers_know_is_described_and_no_other() {
    let manifest_keys: Names =
        manifest_levels().iter().flat_map(|(l, keys, _)| keys.iter().map(|k| (*l, *k))).collect();
    let apprunner_keys: Names = apprunner_levels().iter().flat_map(|(l, keys)| keys.iter().map(|k| (*l, *k))).collect();
    let both = [
        ("manifest", described(manifest::keys()), manifest_keys),
        ("apprunner", described(apprunner::keys()), apprunner_keys),
    ];
    for (file, described, known) in both {
        let missing: Vec<_> = known.difference(&described).collect();
        let extra: Vec<_> = described.difference(&known).collect();
        assert!(missing.is_empty(), "describe these keys in src/desired/schema/{file}.rs: {missing:?}");
        assert!(extra.is_empty(), "the reader does not know these keys of src/desired/schema/{file}.rs: {extra:?}");
    }
}

/// Every property of a schema, with the level it belongs to. `false` is a word that is refused.
fn properties(schema: &Value) -> BTreeSet<(String, String)> {
    let levels = schema["$defs"].as_object().unwrap().iter().map(|(name, level)| (name.as_str(), level));
    let of_level = |(name, level): (&str, &Value)| {
        let known = level["properties"].as_object().unwrap().iter().filter(|(_, value)| value.is_object());
        known.map(|(key, _)| (name.to_owned(), key.clone())).collect::<Vec<_>>()
    };
    levels.chain([("", schema)]).flat_map(of_level).collect()
}

#[test]
fn the_schemas_have_every_key_of_every_level_that_can_be_written() {
    let catalogue = Catalogue::builtin();
    for (schema, keys) in
        [(manifest_schema(&catalogue), manifest::keys()), (apprunner_schema(&catalogue), apprunner::keys())]
    {
        let reached = super::reached(keys);
        let expected: BTreeSet<(String, String)> = keys
            .iter()
            .filter(|k| reached.contains(&k.level))
            .map(|k| (k.level.to_owned(), k.name.to_owned()))
            .collect();
        assert_eq!(properties(&schema), expected);
    }
}

#[test]
fn every_key_says_what_it_means_in_a_sentence() {
    for key in manifest::keys().iter().chain(apprunner::keys()) {
        assert!(key.about.ends_with('.') && key.about.len() > 5, "{}.{}", key.level, key.name);
    }
}

/// A manifest of one service with every required key, as JSON, which is YAML.
fn skeleton() -> Value {
    let connections = json!({
        "acme-git": { "provider": "GITHUB", "url": "https://git.example.com" },
        "acme-basic": { "provider": "GITHUB", "basic": { "username": "ada", "password": { "env": "P" } } },
        "acme-app": { "provider": "GITHUB", "app": { "id": 1, "privateKey": { "env": "K" } } },
    });
    json!({ "connections": connections, "services": { "shop": {
        "source": { "repository": "/srv/shop" },
        "build": { "runtime": "python311", "start": "python app.py" },
    } }, "roles": { "deployer": { "trust": { "Statement": [] } } } })
}

/// Where a level stands in the skeleton. `None`: nowhere yet, because no key leads to it.
fn path(level: &str) -> Option<Vec<&str>> {
    Some(match level {
        "" => vec![],
        "service" => vec!["services", "shop"],
        "secret" => vec!["services", "shop", "secrets", "KEY"],
        "sealed" if !manifest_levels()[0].1.contains(&"secrets") => return None,
        "connection" => vec!["connections", "acme-git"],
        "basic" => vec!["connections", "acme-basic", "basic"],
        "app" => vec!["connections", "acme-app", "app"],
        "key" | "credentials" => vec!["services", "shop", "source", level],
        "sealed" => vec!["secrets", "shop-db"],
        // Whole in `fixtures/manifest/*restraint.yaml`: each of their keys needs the others.
        "window" | "suspend" => return None,
        "verify" => vec!["services", "shop", "source", "verify"],
        "user" => vec!["users", "ci"],
        "group" => vec!["groups", "devs"],
        "role" => vec!["roles", "deployer"],
        other => vec!["services", "shop", other],
    })
}

/// The skeleton with a value at a key; `None` takes the key away.
fn with(level: &str, name: &str, value: Option<Value>) -> Option<Value> {
    let mut document = skeleton();
    if level == "previews" {
        document["services"]["shop"]["source"] =
            json!({ "repository": "https://git.example.com/acme/shop", "connection": "acme-git" });
    }
    let mut at = &mut document;
    for step in path(level)? {
        at = at.as_object_mut().unwrap().entry(step).or_insert_with(|| Value::Object(Map::new()));
    }
    let at = at.as_object_mut().unwrap();
    match value {
        Some(value) => at.insert(name.to_owned(), value),
        None => at.remove(name),
    };
    Some(document)
}

fn parse(document: &Value) -> Parsed<Desired> {
    parse_manifest("towpath.yaml", Path::new("/srv"), &document.to_string(), &Catalogue::builtin())
}

fn is_read(level: &str, name: &str, value: Value) -> Option<bool> {
    Some(parse(&with(level, name, Some(value))?).value.is_some())
}

#[test]
fn what_is_required_is_what_the_reader_misses() {
    assert!(parse(&skeleton()).value.is_some());
    for key in manifest::keys().iter().filter(|k| k.level != "secret" && k.level != "sealed" && !k.level.is_empty()) {
        let Some(document) = with(key.level, key.name, None) else { continue };
        let read = parse(&document).value.is_some();
        assert_eq!(read, !key.required, "{}.{}", key.level, key.name);
    }
}

#[test]
fn bounds_are_those_of_the_reader() {
    for key in manifest::keys() {
        let check = |value: Value, fits: bool| {
            if let Some(read) = is_read(key.level, key.name, value.clone()) {
                assert_eq!(read, fits, "{}.{}: {value}", key.level, key.name);
            }
        };
        match key.shape {
            // `minSize` may not exceed `maxSize`, nor the other way round: with the defaults of both every value fits.
            Shape::Number(least, most) => {
                for (number, fits) in [(least, true), (most, true), (most + 1, false)] {
                    check(number.into(), fits);
                }
                if let Some(less) = least.checked_sub(1) {
                    check(less.into(), false);
                }
            }
            Shape::Duration(least, most) => {
                check(least.into(), true);
                check(most.into(), true);
                check(format!("{most}1s").into(), false);
                if least != "0s" {
                    check("0s".into(), false);
                }
            }
            Shape::Choice(words) => words.iter().for_each(|word| check((*word).into(), true)),
            Shape::Flag => {
                check(true.into(), true);
                check(false.into(), true);
                check("yes".into(), false);
            }
            _ => {}
        }
    }
}

#[test]
fn a_default_written_down_changes_nothing() {
    for (key, default) in manifest::keys().iter().filter_map(|k| Some((k, k.default?))) {
        let without = if key.level == "previews" { with(key.level, key.name, None).unwrap() } else { skeleton() };
        let unwritten = parse(&without).value.unwrap().manifest.digest;
        let document = with(key.level, key.name, Some(plain(default))).unwrap();
        let parsed = parse(&document);
        let written = parsed.value.unwrap_or_else(|| panic!("{document}: {:#?}", parsed.problems));
        assert_eq!(written.manifest.digest, unwritten, "{}.{}: {default}", key.level, key.name);
    }
}

#[test]
fn every_example_is_read() {
    for (key, example) in manifest::keys().iter().filter_map(|k| Some((k, k.example?))) {
        let Some(document) = with(key.level, key.name, Some(plain(example))) else { continue };
        let parsed = parse(&document);
        assert!(parsed.value.is_some(), "{document}: {:#?}", parsed.problems);
    }
}

#[test]
fn a_word_that_the_reader_takes_for_another_is_refused_by_the_schema_of_apprunner_files() {
    let schema = apprunner_schema(&Catalogue::builtin());
    assert_eq!(schema["$defs"]["run"]["properties"]["start"], false);
    let file = "version: 1.0\nruntime: python311\nbuild: { commands: { build: [x] } }\nrun: { command: x, start: y }\n";
    assert!(parse_apprunner("apprunner.yaml", file, &Catalogue::builtin()).value.is_none());
    assert!(schema["properties"]["services"].is_null(), "an unknown key is overlooked, as App Runner does");
}
