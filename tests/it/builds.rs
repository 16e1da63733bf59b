//! What a build decides, seen from outside (the version of Node), and what becomes of builds and instances that somebody
//! removes by hand.

use crate::docker_spine::DockerInstallation;
use crate::installation::{Installation, get};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const SERVER: &str = "require('http').createServer((_, answer) => answer.end('hello')).listen(process.env.PORT)\n";

/// Major and minor of this machine's Node.
fn node() -> (String, String) {
    let said = Command::new("node").arg("--version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let mut parts = said.trim().trim_start_matches('v').split('.').map(str::to_owned);
    (parts.next().unwrap(), parts.next().unwrap())
}

fn manifest(name: &str, runtime: &str, more: &str) -> String {
    format!(
        "  {name}:\n    source: {{ repository: ./{name} }}\n    build: {{ runtime: {runtime}, start: node server.js{more} }}\n    \
         instance: {{ cpu: 0.25 vCPU, memory: 512 MB }}\n    deploy: {{ drain: 1s, startDeadline: 30s }}\n"
    )
}

fn commit(installation: &Installation, name: &str, engines: &str) {
    let repository = installation.repository(name);
    repository.commit("server.js", SERVER);
    repository.commit("package.json", &serde_json::json!({ "name": name, "engines": { "node": engines } }).to_string());
}

#[test]
fn engines_of_package_json_choose_the_version_of_node_or_fail_by_name() {
    let (major, minor) = node();
    let runtime = format!("nodejs{major}");
    let mut installation = Installation::new();
    let locked = format!("{major}.{minor}");
    let services = [
        ("open", ">=14".to_owned(), ""),
        ("minor", format!("~{locked}"), ""),
        ("odd-text", "lts/*".to_owned(), ""),
        ("none-fits", "4.x".to_owned(), ""),
        ("excluded", ">=4 <5".to_owned(), "runtimeVersion"),
    ];
    let mut declared = String::from("services:\n");
    for (name, engines, lock) in &services {
        commit(&installation, name, engines);
        let lock = if lock.is_empty() { String::new() } else { format!(", runtimeVersion: \"{locked}\"") };
        declared += &manifest(name, &runtime, &lock);
    }
    installation.declare(&declared);
    installation.up();
    let log = |i: &Installation, name| i.ok(&["logs", name, "--deployment", "latest"]);
    for name in ["open", "minor", "odd-text"] {
        installation.until_answer(name, "hello");
    }
    assert!(!log(&installation, "open").contains("engines"), "{}", log(&installation, "open"));
    let said = format!("package.json: `engines.node` is `~{locked}`: building with {runtime} {locked}.");
    assert!(log(&installation, "minor").contains(&said), "{}", log(&installation, "minor"));
    assert!(log(&installation, "odd-text").contains("`lts/*`, which is no range of versions: ignored"));
    for (name, both) in [("none-fits", ["`4.x`", runtime.as_str()]), ("excluded", ["`>=4 <5`", locked.as_str()])] {
        let failed = |i: &Installation| i.service(name)["status"] == "CREATE_FAILED";
        installation.until(&format!("{name} fails"), Duration::from_secs(60), failed);
        let status = installation.json(&["operations", name])[0].to_string();
        assert!(both.iter().all(|part| status.contains(part)) && status.contains("engines.node"), "{status}");
    }
}

fn remove_all(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        std::fs::remove_dir_all(entry.path()).unwrap();
    }
}

fn python(name: &str) -> String {
    manifest(name, "python3", "").replace("node server.js", "python app.py")
}

