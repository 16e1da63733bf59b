//! Services whose source is an image (row S2), from a real registry: Debian's `docker-registry`.

use super::lab::DockerInstallation;
use super::registry::Registry;
use super::tokens;
use crate::installation::{Installation, get};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

pub fn manifest(image: &str, more: &str) -> String {
    format!(
        "services:\n  orders:\n    source: {{ image: '{image}' }}\n    port: 9000\n    instance: {{ cpu: 0.25 vCPU, memory: \
         512 MB }}\n    deploy: {{ drain: 1s, startDeadline: 20s }}\n{more}"
    )
}

#[test]
fn an_image_runs_and_its_tag_is_followed_and_a_rollback_needs_no_registry() {
    let Some(mut i) = DockerInstallation::new() else { return };
    let mut registry = Registry::new();
    let image = registry.name();
    registry.push(&i.lab.host, "live", "one");
    i.declare(&manifest(&format!("{image}:live"), ""));
    i.up();
    i.until_answer("orders", "one");
    i.until_status("orders", "RUNNING");
    i.know();
    let log = i.ok(&["logs", "orders", "--deployment", "latest"]);
    let first = registry.digest("live");
    assert!(log.contains(&format!("The image is {image}:live, digest {first}.")), "{log}");
    let status = i.service("orders");
    assert_eq!((&status["source"]["repository"], &status["source"]["tag"]), (&image.as_str().into(), &"live".into()));

    registry.push(&i.lab.host, "live", "two");
    i.until_answer("orders", "two");
    i.until_status("orders", "RUNNING");
    let second = registry.digest("live");
    assert_ne!(first, second);
    assert_eq!(i.service("orders")["version"], second.trim_start_matches("sha256:"));
    let operations = i.json(&["operations", "orders"]).as_array().unwrap().len();
    // Longer than a poll and a pass take.
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(i.json(&["operations", "orders"]).as_array().unwrap().len(), operations, "what stays is not deployed");
    assert!(!i.names().iter().any(|n| n.starts_with("127.0.0.1")), "{:?}", i.names());

    registry.stop();
    i.until("status says that it cannot be asked", LIMIT, |i| i.service("orders").to_string().contains("failed to"));
    i.ok(&["rollback", "orders", "1", "--wait"]);
    i.until_answer("orders", "one");

    registry.start();
    // Another one than was rolled back from, which is held.
    registry.push(&i.lab.host, "next", "third");
    i.declare(&manifest(&format!("{image}@{}", registry.digest("next")), "    build: { start: /greet three }\n"));
    i.until_answer("orders", "three");
    i.until_status("orders", "RUNNING");
    i.declare(&manifest(&format!("{image}:none"), ""));
    i.until("status says that there is no such tag", LIMIT, |i| {
        i.service("orders").to_string().contains("its registry has no `none` of it")
    });
    assert_eq!(get(i.http, "orders").unwrap().body, "three");
    i.stop_for_good();
}

#[test]
fn a_registry_that_wants_a_token_gets_one_that_everybody_may_have() {
    let Some(mut i) = DockerInstallation::new() else { return };
    let mut registry = Registry::new();
    registry.push(&i.lab.host, "live", "one");
    let asked = tokens::demand(&mut registry);
    i.declare(&manifest(&format!("{}:live", registry.name()), ""));
    i.up();
    i.until_answer("orders", "one");
    i.until_status("orders", "RUNNING");
    i.know();
    let ours = |head: &&String| head.to_ascii_lowercase().contains("user-agent: towpath/");
    let of_towpath: Vec<String> = asked.lock().unwrap().iter().filter(ours).cloned().collect();
    let first = of_towpath.first().expect("towpath asked for a token itself");
    assert!(first.starts_with("GET /token?scope=repository%3Aacme%2Forders%3Apull&service=tests HTTP/1.1"), "{first}");
    std::thread::sleep(Duration::from_secs(5));
    let count = asked.lock().unwrap().iter().filter(ours).count();
    assert!(
        count <= of_towpath.len(),
        "a token is used as long as it is good, and not asked for at each poll: {count}"
    );
    i.stop_for_good();
}

/// A manifest whose image is pulled by `puller` with the password in this variable.
fn with_credentials(image: &str, variable: &str) -> String {
    let source =
        format!("{{ image: '{image}', credentials: {{ username: puller, password: {{ env: {variable} }} }} }}");
    manifest(image, "").replace(&format!("{{ image: '{image}' }}"), &source)
}

/// What status says of the service.
fn said(i: &Installation) -> String {
    i.service("orders").to_string()
}

