//! An installation on the tests' Docker engine, and what of it is there.

use crate::docker::{IMAGE, Lab};
use crate::installation::Installation;
use bollard::models::{ContainerSummary, ContainerUpdateBody};
use bollard::query_parameters as query;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// A manifest with one service of the repository `app`; further lines of its build and of itself.
pub fn manifest(name: &str, build: &str, more: &str) -> String {
    format!(
        "services:\n  {name}:\n    source:\n      repository: ./app\n    build:\n      runtime: python3\n{build}      \
         start: python app.py\n    instance: {{ cpu: 0.25 vCPU, memory: 512 MB }}\n    deploy:\n      drain: 5s\n{more}"
    )
}

/// Dropped in this order: the installation stops while its engine is there, then the rest is removed.
pub struct DockerInstallation {
    installation: Installation,
    pub lab: Lab,
    runtime: tokio::runtime::Runtime,
}

impl Deref for DockerInstallation {
    type Target = Installation;

    fn deref(&self) -> &Installation {
        &self.installation
    }
}

impl DerefMut for DockerInstallation {
    fn deref_mut(&mut self) -> &mut Installation {
        &mut self.installation
    }
}

impl DockerInstallation {
    /// Nothing runs yet. `None` where there is no Docker engine.
    pub fn new() -> Option<Self> {
        Some(Self::on(Lab::open(false)?))
    }

    /// The same with further flags and their values.
    pub fn with(options: &[&str]) -> Option<Self> {
        Some(Self::new()?.and(options))
    }

    /// The same with further flags and their values.
    pub fn and(self, options: &[&str]) -> Self {
        let Self { installation, lab, runtime } = self;
        let installation = options.chunks(2).fold(installation, |i, pair| i.option(pair[0], pair[1]));
        Self { installation, lab, runtime }
    }

    /// The same with the engine for itself.
    pub fn alone() -> Option<Self> {
        Some(Self::on(Lab::open(true)?))
    }

    /// On the engine of a laboratory.
    pub fn on(lab: Lab) -> Self {
        let installation = Installation::with_engine("docker")
            .option("--docker-host", &lab.host.to_string())
            .option("--runtime-image", &format!("python3={IMAGE}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { installation, lab, runtime }
    }

    /// One with a service that answers with a greeting.
    pub fn running(service: &str, greeting: &str) -> Option<Self> {
        let mut new = Self::new()?;
        new.deploy(service, greeting, "");
        Some(new)
    }

    /// Declares a service and waits until it answers.
    pub fn deploy(&mut self, service: &str, greeting: &str, more: &str) {
        self.repository("app").greet(greeting);
        self.declare(&manifest(service, "", more));
        self.up();
        self.until_answer(service, greeting);
        self.until_status(service, "RUNNING");
        self.know();
    }

    /// Waits until something holds.
    pub fn until(&self, what: &str, limit: Duration, holds: impl Fn(&Self) -> bool) {
        self.installation.until(what, limit, |_| holds(self));
    }

    /// Learns the installation's id from a container, so that what is left of it can be found.
    pub fn know(&mut self) {
        let data = self.data().to_string_lossy().into_owned();
        let all = self.list(HashMap::from([("label", vec!["io.towpath.instance".to_owned()])]));
        let ours = all.into_iter().filter_map(|c| c.labels);
        let ours = ours.filter(|l| l.get("io.towpath.log").is_some_and(|log| log.starts_with(&data)));
        let id = ours.filter_map(|l| l.get("io.towpath.installation").cloned()).next();
        self.lab.installation = id.expect("a container of this installation").parse().unwrap();
    }

    fn filters(&self) -> HashMap<&'static str, Vec<String>> {
        HashMap::from([("label", vec![format!("io.towpath.installation={}", self.lab.installation)])])
    }

    fn list(&self, filters: HashMap<&str, Vec<String>>) -> Vec<ContainerSummary> {
        let options = query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        self.runtime.block_on(self.lab.docker.list_containers(Some(options))).unwrap()
    }

    /// The ids of its containers, ended ones too.
    pub fn containers(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.list(self.filters()).into_iter().filter_map(|c| c.id).collect();
        ids.sort();
        ids
    }

    /// The root directories of its containers that run, as this machine sees them.
    pub fn roots(&self) -> Vec<std::path::PathBuf> {
        let inspect = |id: String| self.runtime.block_on(self.lab.docker.inspect_container(&id, None)).unwrap();
        let pids = self.moving().into_iter().map(|id| inspect(id).state.unwrap().pid.unwrap());
        pids.map(|pid| format!("/proc/{pid}/root").into()).collect()
    }

    /// The ids of its containers that run.
    pub fn moving(&self) -> Vec<String> {
        let all = self.list(self.filters()).into_iter();
        let running = all.filter(|c| c.state.is_some_and(|s| s.to_string() == "running"));
        let mut ids: Vec<_> = running.filter_map(|c| c.id).collect();
        ids.sort();
        ids
    }

    /// The names of its images.
    pub fn names(&self) -> Vec<String> {
        let options = query::ListImagesOptionsBuilder::default().filters(&self.filters()).build();
        let images = self.runtime.block_on(self.lab.docker.list_images(Some(options))).unwrap();
        images.into_iter().flat_map(|i| i.repo_tags).collect()
    }

    /// How many images it has. Podman gives the labels of a build to what its stages end with as well, but its name to one.
    pub fn images(&self) -> usize {
        let options = query::ListImagesOptionsBuilder::default().filters(&self.filters()).build();
        let images = self.runtime.block_on(self.lab.docker.list_images(Some(options))).unwrap();
        images.iter().filter(|image| image.repo_tags.iter().any(|name| !name.starts_with("<none>"))).count()
    }

    /// How many networks it has.
    pub fn networks(&self) -> usize {
        let options = query::ListNetworksOptionsBuilder::default().filters(&self.filters()).build();
        self.runtime.block_on(self.lab.docker.list_networks(Some(options))).unwrap().len()
    }

    /// `docker kill`.
    pub fn kill_by_hand(&self, container: &str) {
        self.runtime.block_on(self.lab.docker.kill_container(container, None)).unwrap();
    }

    /// `docker rm --force`.
    pub fn remove_by_hand(&self, container: &str) {
        let force = query::RemoveContainerOptionsBuilder::default().force(true).build();
        self.runtime.block_on(self.lab.docker.remove_container(container, Some(force))).unwrap();
    }

    /// `docker pause`.
    pub fn pause_by_hand(&self, container: &str) {
        self.runtime.block_on(self.lab.docker.pause_container(container)).unwrap();
    }

    /// `docker update --memory --memory-swap`.
    pub fn enlarge_by_hand(&self, container: &str, memory: i64) {
        let body =
            ContainerUpdateBody { memory: Some(memory), memory_swap: Some(memory), ..ContainerUpdateBody::default() };
        self.runtime.block_on(self.lab.docker.update_container(container, body)).unwrap();
    }

    /// `towpath down`, and nothing is left.
    pub fn stop_for_good(&mut self) {
        self.ok(&["down"]);
        assert!(self.ended(Duration::from_secs(30)).success());
        assert_eq!((self.containers().len(), self.networks()), (0, 0), "{}", self.log());
    }
}
