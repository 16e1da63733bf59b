//! Verdicts from facts; and what is looked at for real, on directories that are made to be wrong.

use super::{engines, files, machine};
use crate::cli::{Finding, Verdict};
use crate::engine::process::facts::Fact;
use crate::model::{Catalogue, Timestamp};
use crate::settings::datadir::DataDir;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// Whatever is not as it should be says what to do.
fn verdict(finding: &Finding) -> Verdict {
    assert_eq!(finding.mend.is_some(), finding.verdict != Verdict::Ok, "{finding:?}");
    finding.verdict
}

fn fact(name: &'static str, mend: Option<&'static str>) -> Fact {
    Fact { name, holds: mend.is_none(), detail: "found out".into(), mend }
}

#[test]
fn facts_about_the_machine_get_the_verdict_that_they_deserve() {
    let gb = 1 << 30;
    let cases = [
        (machine::space(Path::new("/"), 20 * gb, 1_000_000, 2_000_000), Verdict::Ok),
        (machine::space(Path::new("/"), 2 * gb, 1_000_000, 2_000_000), Verdict::Warn),
        (machine::space(Path::new("/"), gb / 4, 1_000_000, 2_000_000), Verdict::Problem),
        (machine::space(Path::new("/"), 20 * gb, 10, 2_000_000), Verdict::Problem),
        (machine::space(Path::new("/"), 20 * gb, 0, 0), Verdict::Ok),
        (machine::watches(Some(65_536), Some(128)), Verdict::Ok),
        (machine::watches(Some(100), Some(128)), Verdict::Warn),
        (machine::watches(None, None), Verdict::Warn),
        (machine::open_files(Some(1024), Some(1_048_576)), Verdict::Warn),
        (machine::open_files(None, None), Verdict::Ok),
        (machine::clock_of(NOW, Some(Duration::from_millis(201)), Duration::from_millis(200)), Verdict::Ok),
        (machine::clock_of(NOW, None, Duration::from_millis(200)), Verdict::Warn),
        (machine::clock_of(NOW, Some(Duration::from_secs(3600)), Duration::from_millis(200)), Verdict::Warn),
        (
            machine::clock_of(Timestamp(0), Some(Duration::from_millis(200)), Duration::from_millis(200)),
            Verdict::Problem,
        ),
        (engines::protection(fact("Landlock", None)), Verdict::Ok),
        (engines::protection(fact("memory and CPU limits", Some("run as root"))), Verdict::Warn),
        (engines::protection(fact("storage limit", Some("install it"))), Verdict::Warn),
    ];
    for (finding, expected) in cases {
        assert_eq!(verdict(&finding), expected, "{finding:?}");
    }
}

#[test]
fn a_token_that_others_can_read_is_a_problem_and_the_mend_ends_it() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("data");
    let dir = DataDir::open(&root).unwrap();
    fs::write(dir.control_token(), "x").unwrap();
    fs::set_permissions(dir.control_token(), Permissions::from_mode(0o644)).unwrap();
    let [finding] = &files::data(&dir)[..] else { panic!("one finding") };
    assert_eq!(verdict(finding), Verdict::Problem);
    let mend = finding.mend.as_ref().unwrap().split('`').nth(1).unwrap();
    assert!(std::process::Command::new("sh").args(["-c", mend]).status().unwrap().success());
    assert!(files::data(&dir).iter().all(|f| verdict(f) == Verdict::Ok));
}

#[test]
fn secret_files_are_looked_at_and_their_values_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("towpath.yaml");
    let text = "services:\n  shop:\n    source: { repository: /a }\n    build: apprunner.yaml\n    \
                secrets: { A: { file: open }, B: { file: closed }, C: { file: absent } }\n\
                connections:\n  forge: { provider: GITHUB, sshKey: { file: key } }\n";
    fs::write(&manifest, text).unwrap();
    for (name, mode) in [("open", 0o644), ("closed", 0o600), ("key", 0o644)] {
        let path = directory.path().join(name);
        fs::write(&path, "hunter2").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    let findings = files::secret_files(&manifest, &Catalogue::builtin());
    assert_eq!(findings.iter().map(verdict).collect::<Vec<_>>(), [Verdict::Problem; 3]);
    let told = format!("{findings:?}");
    assert!(
        told.contains("absent")
            && told.contains("open")
            && told.contains("/key`")
            && !told.contains("closed")
            && !told.contains("hunter2")
    );
}
