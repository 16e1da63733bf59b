//! What could run and build applications: the Docker engine, control groups, Landlock, interpreters.

use crate::build::process::interpreters;
use crate::cli::{Examination, Finding};
use crate::engine::{docker, process};
use crate::model::{Catalogue, DockerHost, Language, Runtime};
use crate::settings::search_path;
use std::path::PathBuf;

/// Looks at what runs instances.
pub(super) async fn examine(examination: &Examination) -> Vec<Finding> {
    let docker = docker(examination.docker_host.as_deref()).await;
    let answers = docker.verdict == crate::cli::Verdict::Ok;
    let mut findings = vec![docker];
    findings.extend(user(rustix::process::geteuid().is_root(), answers));
    findings.push(cgroups(process::limits_enforced()));
    findings.push(landlock(std::fs::read_to_string("/sys/kernel/security/lsm").ok().as_deref()));
    let search = search_path();
    findings.push(program(
        "git",
        &search,
        "towpath itself needs none; you need it to commit a manifest: install `git`",
    ));
    findings.extend(interpreters(&search).await);
    findings
}

async fn docker(host: Option<&str>) -> Finding {
    const MEND: &str = "without it the process engine runs applications; else install and start Docker 20.10 or later, \
                        or name its socket with `--docker-host`";
    let host: DockerHost = match host.map_or(Ok(DockerHost::default()), str::parse) {
        Ok(host) => host,
        Err(invalid) => return Finding::problem("docker", invalid.message, invalid.hint.unwrap_or_default()),
    };
    match docker::examine(&host).await {
        Ok(facts) => Finding::ok("docker", format!("answers at {host}: {facts}")),
        Err(error) => Finding::warn("docker", error.to_string(), MEND),
    }
}

/// Root and the process engine.
fn user(root: bool, docker: bool) -> Option<Finding> {
    (root && !docker).then(|| {
        Finding::warn(
            "user",
            "this is root, and without Docker the process engine runs applications on this machine itself",
            "run only code that you trust so (SECURITY.md says what is isolated), or use Docker",
        )
    })
}

pub(super) fn cgroups(enforced: bool) -> Finding {
    let mounted = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let version = if mounted { "version 2" } else { "version 1" };
    if enforced {
        return Finding::ok(
            "cgroups",
            format!("{version}: the process engine holds instances to their CPU and memory"),
        );
    }
    Finding::warn(
        "cgroups",
        format!("{version}, not writable here: the process engine cannot hold instances to their CPU and memory"),
        "run as root, or under systemd with `Delegate=yes`; the Docker engine has limits of its own",
    )
}

/// The security modules that the kernel has in force.
pub(super) fn landlock(modules: Option<&str>) -> Finding {
    match modules {
        Some(list) if list.trim().split(',').any(|m| m == "landlock") => {
            Finding::ok("landlock", "in force in this kernel")
        }
        Some(list) => Finding::warn(
            "landlock",
            format!("not in force in this kernel (it has {})", list.trim()),
            "boot with `lsm=landlock,…`, or use the Docker engine",
        ),
        None => Finding::warn(
            "landlock",
            "cannot be told: `/sys/kernel/security/lsm` cannot be read",
            "mount it: `mount -t securityfs securityfs /sys/kernel/security`",
        ),
    }
}

fn program(name: &'static str, search: &[PathBuf], mend: &str) -> Finding {
    match search.iter().map(|d| d.join(name)).find(|p| p.is_file()) {
        Some(path) => Finding::ok(name, path.display().to_string()),
        None => Finding::warn(name, format!("no `{name}` in PATH"), mend),
    }
}

/// The interpreters that the process engine's builds would find, by language.
async fn interpreters(search: &[PathBuf]) -> Vec<Finding> {
    let catalogue = Catalogue::builtin();
    let mut findings = Vec::new();
    let mut missing = Vec::new();
    for (language, name) in [
        (Language::Python, "python"),
        (Language::Node, "node"),
        (Language::Java, "java"),
        (Language::Go, "go"),
        (Language::Dotnet, "dotnet"),
        (Language::Php, "php"),
        (Language::Ruby, "ruby"),
    ] {
        let Some(all) = all_of(&catalogue, language) else { continue };
        let found = interpreters::find(&all, search).await;
        if found.is_empty() {
            missing.push(name);
        }
        for one in found {
            let text = format!("{} at {}", one.version, one.path.display());
            findings.push(match one.problem {
                None => Finding::ok(name, text),
                Some(problem) => {
                    Finding::warn(name, format!("{text}: {problem}"), "install what is missing, and look again")
                }
            });
        }
        if language == Language::Node && !missing.contains(&name) {
            findings.push(program("npm", search, "builds that say `npm` fail on the process engine: install `npm`"));
        }
    }
    if !missing.is_empty() {
        let found = format!("not on this machine: {}", missing.join(", "));
        findings.push(Finding::ok("runtimes", found + "; the Docker engine brings its own"));
    }
    findings
}

/// All runtimes of a language as one, so that no interpreter is asked twice.
fn all_of(catalogue: &Catalogue, language: Language) -> Option<Runtime> {
    let mut of_it = catalogue.runtimes.iter().filter(|r| r.language == language);
    let mut all = of_it.next()?.clone();
    all.versions.extend(of_it.flat_map(|r| r.versions.clone()));
    Some(all)
}
