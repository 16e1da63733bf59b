use super::*;
use crate::model::{AppSettings, BuildSource, HealthProtocol, Memory, RepositoryUrl, SecretRef, ServiceSpec, Severity};
use proptest::prelude::*;
use std::path::PathBuf;

const LONG: &str = include_str!("../../../fixtures/manifest/good-long.yaml");

fn parse(text: &str) -> Parsed<Desired> {
    parse_manifest("towpath.yaml", Path::new("/srv/team"), text, &Catalogue::builtin())
}

fn service(text: &str, name: &str) -> ServiceSpec {
    let parsed = parse(text);
    let desired = parsed.value.unwrap_or_else(|| panic!("{:#?}", parsed.problems));
    desired.services.into_iter().find(|s| s.spec.name.as_str() == name).unwrap().spec
}

fn inline(spec: &ServiceSpec) -> &AppSettings {
    match &spec.build {
        BuildSource::Inline(settings) => settings,
        BuildSource::Repository => panic!("not in place"),
    }
}

/// A service of which only the rest is written.
fn one(rest: &str) -> String {
    format!(
        "services:\n  shop:\n    source: {{ repository: /srv/shop }}\n    build: {{ runtime: python311, start: python app.py }}\n{rest}"
    )
}

fn classes(text: &str) -> Vec<String> {
    parse(text).problems.into_iter().map(|p| p.class).collect()
}

#[test]
fn every_working_key_reaches_the_model() {
    let shop = service(LONG, "shop");
    assert_eq!(shop.source.repository.to_string(), "https://github.com/acme/shop");
    assert_eq!(shop.source.track.reference.branch().unwrap().as_str(), "release");
    assert!(!shop.source.auto_deploy);
    assert_eq!(shop.build, BuildSource::Repository);
    assert_eq!((shop.instance.cpu.0, shop.instance.memory), (500, "1 GB".parse::<Memory>().unwrap()));
    let env: Vec<(&str, &str)> = shop.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(env, [("EMPTY", ""), ("LOG_LEVEL", "info"), ("RATIO", "1.0"), ("RETRIES", "3")]);
    let secrets: Vec<&SecretRef> = shop.secrets.values().collect();
    assert_eq!(secrets, [&SecretRef::Env("SHOP_API_KEY".into()), &SecretRef::File("/srv/team/secrets/db".into())]);
    assert_eq!((shop.health.protocol, shop.health.path.as_str()), (HealthProtocol::Http, "/healthz"));
    assert_eq!((shop.scaling.max_concurrency, shop.scaling.min_size, shop.scaling.max_size), (80, 1, 6));
    let deploy = [shop.deploy.drain, shop.deploy.start_deadline, shop.deploy.build_deadline].map(|d| d.as_secs());
    assert_eq!(deploy, [90, 300, 3600]);
    assert_eq!(shop.tags["cost-centre"], "4711");
}

#[test]
fn a_build_in_place_reaches_the_model() {
    let orders = service(LONG, "orders");
    assert_eq!(orders.source.repository, RepositoryUrl::File("/srv/orders".into()));
    let settings = inline(&orders);
    assert_eq!(
        (settings.runtime.as_str(), settings.port, settings.start.as_str()),
        ("nodejs22", 9000, "node dist/server.js")
    );
    assert_eq!(settings.runtime_version.as_ref().unwrap().to_string(), "22");
    assert_eq!(
        (&settings.pre_build[..], &settings.build[..]),
        (&["npm run lint".to_owned()][..], &["npm ci".to_owned(), "npm run build".to_owned()][..])
    );
    assert_eq!(
        (&settings.post_build[..], &settings.pre_run[..]),
        (&["rm -rf src".to_owned()][..], &["node migrate.js".to_owned()][..])
    );
    assert_eq!(settings.build_env.values().collect::<Vec<_>>(), ["true"]);
    assert_eq!((orders.health.interval_seconds, orders.scaling.max_size), (10, 3));
}

#[test]
fn what_is_not_written_has_app_runners_default() {
    let shop = service(&one(""), "shop");
    assert_eq!((shop.instance, shop.health.clone(), shop.scaling, shop.deploy.clone()), Default::default());
    assert!(shop.source.auto_deploy && shop.source.track == crate::model::Track::default());
    assert_eq!(inline(&shop).port, 8080);
}

#[test]
fn the_digest_is_of_the_contents() {
    let digest = |text: &str| parse(text).value.unwrap().manifest.digest;
    let plain = "services: {shop: {source: {repository: /a}, build: apprunner.yaml}, cart: {source: {repository: /b}, build: apprunner.yaml}}";
    let other = "# A note\nservices:\n  cart:\n    build: 'apprunner.yaml'\n    source:\n      repository: file:///b\n  shop:\n    \
                 source: {repository: /a/, autoDeploy: true}\n    build: apprunner.yaml\n    env: {}\n";
    assert_eq!(digest(plain), digest(other));
    assert_ne!(digest(plain), digest(&plain.replace("/b", "/c")));
}

