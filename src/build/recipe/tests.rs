use super::*;
use crate::model::{Catalogue, Timestamp};

fn settings() -> AppSettings {
    AppSettings {
        runtime: "python3".parse().unwrap(),
        runtime_version: None,
        pre_build: vec!["one".into()],
        build: vec!["two".into(), "three".into()],
        post_build: vec!["four".into()],
        build_env: BTreeMap::new(),
        pre_run: vec![],
        start: "python app.py".into(),
        port: 8080,
        port_env: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        dockerfile: None,
    }
}

fn commit(tree: &str) -> Commit {
    let id = "a".repeat(40).parse().unwrap();
    Commit { id, tree: tree.into(), author: String::new(), summary: String::new(), time: Timestamp(0), signed_by: None }
}

fn python(version: &str, path: &str) -> Interpreter {
    let version = version.parse().unwrap();
    Interpreter { language: Language::Python, version, path: path.into(), problem: None }
}

fn chosen(lock: Option<&str>, found: &[Interpreter]) -> Result<Choice, String> {
    let catalogue = Catalogue::builtin();
    let runtime = catalogue.find(&"python3".parse().unwrap()).unwrap();
    let lock = lock.map(|l| l.parse().unwrap());
    choose(runtime, lock.as_ref(), found).map_err(|e| e.to_string())
}

#[test]
fn lines_keep_the_order_of_the_phases() {
    let settings = AppSettings { pre_run: vec!["five".into()], ..settings() };
    let lines: Vec<String> = steps(&settings).into_iter().map(|s| format!("{} {}", s.phase.name(), s.line)).collect();
    assert_eq!(lines, ["pre-build one", "build two", "build three", "post-build four", "pre-run five"]);
}

#[test]
fn only_what_a_build_depends_on_is_in_its_id() {
    let base = identify(&commit("t"), &settings(), "python 3.8");
    let mut same = settings();
    (same.start, same.port) = ("other".into(), 9000);
    same.env.insert("A".parse().unwrap(), "b".into());
    assert_eq!(identify(&commit("t"), &same, "python 3.8"), base);

    assert_ne!(identify(&commit("u"), &settings(), "python 3.8"), base);
    assert_ne!(identify(&commit("t"), &settings(), "python 3.9"), base);
    let changes: [fn(&mut AppSettings); 6] = [
        |s| s.pre_build.clear(),
        |s| s.build.swap(0, 1),
        |s| s.post_build.push("five".into()),
        |s| s.pre_run.push("six".into()),
        |s| s.runtime_version = Some("3.8".parse().unwrap()),
        |s| drop(s.build_env.insert("A".parse().unwrap(), "b".into())),
    ];
    for change in changes {
        let mut other = settings();
        change(&mut other);
        assert_ne!(identify(&commit("t"), &other, "python 3.8"), base);
    }
    let seen = |value: &str| {
        let mut settings = settings();
        settings.pre_run.push("six".into());
        settings.env.insert("A".parse().unwrap(), value.into());
        identify(&commit("t"), &settings, "python 3.8")
    };
    assert_ne!(seen("b"), seen("c"), "pre-run lines see the variables of the run");
    // A line that moves from one phase to the next is another build.
    let mut moved = settings();
    moved.build.insert(0, moved.pre_build.remove(0));
    assert_ne!(identify(&commit("t"), &moved, "python 3.8"), base);
}

#[test]
fn a_lock_is_met_by_the_newest_that_fits_or_by_nothing() {
    let found = [python("3.11.7", "/a"), python("3.8.2", "/b"), python("3.8.16", "/c"), python("3.8.16", "/d")];
    assert_eq!(chosen(Some("3.8"), &found).unwrap().interpreter.path.to_str(), Some("/c"));
    assert_eq!(chosen(Some("3.8.2"), &found).unwrap().interpreter.path.to_str(), Some("/b"));
    let error = chosen(Some("3.7"), &found).unwrap_err();
    for part in ["python3 3.7", "3.11.7 at /a", "Docker engine"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(chosen(Some("3.1"), &found).is_err(), "3.1 is not the beginning of 3.11");
}

#[test]
fn without_a_lock_a_listed_version_wins_and_the_hosts_own_comes_with_a_notice() {
    let listed = chosen(None, &[python("3.11.7", "/a"), python("3.7.1", "/b"), python("3.8.1", "/c")]).unwrap();
    assert_eq!((listed.interpreter.path.to_str(), listed.notice), (Some("/c"), None));
    let host = chosen(None, &[python("3.11.7", "/a"), python("3.12.1", "/b")]).unwrap();
    assert_eq!(host.interpreter.path.to_str(), Some("/a"));
    assert_eq!(host.notice.as_deref(), Some("python3 is 3.8 on App Runner; using 3.11.7 of this host"));
    assert!(chosen(None, &[]).unwrap_err().contains("found: none"));
}

#[test]
fn an_interpreter_that_cannot_build_is_named_with_its_problem() {
    let mut broken = python("3.8.1", "/usr/bin/python3");
    broken.problem = Some("has no `ensurepip`".into());
    assert!(chosen(None, &[broken.clone()]).unwrap_err().contains("which has no `ensurepip`"));
    assert_eq!(chosen(None, &[broken, python("3.9.1", "/b")]).unwrap().interpreter.path.to_str(), Some("/b"));
}

#[test]
fn the_users_build_environment_is_stronger_than_ours() {
    let at = Directories {
        source: "/b/src".into(),
        home: "/b/home".into(),
        bin: "/b/bin".into(),
        venv: "/b/venv".into(),
        cache: "/c".into(),
    };
    let layout = layout(&python("3.8.1", "/opt/py/bin/python3.8"), &at);
    let user = BTreeMap::from([("PIP_CACHE_DIR".parse().unwrap(), "/mine".to_owned())]);
    let pass = BTreeMap::from([("HTTPS_PROXY".to_owned(), "http://proxy:1".to_owned())]);
    let env = build_environment(&layout, &pass, &user, &["/usr/bin".into(), "/bin".into()]);
    assert_eq!((env["PIP_CACHE_DIR"].as_str(), env["HTTPS_PROXY"].as_str()), ("/mine", "http://proxy:1"));
    assert_eq!(env["PATH"], "/b/venv/bin:/b/home/.local/bin:/b/bin:/opt/py/bin:/usr/bin:/bin");
}

#[test]
fn lines_that_install_dependencies_are_told_from_others() {
    for line in [
        "npm ci",
        "cd web && npm install --omit=dev",
        "python -m pip install -r r.txt",
        "uv sync",
        "pipenv install --system",
    ] {
        assert!(installs(line), "{line}");
    }
    for line in ["npm run build", "python manage.py migrate", "go build -o app", "./install.sh", "make install"] {
        assert!(!installs(line), "{line}");
    }
}
