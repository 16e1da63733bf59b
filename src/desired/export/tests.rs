use super::*;
use crate::desired::{Parsed, parse_manifest};
use crate::model::{Catalogue, Severity};
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;

fn read(text: &str) -> Vec<ServiceSpec> {
    let Parsed { value, problems } = parse_manifest("towpath.yaml", Path::new("/srv"), text, &Catalogue::builtin());
    let errors: Vec<_> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    value.unwrap().services.into_iter().map(|s| s.spec).collect()
}

fn written(spec: &ServiceSpec, sealed: &SealedTexts) -> String {
    let written = export(&[Exported { spec, remark: None }], sealed, &Connections::new());
    assert_eq!(written.lost, Vec::<String>::new());
    written.text
}

const SHORT: &str =
    "services:\n  shop:\n    source: { repository: https://github.com/acme/shop }\n    build: apprunner.yaml\n";

#[test]
fn what_is_as_if_nothing_was_said_is_not_said() {
    let spec = read(SHORT).remove(0);
    let text = written(&spec, &SealedTexts::new());
    let expected =
        "services:\n  shop:\n    source:\n      repository: https://github.com/acme/shop\n    build: apprunner.yaml\n";
    assert_eq!(text.split_once('\n').unwrap().1, expected);
}

#[test]
fn what_the_reference_shows_is_written_and_read_back() {
    for block in include_str!("../../../docs/manifest.md").split("```yaml manifest\n").skip(1) {
        let block = block.split("\n```").next().unwrap();
        for spec in read(block) {
            assert_eq!(read(&written(&spec, &SealedTexts::new())), [spec]);
        }
    }
}

#[test]
fn a_connection_is_written_with_what_it_gets_in_by_and_read_back() {
    let text = include_str!("../../../fixtures/manifest/good-connections.yaml");
    let parsed = parse_manifest("towpath.yaml", Path::new("/srv"), text, &Catalogue::builtin());
    let desired = parsed.value.unwrap();
    let known: Connections = desired.connections.iter().map(|c| (c.name.clone(), c.spec.clone())).collect();
    for spec in desired.services.iter().map(|s| &s.spec).filter(|s| s.name.as_str() != "mail") {
        let written = export(&[Exported { spec, remark: None }], &SealedTexts::new(), &known);
        assert_eq!(written.lost, Vec::<String>::new());
        let again = parse_manifest("towpath.yaml", Path::new("/srv"), &written.text, &Catalogue::builtin());
        let again = again.value.unwrap_or_else(|| panic!("{}", written.text));
        let name = spec.source.connection.as_ref().unwrap();
        assert_eq!((&again.services[0].spec, &again.connections[0].spec), (spec, &known[name]));
    }
}

#[test]
fn a_secret_of_git_is_written_with_its_encrypted_text_and_never_its_value() {
    let text = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n";
    let mut spec = read(SHORT).remove(0);
    let value = Digest::of(&"a value");
    spec.secrets.insert("A".parse().unwrap(), SecretRef::Sealed { name: "shop-db".into(), value: value.clone() });
    let sealed = SealedTexts::from([("shop-db".into(), BTreeMap::from([(value, text.to_owned())]))]);
    let manifest = written(&spec, &sealed);
    assert!(manifest.contains("  shop-db: |\n    -----BEGIN AGE"), "{manifest}");
    let again = read(&manifest).remove(0);
    assert!(
        matches!(&again.secrets[&"A".parse::<EnvName>().unwrap()], SecretRef::Sealed { name, .. } if name == "shop-db")
    );
    let lost = export(&[Exported { spec: &spec, remark: None }], &SealedTexts::new(), &Connections::new()).lost;
    assert_eq!(lost, ["`shop`: the variable `A` uses the secret `shop-db`, whose encrypted text is not kept"]);
}

#[test]
fn order_and_remarks_are_stable() {
    let [mut a, mut b] = [read(SHORT).remove(0), read(SHORT).remove(0)];
    a.name = "alpha".parse().unwrap();
    b.name = "beta".parse().unwrap();
    let [one, two] = [Exported { spec: &a, remark: Some("paused\nby ann") }, Exported { spec: &b, remark: None }];
    let text = export(&[two, one], &SealedTexts::new(), &Connections::new()).text;
    assert_eq!(text, export(&[one, two], &SealedTexts::new(), &Connections::new()).text);
    assert!(text.contains("\n  # paused by ann\n  alpha:\n"), "{text}");
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z ./:$#&*!|>%@`'\"{}\\[\\],?=~\\\\-]{0,12}",
        "[0-9.+eExX_:-]{1,8}",
        "\\PC{0,8}",
        "(a|\n|\t|\r| |#|: |é|\u{2028}|\u{85}|\u{feff}|\u{7f}|\u{1f600}){0,6}",
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("~".to_owned()),
        Just("<<".to_owned()),
    ]
}

fn map() -> impl Strategy<Value = BTreeMap<EnvName, String>> {
    let name = prop_oneof!["[A-Z_][A-Z0-9_]{0,6}", "[a-z.#:&*!{}<>%@~-]{1,6}", "[0-9]{1,3}"];
    let name = name.prop_filter_map("no name", |name| name.parse::<EnvName>().ok());
    let name = name.prop_filter("reserved", |name| name.as_str() != "PORT");
    proptest::collection::btree_map(name, text(), 0..4)
}

fn commands() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(text(), 0..3)
}

