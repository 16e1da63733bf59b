//! The builder `docker`: an image, from a generated Dockerfile, through the Engine API.
//!
//! BuildKit does it where it is there (Docker Engine since 18.09 has it), the classic builder otherwise, and on Podman its
//! own one, Buildah, by the same call as the classic one. Images are
//! found again by labels. Limits: an unlocked base image is looked at here only; it moves when the engine's copy moves.

mod authorities;
mod bounds;
mod buildah;
mod confined;
mod context;
mod dockerfile;
mod ending;
mod ignore;
mod own;
mod progress;
mod recipe;
mod telling;
mod trace;
mod transport;
mod trusting;

use super::dependencies::{self, Dependencies};
use super::recipe as lines;
use super::{BuildError, BuildJob, Builder, Provision};
use crate::model::{
    AppSettings, Artifact, BUILD_HOST, BuildId, BuildLimits, BuildNetwork, Catalogue, Commit, Digest, DockerHost,
    Flavour, Guarded, InstallationId, LineSink, LineSource, RegistryLogin, RuntimeName, ServiceName,
};
use async_trait::async_trait;
use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::ImageSummary;
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use bollard::{API_DEFAULT_VERSION, Docker};
use bounds::Bounds;
use context::Context;
use ending::Groups;
use futures_util::StreamExt;
use ignore::Ignore;
use progress::{Progress, Steps};
use recipe::{BaseImages, Recipe};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use telling::{Printed, tell};
use tokio_util::sync::CancellationToken;
use transport::{Building, Request};

const CALL: Duration = Duration::from_secs(30);
const TRANSPORT_SECONDS: u64 = 600;

/// How long a base image that is not there may take to arrive.
const PULL: Duration = Duration::from_secs(10 * 60);

/// How often, and after which rest, an image is tried to be removed that a build has just left.
const RELEASES: u32 = 10;
const RELEASE: Duration = Duration::from_millis(500);

/// How Podman says that not a command but its runtime was killed.
const RUNTIME_KILLED: &str = "while running runtime: signal: killed";

/// Part of every build's id: changes when images are made another way.
const RECIPE_VERSION: &str = "docker-2";

const BUILD: &str = "io.towpath.build";
const INSTALLATION: &str = "io.towpath.installation";

/// Which builder is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// BuildKit; an engine that does not know it uses what it has.
    #[default]
    BuildKit,
    /// The first builder.
    Classic,
    /// Podman's, which is asked as the first builder is and has limits as that has. Whatever was wished for, on Podman.
    Buildah,
}

/// What a builder needs to know.
#[derive(Clone)]
pub struct DockerBuilderOptions {
    /// The engine.
    pub host: DockerHost,
    /// Whose images they are.
    pub installation: InstallationId,
    /// The runtimes.
    pub catalogue: Catalogue,
    /// Runtime → base image instead of the catalogue's; `{version}` stands for the chosen version.
    pub images: BTreeMap<RuntimeName, String>,
    /// What the installation gives to builds.
    pub provision: Provision,
    /// Which of Docker's builders.
    pub backend: Backend,
    /// What guards the network of builds.
    pub network: Option<Arc<dyn BuildNetwork>>,
}

/// Makes images on a Docker engine.
pub struct DockerBuilder {
    docker: Docker,
    host: DockerHost,
    installation: InstallationId,
    bases: BaseImages,
    provision: Provision,
    backend: Backend,
    network: Option<Arc<dyn BuildNetwork>>,
    /// Where commands of Podman's builder are.
    groups: Groups,
    /// Whether it was said that builds are not guarded.
    warned: AtomicBool,
    /// How often the downloads that are kept for a service were given up as damaged, since this builder began.
    given_up: Mutex<BTreeMap<ServiceName, u32>>,
}

/// How one run of a builder ended, if not with an image.
enum Stopped {
    /// BuildKit asks for a session, which only its own client opens; or it is not there, and what is there does not
    /// know its instructions.
    NeedsClassic,
    Failed(BuildError),
}

impl From<BuildError> for Stopped {
    fn from(error: BuildError) -> Self {
        Self::Failed(error)
    }
}

