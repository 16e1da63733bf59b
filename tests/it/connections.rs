//! Connections, end to end: private repositories, the real binary, real clients.

use crate::conformance;
use crate::faults::node;
use crate::feedback::hub::Hub;
use crate::git_source::served;
use crate::installation::{Installation, get_with};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A manifest whose one service is read by a connection.
fn manifest(url: &str, host: &str, means: &str) -> String {
    let service = node::manifest("shop", "");
    let service = service.replace("repository: ./app", &format!("repository: \"{url}\", connection: acme-git"));
    assert!(service.contains("acme-git"), "{service}");
    format!("connections:\n  acme-git: {{ provider: GIT, url: \"{host}\", {means} }}\n{service}")
}

#[test]
fn a_private_repository_is_deployed_by_a_declared_connection_and_a_renewed_password_heals_it() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "one");
    let server = served(installation.path());
    let (url, host) = (server.url("private", "app").to_string(), server.host());
    let password = installation.path().join("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    let means = "basic: { username: ada, password: { file: password } }";
    installation.declare(&manifest(&url, &host, means));
    installation.up();
    installation.until_status("shop", "RUNNING");
    installation.until_answer("shop", "one");
    // The password is changed on the server: what runs stays, and the status says what is the matter.
    std::fs::write(installation.path().join(".password"), "ada:changed").unwrap();
    node::greet(&app, "two");
    let said = |i: &Installation, text: &str| i.ok(&["status", "shop"]).contains(text);
    installation.until("the status names the connection", Duration::from_secs(60), |i| {
        said(i, "refused the credentials of connection `acme-git`")
    });
    installation.until_answer("shop", "one");
    std::fs::write(&password, "changed\n").unwrap();
    installation.until_answer("shop", "two");
    let shown = installation.json(&["connections", "describe", "acme-git"]);
    assert_eq!((&shown["Status"], &shown["Entrance"]), (&"AVAILABLE".into(), &"basic".into()), "{shown}");
    assert_eq!(shown["Services"], serde_json::json!(["shop"]), "{shown}");
    if let Some(python) = conformance::python() {
        // AWS' clients see by which connection it is read.
        let program = "arn = c.list_services()['ServiceSummaryList'][0]['ServiceArn']\n\
                       source = c.describe_service(ServiceArn=arn)['Service']['SourceConfiguration']\n\
                       show([source['AuthenticationConfiguration'], c.list_connections()['ConnectionSummaryList'][0]])";
        let seen = boto3(&python, &installation, program);
        assert!(seen[0]["ConnectionArn"].is_string() && seen[0]["ConnectionArn"] == seen[1]["ConnectionArn"], "{seen}");
    }
    let refused = installation.run(&["connections", "delete", "acme-git"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("towpath.yaml:2"), "{said}");
    let log = installation.log();
    assert!(!log.contains("hunter2") && !log.contains("changed\n"), "{log}");
}

/// Nothing below a directory holds a text in clear.
fn holds(directory: &Path, text: &str) -> Vec<String> {
    let found = Command::new("grep").args(["-rlaF", "--", text]).arg(directory).output().unwrap();
    String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect()
}

/// Does something with boto3; the JSON that it prints.
fn boto3(python: &Path, installation: &Installation, program: &str) -> Value {
    let before = "import boto3, json, os\nfrom botocore.exceptions import ClientError\n\
                  c = boto3.client('apprunner', endpoint_url=os.environ['URL'])\n\
                  def refused(f):\n    try:\n        f()\n    except ClientError as e:\n        \
                  return e.response['Error']\n    raise SystemExit('it was not refused')\n\
                  def show(v):\n    print(json.dumps(v, default=str))\n";
    let ran = Command::new(python)
        .args(["-c", &format!("{before}{program}")])
        .env("URL", format!("http://127.0.0.1:{}", installation.api))
        .env("AWS_SHARED_CREDENTIALS_FILE", installation.data().join("admin.credentials"))
        .env("AWS_DEFAULT_REGION", "local-1")
        .output()
        .unwrap();
    assert!(ran.status.success(), "{program}\n{}\n{}", String::from_utf8_lossy(&ran.stderr), installation.log());
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// The call that makes a service of a repository, by a connection or by none.
fn create(name: &str, url: &str, arn: Option<&str>) -> String {
    let authentication = arn.map(|arn| format!("'AuthenticationConfiguration': {{'ConnectionArn': '{arn}'}},"));
    format!(
        "c.create_service(ServiceName='{name}', SourceConfiguration={{ {} 'CodeRepository': {{'RepositoryUrl': '{url}', \
         'SourceCodeVersion': {{'Type': 'BRANCH', 'Value': 'main'}}, 'CodeConfiguration': {{'ConfigurationSource': 'API', \
         'CodeConfigurationValues': {{'Runtime': 'PYTHON_311', 'StartCommand': 'python3 app.py'}}}}}}}})",
        authentication.unwrap_or_default()
    )
}

#[test]
fn a_connection_of_the_api_is_completed_by_the_command_line_and_used_by_boto3() {
    let Some(python) = conformance::python() else { return };
    let mut installation = Installation::new();
    let app = installation.repository("app");
    app.greet("one");
    let server = served(installation.path());
    let (url, host) = (server.url("private", "app").to_string(), server.host());
    installation.declare("services: {}\n");
    installation.up();
    let made = boto3(
        &python,
        &installation,
        "show(c.create_connection(ConnectionName='acme-git', ProviderType='GITHUB')['Connection'])",
    );
    assert_eq!(made["Status"], "PENDING_HANDSHAKE", "{made}");
    let arn = made["ConnectionArn"].as_str().unwrap();
    let call = format!("show(refused(lambda: {}))", create("shop", &url, Some(arn)));
    let refused = boto3(&python, &installation, &call);
    assert!(refused["Message"].as_str().unwrap().contains("PENDING_HANDSHAKE"), "{refused}");
    let password = installation.path().join("password");
    let handshake = |password: &Path| {
        let file = password.to_str().unwrap();
        let server = ["--url", &host, "--username", "ada", "--password", file, "--repository", &url];
        installation.run(&[["connections", "handshake", "acme-git"].as_slice(), &server].concat())
    };
    std::fs::write(&password, "wrong\n").unwrap();
    let failed = handshake(&password);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && said.contains("refused the credentials of connection `acme-git`"), "{said}");
    std::fs::write(&password, "hunter2\n").unwrap();
    let done = handshake(&password);
    assert!(done.status.success(), "{done:?}");
    let listed = boto3(&python, &installation, "show(c.list_connections()['ConnectionSummaryList'])");
    assert_eq!(listed[0]["Status"], "AVAILABLE", "{listed}");
    boto3(&python, &installation, &format!("show({}['Service'])", create("shop", &url, Some(arn))));
    installation.until_status("shop", "RUNNING");
    installation.until_answer("shop", "one");
    let call = format!("show(refused(lambda: c.delete_connection(ConnectionArn='{arn}')))");
    let used = boto3(&python, &installation, &call);
    assert!(used["Message"].as_str().unwrap().contains("is used by shop"), "{used}");
    // Who may make services, but names no connection, gets nothing of what another reads by one.
    let call = format!("show(refused(lambda: {}))", create("spy-on-shop", &url, None));
    let spied = boto3(&python, &installation, &call);
    assert!(spied["Message"].as_str().unwrap().contains("read by a connection by service `shop`"), "{spied}");
    let elsewhere = url.replace("127.0.0.1", "localhost");
    let call = format!("show(refused(lambda: {}))", create("lure-shop", &elsewhere, Some(arn)));
    let lured = boto3(&python, &installation, &call);
    assert!(lured["Message"].as_str().unwrap().contains("does not lead to this repository"), "{lured}");
    // After a restart it still gets in: the password is kept, and not in clear.
    installation.kill();
    installation.up();
    app.greet("two");
    installation.until_answer("shop", "two");
    assert_eq!(holds(&installation.data(), "hunter2"), Vec::<String>::new());
    assert!(!installation.log().contains("hunter2"));
}

/// A page of the API's listener, as a browser sees it: status, where it leads, text.
fn browse(installation: &Installation, path: &str) -> (u16, String, String) {
    let answer = get_with(installation.api, "api", path, "").unwrap();
    let is_location = |line: &&str| line.to_ascii_lowercase().starts_with("location: ");
    let location = answer.head.lines().find(is_location).map(|line| line[10..].trim().to_owned());
    (answer.status, location.unwrap_or_default(), answer.body)
}

/// What stands between two texts.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).unwrap_or_else(|| panic!("{text}")).0
}

