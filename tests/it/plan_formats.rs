//! Plans in the forms that other programs read, held against programs that are not ours: JSON against its schema by Python's
//! `jsonschema`, markdown by GitHub's own parser (`cmarkgfm`).

use crate::plan_compare::every_comparison;
use crate::plan_scripts::every_plan;
use crate::schema::python;
use std::path::Path;
use std::process::Command;
use towpath::plan::MOST_BYTES;

#[test]
fn every_plan_fits_the_schema_and_no_value_leaves_its_cell() {
    let all: Vec<_> = every_plan().into_iter().chain(every_comparison()).collect();
    assert!(all.len() > 60, "{}", all.len());
    assert!(all.iter().all(|(.., markdown)| markdown.len() <= MOST_BYTES));
    let cases: Vec<_> = all
        .iter()
        .map(|(name, document, markdown)| serde_json::json!({ "name": name, "document": document, "markdown": markdown }))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plans.json");
    std::fs::write(&file, serde_json::to_vec(&cases).unwrap()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = root.join("tests/support/plan_check.py");
    let ran = Command::new(python()).arg(script).arg(root.join("docs/reference/plan.schema.json")).arg(&file).output();
    let ran = ran.unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}{err}");
    assert_eq!(out.trim(), format!("{} plans fit", cases.len()), "{err}");
}

#[test]
fn the_schema_of_a_plan_is_printed() {
    let ran = Command::new(env!("CARGO_BIN_EXE_towpath")).args(["schema", "plan"]).output().unwrap();
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), towpath::plan::SCHEMA);
    assert!(towpath::plan::SCHEMA.contains("Format 1.0") && towpath::plan::FORMAT_VERSION == "1.0");
}