impl DockerBuilder {
    /// Connects and agrees on an API version. Fails with [`BuildError::Unreachable`].
    pub async fn connect(options: DockerBuilderOptions) -> Result<Self, BuildError> {
        let made = match &options.host {
            DockerHost::Unix(path) => {
                Docker::connect_with_unix(&path.to_string_lossy(), TRANSPORT_SECONDS, API_DEFAULT_VERSION)
            }
            DockerHost::Tcp(authority) => {
                Docker::connect_with_http(&format!("tcp://{authority}"), TRANSPORT_SECONDS, API_DEFAULT_VERSION)
            }
        };
        let connecting = made.map_err(|error| describe("connect to Docker", error))?.negotiate_version();
        let docker = call("connect to Docker", connecting).await?;
        let version = call("ask Docker for its version", docker.version()).await?;
        let parts = version.components.unwrap_or_default();
        let flavour = Flavour::of(parts.iter().map(|part| (part.name.as_str(), part.version.as_str())));
        Ok(Self {
            docker,
            host: options.host,
            installation: options.installation,
            bases: BaseImages { catalogue: options.catalogue, overrides: options.images },
            provision: options.provision,
            backend: if flavour == Flavour::Docker { options.backend } else { Backend::Buildah },
            network: options.network,
            groups: Groups::default(),
            warned: false.into(),
            given_up: Mutex::default(),
        })
    }

    fn recipe(&self, settings: &AppSettings) -> Result<(Recipe, String), BuildError> {
        let (language, image) = self.bases.choose(settings)?;
        Ok((Recipe::new(settings, language, &image, &self.provision.env)?, image))
    }

    /// The id of a base image; brings it when it is not there.
    async fn base(&self, image: &str, runtime: &RuntimeName) -> Result<String, BuildError> {
        self.bring(image, None).await?.map_err(|why| {
            BuildError::Runtime(format!(
                "The base image `{image}` of runtime `{runtime}` is not on the Docker engine and could not be pulled: \
                 {why}. Load it with `docker pull` or `docker load`, or name another image for this runtime: \
                 `towpath up --runtime-image {runtime}=IMAGE`, or a file for `--runtimes`."
            ))
        })
    }

    /// The id of an image; pulls it when it is not there. Why that failed is the inner error.
    async fn bring(&self, image: &str, login: Option<&RegistryLogin>) -> Result<Result<String, String>, BuildError> {
        if let Some(id) = self.image_id(image).await? {
            return Ok(Ok(id));
        }
        let pulled = tokio::time::timeout(PULL, self.pull(image, login)).await;
        Ok(Err(match pulled {
            Ok(Ok(())) => match self.image_id(image).await? {
                Some(id) => return Ok(Ok(id)),
                None => "it was not there after it was pulled".to_owned(),
            },
            Ok(Err(Error::DockerResponseServerError { message, .. })) => advised(message.trim().to_owned()),
            Ok(Err(error)) => advised(error.to_string()),
            Err(_) => format!("pulling it took longer than {} minutes", PULL.as_secs() / 60),
        }))
    }

    async fn image_id(&self, image: &str) -> Result<Option<String>, BuildError> {
        match tokio::time::timeout(CALL, self.docker.inspect_image(image)).await {
            Ok(Ok(found)) => Ok(found.id),
            Ok(Err(Error::DockerResponseServerError { status_code: 404, .. })) => Ok(None),
            Ok(Err(error)) => Err(describe("look at the base image", error)),
            Err(_) => Err(BuildError::Unreachable("no answer in time".into())),
        }
    }

    async fn pull(&self, image: &str, login: Option<&RegistryLogin>) -> Result<(), Error> {
        // Without a tag Docker would bring every tag of the repository.
        let tagged = image.contains('@') || image.rsplit('/').next().is_some_and(|last| last.contains(':'));
        let name = if tagged { image.to_owned() } else { format!("{image}:latest") };
        let options = CreateImageOptionsBuilder::default().from_image(&name).build();
        let mut steps =
            Box::pin(self.docker.create_image(Some(options), None, login.map(|login| credentials(image, login))));
        while let Some(step) = steps.next().await {
            step?;
        }
        Ok(())
    }

    /// The ids of this installation's images, with the builds they are of.
    async fn images(&self, id: Option<&BuildId>) -> Result<Vec<(String, BuildId)>, BuildError> {
        let all = self.all_images().await?.into_iter().map(|(image, build)| (image.id, build));
        Ok(all.filter(|(_, build)| id.is_none_or(|id| id == build)).collect())
    }

