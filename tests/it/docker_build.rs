//! Builds on a real Docker engine, by both of its builders.

use crate::authority::Company;
use crate::docker::{IMAGE, Lab};
use crate::proxy::Proxy;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use towpath::build::docker::{Backend, DockerBuilder, DockerBuilderOptions};
use towpath::build::{BuildError, BuildJob, Builder, Provision};
use towpath::engine::Engine;
use towpath::engine::docker::{DockerEngine, Reach};
use towpath::model::{
    AppSettings, Artifact, BuildId, BuildNetwork, Catalogue, Commit, Digest, DockerfileBuild, InstanceId, InstanceSize,
    InstanceSpec, InstanceState, LineSink, LineSource, RevisionNumber, Secret, ServiceId, StartCommand, Timestamp,
};

pub const BOTH: [Backend; 2] = [Backend::BuildKit, Backend::Classic];

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LineSink for Lines {
    fn line(&self, source: LineSource, text: &str) {
        self.0.lock().unwrap().push(format!("{} {text}", source.prefix()));
    }
}

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

async fn builder(lab: &Lab, backend: Backend) -> DockerBuilder {
    guarded_builder(lab, backend, None).await
}

pub async fn guarded_builder(lab: &Lab, backend: Backend, network: Option<Arc<dyn BuildNetwork>>) -> DockerBuilder {
    provided_builder(lab, backend, network, Provision::default()).await
}

async fn provided_builder(
    lab: &Lab,
    backend: Backend,
    network: Option<Arc<dyn BuildNetwork>>,
    provision: Provision,
) -> DockerBuilder {
    let options = DockerBuilderOptions {
        host: lab.host.clone(),
        installation: lab.installation.clone(),
        catalogue: Catalogue::builtin(),
        images: BTreeMap::from([("python3".parse().unwrap(), IMAGE.to_owned())]),
        provision,
        backend,
        network,
    };
    DockerBuilder::connect(options).await.unwrap()
}

/// A line that no run of these tests had before, so that it is not in a cache.
pub fn unique() -> String {
    let mut random = [0; 16];
    getrandom::fill(&mut random).unwrap();
    format!(": {}", InstanceId::from_random(random))
}

pub fn settings(build: &[&str]) -> AppSettings {
    AppSettings {
        runtime: "python3".parse().unwrap(),
        runtime_version: None,
        pre_build: Vec::new(),
        build: build.iter().map(|line| (*line).to_owned()).collect(),
        post_build: Vec::new(),
        build_env: BTreeMap::from([("BUILD_ONLY".parse().unwrap(), "b $x \"q\"".to_owned())]),
        pre_run: Vec::new(),
        start: "cat out".into(),
        port: 8080,
        port_env: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        dockerfile: None,
    }
}

fn commit(tree: &str) -> Commit {
    Commit {
        id: "0".repeat(40).parse().unwrap(),
        tree: tree.into(),
        author: "a".into(),
        summary: "s".into(),
        time: Timestamp(0),
        signed_by: None,
    }
}

fn tree(lab: &Lab) -> PathBuf {
    let tree = lab.directory.path().join("tree");
    std::fs::create_dir_all(tree.join(".git")).unwrap();
    std::fs::write(tree.join("hello.txt"), "hello\n").unwrap();
    std::fs::write(tree.join(".dockerignore"), "*\n").unwrap();
    tree
}

fn job(lab: &Lab, id: BuildId, settings: AppSettings) -> BuildJob {
    BuildJob {
        login: None,
        id,
        name: "My_Shop-".parse().unwrap(),
        commit: commit("t"),
        tree: tree(lab),
        directory: None,
        settings,
        size: InstanceSize::default(),
        deadline: Duration::from_secs(120),
    }
}

pub async fn run(
    lab: &Lab,
    builder: &DockerBuilder,
    settings: AppSettings,
) -> (Result<Artifact, BuildError>, Vec<String>, BuildId) {
    let lines = Lines::default();
    let id = builder.identify(&commit("t"), &settings).await.unwrap();
    let built = builder.build(job(lab, id.clone(), settings), &lines, CancellationToken::new()).await;
    (built, lines.take(), id)
}