#[test]
fn services_keep_the_order_and_the_place_of_the_file() {
    let desired = parse(LONG).value.unwrap();
    let places: Vec<(String, u32, u32)> =
        desired.services.iter().map(|s| (s.spec.name.to_string(), s.place.line, s.place.column)).collect();
    assert_eq!(places, [("shop".into(), 9, 3), ("orders".into(), 20, 3)]);
}

#[test]
fn relative_paths_are_relative_to_the_manifest_and_never_leave_the_root() {
    for (text, path) in [(".", "/srv/team"), ("./a/../b", "/srv/team/b"), ("..", "/srv"), ("../../../../x", "/x")] {
        assert_eq!(values::absolute(Path::new("/srv/team"), text).unwrap(), PathBuf::from(path), "{text}");
    }
}

#[test]
fn port_in_the_environment_gives_way_to_the_port_setting() {
    let text = one("    port: 9000\n    env: { PORT: 1, A: b }\n");
    let shop = service(&text, "shop");
    assert_eq!(shop.env.len(), 1);
    assert_eq!(inline(&shop).port, 9000);
    assert_eq!(classes(&text), ["PORT"]);
}

#[test]
fn no_secret_is_repeated_in_any_problem() {
    let text = one(
        "    env:\n      A: [hunter2]\n      hunter2: {hunter2: 1}\n      \"B=hunter2\": x\n    secrets:\n      C: hunter2\n      D: {env: \"x=hunter2\"}\n",
    )
    .replace("hunter2:", "H:");
    let problems =
        parse(&(text + "  cart: { source: { repository: \"https://x:hunter2@example.com/y\" }, build: x.yaml }\n"))
            .problems;
    assert_eq!(problems.len(), 7, "{problems:#?}");
    assert!(!format!("{problems:?}").contains("hunter2"), "{problems:#?}");
}

#[test]
fn a_key_written_for_another_is_one_problem() {
    assert_eq!(classes("service: {}"), ["unknown-key"]);
    assert_eq!(classes(&one("").replace("repository:", "repo:")), ["unknown-key"]);
    assert_eq!(classes("version: 1.0\nruntime: python311\nrun: {}\n"), ["kind"]);
}

#[test]
fn a_thousand_services_are_read_fast() {
    let shared = "autoscaling: { frugal: {} }\nhealth: { deep-check: {} }\nservices:\n";
    let (_, services) = LONG.split_once("services:\n").unwrap();
    let text: String = std::iter::once(shared.to_owned())
        .chain(
            (0..500)
                .map(|n| services.replace("shop:", &format!("shop-{n}:")).replace("orders:", &format!("orders-{n}:"))),
        )
        .collect();
    let started = std::time::Instant::now();
    let parsed = parse(&text);
    let taken = started.elapsed();
    assert_eq!(parsed.value.unwrap().services.len(), 1000);
    eprintln!("1,000 services ({} bytes): {taken:?}", text.len());
    // The figure to hold is 200 ms of a release build; unoptimized on a busy machine this only finds what is quadratic.
    assert!(taken.as_secs() < 5, "{taken:?}");
}