#[test]
fn a_build_that_somebody_removed_is_built_again_before_its_instance_is_replaced() {
    let mut installation = Installation::new();
    let repository = installation.repository("hello");
    repository.greet("one");
    installation.declare(&format!("services:\n{}", python("hello")));
    installation.up();
    installation.until_answer("hello", "one");
    installation.until_status("hello", "RUNNING");
    remove_all(&installation.data().join("builds"));
    let told = |i: &Installation, text: &str| i.ok(&["events", "hello"]).contains(text);
    installation.until("it is told", Duration::from_secs(60), |i| told(i, "of revision 1 is gone; it is built again"));
    installation.until("and built", Duration::from_secs(90), |i| told(i, "of revision 1 was built again"));
    installation
        .until("and the instance replaced", Duration::from_secs(60), |i| told(i, "1 instance started, 1 removed."));
    assert!(installation.ok(&["events", "hello"]).contains("its build was removed"), "{}", installation.log());
    assert_eq!(get(installation.http, "hello").unwrap().body.trim(), "one");

    // A revision to go back to.
    repository.greet("two");
    installation.until_answer("hello", "two");
    installation.until_status("hello", "RUNNING");
    let current = std::fs::read_dir(installation.data().join("builds")).unwrap().count();
    assert_eq!(current, 2);
    let oldest = |entry: &std::fs::DirEntry| entry.metadata().unwrap().modified().unwrap();
    let entries = std::fs::read_dir(installation.data().join("builds")).unwrap().map(Result::unwrap);
    std::fs::remove_dir_all(entries.min_by_key(oldest).unwrap().path()).unwrap();
    installation.ok(&["rollback", "hello", "--wait"]);
    installation.until_answer("hello", "one");
    let log = installation.ok(&["logs", "hello", "--deployment", "latest"]);
    assert!(log.contains("is gone; it is built again from commit"), "{log}");
}

#[test]
fn an_instance_whose_directory_somebody_removed_is_replaced_and_does_not_go_on_for_ever() {
    let mut installation = Installation::new();
    installation.repository("hello").greet("one");
    installation.declare(&format!("services:\n{}", python("hello")));
    installation.up();
    installation.until_answer("hello", "one");
    installation.until_status("hello", "RUNNING");
    let applications = |i: &Installation| {
        let all = i.processes().into_iter().filter(|(_, command)| command.contains("app.py"));
        all.map(|(pid, _)| pid).collect::<Vec<_>>()
    };
    let before = applications(&installation);
    assert!(!before.is_empty());
    remove_all(&installation.data().join("instances"));
    installation
        .until("another runs", Duration::from_secs(60), |i| applications(i).iter().any(|p| !before.contains(p)));
    installation.until("it answers", Duration::from_secs(30), |i| get(i.http, "hello").is_ok_and(|a| a.status == 200));
    installation.until("the old one ends", Duration::from_secs(120), |i| {
        !applications(i).iter().any(|pid| before.contains(pid))
    });
    assert_eq!(get(installation.http, "hello").unwrap().body.trim(), "one");
    installation.ok(&["down"]);
}

/// How long the newest build of the Flask example took, and its log.
fn built(installation: &Installation) -> (Duration, String) {
    let log = installation.ok(&["logs", "flask", "--deployment", "latest"]);
    let at = |mark: &str| {
        let line = log.lines().find(|line| line.contains(mark)).unwrap_or_else(|| panic!("{mark}: {log}"));
        time_of(line.split(' ').next().unwrap())
    };
    (at("Successfully built").saturating_sub(at("Starting source code build")), log)
}

/// The time of day of `2026-11-26T13:29:44.496Z`.
fn time_of(text: &str) -> Duration {
    let clock = text.split('T').nth(1).unwrap().trim_end_matches('Z');
    let parts: Vec<f64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
    Duration::from_secs_f64(parts[0] * 3600.0 + parts[1] * 60.0 + parts[2])
}