/// Runs an image's command to its end and gives its output.
async fn output_of(lab: &Lab, image: Artifact, words: &[&str]) -> String {
    let engine = DockerEngine::connect(&lab.host, lab.installation.clone(), Reach::Auto).await.unwrap();
    let spec = InstanceSpec {
        purpose: towpath::model::Purpose::Serve,
        id: lab.installation.as_str().parse().unwrap(),
        service: ServiceId::from_random([2; 16]),
        name: "shop".parse().unwrap(),
        revision: RevisionNumber(1),
        config: Digest::of(&"c"),
        artifact: image,
        pre_run: Vec::new(),
        command: StartCommand::Words(words.iter().map(|w| (*w).to_owned()).collect()),
        env: BTreeMap::new(),
        port: 8080,
        sole: true,
        port_env: Vec::new(),
        size: InstanceSize::default(),
        input: towpath::model::Input::Empty,
        log: lab.directory.path().join("out.log"),
    };
    engine.start(&spec).await.unwrap();
    for _ in 0..100 {
        if let InstanceState::Exited { .. } = engine.observe().await.unwrap()[0].state {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    engine.remove(&spec.id).await.unwrap();
    tokio::fs::read_to_string(&spec.log).await.unwrap()
}

#[tokio::test]
async fn a_build_makes_an_image_that_is_found_listed_run_and_removed() {
    // Alone: the classic builder's cache is missed when another test makes the same first layers meanwhile.
    let Some(lab) = Lab::open(true) else { return };
    an_image_is_made_found_listed_run_and_removed(&lab, &BOTH).await;
}

/// The same on any engine, asked of these builders.
pub async fn an_image_is_made_found_listed_run_and_removed(lab: &Lab, backends: &[Backend]) {
    for backend in backends.iter().copied() {
        let builder = builder(lab, backend).await;
        let mut settings = settings(&["cat hello.txt; echo \"$BUILD_ONLY\" > out; export GONE=1; cd /tmp"]);
        settings.pre_build = vec![unique(), "ls -a && echo to-stderr >&2".into()];
        settings.post_build = vec!["pwd; echo \"[$GONE]\"; which python3 pip".into()];
        let (built, lines, id) = run(lab, &builder, settings.clone()).await;
        let artifact = built.unwrap();
        for wanted in [
            "[AppRunner] Running 'pre-build' command: ls -a && echo to-stderr >&2",
            "[Build] to-stderr",
            "[Build] hello",
            "[Build] /app",
            "[Build] []",
            "[Build] /opt/venv/bin/pip",
            "[Build] .dockerignore",
        ] {
            assert!(lines.iter().any(|line| line == wanted), "{backend:?}: no {wanted:?} in {lines:#?}");
        }
        assert!(!lines.iter().any(|l| l.contains(".git") || l.contains("Step ") || l.contains("--->")), "{lines:#?}");
        assert_eq!(builder.find(&id).await.unwrap().as_ref(), Some(&artifact));
        assert_eq!(builder.list().await.unwrap(), std::slice::from_ref(&id));

        let output =
            output_of(lab, artifact, &["sh", "-c", "cat out; echo \"[$BUILD_ONLY]\"; command -v python3"]).await;
        let lines: Vec<&str> = output.lines().map(|l| l.split_once("Z ").unwrap().1).collect();
        assert_eq!(lines, ["b $x \"q\"", "[]", "/opt/venv/bin/python3"], "build variables end with the build");
        std::fs::remove_file(lab.directory.path().join("out.log")).unwrap();

        let (again, lines, _) = run(lab, &builder, settings).await;
        again.unwrap();
        assert!(lines.iter().all(|l| l.ends_with("(unchanged, from the cache)")), "{backend:?}: {lines:#?}");
        builder.remove(&id).await.unwrap();
        builder.remove(&id).await.unwrap();
        assert_eq!((builder.find(&id).await.unwrap(), builder.list().await.unwrap()), (None, vec![]));
    }
}

#[tokio::test]
async fn a_failing_command_is_named_with_its_phase_and_leaves_no_image() {
    let Some(lab) = Lab::open(false) else { return };
    a_failing_command_is_named(&lab, &BOTH).await;
}

/// The same on any engine, asked of these builders.
pub async fn a_failing_command_is_named(lab: &Lab, backends: &[Backend]) {
    for backend in backends.iter().copied() {
        let builder = builder(lab, backend).await;
        let mut settings = settings(&[&unique(), "echo before; exit 3"]);
        settings.post_build = vec!["echo never".into()];
        let (built, lines, id) = run(lab, &builder, settings).await;
        match built {
            Err(BuildError::Command { phase: "build", command, ended }) => {
                assert_eq!((command.as_str(), ended.as_str()), ("echo before; exit 3", "exited with code 3"));
            }
            other => panic!("{backend:?}: {other:?}"),
        }
        assert!(lines.contains(&"[Build] before".into()) && !lines.iter().any(|l| l.contains("never")), "{lines:#?}");
        assert_eq!(builder.find(&id).await.unwrap(), None);
    }
}

/// Whether a process with this argument runs on the host.
pub fn runs(argument: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        words.split(|b| *b == 0).any(|word| word == argument.as_bytes()) && words.starts_with(b"sleep")
    })
}

