//! `towpath plan --against`: the binary on real repositories, which it only reads.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

struct Clone(tempfile::TempDir);

impl Clone {
    fn new() -> Self {
        let clone = Self(tempfile::tempdir().unwrap());
        clone.git(&["init", "-q", "-b", "main"]);
        clone
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]).args(arguments);
        let ran = command.current_dir(self.path()).env("HOME", self.path()).output().unwrap();
        assert!(ran.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
    }

    fn plan(&self, arguments: &[&str]) -> (i32, String, String) {
        plan_in(self.path(), arguments)
    }
}

/// Without a data directory, a home or a server.
fn plan_in(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.arg("plan").args(arguments).current_dir(directory).env_clear().env("TMPDIR", std::env::temp_dir());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn manifest(names: &[&str], more: &str) -> String {
    let services = names
        .iter()
        .map(|name| format!("  {name}: {{ source: {{ repository: ./app }}, build: apprunner.yaml{more} }}\n"));
    format!("services:\n{}", services.collect::<String>())
}

#[test]
fn a_manifest_is_compared_with_itself_at_a_branch_a_tag_and_a_commit() {
    let clone = Clone::new();
    clone.write("towpath.yaml", &manifest(&["shop", "bills"], ""));
    clone.commit("First");
    clone.git(&["tag", "v1"]);
    assert_eq!(clone.plan(&["--against", "HEAD", "--detailed-exitcode"]).0, 0);
    clone.write("towpath.yaml", &manifest(&["shop", "orders", "bills"], ", port: 80, env: { A: b }"));
    let (code, out, _) = clone.plan(&["--against", "main", "--detailed-exitcode"]);
    assert_eq!(code, 2);
    assert!(out.starts_with("towpath.yaml: main (") && out.contains(") → the working tree\n"), "{out}");
    assert!(out.contains("+ orders") && out.contains("env.A                  (none) → \"b\""), "{out}");
    assert!(out.ends_with("Changes: 1 to create, 2 to change.\n"), "{out}");
    clone.commit("Second");
    let (_, out, _) = clone.plan(&["--against", "v1", "--rev", "main"]);
    assert!(out.starts_with("towpath.yaml: v1 (") && out.ends_with("Changes: 1 to create, 2 to change.\n"), "{out}");
    let back = clone.plan(&["--against", "main", "--rev", "HEAD~1", "--output", "markdown"]).1;
    assert!(back.contains("### towpath plan: 2 to change, 1 to delete\n"), "{back}");
    let json: serde_json::Value =
        serde_json::from_str(&clone.plan(&["--against", "v1", "--output", "json"]).1).unwrap();
    assert_eq!((&json["kind"], &json["summary"]["create"]), (&"comparison".into(), &1.into()));
}

#[test]
fn a_directory_with_its_includes_and_shared_values_is_compared_as_one() {
    let clone = Clone::new();
    clone.write("deploy/shared.yaml", "env: { common: { A: one } }\n");
    clone.write("deploy/team/shop.yaml", &manifest(&["shop"], ", env: common"));
    clone.write("deploy/team/notes.txt", "not read");
    clone.write("deploy/.hidden.yaml", "not: yaml: at all");
    symlink("team/shop.yaml", clone.path().join("deploy/z.yaml")).unwrap();
    clone.commit("First");
    assert_eq!(clone.plan(&["-f", "deploy", "--against", "HEAD", "--detailed-exitcode"]).0, 0);
    clone.write("deploy/shared.yaml", "env: { common: { A: two } }\n");
    let (code, out, err) = clone.plan(&["-f", "deploy", "--against", "HEAD", "--detailed-exitcode"]);
    assert_eq!((code, err.as_str()), (2, ""), "{out}");
    assert!(out.contains("deploy/team/shop.yaml:2") && out.contains("\"one\" → \"two\""), "{out}");
    let below = plan_in(&clone.path().join("deploy/team"), &["-f", "..", "--against", "HEAD"]);
    assert!(below.1.contains("\"one\" → \"two\""), "{below:?}");
    std::fs::remove_dir_all(clone.path().join("deploy")).unwrap();
    let gone = clone.plan(&["-f", "deploy", "--against", "HEAD"]).1;
    assert!(
        gone.contains("the working tree, where it is not there and declares nothing") && gone.contains("- shop"),
        "{gone}"
    );
}

#[test]
fn a_manifest_that_was_not_there_declared_nothing() {
    let clone = Clone::new();
    clone.write("readme", "");
    clone.commit("First");
    clone.write("towpath.yaml", &manifest(&["shop"], ""));
    let (code, out, _) = clone.plan(&["--against", "main", "--detailed-exitcode"]);
    assert!(code == 2 && out.contains("where it is not there and declares nothing → the working tree"), "{out}");
    assert!(out.ends_with("Changes: 1 to create.\n"), "{out}");
    let (code, _, err) = clone.plan(&["-f", "towpth.yaml", "--against", "main"]);
    assert!(code == 1 && err.starts_with("error: there is no `towpth.yaml`, neither at main ("), "{err}");
}

#[test]
fn what_cannot_be_compared_is_an_error_that_says_what_to_do() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("towpath.yaml"), manifest(&["shop"], "")).unwrap();
    let (code, _, err) = plan_in(outside.path(), &["--against", "main"]);
    assert!(code == 1 && err.contains("is in no git repository\nhint: "), "{err}");

    let clone = Clone::new();
    clone.write("towpath.yaml", &manifest(&["shop"], ""));
    let (code, _, err) = clone.plan(&["--against", "main"]);
    assert!(code == 1 && err.contains("nothing is committed here yet"), "{err}");
    clone.commit("First");
    for (revision, said) in [
        (
            "mian",
            "error: there is no revision `mian` in this repository\nhint: `git fetch` brings what is not here; there are `main`",
        ),
        ("HEAD:towpath.yaml", "is no commit"),
        ("a..b", "`a..b` is no"),
        ("-x", "there is no revision `-x`"),
    ] {
        let (code, out, err) = clone.plan(&[&format!("--against={revision}")]);
        assert!((code, out.as_str()) == (1, "") && err.contains(said), "{revision}: {err}");
    }
    clone.git(&["update-ref", "refs/remotes/origin/review", "HEAD"]);
    let (_, _, err) = clone.plan(&["--against", "review"]);
    assert!(err.contains("hint: did you mean `origin/review`?"), "{err}");
    clone.commit("Second");
    let shallow = format!("file://{}", clone.path().display());
    clone.git(&["clone", "-q", "--depth", "1", &shallow, "shallow"]);
    let (code, _, err) = plan_in(&clone.path().join("shallow"), &["--against", "HEAD~1"]);
    assert!(code == 1 && err.contains("`git fetch --unshallow`"), "{err}");
}