#[test]
fn hostile_files_are_refused_fast() {
    let started = std::time::Instant::now();
    let long = "x".repeat(1000);
    for text in [
        format!("services: [{}]", "[],".repeat(49_000)),
        format!("services: {{{}}}", (0..20_000).map(|n| format!("k{n}: 1,")).collect::<String>()),
        (0..30_000).map(|n| format!("k{n}: 1\n")).collect(),
        format!("services:\n{}", (0..1000).map(|n| format!("  {long}{n}: 1\n")).collect::<String>()),
        "[".repeat(1 << 20),
        "&a ".repeat(1 << 18),
        "\"".repeat((1 << 20) - 1),
    ] {
        let parsed = parse(&text);
        assert!(parsed.value.is_none());
        assert!((1..=1000).contains(&parsed.problems.len()));
    }
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

/// A change of a text: bytes cut off, flipped, put in, lines doubled, keys renamed.
#[derive(Clone, Debug)]
enum Mutation {
    Truncate(usize),
    Flip(usize, u8),
    Insert(usize, String),
    Double(usize),
    Remove(usize),
    Rename(usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any::<usize>().prop_map(Mutation::Truncate),
        (any::<usize>(), any::<u8>()).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        (any::<usize>(), r#"[\t\r\n:{}\[\]&*!|>'"%@`#,?<\- -~\u{feff}é\u{85}]{1,4}"#)
            .prop_map(|(at, text)| Mutation::Insert(at, text)),
        any::<usize>().prop_map(Mutation::Double),
        any::<usize>().prop_map(Mutation::Remove),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Mutation::Rename(a, b)),
    ]
}

fn mutate(text: &str, mutation: &Mutation) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let keys = ["services", "source", "build", "port", "env", "secrets", "health", "repository", "runtime", "minSize"];
    let place = |at: usize, len: usize| if len == 0 { 0 } else { at % len };
    match mutation {
        Mutation::Truncate(at) => bytes.truncate(place(*at, bytes.len())),
        Mutation::Flip(at, bits) if !bytes.is_empty() => {
            let at = place(*at, bytes.len());
            bytes[at] ^= bits;
        }
        Mutation::Insert(at, more) => {
            let at = place(*at, bytes.len());
            bytes.splice(at..at, more.bytes());
        }
        Mutation::Double(at) if !lines.is_empty() => {
            let at = place(*at, lines.len());
            lines.insert(at, lines[at]);
            return lines.concat();
        }
        Mutation::Remove(at) if !lines.is_empty() => {
            lines.remove(place(*at, lines.len()));
            return lines.concat();
        }
        Mutation::Rename(a, b) => return text.replacen(keys[a % keys.len()], keys[b % keys.len()], 1 + b % 3),
        _ => {}
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What every outcome must be, whatever the text.
fn check_outcome<T>(text: &str, parsed: &Parsed<T>) {
    let errors = parsed.problems.iter().filter(|p| p.severity == Severity::Error).count();
    assert_eq!(parsed.value.is_none(), errors > 0, "{text}\n{:#?}", parsed.problems);
    let shown = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = shown.split('\n').collect();
    for problem in &parsed.problems {
        let line = lines.get(problem.place.line as usize - 1).unwrap_or_else(|| panic!("{text}\n{problem:#?}"));
        let width = line.trim_end_matches('\r').chars().count();
        assert!((1..=width + 1).contains(&(problem.place.column as usize)), "{text}\n{problem:#?}");
        assert!(problem.length >= 1 && !problem.message.chars().any(char::is_control), "{problem:#?}");
        crate::cli::problems::render(problem, true);
    }
    assert!(parsed.problems.is_sorted_by_key(|p| (p.place.line, p.place.column)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_manifest_never_panics_and_says_where_it_is_wrong(mutations in prop::collection::vec(mutation(), 1..6)) {
        let text = mutations.iter().fold(LONG.to_owned(), |text, m| mutate(&text, m));
        check_outcome(&text, &parse(&text));
    }

    #[test]
    fn a_mutated_apprunner_file_never_panics_and_says_where_it_is_wrong(mutations in prop::collection::vec(mutation(), 1..6)) {
        let good = include_str!("../../../fixtures/apprunner/good-every-key.yaml");
        let text = mutations.iter().fold(good.to_owned(), |text, m| mutate(&text, m));
        check_outcome(&text, &crate::desired::parse_apprunner("apprunner.yaml", &text, &Catalogue::builtin()));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in r#"[ \ta-c\n\r:{}\[\]&*!|>'"%@#,?<01\-]{0,60}"#) {
        check_outcome(&text, &parse(&text));
    }
}

fn shared(env: &str) -> String {
    format!(
        "env:\n  common: {{ A: common, B: common, PORT: 1 }}\n  later: {{ B: later, C: later }}\n{}",
        one(&format!("    env: {env}\n"))
    )
}

#[test]
fn shared_variables_are_laid_over_in_the_order_they_are_named_in() {
    let env = |env: &str| {
        let spec = service(&shared(env), "shop");
        spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(env("common"), "A=common B=common");
    assert_eq!(env("[common, later]"), "A=common B=later C=later");
    assert_eq!(env("[later, common]"), "A=common B=common C=later");
    assert_eq!(env("[common, { A: own }]"), "A=own B=common");
    assert_eq!(env("[{ A: own }, common]"), "A=common B=common");
    assert_eq!(env("[]"), "");
}

#[test]
fn a_secret_of_the_service_wins_over_a_shared_variable() {
    let spec = service(&(shared("[common]") + "    secrets: { A: { file: a } }\n"), "shop");
    assert_eq!(spec.env.keys().map(|k| k.as_str()).collect::<Vec<_>>(), ["B"]);
    assert_eq!(
        classes(&(shared("[common, { A: x }]") + "    secrets: { A: { file: a } }\n")),
        ["PORT", "duplicate-name"]
    );
}

#[test]
fn alias_bombs_over_several_files_are_stopped_by_one_budget() {
    let bomb: String = (1..6).fold("env:\n  l0: &l0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
        let row = format!("*l{},", n - 1).repeat(10);
        format!("{text}  l{n}: &l{n} [{row}]\n")
    });
    let long = format!("env:\n  some: [{}]\n", "x,".repeat(40_000));
    let file = |name: &str, text: &str| ManifestText { file: name.into(), directory: "/srv".into(), text: text.into() };
    let parse = |files: Vec<ManifestText>| {
        let manifest = ManifestFiles { files, ..ManifestFiles::of_text("x", Path::new("/"), "") };
        let started = std::time::Instant::now();
        let parsed = parse_manifest_files(&manifest, &Catalogue::builtin());
        assert!(started.elapsed() < std::time::Duration::from_secs(20));
        let limits = parsed.problems.into_iter().filter(|p| p.class == "limit");
        limits.map(|p| format!("{}: {}", p.place.file, p.message)).collect::<Vec<_>>()
    };
    assert_eq!(parse(vec![file("a", &bomb)]).len(), 1);
    let together = parse(vec![file("a", &long), file("b", &long), file("c", &long)]);
    assert_eq!(together.len(), 1);
    assert!(together[0].starts_with("c: this file and those before it have more than 100000"), "{together:?}");
}
