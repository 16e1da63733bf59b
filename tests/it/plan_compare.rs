//! Comparisons of two states of a manifest: `fixtures/compare/*/` holds `before.yaml` and `after.yaml` (one of them may be
//! missing) and what comes out as text, markdown and JSON. `TOWPATH_BLESS=1` writes those anew.

use crate::plan_scripts::hold;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use towpath::desired::{Desired, parse_manifest};
use towpath::model::Catalogue;
use towpath::plan::{Comparison, State, compare, comparison_document, render_comparison, render_comparison_markdown};

fn directories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/compare");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

fn read(file: &Path) -> Option<Desired> {
    let text = std::fs::read_to_string(file).ok()?;
    let parsed = parse_manifest("towpath.yaml", Path::new("/srv"), &text, &Catalogue::builtin());
    Some(parsed.value.unwrap_or_else(|| panic!("{}: {:?}", file.display(), parsed.problems)))
}

fn comparison(directory: &Path) -> Comparison {
    let (before, after) = (read(&directory.join("before.yaml")), read(&directory.join("after.yaml")));
    let sealed = BTreeMap::new();
    let state = |name, desired| State { name, desired, sealed: &sealed };
    compare("towpath.yaml", &state("main (3f2a91c)", before.as_ref()), &state("the working tree", after.as_ref()))
}

/// Every comparison as JSON and as markdown, with its name.
pub fn every_comparison() -> Vec<(String, serde_json::Value, String)> {
    let shown = |directory: &PathBuf| {
        let comparison = comparison(directory);
        let name = directory.file_name().unwrap().to_string_lossy().into_owned();
        (name, comparison_document(&comparison, &[]).unwrap(), render_comparison_markdown(&comparison))
    };
    directories().iter().map(shown).collect()
}

#[test]
fn every_comparison_comes_out_as_its_golden_files() {
    let directories = directories();
    assert!(directories.len() >= 5);
    let mut wrong = Vec::new();
    for directory in &directories {
        let comparison = comparison(directory);
        let text = format!("{}exit code {}\n", render_comparison(&comparison, false, 100), comparison.exit_code());
        let document = comparison_document(&comparison, &[]).unwrap();
        wrong.extend(hold(&directory.join("golden.txt"), text).err());
        wrong.extend(hold(&directory.join("golden.md"), render_comparison_markdown(&comparison)).err());
        wrong.extend(hold(&directory.join("golden.json"), format!("{document:#}\n")).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_secret_whose_encrypted_text_differs_is_told_and_counts_as_a_change() {
    let sealed = |letter: &str| {
        format!("-----BEGIN AGE ENCRYPTED FILE-----\n{}\n-----END AGE ENCRYPTED FILE-----\n", letter.repeat(8))
    };
    let manifest = |letter: &str| {
        let block = sealed(letter).replace('\n', "\n    ");
        let text = format!(
            "secrets:\n  shop-db: |\n    {block}\nservices:\n  shop:\n    source: {{ repository: /a }}\n    \
             build: apprunner.yaml\n    secrets: {{ URL: {{ secret: shop-db }} }}\n"
        );
        parse_manifest("towpath.yaml", Path::new("/srv"), &text, &Catalogue::builtin()).value.unwrap()
    };
    let (old, new) = (manifest("A"), manifest("B"));
    let texts = |letter: &str| BTreeMap::from([("shop-db".to_owned(), sealed(letter))]);
    let (before, after) = (texts("A"), texts("B"));
    let differs = compare(
        "towpath.yaml",
        &State { name: "a", desired: Some(&old), sealed: &before },
        &State { name: "b", desired: Some(&new), sealed: &after },
    );
    assert_eq!((differs.changes.len(), differs.notes.len(), differs.exit_code()), (0, 1, 2));
    let text = render_comparison(&differs, false, 200);
    assert!(text.contains("towpath.yaml:2") && text.contains("secret `shop-db` differs"), "{text}");
}
