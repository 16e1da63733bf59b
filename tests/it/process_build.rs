//! The builder of the process engine, with the interpreters of this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a test fails the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use towpath::build::process::{ProcessBuilder, ProcessBuilderOptions};
use towpath::build::{BuildError, BuildJob, Builder, Provision};
use towpath::host::jail::{policy::Policy, users::DEFAULT_FIRST};
use towpath::host::tree;
use towpath::model::{
    AppSettings, Artifact, BuildId, Catalogue, Commit, InstanceSize, LineSink, LineSource, Memory, Timestamp,
};

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LineSink for Lines {
    fn line(&self, source: LineSource, text: &str) {
        self.0.lock().unwrap().push(format!("{} {text}", source.prefix()));
    }
}

impl Lines {
    fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

struct Bench {
    dir: tempfile::TempDir,
    builder: ProcessBuilder,
    log: Lines,
}

fn catalogue() -> Catalogue {
    serde_json::from_str(
        r#"{ "runtimes": [
            { "name": "python3", "wire": "PYTHON_3", "language": "python", "versions": ["3.8", "3.7"], "image": "x" },
            { "name": "python311", "wire": "PYTHON_311", "language": "python", "versions": ["3.11"], "image": "x" },
            { "name": "nodejs18", "wire": "NODEJS_18", "language": "node", "versions": ["18"], "image": "x" },
            { "name": "ruby31", "wire": "RUBY_31", "language": "ruby", "versions": ["3.1"], "image": "x" }
        ] }"#,
    )
    .unwrap()
}

#[allow(clippy::disallowed_methods, reason = "a test looks for the interpreters of the machine that it runs on")]
fn search() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var("PATH").unwrap()).collect()
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let builder = builder(dir.path(), search());
        Self { dir, builder, log: Lines::default() }
    }

    /// With what the machine's own network needs.
    fn online() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut passthrough = towpath::settings::passed_on_to_builds();
        // What is found on the machine is not downloaded, and not kept.
        passthrough.remove("PIP_FIND_LINKS");
        let builder = builder_with(dir.path(), search(), passthrough);
        Self { dir, builder, log: Lines::default() }
    }

    /// A job whose lines are these; `touch` makes its contents differ from those of other jobs.
    async fn job(&self, settings: AppSettings) -> BuildJob {
        let tree = self.dir.path().join(format!("tree-{}", fastrand::u64(..)));
        std::fs::create_dir_all(tree.join("app")).unwrap();
        std::fs::write(tree.join("app/main.py"), "print('hello')\n").unwrap();
        let commit = commit();
        BuildJob {
            login: None,
            id: self.builder.identify(&commit, &settings).await.unwrap(),
            name: "shop".parse().unwrap(),
            commit,
            tree,
            directory: None,
            settings,
            size: InstanceSize::default(),
            deadline: Duration::from_secs(120),
        }
    }

    async fn build(&self, job: BuildJob) -> Result<Artifact, BuildError> {
        self.builder.build(job, &self.log, CancellationToken::new()).await
    }

    fn marker(&self, id: &BuildId) -> String {
        let builds = self.dir.path().join("builds").canonicalize().unwrap();
        format!("TOWPATH_BUILD_DIR={}", builds.join(&id.as_str()[..32]).display())
    }

    fn builds(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.dir.path().join("builds")).unwrap().map(|e| e.unwrap().path()).collect()
    }

    async fn assert_nothing_is_left(&self, id: &BuildId) {
        assert_eq!(self.builder.find(id).await.unwrap(), None);
        assert_eq!(self.builds(), Vec::<PathBuf>::new());
        assert_eq!(tree::marked(&self.marker(id)), []);
    }
}

fn builder(dir: &Path, search: Vec<PathBuf>) -> ProcessBuilder {
    builder_with(dir, search, BTreeMap::from([("HANDED_ON".to_owned(), "yes".to_owned())]))
}

fn builder_with(dir: &Path, search: Vec<PathBuf>, passthrough: BTreeMap<String, String>) -> ProcessBuilder {
    let (builds, cache) = (dir.join("builds"), dir.join("cache"));
    let policy = Policy::of(env!("CARGO_BIN_EXE_towpath").into(), dir, DEFAULT_FIRST).unwrap();
    let (cache_limit, provision) = (Memory(64 << 20), Provision::default());
    let catalogue = catalogue();
    let options =
        ProcessBuilderOptions { builds, cache, cache_limit, catalogue, search, passthrough, provision, policy };
    ProcessBuilder::new(options).unwrap()
}

