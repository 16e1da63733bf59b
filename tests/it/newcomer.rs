//! What a newcomer meets before a server runs: `init`, completions, the manual.

use std::path::Path;
use std::process::{Command, Output};

fn towpath(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.args(arguments).current_dir(directory).env("TOWPATH_DATA_DIR", directory.join("data"));
    command.env_remove("TOWPATH_OUTPUT").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn git(directory: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=it", "-c", "user.email=it@example.com"];
    let ran = Command::new("git").args(identity).args(arguments).current_dir(directory).output().unwrap();
    assert!(ran.status.success(), "git {arguments:?}: {}", text(&ran.stderr));
}

/// A committed repository `guestbook` with these files.
fn repository(files: &[(&str, &str)]) -> (tempfile::TempDir, std::path::PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("guestbook");
    for (name, content) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    git(&root, &["init", "-q", "-b", "main"]);
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-q", "-m", "First"]);
    (parent, root)
}

const FLASK: &[(&str, &str)] =
    &[("requirements.txt", "flask\ngunicorn\n"), ("app.py", "from flask import Flask\napp = Flask(__name__)\n")];

#[test]
fn init_writes_a_manifest_that_plans_and_never_replaces_one() {
    let (_parent, root) = repository(FLASK);
    git(&root, &["remote", "add", "origin", "https://github.com/acme/guestbook"]);
    let ran = towpath(&root, &["init"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let told = text(&ran.stdout);
    assert!(told.contains("gunicorn app:app --bind 0.0.0.0:$PORT") && told.contains("guestbook.localhost"), "{told}");
    let manifest = std::fs::read_to_string(root.join("towpath.yaml")).unwrap();
    assert!(manifest.contains("repository: .\n") && manifest.contains("branch: main"), "{manifest}");
    assert!(manifest.contains("# repository: \"https://github.com/acme/guestbook\""), "{manifest}");
    let plan = towpath(&root, &["plan", "--detailed-exitcode"]);
    assert_eq!(plan.status.code(), Some(2), "{}{}", text(&plan.stdout), text(&plan.stderr));
    assert!(text(&plan.stdout).contains("1 to create"));

    std::fs::write(root.join("towpath.yaml"), "services: {}\n").unwrap();
    let again = towpath(&root, &["init"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("--force"), "{}", text(&again.stderr));
    assert_eq!(std::fs::read_to_string(root.join("towpath.yaml")).unwrap(), "services: {}\n");
    assert!(towpath(&root, &["init", "--force", "--name", "book"]).status.success());
    assert!(std::fs::read_to_string(root.join("towpath.yaml")).unwrap().contains("  book:\n"));
}

#[test]
fn init_says_what_it_could_not_find_and_where_it_cannot_work() {
    let (parent, root) = repository(&[("README.md", "x")]);
    let ran = towpath(&root, &["init"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stdout).contains("missing: `build.start`"), "{}", text(&ran.stdout));
    let outside = towpath(parent.path(), &["init"]);
    assert_eq!(outside.status.code(), Some(1));
    assert!(text(&outside.stderr).contains("hint: ") && text(&outside.stderr).contains("git init"));
    let json = towpath(&root, &["init", "--force", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value["missing"].as_array().map(Vec::len), Some(3));
}

#[test]
fn init_follows_no_link_and_reads_no_more_than_it_should() {
    let (parent, root) = repository(&[("requirements.txt", "flask\n")]);
    std::fs::write(parent.path().join("secret.py"), "app = Flask(__name__)\n").unwrap();
    std::os::unix::fs::symlink(parent.path().join("secret.py"), root.join("app.py")).unwrap();
    std::fs::File::create(root.join("package.json")).unwrap().set_len(8 << 30).unwrap();
    let ran = towpath(&root, &["init", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert!(!value["text"].as_str().unwrap().contains("gunicorn app:app"), "{value}");
}

#[test]
fn bash_completes_commands_and_flags() {
    let directory = tempfile::tempdir().unwrap();
    let script = text(&towpath(directory.path(), &["completions", "bash"]).stdout);
    std::fs::write(directory.path().join("towpath.bash"), script).unwrap();
    let asks = "source towpath.bash; COMP_WORDS=(towpath sta); COMP_CWORD=1; _towpath towpath sta towpath; echo ${COMPREPLY[@]}; \
                COMP_WORDS=(towpath plan --det); COMP_CWORD=2; _towpath towpath --det plan; echo ${COMPREPLY[@]}";
    let ran = Command::new("bash").args(["-c", asks]).current_dir(directory.path()).output().unwrap();
    assert_eq!(text(&ran.stdout), "status\n--detailed-exitcode\n", "{}", text(&ran.stderr));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(
            text(&towpath(directory.path(), &["completions", shell]).stdout).contains("detailed-exitcode"),
            "{shell}"
        );
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let ran = towpath(directory.path(), &["man", "--dir", "man", "--output", "json"]);
    let pages: Vec<String> = serde_json::from_slice(&ran.stdout).unwrap();
    assert!(pages.contains(&"man/towpath-plan.1".to_owned()) && pages.contains(&"man/towpath.1".to_owned()));
    let page = std::fs::read_to_string(directory.path().join("man/towpath-plan.1")).unwrap();
    assert!(page.contains(".TH towpath-plan 1") && page.contains("detailed\\-exitcode"), "{page}");
    assert!(text(&towpath(directory.path(), &["man"]).stdout).contains(".TH towpath 1"));
}
