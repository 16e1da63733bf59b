//! A Docker engine for tests, by `tests/support/docker.sh`. Without one, tests are skipped loudly; where `CI=true`,
//! that is a failure.

use bollard::Docker;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;
use towpath::model::{DockerHost, InstallationId};

/// The image that `docker.sh image` makes.
pub const IMAGE: &str = "towpath-test/python:3.11-2";

/// An engine and an installation on it, of which nothing is left when this is dropped.
pub struct Lab {
    pub host: DockerHost,
    pub docker: Docker,
    pub installation: InstallationId,
    /// Where logs go.
    pub directory: tempfile::TempDir,
    /// Held shared by every test, alone by one that restarts the engine.
    _lock: File,
}

impl Lab {
    /// `None` when there is no engine here. Takes the engine for itself when `alone`.
    pub fn open(alone: bool) -> Option<Self> {
        static HOST: OnceLock<Option<DockerHost>> = OnceLock::new();
        let host = HOST.get_or_init(find_engine).clone()?;
        let lock = File::create(directory().join("tests.lock")).unwrap();
        if alone {
            lock.lock().unwrap()
        } else {
            lock.lock_shared().unwrap()
        }
        Some(Self::at(host, lock))
    }

    /// On the engine of this address, which has the base image.
    pub fn at(host: DockerHost, lock: File) -> Self {
        let mut random = [0; 16];
        getrandom::fill(&mut random).unwrap();
        Self {
            docker: client(&host),
            host,
            installation: InstallationId::from_random(random),
            directory: tempfile::tempdir().unwrap(),
            _lock: lock,
        }
    }

    /// The id of the base image.
    pub async fn image(&self) -> String {
        self.docker.inspect_image(IMAGE).await.unwrap().id.unwrap()
    }
}

impl Lab {
    /// The host's address on the installation's bridge.
    pub async fn gateway(&self) -> std::net::Ipv4Addr {
        let name = format!("towpath-{}", &self.installation.as_str()[..12]);
        let network = self.docker.inspect_network(&name, None).await.unwrap();
        let configs = network.ipam.unwrap().config.unwrap();
        configs[0].gateway.as_ref().unwrap().parse().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let (host, installation) = (self.host.clone(), self.installation.clone());
        let clean = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(clean(client(&host), installation));
        };
        // A runtime cannot be entered from within another one.
        let _ = std::thread::spawn(clean).join();
    }
}

async fn clean(docker: Docker, installation: InstallationId) {
    // What `dismantle` removes where a test gets that far; elsewhere there is no such table.
    let table = format!("towpath-{}", &installation.as_str()[..12]);
    for table in [table.clone(), format!("{table}-b"), format!("{table}-builds")] {
        for family in ["inet", "bridge"] {
            let delete = ["delete", "table", family, &table];
            let _ = Command::new("nft").args(delete).stderr(std::process::Stdio::null()).status();
        }
    }
    let filters = HashMap::from([("label", vec![format!("io.towpath.installation={installation}")])]);
    let all = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    for container in docker.list_containers(Some(all)).await.unwrap_or_default() {
        let force = RemoveContainerOptionsBuilder::default().force(true).build();
        let _ = docker.remove_container(&container.id.unwrap_or_default(), Some(force)).await;
    }
    let _ = docker.remove_network(&table).await;
    let _ = docker.remove_network(&format!("{table}-builds")).await;
    let images = bollard::query_parameters::ListImagesOptionsBuilder::default().filters(&filters).build();
    for image in docker.list_images(Some(images)).await.unwrap_or_default() {
        let force = bollard::query_parameters::RemoveImageOptionsBuilder::default().force(true).build();
        let _ = docker.remove_image(&image.id, Some(force), None).await;
    }
}

pub fn client(host: &DockerHost) -> Docker {
    let DockerHost::Unix(path) = host else { panic!("{host}") };
    let version = bollard::ClientVersion { major_version: 1, minor_version: 41 };
    Docker::connect_with_unix(&path.to_string_lossy(), 60, &version).unwrap()
}

/// The engine's state, kept between runs.
fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("test-docker")
}

/// Runs `docker.sh <command>` on the tests' directory.
pub fn script(command: &str) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/docker.sh");
    Command::new("sh").arg(script).arg(command).arg(directory()).output().unwrap()
}

fn find_engine() -> Option<DockerHost> {
    std::fs::create_dir_all(directory()).unwrap();
    let output = script("env");
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(0) => {
            let lines = String::from_utf8(output.stdout).unwrap();
            let host = lines.lines().find_map(|l| l.strip_prefix("export DOCKER_HOST='")?.strip_suffix('\''));
            Some(host.unwrap().parse().unwrap())
        }
        Some(3) if std::env::var_os("CI").is_none_or(|ci| ci != "true") => {
            eprintln!("SKIPPED: tests of the Docker engine: {said}");
            None
        }
        _ => panic!("no Docker engine: {said}"),
    }
}