#[test]
fn a_github_app_is_made_in_a_browser_and_reads_a_private_repository() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "one");
    let (server, hub) = (served(installation.path()), Hub::new());
    let github = &hub.github;
    github.serve_git(server.port());
    let host = github.url();
    let url = format!("{host}/acme/app");
    installation.declare(&manifest(&url, &host, "X").replace("provider: GIT", "provider: GITHUB").replace(", X", ""));
    installation.up();
    installation.until("the declared connection is listed", Duration::from_secs(30), |i| {
        i.json(&["connections", "list"])[0]["Status"] == "PENDING_HANDSHAKE"
    });
    let begun = installation.json(&["connections", "handshake", "acme-git", "--organization", "acme"]);
    let begin =
        begun["BrowserUrl"].as_str().unwrap().split_once(&format!(":{}", installation.api)).unwrap().1.to_owned();
    let (status, _, page) = browse(&installation, &begin);
    assert_eq!(status, 200, "{page}");
    let page = page.replace("&#34;", "\"").replace("&#38;", "&");
    let state = between(&page, &format!("{host}/organizations/acme/settings/apps/new?state="), "\"");
    let asked: Value = serde_json::from_str(between(&page, "name=\"manifest\" value=\"", "\"><button>")).unwrap();
    let back = format!("http://127.0.0.1:{}/connections/callback", installation.api);
    assert_eq!((&asked["redirect_url"], &asked["public"]), (&back.into(), &false.into()), "{asked}");
    assert_eq!(asked["default_permissions"]["contents"], "read", "{asked}");
    // GitHub refuses events that no permission covers ("Webhook events and payloads", *Availability*).
    for event in asked["default_events"].as_array().unwrap() {
        let covered_by = match event.as_str().unwrap() {
            "push" | "create" | "delete" => "contents",
            "pull_request" => "pull_requests",
            "check_run" | "check_suite" => "checks",
            "status" => "statuses",
            other => panic!("{other}: by which permission?"),
        };
        assert!(asked["default_permissions"][covered_by].is_string(), "{event} needs {covered_by}");
    }
    // GitHub makes the App, and sends the browser back with a code.
    let (code, made) = github.make_of_manifest(&[7]);
    let (status, _, page) = browse(&installation, &format!("/connections/callback?code={code}&state=guessed"));
    assert!(status == 400 && page.contains("not under way"), "{page}");
    let callback = format!("/connections/callback?code={code}&state={state}");
    let (status, location, page) = browse(&installation, &callback);
    assert_eq!(status, 302, "{page}");
    let installing =
        location.strip_prefix(&format!("{host}/github-apps/{}/installations/new?state=", made.slug)).unwrap();
    assert_ne!(installing, state);
    assert_eq!(browse(&installation, &callback).0, 400, "a state is good once");
    let still = installation.json(&["connections", "describe", "acme-git"]);
    assert_eq!(still["Status"], "PENDING_HANDSHAKE", "it is not installed yet: {still}");
    let done = format!("/connections/callback?installation_id=7&setup_action=install&state={installing}");
    let (status, _, page) = browse(&installation, &done);
    assert!(status == 200 && page.contains("is AVAILABLE"), "{page}");
    installation.until_status("shop", "RUNNING");
    installation.until_answer("shop", "one");
    // Tokens end: the next commit is read with another one.
    github.revoke_tokens();
    node::greet(&app, "two");
    installation.until_answer("shop", "two");
    // The App reports what became of both.
    let (first, second) = (app.git(&["rev-parse", "HEAD~1"]), app.git(&["rev-parse", "HEAD"]));
    for commit in [first.trim(), second.trim()] {
        let said = || hub.last(commit, "towpath/shop")["state"] == "success";
        installation.until(&format!("{commit} is reported"), Duration::from_secs(30), |_| said());
    }
    let secrets = [made.pem.lines().nth(3).unwrap().to_owned(), format!("webhook secret of {}", made.id)];
    for secret in secrets {
        assert_eq!(holds(&installation.data(), &secret), Vec::<String>::new());
    }
}

