//! Secrets that stand encrypted in git, in a whole installation.

use crate::faults::node;
use crate::installation::{Installation, get_with};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How long a change may take to be seen on a machine that works on other things.
const SEEN: Duration = Duration::from_secs(30);

/// Runs `towpath secrets …` on a data directory, with a value on standard input.
fn secrets(data: &Path, args: &[&str], input: &str, editor: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .arg("secrets")
        .args(args)
        .arg("--data-dir")
        .arg(data)
        .env("EDITOR", editor)
        .env_remove("VISUAL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that takes no value may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn ok(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out.into_owned()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A manifest of one service with this secret as `KEY`.
fn manifest(sealed: &str) -> String {
    format!("secrets:\n{sealed}{}", node::manifest("shop", "    secrets: { KEY: { secret: shop-key } }\n"))
}

fn application_has(installation: &Installation, value: &str) -> bool {
    get_with(installation.http, "shop", "/env", "").is_ok_and(|answer| answer.body.contains(value))
}

#[test]
fn an_encrypted_secret_reaches_the_application_and_another_value_makes_a_revision() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "good");
    let data = installation.data();
    let encrypt = |value: &str| ok(&secrets(&data, &["encrypt", "shop-key"], value, ""));
    installation.declare(&manifest(&encrypt("hunter2-first\n")));
    installation.up();
    installation.until_status("shop", "RUNNING");
    assert!(application_has(&installation, "hunter2-first"));

    // Another encryption of the same value is nothing new.
    let digest = |i: &Installation| i.ok(&["status"]) + &i.ok(&["plan"]);
    installation.declare(&manifest(&encrypt("hunter2-first")));
    std::thread::sleep(Duration::from_secs(7));
    assert!(installation.ok(&["plan"]).contains("Nothing to do"), "{}", digest(&installation));
    assert_eq!(installation.service("shop")["revision"], 1);

    // A file, a rotated key, another value.
    ok(&secrets(&data, &["keygen"], "", ""));
    let file = installation.path().join("shop-key.age");
    ok(&secrets(&data, &["encrypt", "--out", file.to_str().unwrap()], "hunter2-first", ""));
    installation.declare(&manifest("  shop-key: { file: shop-key.age }\n"));
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(installation.service("shop")["revision"], 1);
    ok(&secrets(&data, &["encrypt", "--out", file.to_str().unwrap()], "hunter2-second", ""));
    installation.until("the new value serves", Duration::from_secs(60), |i| application_has(i, "hunter2-second"));
    installation.until("revision 2", SEEN, |i| i.service("shop")["revision"] == 2);
    installation.until_status("shop", "RUNNING");
    installation.ok(&["rollback", "shop", "--wait"]);
    assert!(application_has(&installation, "hunter2-first"));

    let told = installation.ok(&["status", "--output", "json"])
        + &installation.ok(&["events"])
        + &installation.ok(&["operations", "shop", "--output", "json"])
        + &installation.log();
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_secret_for_another_key_is_an_error_at_its_place_that_names_ours() {
    let mut installation = Installation::new().option("--apply", "manual");
    let elsewhere = tempfile::tempdir().unwrap();
    let sealed = ok(&secrets(elsewhere.path(), &["encrypt", "shop-key"], "hunter2", ""));
    let ours = ok(&secrets(&installation.data(), &["recipient"], "", ""));
    installation.declare(&manifest(&sealed));
    installation.up();
    installation.until("it is said", SEEN, |i| {
        let status = i.ok(&["status"]);
        status.contains("the secret `shop-key` cannot be used")
            && status.contains(ours.trim())
            && status.contains(":2:3")
    });
    // Who has only the public key encrypts to it.
    let sealed = secrets(elsewhere.path(), &["encrypt", "shop-key", "--recipient", ours.trim()], "hunter2", "");
    installation.declare(&manifest(&ok(&sealed)));
    installation.until("it is in force", SEEN, |i| i.ok(&["plan"]).contains("+ shop"));
    assert!(!installation.log().contains("hunter2"));
}

#[test]
fn a_value_is_edited_in_private_and_nothing_of_it_stays() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("data");
    let script = |name: &str, text: &str| {
        let path = here.path().join(name);
        std::fs::write(&path, format!("set -e\n{text}\n")).unwrap();
        format!("sh {}", path.display())
    };
    let log = here.path().join("log");
    let append = script(
        "append",
        &format!(
            "stat -c '%a' \"$1\" \"$(dirname \"$1\")\" > {0}; dirname \"$1\" >> {0}; cat \"$1\" >> {0}; printf 'second' > \"$1\"",
            log.display()
        ),
    );
    let file = here.path().join("towpath.yaml");
    let sealed = ok(&secrets(&data, &["encrypt", "shop-key"], "first", ""));
    let other = ok(&secrets(&data, &["encrypt", "other-key"], "other", ""));
    std::fs::write(&file, format!("# mine\nsecrets:\n{other}{sealed}\nservices: {{}} # all\n")).unwrap();
    let path = file.to_str().unwrap();
    ok(&secrets(&data, &["edit", path, "shop-key"], "", &append));
    let seen = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!((lines[0], lines[1], lines[3]), ("600", "700", "first"));
    assert!(!Path::new(lines[2]).exists(), "{} stays", lines[2]);
    let edited = std::fs::read_to_string(&file).unwrap();
    assert!(
        edited.starts_with("# mine\nsecrets:\n  other-key: |\n") && edited.ends_with("services: {} # all\n"),
        "{edited}"
    );
    assert!(edited.contains(&other) && !edited.contains(&sealed));
    let show = script("show", &format!("cat \"$1\" > {}", log.display()));
    let same = secrets(&data, &["edit", path, "shop-key"], "", &show);
    assert!(String::from_utf8_lossy(&same.stderr).contains("nothing was changed"));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "second\n");

    let fails = script("fails", "printf 'third' > \"$1\"; exit 3");
    assert!(refused(&secrets(&data, &["edit", path, "shop-key"], "", &fails)).contains("nothing was changed"));
    assert!(refused(&secrets(&data, &["edit", path], "", &show)).contains("there are 2 encrypted secrets"));
    assert!(
        refused(&secrets(&data, &["edit", path, "nope"], "", &show)).contains("there is no encrypted secret `nope`")
    );
    assert!(refused(&secrets(&data, &["encrypt"], "", "")).contains("there is no value"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), edited);
}