    /// This installation's images with the builds that they are of. Asked for by one label: of two, Podman finds nothing.
    async fn all_images(&self) -> Result<Vec<(ImageSummary, BuildId)>, BuildError> {
        let filters = HashMap::from([("label", vec![format!("{INSTALLATION}={}", self.installation)])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let found = call("list images", self.docker.list_images(Some(options))).await?;
        let build = |image: &ImageSummary| BuildId::try_from(image.labels.get(BUILD)?.clone()).ok();
        Ok(found.into_iter().filter_map(|image| build(&image).map(|build| (image, build))).collect())
    }

    /// There being none is success.
    async fn remove_image(&self, image: &str) -> Result<(), BuildError> {
        let options = RemoveImageOptionsBuilder::default().force(self.forces()).build();
        let removal = self.docker.remove_image(image, Some(options), None);
        match tokio::time::timeout(CALL, removal).await {
            Ok(Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. })) => Ok(()),
            Ok(Err(error)) => Err(describe("remove an image", error)),
            Err(_) => Err(BuildError::Unreachable("failed to remove an image: no answer in time".into())),
        }
    }

    /// Whether an image is all of its build. Podman gives a build's labels to what each of its stages ends with as well, but its
    /// name to the last one only.
    fn is_whole(&self, image: &ImageSummary) -> bool {
        self.backend != Backend::Buildah || image.repo_tags.iter().any(|name| !name.starts_with("<none>"))
    }

    /// A request without what is built: the recipe or the repository's own Dockerfile say that.
    fn request(&self, job: &BuildJob, context: Context, backend: Backend) -> Request {
        let labels = serde_json::json!({ BUILD: job.id, INSTALLATION: self.installation });
        let mut query = vec![
            // Of this installation: the same build of another one must not take the name away, since `docker image
            // prune` removes what has none.
            ("t", self.image_name(job)),
            ("labels", labels.to_string()),
            ("rm", "1".into()),
            ("forcerm", "1".into()),
            process_limits(job, backend),
        ];
        match backend {
            Backend::BuildKit => {
                query.extend([("version", "2".into()), ("extrahosts", BUILD_HOST.into())]);
            }
            // BuildKit knows no limits of a whole build: see `bounds`.
            Backend::Classic | Backend::Buildah => {
                query.extend(limits(job, self.held()));
            }
        }
        query.extend(self.groups.of(job).map(|group| ("cgroupparent", group)));
        let version = self.docker.client_version();
        Request { version: format!("{}.{}", version.major_version, version.minor_version), query, context }
    }

    /// What the engine can hold builds to.
    fn held(&self) -> BuildLimits {
        self.network.as_ref().map_or(BuildLimits::ALL, |network| network.limits())
    }

    /// The name of an image, for people. On Podman with the registry that it says where there is none.
    fn image_name(&self, job: &BuildJob) -> String {
        let registry = if self.backend == Backend::Buildah { "localhost/" } else { "" };
        let installation = &self.installation.as_str()[..6];
        format!("{registry}towpath/{}:{}-{installation}", job.name.host_label(), job.id.short())
    }

    /// Whether images are removed by force, which takes all their names. Podman would take containers along.
    fn forces(&self) -> bool {
        self.backend != Backend::Buildah
    }

    /// The application beside the Dockerfile, so that files of the repository cannot take its place, nor a
    /// `.dockerignore` of the repository leave files out.
    fn request_recipe(&self, job: &BuildJob, recipe: &Recipe, backend: Backend) -> Request {
        let dockerfile = match backend {
            Backend::BuildKit => recipe.dockerfile_for_buildkit(&self.owner(&job.name), job.memory()),
            Backend::Classic | Backend::Buildah => recipe.dockerfile(),
        };
        let context = Context {
            root: job.tree.clone(),
            prefix: Some(recipe::CONTEXT_APP),
            ignore: Ignore::default(),
            beside: recipe.locked.iter().cloned().chain([("Dockerfile".into(), dockerfile.into_bytes())]).collect(),
        };
        let mut request = self.request(job, context, backend);
        request.query.push(self.arguments(job, &BTreeMap::new(), backend));
        request
    }

