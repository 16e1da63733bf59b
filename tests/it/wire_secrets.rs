//! `RuntimeEnvironmentSecrets` (row L2): kept by `towpath secrets set`, named by ARN, read with the rights of the instance role.

use crate::aws_alone::Person;
use crate::conformance::Git;
use crate::installation::{Installation, get_with};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const ARN: &str = "arn:aws:secretsmanager:local-1:000000000000:secret:shop/db-a1B2c3";
const ROLE: &str = "arn:aws:iam::000000000000:role/app";

/// `towpath secrets set`, with a value from standard input.
fn keep(installation: &Installation, name: &str, value: &str) {
    let mut set = Command::new(env!("CARGO_BIN_EXE_towpath"));
    set.args(["secrets", "set", name, "--data-dir"]).arg(installation.data()).stdin(Stdio::piped());
    let mut set = set.spawn().unwrap();
    set.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    assert!(set.wait().unwrap().success());
}

fn file(installation: &Installation, name: &str, contents: &Value) -> String {
    let path = installation.path().join(name);
    std::fs::write(&path, contents.to_string()).unwrap();
    path.to_string_lossy().into_owned()
}

fn source(url: &str, secrets: &Value) -> Value {
    json!({ "CodeRepository": {
        "RepositoryUrl": url, "SourceCodeVersion": { "Type": "BRANCH", "Value": "main" },
        "CodeConfiguration": { "ConfigurationSource": "API", "CodeConfigurationValues": {
            "Runtime": "PYTHON_3", "BuildCommand": "true", "StartCommand": "python3 app.py",
            "RuntimeEnvironmentSecrets": secrets } },
    } })
}

/// What an instance was started with.
fn environment(installation: &Installation) -> String {
    get_with(installation.http, "shop", "/env", "").unwrap().body
}

#[test]
fn a_service_of_the_api_gets_the_secrets_that_its_instance_role_may_read() {
    let Some(person) = Person::new() else { return };
    let i = &person.installation;
    i.repository("app").greet("one");
    let git = Git::serve(i.path());
    keep(i, "shop/db", r#"{"user":"shop","password":"hunter2"}"#);
    keep(i, "prod/key", "k3y");
    let trust = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "Service": "tasks.apprunner.amazonaws.com" } } });
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "secretsmanager:GetSecretValue",
          "Resource": "arn:aws:secretsmanager:*:*:secret:shop/*" },
        { "Effect": "Allow", "Action": "ssm:GetParameters", "Resource": "arn:aws:ssm:*:*:parameter/prod/*" } ] });
    i.ok(&["roles", "put", "app", "--trust", &file(i, "trust.json", &trust)]);
    i.ok(&["policies", "put", "shop-secrets", &file(i, "policy.json", &policy)]);
    i.ok(&["roles", "attach", "app", "shop-secrets"]);

    let secrets = json!({ "DB": ARN, "PASSWORD": format!("{ARN}:password::"), "KEY": "/prod/key" });
    let source = source(&git.url("app"), &secrets).to_string();
    let mut make = vec!["apprunner", "create-service", "--service-name", "shop", "--source-configuration", &source];
    let refused = person.ask(&person.commands[0], &make);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("InvalidRequestException") && said.contains("InstanceRoleArn"), "{said}");
    let role = format!("InstanceRoleArn={ROLE}");
    make.extend(["--instance-configuration", &role]);
    let made = person.aws(&make);
    let arn = made["Service"]["ServiceArn"].as_str().unwrap();
    person.until(arn, "RUNNING");
    let given = environment(i);
    for line in ["PASSWORD=hunter2", "KEY=k3y", r#"DB={"user":"shop","password":"hunter2"}"#] {
        assert!(given.lines().any(|l| l == line), "{line}: {given}");
    }
    let shown = person.aws(&["apprunner", "describe-service", "--service-arn", arn]);
    let values =
        &shown["Service"]["SourceConfiguration"]["CodeRepository"]["CodeConfiguration"]["CodeConfigurationValues"];
    assert_eq!(values["RuntimeEnvironmentSecrets"], secrets);
    assert!(!shown.to_string().contains("hunter2") && !i.log().contains("hunter2"));

    // The right goes: what runs goes on, what would be started is not.
    i.ok(&["roles", "detach", "app", "shop-secrets"]);
    person.aws(&["apprunner", "start-deployment", "--service-arn", arn]);
    i.until("the deployment failed", SOON, |_| {
        person.operations(arn)[0] == ("START_DEPLOYMENT".into(), "FAILED".into())
    });
    let log = i.ok(&["operations", "shop"]);
    let events = i.ok(&["logs", "shop", "--deployment", "latest"]);
    let reason = "the policies of the role `app` do not allow `secretsmanager:GetSecretValue`";
    assert!(events.contains(reason) || log.contains(reason), "{events}\n{log}\n{}", i.log());
    person.until(arn, "RUNNING");
    assert!(environment(i).contains("PASSWORD=hunter2"));
}