fn build() -> impl Strategy<Value = BuildSource> {
    let start = prop_oneof![Just("python app.py"), Just("cd web && npm start"), Just("a --x '\"é: #'")];
    let inline = (commands(), commands(), commands(), map(), commands(), start, 1..u16::MAX);
    let inline = inline.prop_map(|(pre_build, build, post_build, build_env, pre_run, start, port)| {
        let settings =
            read("services: { shop: { source: { repository: /x }, build: { runtime: python311, start: x } } }");
        let BuildSource::Inline(settings) = settings[0].build.clone() else { panic!("in place") };
        let start = start.to_owned();
        BuildSource::Inline(Box::new(AppSettings {
            pre_build,
            build,
            post_build,
            build_env,
            pre_run,
            start,
            port,
            ..*settings
        }))
    });
    let docker = (prop_oneof![Just("Dockerfile"), Just("docker/a b.Dockerfile")], map(), any::<bool>());
    let docker = docker.prop_map(|(path, args, more)| {
        let text = "services: { shop: { source: { repository: /x }, build: Dockerfile } }";
        let BuildSource::Inline(mut settings) = read(text).remove(0).build else { panic!("in place") };
        let (context, target) = (more.then(|| "web".parse().unwrap()), more.then(|| "final".to_owned()));
        settings.dockerfile = Some(Box::new(DockerfileBuild { path: path.parse().unwrap(), context, target, args }));
        BuildSource::Inline(settings)
    });
    prop_oneof![Just(BuildSource::Repository), inline, docker]
}

fn source() -> impl Strategy<Value = CodeSource> {
    let repository = prop_oneof![
        Just("https://github.com/acme/shop"),
        Just("git@github.com:acme/shop.git"),
        Just("/srv/git/my shop's.git"),
        Just("/srv/#1: {x}"),
    ];
    let reference = prop_oneof![
        Just("{}"),
        Just("{\"branch\":\"release/1.x\"}"),
        Just("{\"tag\":\"1.0\"}"),
        Just("{\"commit\":\"1234567\"}"),
    ];
    let directory = proptest::option::of(prop_oneof![Just("services/web"), Just("1e3"), Just("#x")]);
    let key = proptest::option::of(Just("/etc/a key"));
    (repository, reference, directory, key, any::<bool>()).prop_map(|(repository, reference, directory, key, auto)| {
        let mut written: serde_json::Value = serde_json::from_str(reference).unwrap();
        written["repository"] = repository.into();
        written["directory"] = directory.into();
        written["key"] = key.into();
        written["auto_deploy"] = auto.into();
        serde_json::from_value(written).unwrap()
    })
}

fn size() -> impl Strategy<Value = InstanceSize> {
    let amount = prop_oneof![
        (16u64..5000).prop_map(|m| format!("{m} MB")),
        (1000u64..9999).prop_map(|m| format!("{}.{:03} GB", m / 1000, m % 1000)),
    ];
    let amount = amount.prop_map(|text| text.parse::<Memory>().unwrap());
    (10u32..256_000, amount.clone(), proptest::option::of(amount)).prop_map(|(cpu, memory, storage)| InstanceSize {
        cpu: Cpu(cpu),
        memory,
        storage,
    })
}

fn spec() -> impl Strategy<Value = ServiceSpec> {
    let secrets = prop_oneof![
        "[ -~]{1,12}".prop_map(|p| SecretRef::File(format!("/{}", p.replace('/', "_")).into())),
        "[A-Z]{1,8}".prop_map(SecretRef::Env),
    ];
    let secrets = proptest::collection::btree_map("S_[A-Z]{1,5}".prop_map(|n| n.parse().unwrap()), secrets, 0..3);
    let health = (any::<bool>(), "/[a-z0-9?=&*!:{}-]{0,8}", 1u32..=20, 1u32..=20, 1u32..=20, 1u32..=20);
    let scaling = (1u32..=200, 1u32..=10, 10u32..=25);
    let deploy = (0u64..=3600, 1u64..=3600, 1u64..=86_400, commands(), 1u64..=86_400);
    let tags = proptest::collection::btree_map("[a-z0-9 :#~é]{1,10}", text(), 0..3);
    let rest = (secrets, health, scaling, deploy, tags);
    ("[A-Za-z0-9][A-Za-z0-9_-]{3,8}", source(), build(), size(), map(), rest).prop_map(
        |(name, source, build, instance, env, (secrets, health, scaling, deploy, tags))| ServiceSpec {
            restraint: crate::model::Restraint::default(),
            name: name.parse().unwrap(),
            source,
            build,
            instance,
            env,
            secrets,
            health: HealthCheck {
                protocol: if health.0 { HealthProtocol::Http } else { HealthProtocol::Tcp },
                path: health.1,
                interval_seconds: health.2,
                timeout_seconds: health.3,
                healthy_threshold: health.4,
                unhealthy_threshold: health.5,
            },
            scaling: Scaling { max_concurrency: scaling.0, min_size: scaling.1, max_size: scaling.2 },
            deploy: DeploySettings {
                drain: Duration::from_secs(deploy.0),
                start_deadline: Duration::from_secs(deploy.1),
                build_deadline: Duration::from_secs(deploy.2),
                release: deploy.3,
                release_deadline: Duration::from_secs(deploy.4),
            },
            tags,
            wire: None,
            preview: None,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_declared_is_written_and_read_back_as_it_was(spec in spec()) {
        let text = written(&spec, &SealedTexts::new());
        let again = read(&text);
        prop_assert_eq!(&again, &[spec], "{}", text);
    }
}