/// Deploys the Flask example, changes its code and then its lock file.
fn rebuild(installation: &mut Installation, reused: &str) {
    let repository = installation.repository("flask");
    for file in ["apprunner.yaml", "app.py"] {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/flask").join(file);
        repository.commit(file, &std::fs::read_to_string(example).unwrap());
    }
    repository.commit("requirements.txt", "flask==3.0.3\ngunicorn==22.0.0\n");
    installation.declare(
        "services:\n  flask:\n    source: { repository: ./flask }\n    build: apprunner.yaml\n    \
         instance: { cpu: 0.25 vCPU, memory: 512 MB }\n    deploy: { drain: 1s, startDeadline: 2m }\n",
    );
    installation.up();
    let deployed = |i: &Installation, count: usize| {
        let operations = i.json(&["operations", "flask"]);
        let operations = operations.as_array().unwrap();
        operations.len() == count && operations[0]["Status"] == "SUCCEEDED"
    };
    let minutes = Duration::from_secs(300);
    installation.until("it is deployed", minutes, |i| i.service("flask")["status"] == "RUNNING" && deployed(i, 1));
    let (first, log) = built(installation);
    assert!(!log.contains(reused), "{log}");
    repository
        .commit("app.py", "import flask\napp = flask.Flask('two')\napp.add_url_rule('/', view_func=lambda: 'two')\n");
    installation.until("it is deployed again", minutes, |i| deployed(i, 2));
    let (second, log) = built(installation);
    assert!(log.contains(reused), "{log}");
    installation.until_answer("flask", "two");
    // The aim is a fifth (`benches/builds`); here other tests run beside it.
    assert!(second < first / 2, "{second:?} after {first:?}");
    repository.commit("requirements.txt", "flask==3.0.2\ngunicorn==22.0.0\n");
    installation.until("it is deployed with another lock file", minutes, |i| deployed(i, 3));
    let (_, log) = built(installation);
    assert!(!log.contains(reused), "{log}");
    assert_eq!(get(installation.http, "flask").unwrap().body.trim(), "two");
}

#[test]
fn a_build_with_the_same_lock_file_installs_nothing_on_the_process_engine() {
    rebuild(&mut Installation::new(), "The lock files have not changed");
}

#[test]
fn a_build_with_the_same_lock_file_installs_nothing_on_docker() {
    let image = format!("python311={}", crate::docker::IMAGE);
    let Some(mut installation) = DockerInstallation::with(&["--runtime-image", &image]) else { return };
    rebuild(&mut installation, "requirements.txt (unchanged, from the cache)");
    installation.know();
}

#[test]
fn runtimes_of_a_file_are_offered_and_its_mistakes_end_the_start_by_line() {
    let mut installation = Installation::new();
    let file = installation.path().join("runtimes.yaml");
    let (major, _) = node();
    let text = format!(
        "runtimes:\n  acme-node:\n    language: node\n    versions: [{major}]\n    image: acme/node:{{version}}\n"
    );
    std::fs::write(&file, &text).unwrap();
    let repository = installation.repository("mine");
    repository.commit("server.js", SERVER);
    installation.declare(&format!("services:\n{}", manifest("mine", "acme-node", "")));
    let manifest = installation.manifest();
    let (manifest, file_name) = (manifest.to_str().unwrap(), file.to_str().unwrap());
    for command in [vec!["validate", manifest], vec!["plan", "-f", manifest]] {
        assert!(!installation.run(&command).status.success(), "not in the catalogue: {command:?}");
        installation.ok(&[&command[..], &["--runtimes", file_name]].concat());
    }
    installation = installation.option("--runtimes", file_name);
    installation.up();
    installation.until_answer("mine", "hello");
    installation.ok(&["down"]);
    assert!(installation.ended(Duration::from_secs(20)).success());
    std::fs::write(&file, text.replace("language: node", "langauge: node")).unwrap();
    installation.start();
    assert_eq!(installation.ended(Duration::from_secs(20)).code(), Some(64));
    let log = installation.log();
    for wanted in ["runtimes.yaml:3:5", "did you mean `language`?", "(`--runtimes`) cannot be used"] {
        assert!(log.contains(wanted), "{wanted}: {log}");
    }
}
