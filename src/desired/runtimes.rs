//! A file of runtimes (`--runtimes`): what an installation adds to the catalogue or changes in it. Text in, the catalogue
//! and every problem out.
//!
//! ```yaml
//! runtimes:
//!   python3:                       # one of the catalogue: what is written replaces what it has
//!     image: registry.example.com/python:{version}
//!   python39:                      # a new one
//!     language: python
//!     versions: ["3.9"]
//!     image: registry.example.com/python:{version}
//! ```

use super::Parsed;
use super::fields::{Fields, checked, mismatch, text_of};
use super::findings::{Findings, quote};
use super::keys::{listed, nearest};
use super::yaml::{self, Entry, Node, Value};
use crate::model::{Catalogue, Language, Runtime, RuntimeName, VersionLock, parse_runtime_image};

/// The keys of the file.
const KEYS: [&str; 2] = ["runtimes", "builtin"];
/// The keys of a runtime.
const KEYS_OF_ONE: [&str; 4] = ["language", "versions", "image", "wire"];
const LANGUAGES: [(&str, Language); 7] = [
    ("python", Language::Python),
    ("node", Language::Node),
    ("java", Language::Java),
    ("go", Language::Go),
    ("dotnet", Language::Dotnet),
    ("php", Language::Php),
    ("ruby", Language::Ruby),
];

/// Reads a file of runtimes over a catalogue. The value is there when no problem is an error.
pub fn parse_runtimes(file: &str, text: &str, builtin: &Catalogue) -> Parsed<Catalogue> {
    let mut findings = Findings::new(file, text);
    let catalogue = yaml::read(text, &mut findings)
        .and_then(|root| Fields::open(&root, "", &mut findings).map(|top| catalogue(&top, builtin, &mut findings)));
    findings.finish(catalogue)
}

fn catalogue(top: &Fields, builtin: &Catalogue, findings: &mut Findings) -> Catalogue {
    check_keys(top, &KEYS, findings);
    let kept = top.flag("builtin", findings).unwrap_or(true);
    let mut made = if kept { builtin.clone() } else { Catalogue { runtimes: Vec::new() } };
    let hint = "write `runtimes:` with the name of a runtime below it";
    let Some(node) = top.required("runtimes", hint, findings) else { return made };
    let Some(runtimes) = Fields::open(node, "runtimes", findings) else { return made };
    for entry in runtimes.entries {
        // A name of the catalogue that is left out of it can still be described in part.
        if let Some(runtime) = runtime(entry, builtin, &runtimes, findings) {
            take_wire(&made, &runtime, entry, findings);
            match made.runtimes.iter_mut().find(|known| known.name == runtime.name) {
                Some(known) => *known = runtime,
                None => made.runtimes.push(runtime),
            }
        }
    }
    made
}

fn runtime(entry: &Entry, builtin: &Catalogue, runtimes: &Fields, findings: &mut Findings) -> Option<Runtime> {
    let name: Option<RuntimeName> = checked(entry.key.parse(), "runtime", entry.key_span, findings);
    let name = name?;
    let fields = Fields::open(&entry.value, runtimes.path(&entry.key), findings)?;
    check_keys(&fields, &KEYS_OF_ONE, findings);
    let base = builtin.find(&name);
    let needed = |key: &str, findings: &mut Findings| {
        if base.is_none() && fields.value(key).is_none() {
            let message = format!("`{}` is missing", fields.path(key));
            let hint = format!(
                "`{name}` is not in the catalogue, and a new runtime has {}",
                listed(["language", "versions", "image"])
            );
            findings.error("missing", entry.key_span, message).hint(hint);
        }
    };
    ["language", "versions", "image"].iter().for_each(|key| needed(key, findings));
    let language = language(&fields, findings).or(base.map(|b| b.language));
    let versions = versions(&fields, findings).or_else(|| base.map(|b| b.versions.clone()));
    let image = image(&fields, findings).or_else(|| base.map(|b| b.image.clone()));
    let wire = wire(&fields, findings).or_else(|| base.and_then(|b| b.wire.clone()));
    Some(Runtime { name, wire, language: language?, versions: versions?, image: image? })
}

fn language(fields: &Fields, findings: &mut Findings) -> Option<Language> {
    let (text, span) = fields.text("language", findings)?;
    let found = LANGUAGES.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let message =
            format!("`{}` must be a language that towpath knows, not {}", fields.path("language"), quote(text));
        findings.error("language", span, message).hint(format!("it knows {}", listed(LANGUAGES.map(|(name, _)| name))));
    }
    found.map(|(_, language)| *language)
}

/// The versions, the newest first: in whatever order they are written.
fn versions(fields: &Fields, findings: &mut Findings) -> Option<Vec<VersionLock>> {
    let node = fields.present("versions", "a list of versions", findings)?;
    let path = fields.path("versions");
    let items: &[Node] = match &node.value {
        Value::Sequence(items) if !items.is_empty() => items,
        Value::Scalar(..) => std::slice::from_ref(node),
        _ => {
            mismatch(node, &path, "a list of versions like `[\"3.12\", \"3.11\"]`", findings);
            return None;
        }
    };
    let version = |item: &Node, findings: &mut Findings| {
        let (text, span) = text_of(item, &path, findings)?;
        checked::<VersionLock>(text.parse(), "version", span, findings)
    };
    let mut read: Vec<VersionLock> = items.iter().filter_map(|item| version(item, findings)).collect();
    read.sort_by(|a, b| b.cmp(a));
    read.dedup();
    Some(read)
}