fn assert_untold(i: &Installation) {
    let mut told = i.log() + &i.ok(&["status"]) + &i.ok(&["logs", "orders", "--deployment", "latest"]);
    told += &i.ok(&["logs", "orders", "--events"]);
    assert!(!told.contains("s3cret") && !told.contains("something-else"), "{told}");
}

#[test]
fn an_image_that_not_everybody_may_pull_is_pulled_with_credentials() {
    let Some(mut i) = DockerInstallation::new() else { return };
    let mut registry = Registry::new();
    registry.push(&i.lab.host, "live", "one");
    registry.close();
    i.set("PULL", "s3cret-of-the-registry");
    i.set("WRONG", "something-else");
    let image = format!("{}:live", registry.name());
    i.declare(&manifest(&image, ""));
    i.up();
    i.until("it says that credentials are wanted", LIMIT, |i| said(i).contains("wants credentials for it"));
    i.declare(&with_credentials(&image, "WRONG"));
    i.until("it says that they are wrong", LIMIT, |i| said(i).contains("does not let `puller` pull it"));
    i.declare(&with_credentials(&image, "NOWHERE"));
    i.until("it says that there is no password", LIMIT, |i| said(i).contains("the password of `source.credentials`"));
    i.declare(&with_credentials(&image, "PULL"));
    i.until_answer("orders", "one");
    i.until_status("orders", "RUNNING");
    i.know();
    assert_eq!(i.run(&["plan", "-f", i.manifest().to_str().unwrap(), "--detailed-exitcode"]).status.code(), Some(0));
    assert_untold(&i);
    i.stop_for_good();
}

#[test]
fn a_giver_of_tokens_is_told_who_asks() {
    let Some(mut i) = DockerInstallation::new() else { return };
    let mut registry = Registry::new();
    registry.push(&i.lab.host, "live", "one");
    let asked = tokens::demand(&mut registry);
    i.set("PULL", "s3cret-of-the-registry");
    i.declare(&with_credentials(&format!("{}:live", registry.name()), "PULL"));
    i.up();
    i.until_answer("orders", "one");
    // `puller:s3cret-of-the-registry`
    let proof = "authorization: basic chvsbgvyonmzy3jldc1vzi10agutcmvnaxn0cnk=";
    let heads: Vec<String> = asked.lock().unwrap().iter().map(|head| head.to_ascii_lowercase()).collect();
    let of = |agent: &str| heads.iter().any(|head| head.contains(agent) && head.contains(proof));
    assert!(of("user-agent: towpath/") && of("user-agent: docker/"), "{heads:#?}");
    i.know();
    assert_untold(&i);
    i.stop_for_good();
}

#[test]
fn a_private_registry_with_an_authority_of_its_own_is_asked_and_pulled_from() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can tell the engine whom to trust");
        return;
    }
    let Some(i) = DockerInstallation::new() else { return };
    an_image_of_a_private_registry_is_deployed(i);
}

/// The same on any engine.
pub fn an_image_of_a_private_registry_is_deployed(i: DockerInstallation) {
    let mut registry = Registry::behind_authority();
    registry.push(&i.lab.host, "live", "over TLS");
    registry.close();
    let mut i = i.and(&["--ca-certificates", registry.authority().to_str().unwrap()]);
    i.set("PULL", "s3cret-of-the-registry");
    i.declare(&with_credentials(&format!("{}:live", registry.name()), "PULL"));
    i.up();
    i.until_answer("orders", "over TLS");
    i.until_status("orders", "RUNNING");
    i.know();
    assert_untold(&i);
    let registrys = |name: &String| name.contains("/acme/orders");
    assert!(!i.names().iter().any(registrys), "it has our own name only: {:?}", i.names());
    i.stop_for_good();
}

#[test]
fn the_process_engine_refuses_an_image_with_the_reason() {
    let mut i = Installation::new();
    i.declare(&manifest("127.0.0.1:9/acme/orders:live", ""));
    i.up();
    let told =
        |i: &Installation| i.service("orders")["waiting"].to_string().contains("the process engine runs no images");
    i.until("it is told", LIMIT, told);
}

#[test]
fn real_clients_find_the_whole_api_to_be_app_runners_on_an_engine_that_runs_images() {
    let Some(mut i) = DockerInstallation::new() else { return };
    let registry = Registry::new();
    registry.push(&i.lab.host, "v1", "one");
    registry.push_stubborn(&i.lab.host, "stubborn", 9000);
    i.declare(&manifest(&format!("{}:v1", registry.name()), ""));
    i.up();
    i.until_status("orders", "RUNNING");
    i.know();
    crate::conformance::the_whole_api_is_app_runners(&i, &format!("{}:stubborn", registry.name()), 9000);
}
