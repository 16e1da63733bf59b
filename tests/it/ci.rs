//! `examples/ci`: the steps of the pipelines that people copy, run as their runners run them, against a real server that
//! follows a real repository; GitLab's notes by a stand-in that checks every request.

use crate::installation::{Installation, Repository};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use towpath::desired::findings::Findings;
use towpath::desired::yaml::{Node, Value as Yaml, read};

type Variables = BTreeMap<String, String>;

fn example(name: &str) -> Node {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let mut findings = Findings::new(name, &text);
    read(&text, &mut findings).unwrap_or_else(|| panic!("{:?}", findings.finish(None::<()>).problems))
}

/// A team: a server that follows `prod/towpath.yaml` of a repository, a user `ci` who may look, and a clone with a branch.
struct Team {
    installation: Installation,
    infra: Repository,
    clone: PathBuf,
    credentials: String,
}

fn manifest(app: &Path, memory: &str) -> String {
    format!(
        "services:\n  shop:\n    source: {{ repository: {} }}\n    instance: {{ memory: {memory} }}\n    \
         secrets: {{ TOKEN: {{ file: ./token }} }}\n    build: {{ runtime: python3, start: python app.py }}\n",
        app.display()
    )
}

impl Team {
    fn new() -> Self {
        let mut installation = Installation::new();
        let (infra, app) = (installation.repository("infra"), installation.repository("app"));
        app.greet("hello");
        infra.commit("prod/token", "hunter2");
        infra.commit("prod/towpath.yaml", &manifest(app.path(), "512 MB"));
        let url = infra.path().to_string_lossy().into_owned();
        installation.pulls(&["--repo", &url, "--branch", "main", "--path", "prod/towpath.yaml"]);
        installation.up();
        installation.until_status("shop", "RUNNING");
        let clone = installation.path().join("clone");
        let cloned = Command::new("git").args(["clone", "-q", &url]).arg(&clone).status().unwrap();
        assert!(cloned.success());
        installation.ok(&["users", "create", "ci", "--policy", "TowpathReadOnlyAccess"]);
        let credentials = installation.ok(&["keys", "create", "ci"]);
        Self { installation, infra, clone, credentials }
    }

    fn server(&self) -> String {
        format!("http://127.0.0.1:{}", self.installation.api)
    }

    /// The branch of a pull request changes the memory.
    fn change(&self, memory: &str) {
        let app = self.installation.path().join("app");
        std::fs::write(self.clone.join("prod/towpath.yaml"), manifest(&app, memory)).unwrap();
    }

    /// Runs a script as a runner does; its output, and whether it succeeded.
    fn run(&self, shell: &[&str], script: &str, variables: &Variables) -> (bool, String) {
        let home = self.installation.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        let file = home.join("script.sh");
        std::fs::write(&file, script).unwrap();
        let ran = Command::new(shell[0])
            .args(&shell[1..])
            .arg(&file)
            .current_dir(&self.clone)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &home)
            .envs(variables)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        (ran.status.success(), out)
    }
}

/// A workflow of GitHub Actions while its jobs run.
struct Workflow<'t> {
    team: &'t Team,
    file: Node,
    /// What `vars`, `secrets` and `runner` hold.
    contexts: Variables,
}

impl<'t> Workflow<'t> {
    fn new(team: &'t Team) -> Self {
        let runner = team.installation.path().join("runner");
        std::fs::create_dir_all(&runner).unwrap();
        let contexts = [
            ("vars.TOWPATH_DOWNLOAD", format!("file://{}", env!("CARGO_BIN_EXE_towpath"))),
            ("vars.TOWPATH_SERVER", team.server()),
            ("secrets.TOWPATH_CREDENTIALS", team.credentials.clone()),
            ("runner.temp", runner.display().to_string()),
        ];
        let contexts = contexts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { team, file: example("github-actions.yml"), contexts }
    }

    /// The variables under `env`, with expressions put in.
    fn env(&self, node: &Node) -> Variables {
        let entries = node.get("env").and_then(Node::entries).unwrap_or_default();
        let value = |text: &str| {
            let mut out = text.to_owned();
            for (name, value) in &self.contexts {
                out = out.replace(&format!("${{{{ {name} }}}}"), value);
            }
            assert!(!out.contains("${{"), "an expression that the test does not know: {out}");
            out
        };
        entries.iter().map(|e| (e.key.clone(), value(e.value.text().unwrap()))).collect()
    }