fn commit() -> Commit {
    let id = "c".repeat(40).parse().unwrap();
    let tree = format!("{:040x}", fastrand::u64(..));
    Commit { id, tree, author: "a".into(), summary: "s".into(), time: Timestamp(0), signed_by: None }
}

fn settings(runtime: &str, build: &[&str]) -> AppSettings {
    AppSettings {
        runtime: runtime.parse().unwrap(),
        runtime_version: None,
        pre_build: vec![],
        build: build.iter().map(|l| (*l).to_owned()).collect(),
        post_build: vec![],
        build_env: BTreeMap::new(),
        pre_run: vec![],
        start: "python app/main.py".into(),
        port: 8080,
        port_env: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        dockerfile: None,
    }
}

/// A runtime without a layout of its own that takes long: the tests about commands use the quickest.
fn node(build: &[&str]) -> AppSettings {
    settings("nodejs18", build)
}

#[tokio::test]
async fn a_python_build_has_its_tools_and_is_found_again() {
    let bench = Bench::new();
    let check =
        "for tool in python python3 pip pip3; do command -v $tool; done; pip --version; python -m compileall app";
    let job = bench.job(settings("python311", &[check])).await;
    let id = job.id.clone();
    let artifact = bench.build(job.clone()).await.unwrap();
    let Artifact::Directory { path, path_prefix, env, .. } = &artifact else { panic!("{artifact:?}") };
    assert!(path.join("app/__pycache__").is_dir());
    let venv = path.parent().unwrap().join("venv");
    assert_eq!(
        (&path_prefix[0], &env[&"VIRTUAL_ENV".parse().unwrap()]),
        (&venv.join("bin"), &venv.display().to_string())
    );
    let log = bench.log.text();
    for tool in ["python", "python3", "pip", "pip3"] {
        assert!(log.contains(&format!("[Build] {}", venv.join("bin").join(tool).display())), "{tool}: {log}");
    }
    assert!(log.contains("[Build] pip ") && log.contains("[AppRunner] Running build commands."), "{log}");

    assert_eq!(bench.builder.find(&id).await.unwrap(), Some(artifact.clone()));
    assert_eq!(bench.builder.list().await.unwrap(), std::slice::from_ref(&id));
    let lines = bench.log.0.lock().unwrap().len();
    let tree = bench.dir.path().join("again");
    std::fs::create_dir(&tree).unwrap();
    assert_eq!(bench.build(BuildJob { tree: tree.clone(), ..job }).await.unwrap(), artifact);
    assert_eq!((bench.log.0.lock().unwrap().len(), tree.exists()), (lines, false), "same inputs, no second build");
    bench.builder.remove(&id).await.unwrap();
    bench.builder.remove(&id).await.unwrap();
    bench.assert_nothing_is_left(&id).await;
}

#[tokio::test]
async fn the_second_python_build_does_not_wait_for_pip() {
    let bench = Bench::new();
    bench.build(bench.job(settings("python311", &["true"])).await).await.unwrap();
    let job = bench.job(settings("python311", &["pip --version && python -c 'import pip'"])).await;
    let began = Instant::now();
    bench.build(job).await.unwrap();
    eprintln!("second build: {:?}", began.elapsed());
    let seeds = std::fs::read_dir(bench.dir.path().join("cache/python")).unwrap().count();
    assert_eq!(seeds, 1, "one seed and no left-over");
}

#[tokio::test]
async fn a_runtime_that_the_host_does_not_have_is_replaced_with_a_notice() {
    let bench = Bench::new();
    let mut wanted = settings("python3", &["true"]);
    bench.build(bench.job(wanted.clone()).await).await.unwrap();
    assert!(bench.log.text().contains("[AppRunner] python3 is 3.8 on App Runner; using 3."), "{}", bench.log.text());
    wanted.runtime_version = Some("3.7.2".parse().unwrap());
    match bench.builder.identify(&commit(), &wanted).await {
        Err(BuildError::Runtime(m)) => assert!(m.contains("python3 3.7.2") && m.contains("Docker engine"), "{m}"),
        other => panic!("{other:?}"),
    }
    wanted.runtime_version = Some("3.11".parse().unwrap());
    let error = bench.builder.identify(&commit(), &wanted).await.unwrap_err().to_string();
    assert!(error.starts_with("The specified runtime version is not supported."), "{error}");
}

#[tokio::test]
async fn a_host_without_the_interpreter_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let builder = builder(dir.path(), vec!["/nowhere".into()]);
    let error = builder.identify(&commit(), &settings("ruby31", &["true"])).await.unwrap_err().to_string();
    assert!(error.contains("found: none") && error.contains("Docker engine"), "{error}");
}