    /// Arguments of a build, with the proxies, which Docker hands on to commands without a declaration.
    fn arguments(&self, job: &BuildJob, given: &BTreeMap<String, String>, backend: Backend) -> (&'static str, String) {
        let proxies = self.provision.proxies.iter().map(|(name, proxy)| (name.clone(), proxy.reveal().to_owned()));
        let mut all: BTreeMap<String, String> = proxies.collect();
        if backend == Backend::BuildKit {
            let mark = bounds::mark(&self.installation, &job.name);
            for name in ["no_proxy", "NO_PROXY"] {
                let before = all.remove(name).map(|hosts| hosts + ",").unwrap_or_default();
                all.insert(name.into(), before + &mark);
            }
        }
        all.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
        ("buildargs", serde_json::json!(all).to_string())
    }

    /// Whose downloads are kept: another's once they were given up.
    fn owner(&self, service: &ServiceName) -> String {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        let count = given_up.get(service).map(|count| format!("-{count}")).unwrap_or_default();
        format!("{}-{service}{count}", self.installation)
    }

    /// Builds a recipe; once more without the downloads that are kept, when a line that installs dependencies fails.
    async fn build_recipe(&self, job: &BuildJob, log: &dyn LineSink) -> Result<(), BuildError> {
        let (recipe, image) = self.recipe(&job.settings)?;
        self.base(&image, &job.settings.runtime).await?;
        let recipe = recipe
            .within(job.directory.as_ref())
            .installing_first(dependencies(job).await, job.directory.as_ref())
            .trusting(self.authorities().await?);
        let built = self.run_either(|backend| self.request_recipe(job, &recipe, backend), &recipe, log).await;
        match &built {
            Err(BuildError::Command { command, .. }) if recipe.keeps_downloads() && lines::installs(command) => {}
            _ => return built,
        }
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner).entry(job.name.clone()).or_default() += 1;
        log.line(LineSource::AppRunner, lines::TRYING_AGAIN);
        self.run_either(|backend| self.request_recipe(job, &recipe, backend), &recipe, log).await
    }

    async fn run(&self, request: Request, steps: &dyn Steps, log: &dyn LineSink) -> Result<(), Stopped> {
        let mut building = Building::begin(&self.host, request).await?;
        let mut progress = Progress::new(steps);
        let mut printed = Printed::default();
        while let Some(message) = building.next().await? {
            for event in progress.take(&message) {
                tell(event, &mut printed, log)?;
            }
        }
        let mut rest = Vec::new();
        progress.flush(&mut rest);
        rest.into_iter().try_for_each(|event| tell(event, &mut printed, log))
    }

    /// One run on a network from which neither this host nor metadata addresses are reached.
    async fn run_guarded(
        &self,
        mut request: Request,
        backend: Backend,
        steps: &dyn Steps,
        log: &dyn LineSink,
    ) -> Result<(), Stopped> {
        let mut guarded: Option<Guarded> = None;
        match (&self.network, backend) {
            (None, Backend::BuildKit | Backend::Classic) => {}
            (Some(network), Backend::BuildKit) => guarded = self.told(network.guard().await),
            (Some(network), Backend::Classic) => {
                if let Some((name, kept)) = self.told(network.own().await) {
                    request.query.push(("networkmode", name));
                    guarded = Some(kept);
                }
            }
            (network, Backend::Buildah) => {
                let (parameter, kept) = buildah_network(network.as_ref()).await?;
                request.query.push(parameter);
                guarded = kept;
            }
        }
        let ended = self.run(request, steps, log).await;
        drop(guarded);
        ended
    }

    fn told<T>(&self, guarded: Result<T, String>) -> Option<T> {
        if let Err(why) = &guarded
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("builds can reach this host's ports and cloud metadata addresses: {why}");
        }
        guarded.ok()
    }

    async fn run_either(
        &self,
        request: impl Fn(Backend) -> Request + Send + Sync,
        steps: &dyn Steps,
        log: &dyn LineSink,
    ) -> Result<(), BuildError> {
        let ended = match self.run_guarded(request(self.backend), self.backend, steps, log).await {
            Err(Stopped::NeedsClassic) if self.backend != Backend::Buildah => {
                self.run_guarded(request(Backend::Classic), Backend::Classic, steps, log).await
            }
            // Not the command was killed, but what Podman runs it by, when one of its own threads ended (before Podman 4.6).
            Err(Stopped::Failed(BuildError::Runtime(why) | BuildError::Command { ended: why, .. }))
                if why.contains(RUNTIME_KILLED) =>
            {
                tracing::info!("Podman lost the command of a build; it is built once more");
                self.run_guarded(request(self.backend), self.backend, steps, log).await
            }
            other => other,
        };
        match ended {
            Ok(()) => Ok(()),
            Err(Stopped::Failed(error)) => Err(error),
            Err(Stopped::NeedsClassic) => Err(BuildError::Runtime("Docker's builders both ask for a session".into())),
        }
    }
}