pub async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many containers, ended ones too, have this text in their command.
async fn containers_with(lab: &Lab, text: &str) -> usize {
    let all = bollard::query_parameters::ListContainersOptionsBuilder::default().all(true).build();
    let found = lab.docker.list_containers(Some(all)).await.unwrap();
    found.iter().filter(|container| container.command.as_ref().is_some_and(|command| command.contains(text))).count()
}

#[tokio::test]
async fn a_cancelled_build_ends_on_the_engine_too() {
    let Some(lab) = Lab::open(false) else { return };
    a_cancelled_build_ends(&lab, &[(Backend::BuildKit, "30187"), (Backend::Classic, "30188")]).await;
}

/// The same on any engine, asked of these builders, each of which sleeps so many seconds.
pub async fn a_cancelled_build_ends(lab: &Lab, backends: &[(Backend, &str)]) {
    for (backend, seconds) in backends.iter().copied() {
        let builder = builder(lab, backend).await;
        let settings = settings(&[&format!("sleep {seconds}")]);
        let id = builder.identify(&commit("t"), &settings).await.unwrap();
        let (cancel, lines) = (CancellationToken::new(), Lines::default());
        let canceller = async {
            wait_until("the build runs", || runs(seconds)).await;
            cancel.cancel();
        };
        let (built, ()) =
            tokio::join!(builder.build(job(lab, id.clone(), settings), &lines, cancel.clone()), canceller);
        assert!(matches!(built, Err(BuildError::Cancelled)), "{backend:?}: {built:?}");
        wait_until("the command ended", || !runs(seconds)).await;
        assert_eq!(builder.find(&id).await.unwrap(), None);
        // The classic builder's containers are ordinary ones.
        let mut left = containers_with(lab, seconds).await;
        for _ in 0..50 {
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            left = containers_with(lab, seconds).await;
        }
        assert_eq!(left, 0, "{backend:?}: no container is left");
    }
}

#[tokio::test]
async fn a_build_that_takes_or_prints_too_much_is_stopped() {
    let Some(lab) = Lab::open(false) else { return };
    let slow = builder(&lab, Backend::BuildKit).await;
    let settings_slow = settings(&["sleep 30189"]);
    let mut job_slow = job(&lab, slow.identify(&commit("t"), &settings_slow).await.unwrap(), settings_slow);
    job_slow.deadline = Duration::from_secs(3);
    let built = slow.build(job_slow, &Lines::default(), CancellationToken::new()).await;
    assert!(matches!(&built, Err(BuildError::Limit(text)) if text.contains("longer than 3 s")), "{built:?}");

    let loud = builder(&lab, Backend::Classic).await;
    let (built, lines, _) =
        run(&lab, &loud, settings(&[&unique(), "yes 0123456789012345678901234567890123456789"])).await;
    assert!(matches!(&built, Err(BuildError::Limit(text)) if text.contains("64 MB")), "{built:?}");
    assert!(lines.iter().map(String::len).sum::<usize>() < 100 << 20);
    wait_until("the loud command ended", || !runs("30189")).await;
}

