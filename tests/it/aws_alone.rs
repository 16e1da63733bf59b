//! App Runner's tutorial, with nothing but `aws`: a service from a code repository, changed code, changed configuration, the
//! log, and away with it.

use crate::conformance::{Git, python};
use crate::installation::{Installation, get};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(90);

/// A person at a terminal with `aws`, and with an installation that declares nothing.
pub struct Person {
    pub installation: Installation,
    pub commands: Vec<PathBuf>,
}

impl Person {
    pub fn new() -> Option<Self> {
        // The command of PyPI, and version 2 where Debian's is there: each has operations that the other has not.
        let mut commands = vec![python()?.with_file_name("aws")];
        commands.extend(Some(PathBuf::from("/usr/bin/aws")).filter(|path| path.exists()));
        let mut installation = Installation::new();
        installation.declare("services: {}\n");
        installation.up();
        Some(Self { installation, commands })
    }

    pub fn ask(&self, command: &PathBuf, words: &[&str]) -> std::process::Output {
        let endpoint = format!("http://127.0.0.1:{}", self.installation.api);
        let mut aws = Command::new(command);
        aws.args(["--endpoint-url", &endpoint, "--output", "json"]).args(words);
        aws.env("AWS_SHARED_CREDENTIALS_FILE", self.installation.data().join("admin.credentials"))
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_DEFAULT_REGION", "local-1")
            .env("AWS_PAGER", "")
            .output()
            .unwrap()
    }

    /// What a command prints, which must succeed; asked with every `aws` in turn, so that a change is asked with one.
    pub fn aws(&self, words: &[&str]) -> Value {
        let ran = self.ask(&self.commands[0], words);
        let (said, error) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "aws {words:?}: {error}\n{}", self.installation.log());
        serde_json::from_str(&said).unwrap_or(Value::Null)
    }

    fn status(&self, arn: &str) -> String {
        let described = self.aws(&["apprunner", "describe-service", "--service-arn", arn]);
        described["Service"]["Status"].as_str().unwrap().to_owned()
    }

    pub fn until(&self, arn: &str, status: &str) {
        self.installation.until(status, SOON, |_| self.status(arn) == status);
    }

    pub fn operations(&self, arn: &str) -> Vec<(String, String)> {
        let listed = self.aws(&["apprunner", "list-operations", "--service-arn", arn]);
        let text = |o: &Value, member: &str| o[member].as_str().unwrap().to_owned();
        let all = listed["OperationSummaryList"].as_array().unwrap();
        all.iter().map(|o| (text(o, "Type"), text(o, "Status"))).collect()
    }

    /// The messages of a log stream.
    pub fn log(&self, group: &str, stream: &str) -> String {
        let asked =
            ["logs", "get-log-events", "--log-group-name", group, "--log-stream-name", stream, "--start-from-head"];
        messages(&self.aws(&asked))
    }
}

fn messages(events: &Value) -> String {
    let all = events["events"].as_array().unwrap();
    all.iter().map(|e| e["message"].as_str().unwrap().to_owned() + "\n").collect()
}

/// The tutorial's application: it greets whom its configuration names.
fn server(greeting: &str) -> String {
    let app = crate::installation::APP.replace("body = GREETING", "body = GREETING + os.environ.get('NAME', 'you')");
    format!("GREETING = {greeting:?}\n{app}")
}

