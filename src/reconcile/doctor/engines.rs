//! What could run and build applications: the Docker engine, control groups, Landlock, interpreters.

use crate::build::process::interpreters;
use crate::cli::{Examination, Finding};
use crate::engine::docker;
use crate::engine::process::facts::{self, Fact};
use crate::model::{Catalogue, DockerHost, Language, Runtime};
use crate::settings::search_path;
use std::path::{Path, PathBuf};

/// Looks at what runs instances.
pub(super) async fn examine(examination: &Examination) -> Vec<Finding> {
    let mut findings = docker(examination.docker_host.as_deref()).await;
    let answers = findings.iter().all(|docker| docker.verdict == crate::cli::Verdict::Ok);
    findings.extend(user(rustix::process::geteuid().is_root(), answers));
    findings.extend(protections(&examination.data_dir));
    let search = search_path();
    findings.push(program(
        "git",
        &search,
        "towpath itself needs none; you need it to commit a manifest: install `git`",
    ));
    findings.extend(interpreters(&search).await);
    findings
}

async fn docker(host: Option<&str>) -> Vec<Finding> {
    const MEND: &str = "without it the process engine runs applications; else install and start Docker 20.10 or later, \
                        or name its socket or that of Podman 4 with `--docker-host`";
    let host: DockerHost = match host.map_or(Ok(DockerHost::default()), str::parse) {
        Ok(host) => host,
        Err(invalid) => return vec![Finding::problem("docker", invalid.message, invalid.hint.unwrap_or_default())],
    };
    match docker::examine(&host).await {
        Ok(facts) => {
            let root = rustix::process::geteuid().is_root();
            let mut findings = vec![Finding::ok("docker", format!("answers at {host}: {facts}")), storage(&facts)];
            findings.extend(match &facts.rootless {
                None if facts.podman => vec![podman_isolation(root, find("nft").is_some())],
                None => Vec::new(),
                Some(limits) => vec![rootless_isolation(find("podman").is_some(), find("nft").is_some()), held(limits)],
            });
            findings
        }
        Err(error) => vec![Finding::warn("docker", error.to_string(), MEND)],
    }
}

/// Where a tool is. Not every user's search path has the last directories.
fn find(tool: &str) -> Option<PathBuf> {
    let search = search_path().into_iter().chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    search.map(|directory| directory.join(tool)).find(|path| path.is_file())
}

/// Podman's bridges keep nobody apart: see `engine::docker`.
fn podman_isolation(root: bool, nft: bool) -> Finding {
    if root && nft {
        return Finding::ok(
            "isolation",
            "instances on Podman are kept from each other and from this machine by nftables",
        );
    }
    let why = if root { "there is no `nft`" } else { "this is not root" };
    Finding::warn(
        "isolation",
        format!("Podman does not keep instances from each other, and towpath cannot: {why}; `up` will not start them"),
        "run towpath as root with the package `nftables`, or allow that with `--allow-unisolated`",
    )
}

/// The same without root, where the firewall is in the network of the user's containers.
fn rootless_isolation(podman: bool, nft: bool) -> Finding {
    let missing: Vec<&str> =
        [(podman, "`podman`"), (nft, "`nft`")].iter().filter(|(is, _)| !is).map(|(_, n)| *n).collect();
    if missing.is_empty() {
        return Finding::ok(
            "isolation",
            "instances on Podman are kept from each other and from this machine by nftables in the user's network",
        );
    }
    let missing = missing.join(" and no ");
    Finding::warn(
        "isolation",
        format!(
            "Podman does not keep instances from each other, and towpath cannot: there is no {missing}; `up` will not start them"
        ),
        "install the packages `podman` and `nftables`, or allow that with `--allow-unisolated`",
    )
}

/// What Podman without root holds instances to.
fn held(limits: &docker::Limits) -> Finding {
    match limits.missing() {
        None => {
            Finding::ok("cgroups", "memory, CPU and processes of instances are limited by control groups of the user's")
        }
        Some((missing, mend)) => Finding::warn("cgroups", missing, mend),
    }
}

/// What holds instances on Docker to their storage.
pub(super) fn storage(facts: &docker::DockerFacts) -> Finding {
    let driver = facts.storage.as_deref().unwrap_or("unknown");
    let below = facts.backing.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
    Finding::ok(
        "docker",
        match facts.limits_storage() {
            true => format!("storage limit: by {driver}{below}; on xfs, if it is mounted with `pquota`"),
            false => format!(
                "storage limit: {driver}{below} has none, so instances' files are measured every {} s, and one that takes \
                 more is replaced; overlay2 on xfs mounted with `pquota`, btrfs and zfs have one",
                docker::MEASURED.as_secs()
            ),
        },
    )
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

/// What the process engine can hold to here, found out by its own probe.
fn protections(data_dir: &Path) -> Vec<Finding> {
    // Tried where instances would live; before the first start in what is above it, where that can be written.
    let above = data_dir.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("/"));
    let writable = rustix::fs::access(above, rustix::fs::Access::WRITE_OK).is_ok();
    let place = if writable { above.to_owned() } else { std::env::temp_dir() };
    let surveyed = std::env::current_exe().and_then(|exe| facts::survey(&exe, &place));
    match surveyed {
        Ok(facts) => facts.into_iter().map(protection).collect(),
        Err(error) => vec![Finding::warn(
            "isolation",
            format!("what keeps services apart could not be tried at `{}`: {error}", place.display()),
            "run this as the user that runs `towpath up`, or as root",
        )],
    }
}

pub(super) fn protection(fact: Fact) -> Finding {
    let Fact { name, holds: _, detail, mend } = fact;
    let check = match name {
        "Landlock" => "landlock",
        "memory and CPU limits" => "cgroups",
        _ => "isolation",
    };
    let found = if check == "isolation" { format!("{name}: {detail}") } else { detail };
    match mend {
        None => Finding::ok(check, found),
        Some(mend) => Finding::warn(check, found, mend),
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
