//! Files of repositories and manifests: hostile input (law 7). Read or refused, within bounds of time, and never a panic.

use super::{ManifestFiles, parse_apprunner, parse_manifest_files};
use crate::fuzzing::sentence;
use crate::model::{Catalogue, Severity};
use std::path::Path;

const APPRUNNER: &[&str] = &[
    "\n",
    "  ",
    "- ",
    ": ",
    "version: 1.0\n",
    "runtime: python3\n",
    "build:\n  commands:\n    build:\n      - ",
    "run:\n  command: x\n",
    "  network:\n    port: ",
    "  env:\n    - name: A\n      value: ",
    "  secrets:\n    - name: B\n      value-from: ",
    "8080",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "|\n",
    ">\n",
    "&a ",
    "*a",
    "<<: ",
    "!!",
    "#",
    "%",
    "\t",
    "---\n",
    "...\n",
    "\u{feff}",
    "null",
    "~",
    "0x7f",
    "1e3",
];
const MANIFEST: &[&str] = &[
    "\n",
    "  ",
    "    ",
    "- ",
    ": ",
    "services:\n",
    "  shop:\n",
    "    source: { repository: https://git.example.com/a }\n",
    "    build: apprunner.yaml\n",
    "    build:\n      runtime: python3\n      start: x\n",
    "    env: ",
    "    secrets: { A: { file: ",
    "    instance: { cpu: ",
    "1 vCPU",
    "512 MB",
    "    health: ",
    "env:\n  common: { A: b }\n",
    "secrets:\n  a: ",
    "users:\n  ci: { policies: [",
    "roles:\n  r: { trust: ",
    "policies:\n  p: ",
    "Statement: ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a ",
    "*a",
    "<<: *a\n",
    "\"",
    "'",
    "|\n",
    "!!binary ",
    "---\n",
    "\t",
    "\u{0}",
    "1s",
    "-1",
    "99999999999999999999",
];

#[test]
fn an_apprunner_file_of_any_text_is_read_or_refused() {
    let catalogue = Catalogue::builtin();
    bolero::check!().with_max_len(300).for_each(|bytes: &[u8]| {
        let parsed = parse_apprunner("apprunner.yaml", &sentence(APPRUNNER, bytes), &catalogue);
        assert_eq!(parsed.value.is_some(), parsed.problems.iter().all(|p| p.severity != Severity::Error));
    });
}

#[test]
fn a_manifest_of_any_text_is_read_or_refused() {
    let catalogue = Catalogue::builtin();
    bolero::check!().with_max_len(300).for_each(|bytes: &[u8]| {
        let files = ManifestFiles::of_text("towpath.yaml", Path::new("/srv"), &sentence(MANIFEST, bytes));
        let parsed = parse_manifest_files(&files, &catalogue);
        assert_eq!(parsed.value.is_some(), parsed.problems.iter().all(|p| p.severity != Severity::Error));
    });
}