/// `up --repo` first, the connection afterwards: the manifest is read at once, not at the next try after a rest.
#[test]
fn a_manifest_is_read_as_soon_as_its_connection_is_completed() {
    let mut installation = Installation::new();
    let (hub, infra, app) = (Hub::new(), installation.repository("infra"), installation.repository("app"));
    node::greet(&app, "one");
    let app_url = format!("\"{}\"", app.path().display());
    infra.commit("towpath.yaml", &format!("services:\n{}", node::service("shop", "").replace("./app", &app_url)));
    let url = hub.repository("infra", infra.path());
    installation.pulls(&["--repo", &url, "--branch", "main", "--repo-connection", "acme-github"]);
    installation.up();
    installation.until("it is said that the connection is missing", Duration::from_secs(30), |i| {
        i.ok(&["status"]).contains("there is no such connection")
    });
    // Long enough that the next try would be far away.
    std::thread::sleep(Duration::from_secs(8));
    let token = installation.path().join("token");
    std::fs::write(&token, crate::feedback::TOKEN).unwrap();
    installation.ok(&["connections", "create", "acme-github", "--url", &hub.github.url()]);
    installation.ok(&["connections", "handshake", "acme-github", "--token", &token.to_string_lossy()]);
    let done = std::time::Instant::now();
    installation.until("the manifest is read", Duration::from_secs(30), |i| i.service("shop") != Value::Null);
    assert!(done.elapsed() < Duration::from_secs(15), "read after {:?}", done.elapsed());
    let refused = installation.run(&["connections", "delete", "acme-github"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("used by the manifest's own repository"), "{said}");
}