#[test]
fn a_manifest_that_was_invalid_is_told_with_the_revision_and_the_line() {
    let clone = Clone::new();
    clone.write("towpath.yaml", "services:\n  shop: { sorce: x }\n");
    clone.commit("First");
    clone.write("towpath.yaml", &manifest(&["shop"], ""));
    let (code, out, err) = clone.plan(&["--against", "HEAD"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("--> HEAD:towpath.yaml:2:11"), "{err}");
    let (code, out, _) = clone.plan(&["--against", "HEAD", "--output", "markdown"]);
    assert!(code == 1 && out.contains("`HEAD:towpath.yaml:2:11`"), "{out}");
    let (code, out, _) = clone.plan(&["--against", "HEAD", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(code == 1 && json["problems"][0]["file"] == "HEAD:towpath.yaml", "{out}");
}

#[test]
fn nothing_of_a_repository_runs_and_no_link_of_it_is_followed_out() {
    let clone = Clone::new();
    let ran = clone.path().join("ran");
    clone.write("towpath.yaml", &manifest(&["shop"], ""));
    clone.write("deploy/a.yaml", &manifest(&["shop"], ""));
    symlink("/etc/passwd", clone.path().join("deploy/b.yaml")).unwrap();
    clone.write(".gitattributes", "*.yaml filter=evil\n");
    clone.commit("First");
    clone.git(&["config", "filter.evil.smudge", &format!("touch {}", ran.display())]);
    clone.git(&["config", "core.fsmonitor", &format!("touch {}", ran.display())]);
    clone.write(".git/hooks/post-checkout", &format!("#!/bin/sh\ntouch {}\n", ran.display()));
    assert_eq!(clone.plan(&["--against", "HEAD", "--detailed-exitcode"]).0, 0);
    assert!(!ran.exists());
    let (code, out, err) = clone.plan(&["-f", "deploy", "--against", "HEAD"]);
    assert!(
        code == 1 && err.contains("HEAD:deploy/b.yaml") && !err.contains("root:") && !out.contains("root:"),
        "{err}"
    );
    std::fs::remove_file(clone.path().join("towpath.yaml")).unwrap();
    symlink("deploy/a.yaml", clone.path().join("towpath.yaml")).unwrap();
    clone.commit("A link");
    let (code, _, err) = clone.plan(&["--against", "HEAD"]);
    assert!(code == 1 && err.contains("is a symbolic link at HEAD ("), "{err}");
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let ours = |name: &str| {
        name.len() == 24 && name.strip_prefix("towpath-").is_some_and(|n| n.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let left: Vec<_> = left.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|n| ours(n)).collect();
    // Others may be comparing at this moment; what was left behind would still be there after it.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(left.iter().all(|name| !std::env::temp_dir().join(name).exists()), "{left:?}");
}

#[test]
fn a_runtime_of_a_file_may_be_named_in_both_states() {
    let clone = Clone::new();
    clone.write("runtimes.yaml", "runtimes:\n  acme:\n    language: node\n    versions: [20]\n    image: acme/node\n");
    let service =
        "services:\n  shop:\n    source: { repository: ./app }\n    build: { runtime: acme, start: node app.js }\n";
    clone.write("towpath.yaml", service);
    clone.commit("First");
    let (code, _, error) = clone.plan(&["--against", "HEAD"]);
    assert!(code == 1 && error.contains("`acme`"), "{code}: {error}");
    let (code, _, error) = clone.plan(&["--against", "HEAD", "--detailed-exitcode", "--runtimes", "runtimes.yaml"]);
    assert_eq!((code, error.as_str()), (0, ""));
}