/// The network of commands on Podman, by its name or its place: without a word they would run on this machine's own.
async fn buildah_network(
    network: Option<&Arc<dyn BuildNetwork>>,
) -> Result<((&'static str, String), Option<Guarded>), BuildError> {
    let (path, kept) = match network {
        None => (String::new(), None),
        Some(network) => {
            let (path, kept) = network.own().await.map_err(|why| {
                BuildError::Runtime(format!(
                    "Nothing would keep this build from the machine that it runs on: {why}, or allow that with \
                     `--allow-unisolated`."
                ))
            })?;
            (path, Some(kept))
        }
    };
    let options = serde_json::json!([{ "Name": "network", "Host": false, "Path": path }]).to_string();
    Ok((("nsoptions", options), kept))
}

/// Why an image could not be pulled, with what to do where that is not what Docker would say: it speaks HTTP with registries of
/// this machine, Podman with none that it was not told of.
fn advised(why: String) -> String {
    if !why.contains("server gave HTTP response to HTTPS client") {
        return why;
    }
    format!(
        "{why} (the engine has to be told that this registry speaks HTTP: Podman by `[[registry]]` with its `location` and \
         `insecure = true` in `/etc/containers/registries.conf.d/`, Docker by `insecure-registries`; then start it again)"
    )
}

/// Whether an image stays because something of it is there.
fn is_held(error: &BuildError) -> bool {
    matches!(error, BuildError::Io { source, .. } if source.to_string().contains("image is in use by a container"))
}

/// For the engine, which hands them to the registry.
fn credentials(image: &str, login: &RegistryLogin) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.reveal().to_owned()),
        serveraddress: image.split('/').next().map(str::to_owned),
        ..DockerCredentials::default()
    }
}

/// A failure with what the engine does not know: that the memory of the build was used up.
fn explain(error: BuildError, bounds: Option<&Bounds>) -> BuildError {
    match (error, bounds.and_then(Bounds::out_of_memory)) {
        (BuildError::Command { phase, command, ended }, Some(why)) => {
            BuildError::Command { phase, command, ended: format!("{why}: {ended}") }
        }
        (error, _) => error,
    }
}

/// What the first commands of a build install. A tree that cannot be read is the context's to report.
async fn dependencies(job: &BuildJob) -> Option<Dependencies> {
    let source = job.directory.as_ref().map_or_else(|| job.tree.clone(), |d| job.tree.join(d.as_str()));
    let steps = lines::steps(&job.settings);
    tokio::task::spawn_blocking(move || dependencies::find(&steps, &source)).await.ok().flatten()
}

/// What the classic builder holds commands to, where it can: their memory, and at least a whole CPU.
fn limits(job: &BuildJob, held: BuildLimits) -> Vec<(&'static str, String)> {
    let mut limits = Vec::new();
    if held.memory {
        let memory = job.memory().0.to_string();
        limits.extend([("memory", memory.clone()), ("memswap", memory)]);
    }
    if held.cpu {
        let quota = (u64::from(job.size.cpu.0.max(1000)) * 100).to_string();
        limits.extend([("cpuperiod", "100000".into()), ("cpuquota", quota)]);
    }
    limits
}

/// What no process of a build may exceed. BuildKit reads this from Docker Engine 23 on; before, recipes say it themselves.
fn process_limits(job: &BuildJob, backend: Backend) -> (&'static str, String) {
    let memory = job.memory().0;
    if backend == Backend::Buildah {
        return ("ulimits", serde_json::json!([format!("data={memory}:{memory}")]).to_string());
    }
    ("ulimits", serde_json::json!([{ "Name": "data", "Soft": memory, "Hard": memory }]).to_string())
}