#[tokio::test]
async fn each_line_has_a_shell_of_its_own_at_the_source_with_a_clean_environment() {
    let bench = Bench::new();
    let mut wanted =
        node(&["cd / && export LEAK=1", "ls app && echo leak=$LEAK handed=$HANDED_ON", "false; echo on", "env"]);
    wanted.build_env.insert("MINE".parse().unwrap(), "it's $HOME".into());
    wanted.pre_build = vec!["read line || echo empty input; touch made".into()];
    wanted.post_build = vec!["echo post > left; test -f made".into()];
    let artifact = bench.build(bench.job(wanted).await).await.unwrap();
    let log = bench.log.text();
    for line in ["main.py", "leak= handed=yes", "on", "MINE=it's $HOME", "empty input"] {
        assert!(log.lines().any(|l| l == format!("[Build] {line}")), "{line}: {log}");
    }
    assert!(!log.contains("CARGO"), "towpath's own environment is not handed on");
    let Artifact::Directory { path, env, .. } = artifact else { unreachable!() };
    assert_eq!(std::fs::read_to_string(path.join("left")).unwrap(), "post\n");
    assert!(!env.contains_key(&"MINE".parse().unwrap()), "build.env is not seen at run time");
}

#[tokio::test]
async fn a_failing_line_ends_the_build_and_is_named() {
    let bench = Bench::new();
    let job = bench.job(node(&["echo one", "echo two >&2; exit 3", "echo three"])).await;
    let id = job.id.clone();
    match bench.build(job).await {
        Err(BuildError::Command { phase: "build", command, ended }) => {
            assert_eq!((command.as_str(), ended.as_str()), ("echo two >&2; exit 3", "exited with code 3"));
        }
        other => panic!("{other:?}"),
    }
    let log = bench.log.text();
    assert!(log.contains("[Build] two") && !log.contains("[Build] three"), "{log}");
    bench.assert_nothing_is_left(&id).await;
}