fn image(fields: &Fields, findings: &mut Findings) -> Option<String> {
    let (text, span) = fields.text("image", findings)?;
    checked(parse_runtime_image(text), "image", span, findings)
}

/// `PYTHON_3`.
fn wire(fields: &Fields, findings: &mut Findings) -> Option<String> {
    let (text, span) = fields.text("wire", findings)?;
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(plain) {
        return Some(text.to_owned());
    }
    let message = format!("`{}` is a name like `PYTHON_39`, not {}", fields.path("wire"), quote(text));
    findings.error("wire", span, message).hint("upper-case letters, digits and `_`");
    None
}

/// A name on the wire means one runtime.
fn take_wire(made: &Catalogue, runtime: &Runtime, entry: &Entry, findings: &mut Findings) {
    let Some(wire) = &runtime.wire else { return };
    if let Some(other) = made.find_wire(wire).filter(|other| other.name != runtime.name) {
        let message = format!("`{}` has the wire name `{wire}`, which `{}` has already", runtime.name, other.name);
        findings.error("wire", entry.key_span, message).hint("give it another `wire` name, or none");
    }
}

fn check_keys(fields: &Fields, known: &[&str], findings: &mut Findings) {
    for entry in fields.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let message = format!("{} is not a key here", quote(&fields.path(&entry.key)));
        let hint = match nearest(&entry.key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys here are {}", listed(known.iter().copied())),
        };
        findings.error("unknown-key", entry.key_span, message).hint(hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed<Catalogue> {
        parse_runtimes("runtimes.yaml", text, &Catalogue::builtin())
    }

    fn said(text: &str) -> Vec<String> {
        let parsed = read(text);
        assert_eq!(parsed.value, None, "{text}");
        parsed.problems.iter().map(crate::model::Problem::one_line).collect()
    }

    #[test]
    fn runtimes_are_added_and_changed_in_part() {
        let text = "runtimes:\n  python3:\n    image: r.example/python:{version}\n  python39:\n    language: python\n    \
                    versions: ['3.8', 3.9]\n    image: r.example/python:{version}\n    wire: PYTHON_39\n";
        let parsed = read(text);
        assert_eq!(parsed.problems, []);
        let (catalogue, builtin) = (parsed.value.unwrap(), Catalogue::builtin());
        let python3 = catalogue.find(&"python3".parse().unwrap()).unwrap();
        let before = builtin.find(&"python3".parse().unwrap()).unwrap();
        assert_eq!((python3.image.as_str(), &python3.versions), ("r.example/python:{version}", &before.versions));
        let added = catalogue.find_wire("PYTHON_39").unwrap();
        assert_eq!(added.versions, ["3.9".parse().unwrap(), "3.8".parse().unwrap()]);
        assert_eq!(catalogue.runtimes.len(), builtin.runtimes.len() + 1);
    }

    #[test]
    fn without_the_catalogue_only_what_the_file_names_is_there() {
        let catalogue = read("builtin: false\nruntimes: { nodejs22: {} }\n").value.unwrap();
        assert_eq!(catalogue.runtimes.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["nodejs22"]);
    }

    #[test]
    fn every_problem_has_its_line() {
        let text = "runtimes:\n  python39:\n    langauge: python\n    versions: [three]\n  python311: { wire: PYTHON_3 }\n  \
                    go1: { language: cobol, image: 'a b' }\nextra: 1\n";
        let said = said(text);
        let wanted = [
            "runtimes.yaml:2:3: error: `runtimes.python39.image` is missing",
            "runtimes.yaml:2:3: error: `runtimes.python39.language` is missing",
            "runtimes.yaml:3:5: error: `runtimes.python39.langauge` is not a key here; hint: did you mean `language`?",
            "runtimes.yaml:4:16: error: `three` is not a version",
            "runtimes.yaml:5:3: error: `python311` has the wire name `PYTHON_3`, which `python3` has already",
            "runtimes.yaml:6:20: error: `runtimes.go1.language` must be a language that towpath knows, not `cobol`",
            "runtimes.yaml:6:34: error: that is not the name of an image",
            "runtimes.yaml:7:1: error: `extra` is not a key here",
        ];
        for line in wanted {
            assert!(said.iter().any(|s| s.starts_with(line)), "{line}: {said:#?}");
        }
        assert_eq!(said.len(), wanted.len(), "{said:#?}");
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        for text in
            ["", "[]", "runtimes: 3", "runtimes:\n\tx", "runtimes: { 'a b': {} }", "builtin: maybe\nruntimes: {}"]
        {
            assert!(!said(text).is_empty(), "{text:?}");
        }
    }
}