#[tokio::test]
async fn the_id_follows_tree_settings_and_base_image() {
    let Some(lab) = Lab::open(false) else { return };
    let builder = builder(&lab, Backend::BuildKit).await;
    let id = async |tree: &str, settings: AppSettings| builder.identify(&commit(tree), &settings).await.unwrap();
    let one = id("t", settings(&["x"])).await;
    assert_eq!(id("t", AppSettings { start: "other".into(), port: 1, ..settings(&["x"]) }).await, one);
    assert_ne!(id("u", settings(&["x"])).await, one);
    assert_ne!(id("t", settings(&["y"])).await, one);
    let error = builder
        .identify(&commit("t"), &AppSettings { runtime: "nodejs18".parse().unwrap(), ..settings(&["x"]) })
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("`docker.io/library/node:18-bookworm`") && error.contains("docker load"), "{error}");
}

#[tokio::test]
async fn lines_written_for_amazon_linux_work_on_a_debian_base() {
    let Some(lab) = Lab::open(false) else { return };
    let builder = builder(&lab, Backend::BuildKit).await;
    let lines = [
        "sudo -E yum install -y libyaml-devel git && dpkg -s libyaml-dev | grep ^Status",
        "source /dev/null && [[ -n $BASH_VERSION ]] && echo it is bash",
        "echo -e 'one\\ttwo'",
        "amazon-linux-extras enable python3.8 && yum clean all",
    ];
    let (built, log, _) = run(&lab, &builder, settings(&lines)).await;
    for wanted in ["[Build] Status: install ok installed", "[Build] it is bash", "[Build] one\ttwo"] {
        assert!(log.iter().any(|line| line == wanted), "{wanted}: {log:#?}");
    }
    built.unwrap();
    let (built, log, _) = run(&lab, &builder, settings(&["yum install -y no-such-thing-devel"])).await;
    assert!(matches!(built, Err(BuildError::Command { .. })), "{built:?}");
    assert!(log.iter().any(|line| line.contains("no Debian package is known for `no-such-thing-devel`")), "{log:#?}");
}

#[tokio::test]
async fn no_process_of_a_build_takes_more_memory_than_it_may() {
    let Some(lab) = Lab::open(false) else { return };
    let builder = builder(&lab, Backend::BuildKit).await;
    // Asked for and not used: a `bytearray` is written to, and on a machine with less to spare than it takes the kernel
    // killed it, or somebody else.
    // A second between the two: BuildKit hands both streams on without an order, and one line in the middle of another.
    let script = "import mmap, time; ask = lambda gigabytes: mmap.mmap(-1, gigabytes << 30, flags=mmap.MAP_PRIVATE | \
                  mmap.MAP_ANONYMOUS); ask(3); print(\"three fit\", flush=True); time.sleep(1); ask(5)";
    let line = format!("python3 -c '{script}'");
    let (built, log, _) = run(&lab, &builder, settings(&[&unique(), &line])).await;
    assert!(matches!(built, Err(BuildError::Command { .. })), "{built:?}");
    for wanted in ["[Build] three fit", "Cannot allocate memory"] {
        assert!(log.iter().any(|line| line.contains(wanted)), "{wanted}: {log:#?}");
    }
    let raised = "ulimit -d unlimited || echo kept";
    let (built, log, _) = run(&lab, &builder, settings(&[&unique(), raised])).await;
    built.unwrap();
    assert!(log.iter().any(|line| line == "[Build] kept"), "{log:#?}");
}

/// What the kernel thinks that it can give, in bytes.
fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Four processes, none of which has too much.
const TWO: &str = "import subprocess, sys; p = [subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(2); \
                   b = bytearray(b\"x\") * (3 << 29); time.sleep(20)']) for _ in range(4)]; \
                   sys.exit(any(x.wait() for x in p))";