#[test]
fn the_tutorial_of_app_runner_happens_with_aws_alone() {
    let Some(person) = Person::new() else { return };
    let i = &person.installation;
    let repository = i.repository("python-hello");
    repository.commit("server.py", &server("Hello, "));
    let git = Git::serve(i.path());

    let source = serde_json::json!({ "CodeRepository": {
        "RepositoryUrl": git.url("python-hello"), "SourceCodeVersion": { "Type": "BRANCH", "Value": "main" },
        "CodeConfiguration": { "ConfigurationSource": "API", "CodeConfigurationValues": {
            "Runtime": "PYTHON_3", "BuildCommand": "echo built", "StartCommand": "python3 server.py", "Port": "8080" } },
    } });
    let source_text = source.to_string();
    let make = ["apprunner", "create-service", "--service-name", "python-app", "--source-configuration", &source_text];
    let made = person.aws(&make);
    assert_eq!(made["Service"]["Status"], "OPERATION_IN_PROGRESS");
    let arn = made["Service"]["ServiceArn"].as_str().unwrap();
    person.until(arn, "RUNNING");
    let answers = |wanted: &str| {
        i.until(wanted, SOON, |i| get(i.http, "python-app").is_ok_and(|a| a.body.trim() == wanted));
        person.until(arn, "RUNNING");
    };
    answers("Hello, you");

    // Step 2: change the code. The push is all.
    repository.commit("server.py", &server("Good morning, "));
    answers("Good morning, you");

    let attribute = "AttributeKey=EventName,AttributeValue=StartDeployment";
    let told = person.aws(&["cloudtrail", "lookup-events", "--lookup-attributes", attribute]);
    let record = told["Events"][0]["CloudTrailEvent"].as_str().unwrap();
    assert!(record.contains("\"invokedBy\":\"towpath\"") && record.contains("is new on"), "{told}");

    // Step 3: change the configuration.
    let mut named = source.clone();
    named["CodeRepository"]["CodeConfiguration"]["CodeConfigurationValues"]["RuntimeEnvironmentVariables"] =
        serde_json::json!({ "NAME": "Jane" });
    person.aws(&[
        "apprunner",
        "update-service",
        "--service-arn",
        arn,
        "--source-configuration",
        &named.to_string(),
        "--health-check-configuration",
        "Protocol=HTTP,Path=/,Interval=1,Timeout=1",
    ]);
    answers("Good morning, Jane");
    let types: Vec<String> =
        person.operations(arn).into_iter().map(|(kind, status)| format!("{kind} {status}")).collect();
    assert_eq!(types, ["UPDATE_SERVICE SUCCEEDED", "START_DEPLOYMENT SUCCEEDED", "CREATE_SERVICE SUCCEEDED"]);

    // Step 4: read the log.
    let groups = person.aws(&["logs", "describe-log-groups", "--log-group-name-prefix", "/aws/apprunner/python-app/"]);
    let names: Vec<&str> =
        groups["logGroups"].as_array().unwrap().iter().map(|g| g["logGroupName"].as_str().unwrap()).collect();
    let [application, service] = names[..] else { panic!("{groups}") };
    let events = person.log(service, "events");
    assert!(events.contains("Service creation completed successfully."), "{events}");
    let streams = person.aws(&[
        "logs",
        "describe-log-streams",
        "--log-group-name",
        service,
        "--log-stream-name-prefix",
        "deployment/",
    ]);
    let deployments = streams["logStreams"].as_array().unwrap();
    assert_eq!(deployments.len(), 2, "{streams}");
    let first = made["OperationId"].as_str().unwrap().replace('-', "");
    let deployment = person.log(service, &format!("deployment/{first}"));
    assert!(deployment.contains("[AppRunner] ") && deployment.contains("[Build] built"), "{deployment}");
    let output = messages(&person.aws(&[
        "logs",
        "filter-log-events",
        "--log-group-name",
        application,
        "--filter-pattern",
        "listening",
    ]));
    assert_eq!(output, "listening\n".repeat(3), "one line per instance");
    if let Some(second) = person.commands.get(1) {
        let tailed = person.ask(second, &["logs", "tail", application, "--since", "1h", "--format", "short"]);
        let (said, error) = (String::from_utf8_lossy(&tailed.stdout), String::from_utf8_lossy(&tailed.stderr));
        assert_eq!(said.matches(" listening").count(), 3, "{said}{error}");
    }

    // Step 5: clean up.
    person.aws(&["apprunner", "delete-service", "--service-arn", arn]);
    person.until(arn, "DELETED");
    assert_eq!(person.aws(&["apprunner", "list-services"]), serde_json::json!({ "ServiceSummaryList": [] }));
    assert_eq!(get(i.http, "python-app").unwrap().status, 404);
    assert!(person.log(service, "events").contains("Service deletion completed successfully."), "logs stay");
}