    /// Runs the steps of a job; its summary and outputs, and what failed.
    fn job(&self, name: &str) -> (String, String, Option<String>) {
        let job = self.file.get("jobs").unwrap().get(name).unwrap();
        let Yaml::Sequence(steps) = &job.get("steps").unwrap().value else { panic!("steps") };
        let runner = PathBuf::from(&self.contexts["runner.temp"]);
        let [path, output, summary] = ["path", "output", "summary"].map(|n| runner.join(format!("{name}.{n}")));
        [&path, &output, &summary].iter().for_each(|file| std::fs::write(file, "").unwrap());
        let mut failed = None;
        for step in steps {
            let Some(script) = step.get("run").and_then(Node::text) else {
                assert!(step.get("uses").unwrap().text().unwrap().starts_with("actions/checkout@"));
                continue;
            };
            let mut variables = self.env(&self.file);
            variables.extend(self.env(job));
            variables.extend(self.env(step));
            let more = [("GITHUB_PATH", &path), ("GITHUB_OUTPUT", &output), ("GITHUB_STEP_SUMMARY", &summary)];
            variables.extend(more.map(|(name, file)| (name.to_owned(), file.display().to_string())));
            variables.insert("GITHUB_BASE_REF".into(), "main".into());
            let added = std::fs::read_to_string(&path).unwrap().trim().replace('\n', ":");
            let script = format!("PATH=\"{added}:$PATH\"\n{script}");
            // As the runner calls it where a step names no shell.
            let (succeeded, out) = self.team.run(&["bash", "-e"], &script, &variables);
            if !succeeded {
                failed = Some(out);
                break;
            }
        }
        let read = |file: &Path| std::fs::read_to_string(file).unwrap();
        (read(&summary), read(&output), failed)
    }
}

#[test]
fn the_workflow_for_github_plans_a_pull_request_into_its_summary() {
    let team = Team::new();
    let workflow = Workflow::new(&team);
    let (_, output, failed) = workflow.job("plan");
    assert_eq!((output.as_str(), failed.as_deref()), ("changes=false\n", None), "what is in force, from elsewhere");

    team.change("768 MB");
    let (summary, _, failed) = workflow.job("validate");
    assert_eq!(failed, None);
    assert!(summary.contains("shop") && summary.contains("768 MB"), "{summary}");
    let (summary, output, failed) = workflow.job("plan");
    assert_eq!((output.as_str(), failed.as_deref()), ("changes=true\n", None));
    assert!(summary.starts_with("<!-- towpath plan -->") && summary.contains("768 MB"), "{summary}");
    assert!(!summary.contains("token"), "the secret's file is the same on the server: {summary}");

    std::fs::write(team.clone.join("prod/towpath.yaml"), "services:\n  shop: { sourc: x }\n").unwrap();
    let (_, _, failed) = workflow.job("validate");
    assert!(failed.unwrap().contains("did you mean `source`?"));
    let (summary, output, failed) = workflow.job("plan");
    assert!(failed.is_some() && output.is_empty() && summary.contains("source"), "{summary}");
}

#[test]
fn a_reader_may_plan_and_do_nothing_else() {
    let team = Team::new();
    team.change("768 MB");
    let file = team.installation.path().join("ci.credentials");
    std::fs::write(&file, &team.credentials).unwrap();
    let towpath = |profile: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command.args(["--server", &team.server(), "--profile", profile]).args(arguments).current_dir(&team.clone);
        command.env("AWS_SHARED_CREDENTIALS_FILE", &file).stdin(Stdio::null());
        let ran = command.output().unwrap();
        (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    assert_eq!(towpath("ci", &["plan", "-f", "prod/towpath.yaml", "--detailed-exitcode"]).0, Some(2));
    for refused in [&["apply"][..], &["deploy", "shop"], &["export"], &["pause", "shop"]] {
        let (code, told) = towpath("ci", refused);
        assert!(code == Some(1) && told.contains("user/ci is not authorized to perform"), "{refused:?}: {told}");
    }
    // AWS' own policy for readers knows nothing of plans, and says which right is missing.
    team.installation.ok(&["users", "create", "aws", "--policy", "AWSAppRunnerReadOnlyAccess"]);
    team.installation.ok(&["keys", "create", "aws", "--out", file.to_str().unwrap()]);
    let (code, told) = towpath("aws", &["plan", "-f", "prod/towpath.yaml"]);
    assert!(code == Some(1) && told.contains("is not authorized to perform: towpath:Plan"), "{told}");
}

/// GitLab's notes of merge request 7 of project 42, for whoever shows the token. Anything else is refused and remembered.
struct Notes {
    port: u16,
    notes: Arc<Mutex<Vec<Value>>>,
    refused: Arc<Mutex<Vec<String>>>,
}

const NOTES: &str = "/api/v4/projects/42/merge_requests/7/notes";

impl Notes {
    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let there = json!([{ "id": 1, "body": "looks good" }]).as_array().cloned().unwrap();
        let (notes, refused) = (Arc::new(Mutex::new(there)), Arc::new(Mutex::new(Vec::new())));
        let (kept, wrong) = (notes.clone(), refused.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &kept, &wrong);
            }
        });
        Self { port, notes, refused }
    }
}