#[tokio::test]
async fn all_processes_of_a_build_together_are_held_to_its_memory_and_its_cpu() {
    let Some(lab) = Lab::open(false) else { return };
    if !towpath::host::cgroup::limits_enforced() {
        eprintln!("SKIPPED: control groups cannot be written here");
        return;
    }
    let builder = builder(&lab, Backend::BuildKit).await;
    // Four with 1.5 GB each, where 4 GB are allowed; these are really taken.
    if available_memory() < 8 << 30 {
        eprintln!("SKIPPED: this machine has no 8 GB to spare for a build that takes too much");
        return;
    }
    let line = format!("python3 -c {}", shlex::try_quote(TWO).unwrap());
    let (built, log, _) = run(&lab, &builder, settings(&[&unique(), &line])).await;
    match built {
        Err(BuildError::Command { ended, .. }) => assert!(ended.starts_with("ran out of memory (4 GB)"), "{ended}"),
        other => panic!("{other:?}: {log:#?}"),
    }
    // Two that are busy for four seconds get no more than one CPU between them.
    let busy = "import os, time; time.sleep(1); os.fork(); b = time.time(); [0 for _ in iter(lambda: time.time() < b + 4, \
                False)]; print('CPU %d ms' % (time.process_time() * 1000), flush=True)";
    let (built, log, _) = run(
        &lab,
        &builder,
        settings(&[&unique(), &format!("python3 -c {}; sleep 1", shlex::try_quote(busy).unwrap())]),
    )
    .await;
    built.unwrap();
    let used = |line: &String| line.strip_prefix("[Build] CPU ")?.strip_suffix(" ms")?.parse::<u64>().ok();
    let used: Vec<u64> = log.iter().filter_map(used).collect();
    assert!(used.len() == 2 && used.iter().sum::<u64>() < 5500, "{used:?} {log:#?}");
}

#[tokio::test]
async fn the_first_builder_trusts_authorities_and_goes_through_the_proxy_and_leaves_neither_in_the_image() {
    let Some(lab) = Lab::open(false) else { return };
    authorities_and_proxy_are_for_the_build_only(&lab, &[Backend::Classic]).await;
}

/// The same on any engine, asked of these builders.
pub async fn authorities_and_proxy_are_for_the_build_only(lab: &Lab, backends: &[Backend]) {
    for backend in backends.iter().copied() {
        authorities_and_proxy(lab, backend).await;
    }
}

async fn authorities_and_proxy(lab: &Lab, backend: Backend) {
    let (company, proxy) = (Company::open(), Proxy::open());
    let SocketAddr::V4(address) = proxy.address else { panic!("an address of version 4") };
    let engine = DockerEngine::connect(&lab.host, lab.installation.clone(), Reach::Auto).await.unwrap();
    let engine = Arc::new(engine.with_reach_of_builds(vec![address]));
    let proxies = ["http_proxy", "https_proxy"].map(|name| (name.to_owned(), Secret::new(proxy.url())));
    let provision =
        Provision { authorities: Some(company.authority()), proxies: proxies.into(), ..Provision::default() };
    let builder = provided_builder(lab, backend, Some(engine.clone()), provision).await;
    let lines: Vec<String> =
        company.fetching().into_iter().filter(|(l, _)| !l.contains("git/app")).map(|(l, _)| l).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (built, log, id) = run(lab, &builder, settings(&[&[unique().as_str()], &lines[..]].concat())).await;
    let artifact = built.unwrap_or_else(|error| panic!("{error:?}: {log:#?}"));
    for (_, wanted) in company.fetching().iter().take(3) {
        assert!(log.iter().any(|line| line == &format!("[Build] {wanted}")), "{wanted}: {log:#?}");
    }
    assert!(proxy.asked().len() >= 3, "{:?}", proxy.asked());
    let left = output_of(lab, artifact, &["sh", "-c", "ls /run/towpath; env"]).await;
    assert!(left.contains("No such file") && !left.contains("hunter2") && !left.contains("certificates.pem"), "{left}");
    builder.remove(&id).await.unwrap();
    engine.dismantle().await.unwrap();
}

