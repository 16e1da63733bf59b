use super::*;
use crate::model::{Problem, Severity};

const MINIMAL: &str =
    "version: 1.0\nruntime: python311\nbuild:\n  commands:\n    build:\n      - make\nrun:\n  command: python app.py\n";

fn parse(text: &str) -> Parsed<AppSettings> {
    parse_apprunner("apprunner.yaml", text, &Catalogue::builtin())
}

/// `severity class line:column` of every problem.
fn told(problems: &[Problem]) -> Vec<String> {
    let severity = |p: &Problem| if p.severity == Severity::Error { "error" } else { "warning" };
    problems.iter().map(|p| format!("{} {} {}:{}", severity(p), p.class, p.place.line, p.place.column)).collect()
}

#[test]
fn a_minimal_file_has_every_default() {
    let parsed = parse(MINIMAL);
    assert_eq!(parsed.problems, []);
    let settings = parsed.value.unwrap();
    assert_eq!(settings.port, 8080);
    assert_eq!(settings.build, ["make"]);
    assert_eq!((settings.runtime_version, settings.port_env), (None, None));
}

#[test]
fn every_key_is_read() {
    let text = "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    pre-build: [a]\n    build: [b, c]\n    post-build: [d]\n  \
                env:\n  - {name: B, value: x}\nrun:\n  runtime-version: 3.7.7\n  pre-run: [e]\n  command: python app.py\n  \
                network: {port: 8000, env: MY_PORT}\n  env:\n  - {name: A, value: \"1.0\"}\n  secrets:\n  - {name: S, value-from: arn}\n";
    let parsed = parse(text);
    assert_eq!(parsed.problems, []);
    let settings = parsed.value.unwrap();
    assert_eq!(
        (settings.pre_build, settings.build, settings.post_build),
        (vec!["a".into()], vec!["b".into(), "c".into()], vec!["d".into()])
    );
    assert_eq!(settings.build_env["B".parse::<EnvName>().as_ref().unwrap()], "x");
    assert_eq!(settings.runtime_version.unwrap().to_string(), "3.7.7");
    assert_eq!(
        (settings.pre_run, settings.port, settings.port_env.unwrap().as_str()),
        (vec!["e".into()], 8000, "MY_PORT")
    );
    assert_eq!(settings.env["A".parse::<EnvName>().as_ref().unwrap()], "1.0");
    assert_eq!(settings.secrets["S".parse::<EnvName>().as_ref().unwrap()], "arn");
}

#[test]
fn sections_that_may_be_null_may_be_null() {
    let text = MINIMAL.replace("commands:\n", "env:\n  commands:\n    pre-build:\n")
        + "  env:\n  network:\n  secrets:\n  pre-run:\n";
    let parsed = parse(&text);
    assert_eq!(parsed.problems, []);
    assert!(parsed.value.is_some());
}

#[test]
fn a_key_that_meant_another_one_is_an_error_that_names_it() {
    for (from, to, hint) in [
        ("    build:\n", "    pre_build: [x]\n    build:\n", "`pre-build`"),
        ("run:\n", "run:\n  environment: [x]\n", "`env`"),
        ("runtime:", "Runtime:", "`runtime`"),
        ("  command: p", "  cmd: p", "`command`"),
        ("run:\n", "runtime-version: 3.11\nrun:\n", "`run.runtime-version`"),
        ("  commands:", "  pre-build: [x]\n  commands:", "`build.commands.pre-build`"),
        ("run:\n", "  run: {command: x}\nrun:\n", "top level"),
    ] {
        let parsed = parse(&MINIMAL.replace(from, to));
        let problem = parsed.problems.iter().find(|p| p.class == "unknown-key").unwrap_or_else(|| panic!("{to}"));
        assert_eq!(problem.severity, Severity::Error, "{to}");
        assert!(problem.hint.as_ref().unwrap().contains(hint), "{to}: {:?}", problem.hint);
        assert!(parsed.value.is_none());
    }
}

#[test]
fn a_key_that_means_nothing_here_is_a_warning() {
    let parsed = parse(&(MINIMAL.to_owned() + "  port: 9000\n  cpu: 1024\nname: shop\n"));
    assert_eq!(
        told(&parsed.problems),
        ["warning unknown-key 9:3", "warning unknown-key 10:3", "warning unknown-key 11:1"]
    );
    assert!(parsed.problems[0].hint.as_ref().unwrap().contains("run.network.port"));
    assert!(parsed.value.is_some());
}

#[test]
fn values_of_variables_are_never_repeated() {
    let text = MINIMAL.to_owned()
        + "  env:\n  - name: A\n    value: [hunter2]\n  - A=hunter2\n  - hunter2: x\n  - {name: \"A=hunter2\", value: x}\n  - name: B\n    value:\n      hunter2: x\n";
    let parsed = parse(&text);
    assert_eq!(parsed.problems.len(), 5, "{:#?}", parsed.problems);
    assert!(!format!("{:?}", parsed.problems).contains("hunter2"), "{:#?}", parsed.problems);
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let text = "runtime: python3.11\nbuild:\n  commands:\n    build: make\n    pre-build: [{a: b}]\nrun:\n  runtime-version: \
                latest\n  network:\n    port: 99999\n    env: [A]\n  secrets:\n  - name: 1 A\n    value-from: x\n";
    let parsed = parse(text);
    assert_eq!(
        told(&parsed.problems),
        [
            "error missing 1:1",
            "error runtime 1:10",
            "error type 4:12",
            "error type 5:17",
            "error missing 7:3",
            "error runtime-version 7:20",
            "error range 9:11",
            "error type 10:10",
            "error name 12:11",
        ]
    );
}

#[test]
fn a_start_command_is_checked() {
    let shell = parse(&MINIMAL.replace("python app.py", "cd web && npm start"));
    assert_eq!(told(&shell.problems), ["warning shell 8:12"]);
    assert_eq!(shell.value.unwrap().start, "cd web && npm start");
    assert_eq!(told(&parse(&MINIMAL.replace("python app.py", "python 'app.py")).problems), ["error command 8:12"]);
    assert_eq!(told(&parse(&MINIMAL.replace("python app.py", "[python, app.py]")).problems), ["error type 8:12"]);
    let block = parse(&MINIMAL.replace("python app.py", ">\n    python\n    app.py"));
    assert_eq!(block.value.unwrap().start, "python app.py");
}

#[test]
fn port_set_by_the_user_gives_way() {
    let parsed = parse(&(MINIMAL.to_owned() + "  network: {env: PORT}\n  env:\n  - name: PORT\n    value: '1'\n"));
    assert_eq!(told(&parsed.problems), ["warning PORT 11:11"]);
    let settings = parsed.value.unwrap();
    assert!(settings.env.is_empty() && settings.port_env.is_none());
}

#[test]
fn a_lock_of_another_runtime_names_it() {
    let parsed =
        parse(&MINIMAL.replace("python311", "python3").replace("  command:", "  runtime-version: 3.12\n  command:"));
    assert_eq!(told(&parsed.problems), ["error runtime-version 8:20"]);
    assert!(parsed.problems[0].hint.as_ref().unwrap().contains("`runtime: python312`"));
}
