//! `--ca-certificates`: a company's own authority is trusted in builds and for repositories, on both engines; without the
//! setting its servers are refused.

use crate::authority::Company;
use crate::docker::IMAGE;
use crate::docker_spine::DockerInstallation;
use crate::installation::{Installation, Repository};
use crate::proxy::Proxy;
use std::time::Duration;

/// A service whose repository lies behind the company's authority, and whose build fetches from it.
fn declare(installation: &Installation, company: &Company, build: &str) {
    installation.declare(&format!(
        "services:\n  hello:\n    source: {{ repository: {}/git/app }}\n    build:\n{build}    \
         instance: {{ cpu: 0.25 vCPU, memory: 512 MB }}\n    deploy: {{ drain: 1s, startDeadline: 60s }}\n",
        company.url
    ));
}

fn by_runtime(company: &Company) -> String {
    let lines: String =
        company.fetching().iter().map(|(line, _)| format!("        - {}\n", serde_json::json!(line))).collect();
    format!("      runtime: python3\n      start: python app.py\n      command:\n{lines}")
}

fn repository(company: &Company) -> Repository {
    let repository = Repository::new(company.root().join("app"));
    repository.greet("trusted");
    repository
}

fn assert_fetched(installation: &Installation, company: &Company) {
    let ended = |i: &Installation| i.service("hello")["status"].as_str().is_some_and(|s| !s.contains("PROGRESS"));
    installation.until("it is deployed or not", Duration::from_secs(120), ended);
    let log = installation.ok(&["logs", "hello", "--deployment", "latest"]);
    for (line, wanted) in company.fetching() {
        assert!(log.lines().any(|l| l.ends_with(&format!("[Build] {wanted}"))), "{line}: {log}");
    }
    installation.until_answer("hello", "trusted");
}

#[test]
fn an_authority_of_the_settings_is_trusted_by_git_and_in_builds_and_by_nobody_without_it() {
    let company = Company::open();
    repository(&company);
    let mut installation = Installation::new();
    declare(&installation, &company, &by_runtime(&company));
    installation.start();
    let refused = |i: &Installation| i.run(&["plan"]).stdout.windows(11).any(|w| w == b"certificate");
    installation.until("the plan says that the certificate is not trusted", Duration::from_secs(30), refused);
    installation.ok(&["down"]);
    assert!(installation.ended(Duration::from_secs(20)).success());

    let mut installation = installation.option("--ca-certificates", &company.authority().to_string_lossy());
    installation.up();
    assert_fetched(&installation, &company);
}

#[test]
fn each_tool_of_a_build_refuses_what_no_setting_trusts() {
    let company = Company::open();
    repository(&company);
    let mut installation = Installation::new();
    let repository = installation.repository("app");
    repository.greet("never");
    let service = |(number, (line, _)): (usize, (String, &str))| {
        format!(
            "  tool-{number}:\n    source: {{ repository: ./app }}\n    build: {{ runtime: python3, start: python app.py, command: {} }}\n",
            serde_json::json!(line)
        )
    };
    let services: String = company.fetching().into_iter().enumerate().map(service).collect();
    installation.declare(&format!("services:\n{services}"));
    installation.up();
    for number in 0..4 {
        let name = format!("tool-{number}");
        installation.until_status(&name, "CREATE_FAILED");
        let log = installation.ok(&["logs", &name, "--deployment", "latest"]).to_lowercase();
        assert!(log.contains("certificate") || log.contains("self_signed") || log.contains("unable_to"), "{log}");
    }
}

#[test]
fn a_file_without_certificates_is_refused_at_the_start() {
    let mut installation = Installation::new();
    let file = installation.path().join("bad.pem");
    std::fs::write(&file, "not a certificate\n").unwrap();
    installation = installation.option("--ca-certificates", &file.to_string_lossy());
    installation.declare("services: {}\n");
    installation.start();
    assert_eq!(installation.ended(Duration::from_secs(20)).code(), Some(1));
    let log = installation.log();
    assert!(log.contains(&format!("error: `{}` (`--ca-certificates`) holds no certificate", file.display())), "{log}");
    assert!(log.contains("hint: "), "{log}");
}