/// Settings of a repository's own Dockerfile with this text, and the job that builds it.
async fn own(lab: &Lab, builder: &DockerBuilder, dockerfile: &str) -> BuildJob {
    let build =
        DockerfileBuild { path: "Dockerfile".parse().unwrap(), target: None, context: None, args: BTreeMap::new() };
    let settings = AppSettings { dockerfile: Some(Box::new(build)), build_env: BTreeMap::new(), ..settings(&[]) };
    let commit = commit(&unique());
    let id = builder.identify(&commit, &settings).await.unwrap();
    let job = BuildJob { commit, ..job(lab, id, settings) };
    std::fs::write(job.tree.join("Dockerfile"), dockerfile).unwrap();
    std::fs::write(job.tree.join(".dockerignore"), "").unwrap();
    job
}

#[tokio::test]
async fn a_dockerfile_of_the_repository_is_built_by_both_builders_and_failures_name_line_and_step() {
    let Some(lab) = Lab::open(false) else { return };
    a_dockerfile_is_built_and_its_failures_named(&lab, &BOTH).await;
}

/// The same on any engine, asked of these builders.
pub async fn a_dockerfile_is_built_and_its_failures_named(lab: &Lab, backends: &[Backend]) {
    for backend in backends.iter().copied() {
        let (builder, lines) = (builder(lab, backend).await, Lines::default());
        let build = async |job: BuildJob| builder.build(job, &lines, CancellationToken::new()).await;
        // In both stages: what the second one copies is the same in every run, and would come from the cache.
        let fresh = unique();
        let good = format!(
            "ARG BASE={IMAGE}\nFROM $BASE AS made\nWORKDIR /w\nCOPY hello.txt .\nRUN cat hello.txt > made && {fresh}\n\
             FROM {IMAGE}\nCOPY --from=made /w/made /made\nRUN cat /made && {fresh}\n"
        );
        build(own(lab, &builder, &good).await).await.unwrap();
        let log = lines.take();
        assert!(log.iter().any(|line| line == "[Build] hello"), "{backend:?}: {log:#?}");
        assert!(log.iter().any(|line| line.starts_with("[AppRunner] Dockerfile:8: RUN cat /made")), "{log:#?}");

        let bad = format!("FROM {IMAGE}\n# why not\nRUN {}\nRUN echo so far; \\\n    exit 9\nRUN true\n", unique());
        let job = own(lab, &builder, &bad).await;
        let id = job.id.clone();
        match build(job).await {
            Err(BuildError::Command { command, ended, .. }) => {
                assert!(command.starts_with("RUN echo so far;"), "{command}");
                assert!(ended.contains("(Dockerfile:4) exited with code 9") && ended.contains("so far"), "{ended}");
            }
            other => panic!("{backend:?}: {other:?}"),
        }
        assert_eq!(builder.find(&id).await.unwrap(), None);
        lines.take();
    }
}

#[tokio::test]
async fn a_dockerfile_gets_neither_the_hosts_network_nor_its_privileges() {
    let Some(lab) = Lab::open(false) else { return };
    a_dockerfile_gets_no_network_of_the_host(&lab, &[Backend::BuildKit]).await;
}

/// The same on any engine, asked of these builders.
pub async fn a_dockerfile_gets_no_network_of_the_host(lab: &Lab, backends: &[Backend]) {
    for backend in backends.iter().copied() {
        no_network_of_the_host(lab, backend).await;
    }
}

async fn no_network_of_the_host(lab: &Lab, backend: Backend) {
    let (builder, lines) = (builder(lab, backend).await, Lines::default());
    for option in ["--network=host", "--security=insecure"] {
        let text = format!("FROM {IMAGE}\nRUN {option} true && {}\n", unique());
        let built = builder.build(own(lab, &builder, &text).await, &lines, CancellationToken::new()).await;
        let error = built.unwrap_err();
        assert!(!matches!(error, BuildError::Unreachable(_) | BuildError::Io { .. }), "{option}: {error:?}");
    }
    let text = format!("FROM {IMAGE}\nRUN ls /run/docker.sock /var/run/docker.sock; env; {}\n", unique());
    builder.build(own(lab, &builder, &text).await, &lines, CancellationToken::new()).await.unwrap();
    let log = lines.take().join("\n");
    assert_eq!(log.matches("No such file or directory").count(), 2, "{log}");
}