fn answer(stream: TcpStream, notes: &Mutex<Vec<Value>>, refused: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        head.push_str(&std::mem::take(&mut line));
    }
    let length = head.lines().find_map(|l| l.strip_prefix("Content-Length: ")).map_or(0, |n| n.trim().parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let text = body.strip_prefix("body=").map(decoded);
    let mut notes = notes.lock().unwrap();
    let authorized = head.contains("PRIVATE-TOKEN: glpat-1\r\n");
    let request = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let (method, path) = request.split_once(' ').unwrap_or_default();
    let number = path.strip_prefix(&format!("{NOTES}/")).and_then(|id| id.parse::<u64>().ok());
    let answer = match (authorized, method, path, text, number) {
        (true, "GET", path, None, _) if path == format!("{NOTES}?per_page=100") => Some(json!(*notes)),
        (true, "POST", NOTES, Some(text), _) => {
            let note = json!({ "id": notes.len() + 1, "body": text });
            notes.push(note.clone());
            Some(note)
        }
        (true, "PUT", _, Some(text), Some(id)) => notes.iter_mut().find(|note| note["id"] == id).map(|note| {
            note["body"] = text.into();
            note.clone()
        }),
        _ => None,
    };
    let (status, body) = match answer {
        Some(answer) => ("200 OK", answer.to_string()),
        None => {
            refused.lock().unwrap().push(head);
            ("400 Bad Request", "{}".to_owned())
        }
    };
    let mut stream = stream;
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
}

/// The text of a field of a form.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

fn lines(node: Option<&Node>) -> String {
    let Some(Yaml::Sequence(items)) = node.map(|node| &node.value) else { return String::new() };
    items.iter().map(|item| format!("{}\n", item.text().unwrap())).collect()
}

#[test]
fn the_pipeline_for_gitlab_keeps_one_note_with_the_plan() {
    let team = Team::new();
    let gitlab = Notes::serve();
    let file = example("gitlab-ci.yml");
    let credentials = team.installation.path().join("credentials");
    std::fs::write(&credentials, &team.credentials).unwrap();
    let given = [
        ("TOWPATH_DOWNLOAD", format!("file://{}", env!("CARGO_BIN_EXE_towpath"))),
        ("TOWPATH_SERVER", team.server()),
        ("TOWPATH_CREDENTIALS", credentials.display().to_string()),
        ("TOWPATH_NOTES_TOKEN", "glpat-1".to_owned()),
        ("CI_API_V4_URL", format!("http://127.0.0.1:{}/api/v4", gitlab.port)),
        ("CI_PROJECT_ID", "42".to_owned()),
        ("CI_MERGE_REQUEST_IID", "7".to_owned()),
        ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main".to_owned()),
    ];
    let mut variables: Variables = given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let own = file.get("variables").and_then(Node::entries).unwrap();
    variables.extend(own.iter().map(|e| (e.key.clone(), e.value.text().unwrap().to_owned())));
    let job = |name: &str| {
        let before = lines(file.get("default").unwrap().get("before_script"));
        let script = lines(file.get(name).unwrap().get("script"));
        // As GitLab's runner calls bash.
        team.run(&["bash", "-eo", "pipefail"], &format!("{before}{script}"), &variables)
    };
    team.change("768 MB");
    for name in ["validate", "plan"] {
        let (succeeded, out) = job(name);
        assert!(succeeded, "{name}: {out}\n{:?}", gitlab.refused.lock().unwrap());
    }
    let body = |at: usize| gitlab.notes.lock().unwrap()[at]["body"].as_str().unwrap().to_owned();
    assert!(body(1).starts_with("<!-- towpath plan -->") && body(1).contains("768 MB"), "{}", body(1));
    team.change("1 GB");
    let (succeeded, out) = job("plan");
    assert!(succeeded, "{out}");
    assert!(body(1).contains("1 GB") && !body(1).contains("768 MB"), "{}", body(1));
    assert_eq!(gitlab.notes.lock().unwrap().len(), 2, "one note, written anew");
    assert_eq!(body(0), "looks good");
    assert_eq!(*gitlab.refused.lock().unwrap(), Vec::<String>::new());
    // Nothing is said where there is no plan.
    team.infra.commit("elsewhere", "x");
    std::fs::write(team.clone.join("prod/towpath.yaml"), "services: 3\n").unwrap();
    assert!(!job("plan").0);
    assert!(body(1).contains("1 GB"));
}