#[test]
fn an_authority_of_the_settings_is_trusted_in_images_and_not_left_in_them() {
    let company = Company::open();
    repository(&company);
    let authority = company.authority();
    let (certificates, place) = (authority.to_str().unwrap(), company.url.trim_start_matches("https://"));
    let options =
        ["--ca-certificates", certificates, "--build-env", "GREETING=from-the-settings", "--build-reach", place];
    let Some(mut installation) = DockerInstallation::with(&options) else { return };
    declare(&installation, &company, &by_runtime(&company));
    installation.up();
    assert_fetched(&installation, &company);
    installation.know();
    assert_eq!(files_of_containers(&installation), 0);

    // The same by a Dockerfile of the repository, in two stages, in both forms of `RUN`.
    let lines = company.fetching().map(|(line, _)| format!("RUN {line}\n")).concat();
    let dockerfile = format!(
        "FROM {IMAGE} AS build\nWORKDIR /work\nARG GREETING\nRUN python3 -m venv /venv && echo \"[$GREETING]\"\nENV PATH=/venv/bin:$PATH\n{lines}\
         FROM {IMAGE}\nWORKDIR /srv\nRUN [\"curl\", \"-sSf\", \"{}/files/hello.txt\", \"-o\", \"/hello\"]\n\
         COPY . .\nCOPY --from=build /venv /venv\nCMD [\"/venv/bin/python\", \"app.py\"]\n",
        company.url
    );
    Repository::new(company.root().join("app")).commit("Dockerfile", &dockerfile);
    declare(&installation, &company, "      dockerfile: Dockerfile\n");
    let built = |i: &DockerInstallation| {
        let log = i.run(&["logs", "hello", "--deployment", "latest"]).stdout;
        String::from_utf8_lossy(&log).contains("[from-the-settings]")
    };
    installation.until("it is built by the Dockerfile", Duration::from_secs(120), built);
    installation.until_status("hello", "RUNNING");
    assert_fetched(&installation, &company);
    let log = installation.ok(&["logs", "hello", "--deployment", "latest"]);
    assert!(log.contains("[Build] [from-the-settings]"), "{log}");
    assert_eq!(files_of_containers(&installation), 0);

    let broken = "FROM scratch\nCOPY . .\n\nNONSENSE x\n";
    Repository::new(company.root().join("app")).commit("Dockerfile", broken);
    let failed = |i: &DockerInstallation| i.json(&["operations", "hello"])[0]["Status"] == "FAILED";
    installation.until("the broken file fails", Duration::from_secs(60), failed);
    let said = installation.json(&["operations", "hello"])[0].to_string();
    assert!(said.contains("line 4") && said.contains("NONSENSE"), "the line of the file itself: {said}");
    installation.stop_for_good();
}

/// How many of its containers see a file of certificates.
fn files_of_containers(installation: &DockerInstallation) -> usize {
    let roots = installation.roots();
    assert!(!roots.is_empty());
    let holds = |root: &&std::path::PathBuf| {
        std::fs::metadata(root.join("run/towpath/certificates.pem")).is_ok_and(|file| file.len() > 0)
    };
    roots.iter().filter(holds).count()
}

/// Whether everything went through the proxy, and its password to nobody else.
fn assert_went_through(installation: &Installation, company: &Company, proxy: &Proxy) {
    let place = company.url.trim_start_matches("https://");
    let asked = proxy.asked();
    assert!(asked.iter().filter(|asked| *asked == place).count() >= 4, "curl, pip, npm and git: {asked:?}");
    let told = installation.ok(&["logs", "hello", "--deployment", "latest"]) + &installation.log();
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn builds_on_docker_reach_a_server_of_this_machine_by_the_proxy_alone() {
    let (company, proxy) = (Company::open(), Proxy::open());
    repository(&company);
    let (authority, url) = (company.authority(), proxy.url());
    let options = ["--ca-certificates", authority.to_str().unwrap(), "--build-proxy", url.as_str()];
    let Some(mut installation) = DockerInstallation::with(&options) else { return };
    declare(&installation, &company, &by_runtime(&company));
    installation.up();
    assert_fetched(&installation, &company);
    installation.know();
    assert_went_through(&installation, &company, &proxy);
    installation.stop_for_good();
}

#[test]
fn builds_of_processes_use_the_proxy() {
    let (company, proxy) = (Company::open(), Proxy::open());
    repository(&company);
    let installation = Installation::new().option("--ca-certificates", company.authority().to_str().unwrap());
    let mut installation = installation.option("--build-proxy", &proxy.url());
    declare(&installation, &company, &by_runtime(&company));
    installation.up();
    assert_fetched(&installation, &company);
    assert_went_through(&installation, &company, &proxy);
}