#[tokio::test]
async fn a_build_that_never_ends_is_stopped_with_everything_it_started() {
    let bench = Bench::new();
    let mut job = bench.job(node(&["trap '' TERM; setsid sleep 600 & sleep 600"])).await;
    job.deadline = Duration::from_millis(700);
    let id = job.id.clone();
    let began = Instant::now();
    match bench.build(job).await {
        Err(BuildError::Limit(message)) => assert!(message.contains("700ms"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    bench.assert_nothing_is_left(&id).await;
}

#[tokio::test]
async fn a_gigabyte_of_output_is_stopped_early() {
    let bench = Bench::new();
    let job = bench.job(node(&["head -c 1000000000 /dev/zero | tr '\\0' x"])).await;
    let id = job.id.clone();
    match bench.build(job).await {
        Err(BuildError::Limit(message)) => assert!(message.contains("50 MB"), "{message}"),
        other => panic!("{other:?}"),
    }
    let lengths: Vec<usize> = bench.log.0.lock().unwrap().iter().map(String::len).collect();
    assert!(lengths.iter().all(|length| *length <= (8 << 10) + 20));
    assert!(lengths.iter().sum::<usize>() < 55 << 20);
    bench.assert_nothing_is_left(&id).await;
}

#[tokio::test]
async fn a_cancelled_build_leaves_nothing() {
    let bench = Bench::new();
    let job = bench.job(node(&["setsid sleep 600 & echo begun; sleep 600"])).await;
    let (id, cancel) = (job.id.clone(), CancellationToken::new());
    let cancelled = async {
        while !bench.log.text().contains("[Build] begun") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(bench.builder.build(job, &bench.log, cancel.clone()), cancelled);
    assert!(matches!(outcome, Err(BuildError::Cancelled)), "{outcome:?}");
    bench.assert_nothing_is_left(&id).await;
}

#[tokio::test]
async fn a_build_whose_future_is_dropped_leaves_nothing() {
    let bench = Bench::new();
    let job = bench.job(node(&["setsid sleep 600 & sleep 600"])).await;
    let id = job.id.clone();
    let dropped = tokio::time::timeout(Duration::from_millis(500), bench.build(job)).await;
    assert!(dropped.is_err());
    for _ in 0..200 {
        if bench.builds().is_empty() && tree::marked(&bench.marker(&id)).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bench.assert_nothing_is_left(&id).await;
}

#[tokio::test]
async fn what_a_line_leaves_in_the_background_ends_with_it() {
    let bench = Bench::new();
    let job = bench.job(node(&["setsid sleep 600 & echo done", "true"])).await;
    let id = job.id.clone();
    let began = Instant::now();
    bench.build(job).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "nobody waits for the background");
    assert_eq!(tree::marked(&bench.marker(&id)), []);
}

#[tokio::test]
async fn a_build_that_was_cut_off_or_damaged_is_no_result_and_is_built_again() {
    let bench = Bench::new();
    let job = bench.job(node(&["echo x > made"])).await;
    let id = job.id.clone();
    bench.build(job.clone()).await.unwrap();
    let directory = bench.builds().remove(0);
    for damage in ["", "{\"id\": 3}", "\u{0}"] {
        std::fs::write(directory.join("complete.json"), damage).unwrap();
        assert_eq!(bench.builder.find(&id).await.unwrap(), None);
        assert_eq!(bench.builder.list().await.unwrap(), []);
    }
    std::fs::write(directory.join("src/stale"), "").unwrap();
    let again = bench.job(job.settings.clone()).await;
    bench.build(BuildJob { id: id.clone(), ..again }).await.unwrap();
    assert!(bench.builder.find(&id).await.unwrap().is_some());
    assert!(!directory.join("src/stale").exists());
    std::fs::remove_file(directory.join("complete.json")).unwrap();
    bench.builder.sweep().await.unwrap();
    bench.assert_nothing_is_left(&id).await;
}

#[tokio::test]
async fn system_packages_that_are_there_are_fine_and_others_fail_by_name() {
    let bench = Bench::new();
    let there = node(&["yum install -y tar gzip", "apt-get update && dnf clean all"]);
    bench.build(bench.job(there).await).await.unwrap();
    assert!(bench.log.text().contains("[Build] yum: tar is on this host already"), "{}", bench.log.text());
    let missing = bench.build(bench.job(node(&["yum install -y tar pycairo-devel"])).await).await;
    assert!(matches!(missing, Err(BuildError::Command { .. })), "{missing:?}");
    let log = bench.log.text();
    assert!(log.contains("missing on this host: pycairo-devel") && log.contains("Docker engine"), "{log}");
}

#[tokio::test]
async fn a_node_build_installs_into_its_own_directory() {
    let bench = Bench::new();
    let lines = [
        "mkdir -p node_modules/.bin && printf '#!/bin/sh\\necho tool\\n' > node_modules/.bin/mytool \
        && chmod +x node_modules/.bin/mytool",
        "mytool && node -e 'console.log(6*7)' && npm config get prefix",
    ];
    let artifact = bench.build(bench.job(node(&lines)).await).await.unwrap();
    let Artifact::Directory { path, .. } = artifact else { unreachable!() };
    let prefix = path.parent().unwrap().join("home/.npm-global");
    let log = bench.log.text();
    for line in ["tool", "42", &prefix.display().to_string()] {
        assert!(log.lines().any(|l| l == format!("[Build] {line}")), "{line}: {log}");
    }
}

#[tokio::test]
async fn a_missing_tree_is_an_error_that_names_it() {
    let bench = Bench::new();
    let mut job = bench.job(node(&["true"])).await;
    job.tree = bench.dir.path().join("gone");
    let id = job.id.clone();
    assert!(matches!(bench.build(job).await, Err(BuildError::Io { .. })));
    bench.assert_nothing_is_left(&id).await;
}

#[tokio::test]
async fn two_services_with_equal_contents_build_once() {
    let bench = Bench::new();
    let (one, two) = (bench.job(node(&["echo building; sleep 0.5"])).await, bench.job(node(&["true"])).await);
    let two = BuildJob { id: one.id.clone(), settings: one.settings.clone(), name: "other".parse().unwrap(), ..two };
    let (first, second) = tokio::join!(bench.build(one), bench.build(two));
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!(bench.log.text().matches("[Build] building").count(), 1, "{}", bench.log.text());
}

#[tokio::test]
async fn the_same_build_of_another_installation_is_not_ended() {
    let (ours, theirs) = (Bench::new(), Bench::new());
    let job = ours.job(node(&["sleep 1"])).await;
    let id = job.id.clone();
    let again = BuildJob { tree: theirs.job(node(&["true"])).await.tree, ..job.clone() };
    let (first, second) = tokio::join!(ours.build(job), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        theirs.build(again).await
    });
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    assert!(ours.builder.find(&id).await.unwrap().is_some() && theirs.builder.find(&id).await.unwrap().is_some());
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let entries = entries.map(|e| e.unwrap().path());
    entries.flat_map(|path| if path.is_dir() && !path.is_symlink() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn caches_of_pip_and_npm_full_of_garbage_fail_no_build_for_good() {
    let bench = Bench::online();
    let pip = settings("python311", &["pip install docopt==0.6.2 && python -c 'import docopt'"]);
    let npm = node(&["npm install --no-save left-pad@1.3.0 && node -e 'require(\"left-pad\")'"]);
    for (wanted, cache) in [(pip, "pip"), (npm, "npm")] {
        bench.build(bench.job(wanted.clone()).await).await.unwrap();
        let cache = bench.dir.path().join("cache/services/shop").join(cache);
        let all = files(&cache);
        assert!(!all.is_empty(), "downloads are kept");
        for file in all {
            let length = std::fs::metadata(&file).unwrap().len();
            let user = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&file).unwrap());
            std::fs::remove_file(&file).unwrap();
            std::fs::write(&file, vec![0x5a; usize::try_from(length).unwrap()]).unwrap();
            std::os::unix::fs::chown(&file, Some(user), Some(user)).unwrap();
        }
        bench.build(bench.job(wanted.clone()).await).await.unwrap_or_else(|e| panic!("{e}: {}", bench.log.text()));
        // Files where there should be directories.
        for entry in std::fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                std::fs::remove_dir_all(&entry).unwrap();
                std::fs::write(&entry, "no directory").unwrap();
            }
        }
        bench.build(bench.job(wanted.clone()).await).await.unwrap_or_else(|e| panic!("{e}: {}", bench.log.text()));
    }
}

#[tokio::test]
async fn a_line_that_installs_is_tried_again_once_and_only_with_a_cache_of_earlier_builds() {
    let bench = Bench::new();
    let tries = || bench.log.text().matches("Trying once more").count();
    let failing = "mkdir -p $npm_config_cache && touch $npm_config_cache/x; false # npm ci";
    bench.build(bench.job(node(&[failing])).await).await.unwrap_err();
    assert_eq!(tries(), 0, "what this build brought is not damaged");
    bench.build(bench.job(node(&[failing, "true"])).await).await.unwrap_err();
    assert_eq!(tries(), 1);
    let cache = bench.dir.path().join("cache/services/shop/npm");
    let line = "test ! -e $npm_config_cache/x && mkdir -p $npm_config_cache && touch $npm_config_cache/fresh # npm ci";
    bench.build(bench.job(node(&[line])).await).await.unwrap();
    assert!(tries() == 2 && cache.join("fresh").exists() && !cache.join("x").exists());
    bench.builder.tidy(&["other".parse().unwrap()].into()).await.unwrap();
    assert!(!cache.exists(), "its service is gone");
}

#[tokio::test]
async fn a_cache_stays_below_its_bound() {
    let bench = Bench::new();
    let keep = |megabytes: u32| {
        let line =
            format!("mkdir -p $npm_config_cache && head -c {megabytes}M /dev/zero > $npm_config_cache/{megabytes}");
        node(&[&line])
    };
    let cache = bench.dir.path().join("cache/services/shop/npm");
    bench.build(bench.job(keep(40)).await).await.unwrap();
    assert!(cache.join("40").exists());
    // 64 MB are the bound of this bench.
    bench.build(bench.job(keep(30)).await).await.unwrap();
    assert!(!cache.exists() && cache.parent().unwrap().is_dir());
    bench.build(bench.job(keep(70)).await).await.unwrap();
    assert!(!cache.exists());
    bench.build(bench.job(keep(10)).await).await.unwrap();
    assert!(cache.join("10").exists(), "and is used again");
}

#[tokio::test]
async fn an_interpreter_is_asked_once_until_its_file_changes() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (bin, asked) = (dir.path().join("bin"), dir.path().join("asked"));
    std::fs::create_dir(&bin).unwrap();
    let place = |version: &str| {
        let script = format!("#!/bin/sh\necho x >> {}\necho ruby {version}p0\n", asked.display());
        std::fs::write(bin.join("fresh"), script).unwrap();
        std::fs::set_permissions(bin.join("fresh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(bin.join("fresh"), bin.join("ruby")).unwrap();
    };
    let times = || std::fs::read_to_string(&asked).unwrap_or_default().lines().count();
    let builder = builder(dir.path(), vec![bin.clone(), "/usr/bin".into(), "/bin".into()]);
    let (commit, wanted) = (commit(), settings("ruby31", &["true"]));
    place("3.1.2");
    let first = builder.identify(&commit, &wanted).await.unwrap();
    assert_eq!(builder.identify(&commit, &wanted).await.unwrap(), first);
    assert_eq!(times(), 1);
    place("3.1.20");
    assert_ne!(builder.identify(&commit, &wanted).await.unwrap(), first);
    assert_eq!(times(), 2);
}
