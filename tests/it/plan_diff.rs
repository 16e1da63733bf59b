//! The field diff: nothing that differs is left out, and nothing that does not differ is said.

use crate::plan_builders::{NOON, parse, settings, spec};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use towpath::model::{
    AppSettings, BuildSource, CodeSource, Cpu, DeploySettings, DockerfileBuild, Drift, HealthCheck, HealthProtocol,
    InstanceSize, KeyGroup, Memory, Poll, Reference, Scaling, SecretRef, ServiceSpec, Suspend, Track,
};
use towpath::plan::{diff, rebuilds, replaces};

/// What a changed field leads to (row D4).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leads {
    InPlace,
    ToNewInstances,
    ToABuild,
}
use Leads::{InPlace, ToABuild, ToNewInstances};

type Mutation = (&'static str, Leads, fn(&mut ServiceSpec));

fn credentials() -> towpath::model::RegistryCredentials {
    towpath::model::RegistryCredentials { username: "puller".into(), password: SecretRef::Env("PULL".into()) }
}

fn inline(spec: &mut ServiceSpec) -> &mut AppSettings {
    if let BuildSource::Repository = spec.build {
        spec.build = BuildSource::Inline(Box::new(settings()));
    }
    match &mut spec.build {
        BuildSource::Inline(settings) => settings,
        BuildSource::Repository => unreachable!("it was replaced above"),
    }
}

/// Every field of a declaration, changed. A field added to the model breaks `every_field_has_its_mutation` below.
const MUTATIONS: &[Mutation] = &[
    ("source.repository", ToABuild, |s| s.source.repository = parse("https://git.example/other")),
    ("source.branch", ToABuild, |s| s.source.track.reference = Reference::Branch(parse("release"))),
    ("source.tag", ToABuild, |s| s.source.track.reference = Reference::Tag(parse("v1.2"))),
    ("source.commit", ToABuild, |s| s.source.track.reference = Reference::Commit(parse("3f2a91c"))),
    ("source.key", InPlace, |s| s.source.key = Some("/etc/key".into())),
    ("source.credentials", InPlace, |s| s.source.credentials = Some(Box::new(credentials()))),
    ("source.connection", InPlace, |s| s.source.connection = Some(parse("acme"))),
    ("source.directory", ToABuild, |s| s.source.track.directory = Some(parse("services/web"))),
    ("source.autoDeploy", InPlace, |s| s.source.auto_deploy = !s.source.auto_deploy),
    ("source.report", InPlace, |s| s.source.host.report = !s.source.host.report),
    ("source.requireChecks", InPlace, |s| s.source.host.require_checks = towpath::model::RequiredChecks::All),
    ("source.verify.signedBy", InPlace, |s| {
        s.source.verify.get_or_insert_default().signed_by.push(KeyGroup { name: "team".into(), keys: vec![] });
    }),
    ("source.verify.fastForwardOnly", InPlace, |s| {
        s.source.verify.get_or_insert_default().fast_forward_only = true;
    }),
    ("source.poll", InPlace, |s| s.source.poll = Some(Box::new(Poll::Every(Duration::from_secs(60))))),
    ("dependsOn", InPlace, |s| s.restraint.depends_on.push(parse("orders"))),
    ("drift", InPlace, |s| s.restraint.drift = Drift::Report),
    ("instance.cpu", ToNewInstances, |s| s.instance.cpu = Cpu(250)),
    ("instance.memory", ToNewInstances, |s| s.instance.memory = Memory(s.instance.memory.0 + 1)),
    ("instance.storage", ToNewInstances, |s| s.instance.storage = Some(Memory(1 << 30))),
    ("env.LEVEL", ToNewInstances, |s| drop(s.env.insert(parse("LEVEL"), "debug".into()))),
    ("secrets.KEY", ToNewInstances, |s| drop(s.secrets.insert(parse("KEY"), SecretRef::Env("K".into())))),
    ("health.protocol", InPlace, |s| s.health.protocol = HealthProtocol::Http),
    ("health.path", InPlace, |s| s.health.path = "/healthz".into()),
    ("health.interval", InPlace, |s| s.health.interval_seconds += 1),
    ("health.timeout", InPlace, |s| s.health.timeout_seconds += 1),
    ("health.healthyThreshold", InPlace, |s| s.health.healthy_threshold += 1),
    ("health.unhealthyThreshold", InPlace, |s| s.health.unhealthy_threshold += 1),
    ("autoscaling.maxConcurrency", InPlace, |s| s.scaling.max_concurrency += 1),
    ("autoscaling.minSize", InPlace, |s| s.scaling.min_size += 1),
    ("autoscaling.maxSize", InPlace, |s| s.scaling.max_size += 1),
    ("deploy.drain", InPlace, |s| s.deploy.drain += Duration::from_nanos(1)),
    ("deploy.release", InPlace, |s| s.deploy.release.push("./migrate".into())),
    ("deploy.releaseDeadline", InPlace, |s| s.deploy.release_deadline += Duration::from_millis(1)),
    ("deploy.startDeadline", InPlace, |s| s.deploy.start_deadline += Duration::from_millis(1)),
    ("deploy.buildDeadline", InPlace, |s| s.deploy.build_deadline += Duration::from_secs(60)),
    ("tags.team", InPlace, |s| drop(s.tags.insert("team".into(), "web".into()))),
    ("build", ToABuild, |s| s.build = BuildSource::Repository),
    ("build.runtime", ToABuild, |s| inline(s).runtime = parse("nodejs18")),
    ("build.runtimeVersion", ToABuild, |s| inline(s).runtime_version = Some(parse("3.11"))),
    ("build.preBuild", ToABuild, |s| inline(s).pre_build.push("make".into())),
    ("build.command", ToABuild, |s| inline(s).build.push("make".into())),
    ("build.postBuild", ToABuild, |s| inline(s).post_build.push("make".into())),
    ("build.buildEnv.A", ToABuild, |s| drop(inline(s).build_env.insert(parse("A"), "1".into()))),
    ("build.preRun", ToABuild, |s| inline(s).pre_run.push("make".into())),
    ("build.start", ToNewInstances, |s| inline(s).start.push_str(" --fast")),
    ("build.port", ToNewInstances, |s| inline(s).port += 1),
    ("build.portEnv", ToNewInstances, |s| inline(s).port_env = Some(parse("HTTP_PORT"))),
    ("build.env.B", ToNewInstances, |s| drop(inline(s).env.insert(parse("B"), "1".into()))),
    ("build.dockerfile", ToABuild, |s| inline(s).dockerfile = Some(Box::new(dockerfile("Dockerfile")))),
    ("build.secrets.C", ToNewInstances, |s| drop(inline(s).secrets.insert(parse("C"), "arn".into()))),
];

/// How many fields a declaration has; does not compile when the model gets one more.
fn count_fields(spec: &ServiceSpec, settings: &AppSettings) -> usize {
    let ServiceSpec {
        name: _,
        source,
        build: _,
        instance,
        env: _,
        secrets: _,
        health,
        scaling,
        deploy,
        tags: _,
        restraint,
        wire: _,
        preview: _,
    } = spec;
    let towpath::model::Restraint { suspend: _, depends_on: _, drift: _ } = restraint;
    let CodeSource {
        repository: _,
        track,
        key: _,
        connection: _,
        credentials: _,
        auto_deploy: _,
        verify: _,
        poll: _,
        host: _,
    } = source;
    let Track { reference: _, directory: _ } = track;
    let InstanceSize { cpu: _, memory: _, storage: _ } = instance;
    let HealthCheck {
        protocol: _,
        path: _,
        interval_seconds: _,
        timeout_seconds: _,
        healthy_threshold: _,
        unhealthy_threshold: _,
    } = health;
    let Scaling { max_concurrency: _, min_size: _, max_size: _ } = scaling;
    let DeploySettings { drain: _, start_deadline: _, build_deadline: _, release: _, release_deadline: _ } = deploy;
    let AppSettings {
        runtime: _,
        runtime_version: _,
        pre_build: _,
        build: _,
        post_build: _,
        build_env: _,
        pre_run: _,
        start: _,
        port: _,
        port_env: _,
        env: _,
        secrets: _,
        dockerfile: _,
    } = settings;
    // Of the declaration itself: build, env, secrets, tags; its name makes another service. A reference is a branch, a tag
    // or a commit; what is asked of a commit is who signed it, and its history. A suspension's two come and go together, below.
    4 + (12 + 2) + 2 + 3 + 6 + 3 + 5 + 13
}

#[test]
fn every_field_has_its_mutation() {
    assert_eq!(MUTATIONS.len(), count_fields(&spec("shop"), &settings()));
}

#[test]
fn every_field_that_differs_is_named_once_and_leads_where_it_should() {
    let before = spec("shop");
    for (field, leads, mutate) in MUTATIONS {
        let mut after = before.clone();
        mutate(&mut after);
        let fields: Vec<String> = diff(&before, &after).into_iter().map(|f| f.field).collect();
        assert_eq!(fields, [*field]);
        assert_eq!(replaces(&before, &after), *leads != InPlace, "{field}");
        assert_eq!(rebuilds(&before, &after), *leads == ToABuild, "{field}");
    }
}

fn dockerfile(path: &str) -> DockerfileBuild {
    DockerfileBuild { path: parse(path), context: None, target: None, args: BTreeMap::new() }
}

#[test]
fn a_suspension_is_shown_with_its_end_and_its_reason_and_replaces_nothing() {
    let before = spec("shop");
    let mut after = before.clone();
    let suspend = Suspend { until: NOON, reason: "stocktaking".into() };
    after.restraint.suspend = Some(suspend);
    let shown: Vec<(String, Option<String>)> = diff(&before, &after).into_iter().map(|f| (f.field, f.to)).collect();
    let expected = [("suspend.until", NOON.to_string()), ("suspend.reason", "\"stocktaking\"".into())];
    assert_eq!(shown, expected.map(|(field, to)| (field.to_owned(), Some(to))));
    assert!(!replaces(&before, &after));
}

#[test]
fn every_part_of_a_dockerfile_build_is_named_and_leads_to_a_build() {
    type Part = (&'static str, fn(&mut DockerfileBuild));
    let parts: [Part; 4] = [
        ("build.dockerfile", |d| d.path = parse("docker/Dockerfile")),
        ("build.context", |d| d.context = Some(parse("web"))),
        ("build.target", |d| d.target = Some("final".into())),
        ("build.args.VERSION", |d| drop(d.args.insert(parse("VERSION"), "2".into()))),
    ];
    let mut before = spec("shop");
    inline(&mut before).dockerfile = Some(Box::new(dockerfile("Dockerfile")));
    for (field, mutate) in parts {
        let mut after = before.clone();
        mutate(inline(&mut after).dockerfile.as_mut().unwrap());
        assert_eq!(diff(&before, &after).into_iter().map(|f| f.field).collect::<Vec<_>>(), [field]);
        assert!(rebuilds(&before, &after), "{field}");
    }
}

#[test]
fn a_secret_is_shown_as_its_reference() {
    let before = spec("shop");
    let mut after = before.clone();
    after.secrets.insert(parse("DB"), SecretRef::File("/run/db".into()));
    let fields = diff(&before, &after);
    assert_eq!((fields[0].from.as_deref(), fields[0].to.as_deref()), (None, Some("file /run/db")));
}

proptest! {
    #[test]
    fn equal_declarations_have_no_difference_and_different_ones_always_have(
        mutations in proptest::sample::subsequence((0..MUTATIONS.len()).collect::<Vec<_>>(), 0..8),
        more in proptest::sample::subsequence((0..MUTATIONS.len()).collect::<Vec<_>>(), 0..8),
        (one, other) in (".{0,12}", ".{0,12}"),
    ) {
        let make = |which: &[usize], text: &str| {
            let mut made = spec("shop");
            which.iter().for_each(|i| (MUTATIONS[*i].2)(&mut made));
            made.env.insert(parse("TEXT"), text.to_owned());
            made.tags.insert("text".into(), text.to_owned());
            made
        };
        let (a, b) = (make(&mutations, &one), make(&more, &other));
        prop_assert!(diff(&a, &a).is_empty());
        prop_assert_eq!(diff(&a, &b).is_empty(), a == b);
        let turned: Vec<_> = diff(&b, &a).into_iter().map(|f| (f.field, f.to, f.from)).collect();
        let straight: Vec<_> = diff(&a, &b).into_iter().map(|f| (f.field, f.from, f.to)).collect();
        prop_assert_eq!(turned, straight);
    }

    #[test]
    fn no_value_brings_a_control_character_into_a_diff(text in any::<String>()) {
        let before = spec("shop");
        let mut after = before.clone();
        after.env.insert(parse("TEXT"), text);
        for field in diff(&before, &after) {
            prop_assert!(!field.to.unwrap_or_default().chars().any(char::is_control));
        }
    }
}
