//! Users, groups, roles and policies of the manifest: brought about, shown, not changed elsewhere, and gone with it.

use crate::installation::Installation;
use serde_json::Value;
use std::process::{Command, Output};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
const MANIFEST: &str = r#"services: {}
users:
  ci:
    policies: [AWSAppRunnerReadOnlyAccess, lists]
    groups: devs
    inline:
      audit: { Version: 2012-10-17, Statement: { Effect: Allow, Action: "towpath:LookupAudit", Resource: "*" } }
groups:
  devs: { policies: lists }
roles:
  deployer:
    trust: { Statement: [{ Effect: Allow, Principal: { AWS: "arn:aws:iam::000000000000:user/ci" }, Action: "sts:AssumeRole" }] }
    policies: [AWSAppRunnerFullAccess]
    maxSession: 2h
policies:
  lists: |
    { "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "apprunner:List*", "Resource": "*" }] }
"#;

/// A command from afar, signed with the keys of a file.
fn afar(i: &Installation, file: &str, args: &[&str]) -> Output {
    let server = format!("http://127.0.0.1:{}", i.api);
    let mut towpath = Command::new(env!("CARGO_BIN_EXE_towpath"));
    towpath
        .args(args)
        .args(["--server", &server, "--profile", "ci"])
        .env("AWS_SHARED_CREDENTIALS_FILE", i.path().join(file));
    towpath.env("AWS_CONFIG_FILE", "/dev/null").env("NO_COLOR", "1").output().unwrap()
}

fn refusal(i: &Installation, args: &[&str]) -> String {
    let ran = i.run(args);
    assert!(!ran.status.success(), "{args:?}");
    String::from_utf8(ran.stderr).unwrap()
}

fn names(i: &Installation, what: &str) -> Vec<String> {
    let all = i.json(&[what, "list"]);
    all.as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_the_manifest_declares_of_access_control_is_brought_about_and_belongs_to_it() {
    let mut i = Installation::new();
    i.declare(MANIFEST);
    i.up();
    i.until("the user is there", SOON, |i| names(i, "users").contains(&"ci".to_owned()));
    assert_eq!(names(&i, "roles"), ["deployer"]);
    let policies = names(&i, "policies");
    assert!(policies.contains(&"lists".into()) && policies.contains(&"user/ci/audit".into()), "{policies:?}");
    for args in [
        &["users", "attach", "ci", "AdministratorAccess"][..],
        &["users", "delete", "ci"],
        &["users", "bound", "ci", "lists"],
        &["groups", "delete", "devs"],
        &["roles", "delete", "deployer"],
        &["policies", "delete", "lists"],
    ] {
        let said = refusal(&i, args);
        assert!(
            said.contains("is declared at ") && said.contains("towpath.yaml:") && said.contains("change it there"),
            "{args:?}: {said}"
        );
    }

    // Keys are no part of it: a manifest holds no secrets.
    let file = i.path().join("ci.credentials").to_string_lossy().into_owned();
    i.ok(&["keys", "create", "ci", "--out", &file]);
    assert!(afar(&i, "ci.credentials", &["audit"]).status.success());
    let refused = afar(&i, "ci.credentials", &["status"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not authorized to perform: towpath:GetStatus"));
    let trail = i.json(&["audit", "--tail", "200"]).to_string();
    assert!(trail.contains("\"CreateUser\"") && trail.contains("\"invokedBy\":\"towpath\""), "{trail}");

    let next = i.path().join("next.yaml");
    std::fs::write(
        &next,
        MANIFEST.replace("AWSAppRunnerReadOnlyAccess, lists", "lists").replace("  deployer:", "  other:"),
    )
    .unwrap();
    let planned = i.ok(&["plan", "-f", next.to_str().unwrap()]);
    for line in ["access: UpdateUser user/ci", "access: CreateRole role/other", "access: DeleteRole role/deployer"] {
        assert!(planned.contains(line), "{line}: {planned}");
    }

    // One that goes takes its keys out of use, and gets them not back by coming again.
    i.declare("services: {}\n");
    i.until("the user is gone", SOON, |i| !names(i, "users").contains(&"ci".to_owned()));
    assert!(!afar(&i, "ci.credentials", &["audit"]).status.success());
    assert_eq!(names(&i, "roles"), Vec::<String>::new());
    i.declare(MANIFEST);
    i.until("the user is there again", SOON, |i| names(i, "users").contains(&"ci".to_owned()));
    let keys = i.json(&["keys", "list"]);
    let of_ci = |key: &&Value| key["User"] == "ci";
    assert_eq!(keys.as_array().unwrap().iter().find(of_ci).unwrap()["Status"], "Inactive");
    assert!(!afar(&i, "ci.credentials", &["audit"]).status.success());
    assert!(names(&i, "users").contains(&"admin".to_owned()), "the administrator stays, whatever is declared");
}

#[test]
fn what_cannot_be_is_an_error_at_its_place_and_changes_nothing() {
    let mut i = Installation::new();
    i.declare(MANIFEST);
    i.up();
    i.until("the user is there", SOON, |i| names(i, "users").contains(&"ci".to_owned()));
    i.ok(&["users", "create", "bob"]);
    for (text, problem) in [
        ("services: {}\nusers:\n  bob: {}\n", "towpath.yaml:3"),
        ("services: {}\nusers:\n  ann: { policies: nonsense }\n", "a policy `nonsense` that there is not"),
        ("services: {}\nusers:\n  ann: { groups: nobody }\n", "a group `nobody` that there is not"),
        ("services: {}\npolicies:\n  p: { Statement: { Effect: Maybe } }\n", "the policy `p`: Statement[0]"),
        (
            "services: {}\nroles:\n  r: { trust: { Statement: { Effect: Allow, Action: x } } }\n",
            "trust policy of the role `r`",
        ),
        ("services: {}\npolicies:\n  AdministratorAccess: { Statement: [] }\n", "is a managed policy"),
        ("services: {}\nusers:\n  admin: {}\n", "is the user of the first start"),
    ] {
        i.declare(text);
        i.until(problem, SOON, |i| i.ok(&["status"]).contains(problem) || i.log().contains(problem));
        assert!(names(&i, "users").contains(&"ci".to_owned()), "what was in force stays: {text}");
    }
}