async fn call<T>(act: &str, future: impl Future<Output = Result<T, Error>>) -> Result<T, BuildError> {
    match tokio::time::timeout(CALL, future).await {
        Ok(result) => result.map_err(|error| describe(act, error)),
        Err(_) => Err(BuildError::Unreachable(format!("failed to {act}: no answer within {} s", CALL.as_secs()))),
    }
}

fn describe(act: &str, error: Error) -> BuildError {
    match error {
        Error::DockerResponseServerError { message, .. } => {
            BuildError::Io { act: act.to_owned(), source: std::io::Error::other(message.trim().to_owned()) }
        }
        other => BuildError::Unreachable(format!("failed to {act}: {other}")),
    }
}

#[async_trait]
impl Builder for DockerBuilder {
    async fn identify(&self, commit: &Commit, settings: &AppSettings) -> Result<BuildId, BuildError> {
        if let Some(build) = &settings.dockerfile {
            // Which images it is from stands in a file that is not here yet: they move with the next commit.
            return Ok(self.provision.identify(Digest::of(&(RECIPE_VERSION, &commit.tree, build))));
        }
        let (recipe, image) = self.recipe(settings)?;
        let base = self.base(&image, &settings.runtime).await?;
        Ok(Digest::of(&(RECIPE_VERSION, &commit.tree, recipe.dockerfile(), base)))
    }

    async fn find(&self, id: &BuildId) -> Result<Option<Artifact>, BuildError> {
        let all = self.all_images().await?;
        let found = all.into_iter().find(|(image, build)| build == id && self.is_whole(image));
        Ok(found.map(|(image, _)| Artifact::Image { id: image.id }))
    }

    async fn build(
        &self,
        job: BuildJob,
        log: &dyn LineSink,
        cancel: CancellationToken,
    ) -> Result<Artifact, BuildError> {
        // Podman's builder holds each command to the limits itself.
        let bounds = match self.backend {
            Backend::Buildah => None,
            _ => Bounds::begin(&self.host, &self.installation, &job),
        };
        // Without root its commands are killed with their network.
        let groups = self.backend == Backend::Buildah && self.held().group;
        let ending = groups.then(|| self.groups.begin(&self.installation, &job));
        let work = async {
            let ending = ending;
            let built = match &job.settings.dockerfile {
                Some(build) => self.build_own(&job, build, log).await,
                None => self.build_recipe(&job, log).await,
            };
            if let Some(ending) = ending
                && !matches!(built, Err(BuildError::Limit(_) | BuildError::Unreachable(_)))
            {
                ending.finished();
            }
            built.map_err(|error| explain(error, bounds.as_ref()))?;
            self.find(&job.id)
                .await?
                .ok_or_else(|| BuildError::Runtime("Docker built the image, but does not have it any more".into()))
        };
        // Dropping the work closes the connection, which ends the build on the engine; on Podman with what `ending` does.
        tokio::select! {
            ended = tokio::time::timeout(job.deadline, work) => ended.unwrap_or_else(|_| {
                Err(BuildError::Limit(format!("the build took longer than {} s", job.deadline.as_secs())))
            }),
            () = cancel.cancelled() => Err(BuildError::Cancelled),
        }
    }

    async fn remove(&self, id: &BuildId) -> Result<(), BuildError> {
        for (image, _) in self.images(Some(id)).await? {
            let mut tries = RELEASES;
            while let Err(error) = self.remove_image(&image).await {
                // What Podman's builder worked in goes a moment after it said that it is done.
                if tries == 0 || !is_held(&error) {
                    return Err(error);
                }
                tries -= 1;
                tokio::time::sleep(RELEASE).await;
            }
        }
        Ok(())
    }

    async fn tidy(&self, _services: &BTreeSet<ServiceName>) -> Result<(), BuildError> {
        self.remove_old_authorities().await
    }

    async fn usage(&self) -> Result<Vec<(BuildId, Option<u64>)>, BuildError> {
        let mut largest = BTreeMap::new();
        for (image, build) in self.all_images().await? {
            let known: &mut Option<u64> = largest.entry(build).or_default();
            *known = (*known).max(u64::try_from(image.size).ok());
        }
        Ok(largest.into_iter().collect())
    }

    async fn list(&self) -> Result<Vec<BuildId>, BuildError> {
        let ids: BTreeSet<BuildId> = self.images(None).await?.into_iter().map(|(_, id)| id).collect();
        Ok(ids.into_iter().collect())
    }
}
