//! The builder of the process engine: a directory per build on this machine.
//!
//! `<builds>/<first 32 digits of the id>/` holds `src` (the commit's files and what the build made of them), `home`,
//! `bin` (bash as `sh`), `venv` for Python, and `complete.json`, written last: a directory without it is a build that was cut off, never a
//! result. Built in its final place, because virtual environments cannot be moved.

mod apart;
mod caches;
mod command;
pub mod interpreters;
mod known;
mod layers;
mod python;
mod steps;
mod tools;
mod turn;

use super::recipe::{self, Choice, Directories, Interpreter, Layout, Step};
use super::{BuildError, BuildJob, Builder, Provision, dependencies};
use crate::host::boot_id;
use crate::host::files::{move_tree, read_small, remove_tree, tree_size, write_atomic};
use crate::host::jail::policy::Policy;
use crate::model::{
    AppSettings, Artifact, BuildId, Catalogue, Commit, EnvName, Language, LineSink, LineSource, Memory, ServiceName,
    Timestamp,
};
use apart::Groups;
use async_trait::async_trait;
use command::{Budget, Place, kill_marked};
use known::Known;
use layers::Layer;
use python::Environment;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use steps::Lines;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turn::{Turn, Turns};

/// The directory of a build that holds the commit's files.
const SOURCE: &str = "src";

/// The directory of the cache that holds what was installed, by service.
const LAYERS: &str = "layers";

/// What all commands of a build together may print.
const MOST_OUTPUT: u64 = 50 << 20;

/// Where a [`ProcessBuilder`] works and what it hands on. Read from the environment by `settings`, never here.
#[derive(Clone, Debug)]
pub struct ProcessBuilderOptions {
    /// `<data-dir>/builds`.
    pub builds: PathBuf,
    /// `<data-dir>/cache`: downloads, a directory per service so that none can give another a poisoned package.
    pub cache: PathBuf,
    /// What a service's directory of it may hold after a build.
    pub cache_limit: Memory,
    /// The runtimes.
    pub catalogue: Catalogue,
    /// The directories of the host's `PATH`: interpreters and tools are looked for there.
    pub search: Vec<PathBuf>,
    /// Variables that every build gets: proxies, certificate authorities, package indexes.
    pub passthrough: BTreeMap<String, String>,
    /// What the installation gives to builds; stronger than what is handed on.
    pub provision: Provision,
    /// How builds are kept apart.
    pub policy: Policy,
}

/// One build, laid out.
struct Build<'a> {
    directory: &'a Path,
    at: &'a Directories,
    interpreter: &'a Interpreter,
    /// The user that its commands run as.
    user: Option<u32>,
}

/// Builds on this machine.
#[derive(Debug)]
pub struct ProcessBuilder {
    options: ProcessBuilderOptions,
    interpreters: Known,
    /// The builds that are being made or wiped: services with equal contents share one.
    turns: Turns,
}

/// What `complete.json` says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Complete {
    id: BuildId,
    artifact: Artifact,
    /// The boot in which the build was made. A power cut may leave the marker while files of the build are empty; so the
    /// result counts in this boot, and for good once a file `synced` with `made_at` in it says that all is on disk.
    boot: String,
    /// When the build was made; tells it from one of the same id that was removed and made again.
    made_at: Timestamp,
}

impl ProcessBuilder {
    /// A builder; creates its directories.
    ///
    /// # Errors
    /// When a directory cannot be created.
    pub fn new(mut options: ProcessBuilderOptions) -> Result<Self, BuildError> {
        options.passthrough.extend(options.provision.variables());
        // Absolute and without links: commands run elsewhere, and tools write these paths down.
        for directory in [&mut options.builds, &mut options.cache] {
            *directory = create(directory).map_err(|e| failed(format!("create {}", directory.display()), e))?;
        }
        Ok(Self { options, interpreters: Known::default(), turns: Turns::default() })
    }

    /// Removes what builds left behind that were cut off by a crash, and kills their processes. For start-up, before
    /// the first build.
    ///
    /// # Errors
    /// When the directory of builds cannot be read.
    pub async fn sweep(&self) -> Result<(), BuildError> {
        for name in self.names().await? {
            let directory = self.options.builds.join(&name);
            if read_complete(&directory).is_none() {
                kill_marked(command::marker(&directory)).await;
                remove(directory).await?;
            }
        }
        let seeds = self.options.cache.join("python");
        blocking(format!("clean {}", seeds.display()), move || python::sweep(&seeds)).await
    }

    fn directory(&self, id: &BuildId) -> PathBuf {
        self.options.builds.join(name(id))
    }

    async fn names(&self) -> Result<Vec<String>, BuildError> {
        let builds = self.options.builds.clone();
        blocking(format!("read {}", builds.display()), move || {
            let entries = std::fs::read_dir(&builds)?.flatten();
            Ok(entries.filter_map(|e| e.file_name().into_string().ok()).filter(|n| is_name(n)).collect())
        })
        .await
    }

    async fn choose(&self, settings: &AppSettings) -> Result<Choice, BuildError> {
        let unsupported = "The specified runtime version is not supported.";
        let Some(runtime) = self.options.catalogue.find(&settings.runtime) else {
            return Err(BuildError::Runtime(format!("{unsupported} No runtime is named `{}`.", settings.runtime)));
        };
        if let Some(lock) = settings.runtime_version.as_ref().filter(|lock| !runtime.accepts(lock)) {
            return Err(BuildError::Runtime(format!("{unsupported} `{lock}` is not a version of `{}`.", runtime.name)));
        }
        let found = self.interpreters.of(runtime, &self.options.search).await;
        recipe::choose(runtime, settings.runtime_version.as_ref(), &found)
    }

    /// Everything but the wiping of what a failure leaves.
    async fn build_in(
        &self,
        directory: &Path,
        job: &BuildJob,
        log: &dyn LineSink,
        cancel: &CancellationToken,
    ) -> Result<Artifact, BuildError> {
        let choice = self.choose(&job.settings).await?;
        announce(log, &choice);
        let at = self.directories(directory, job);
        let user = self.prepare(directory, &at, job, &choice.interpreter).await?;
        let layout = recipe::layout(&choice.interpreter, &at);
        let build = Build { directory, at: &at, interpreter: &choice.interpreter, user };
        let groups = Arc::new(std::sync::Mutex::new(Groups::create(directory, job.memory())));
        let place = self.place(&build, &layout, &job.settings.build_env, &groups);
        let before_run = self.place(&build, &layout, &job.settings.env, &groups);
        let deadline = Instant::now() + job.deadline;
        let mut budget = Budget { deadline, span: job.deadline, bytes: MOST_OUTPUT, most: MOST_OUTPUT };
        let steps = recipe::steps(&job.settings);
        let lines = Lines { building: &place, before_run: &before_run, steps: &steps };
        let layer = self.layer(job, &build, &steps).await?;
        let mut done = self.restore(layer.as_ref(), user, log).await;
        if done == 0 {
            if choice.interpreter.language == Language::Python {
                let (seeds, interpreter) = (self.options.cache.join("python"), &choice.interpreter);
                let environment = Environment { interpreter, venv: &at.venv, seeds: &seeds, place: &place };
                environment.make(&mut budget, log, cancel).await?;
            }
            done = layer.as_ref().map_or(0, |layer| layer.lines);
            lines.run(0..done, &mut budget, log, cancel).await?;
            self.keep(layer.as_ref()).await;
            lines.run(done..steps.len(), &mut budget, log, cancel).await?;
        } else if let Err(error) = lines.run(done..steps.len(), &mut budget, log, cancel).await {
            return Err(self.doubt(layer.as_ref(), error, log).await);
        }
        let artifact = self.artifact(directory, at, layout);
        complete(directory, job.id.clone(), artifact.clone(), (self.options.policy.clone(), user)).await?;
        Ok(artifact)
    }

    /// The layer of what the first lines of a build install.
    async fn layer(&self, job: &BuildJob, build: &Build<'_>, steps: &[Step]) -> Result<Option<Layer>, BuildError> {
        let (steps, at, interpreter) = (steps.to_vec(), build.at.clone(), build.interpreter.clone());
        let layers = self.options.cache.join(LAYERS).join(job.name.as_str());
        let mut env = self.options.provision.env.clone();
        env.extend(job.settings.build_env.clone());
        blocking(format!("read {}", at.source.display()), move || {
            let found = dependencies::find(&steps, &at.source);
            Ok(found.and_then(|found| Layer::of(&layers, &found, &at, &interpreter, &env)))
        })
        .await
    }

    /// How many lines need not be run, because what they install was kept. What cannot be restored is made again.
    async fn restore(&self, layer: Option<&Layer>, user: Option<u32>, log: &dyn LineSink) -> usize {
        let Some(layer) = layer.cloned() else { return 0 };
        let lines = layer.lines;
        let restored = blocking("restore dependencies".into(), move || layer.restore(user)).await;
        if !restored.inspect_err(|error| tracing::warn!(%error, "kept dependencies")).unwrap_or(false) {
            return 0;
        }
        let which = if lines == 1 { "1 was".to_owned() } else { format!("1 to {lines} were") };
        let said = format!("The lock files have not changed: what step {which} for is taken from an earlier build.");
        log.line(LineSource::AppRunner, &said);
        lines
    }

    /// Keeps what was installed for the next build. What fails here fails no build.
    async fn keep(&self, layer: Option<&Layer>) {
        let (Some(layer), most) = (layer.cloned(), self.options.cache_limit) else { return };
        if let Err(error) = blocking("keep dependencies".into(), move || layer.keep(most)).await {
            tracing::warn!(%error, "installed dependencies are not kept");
        }
    }

    /// After a failure with dependencies that were kept: the next build installs them anew, in case they are damaged.
    async fn doubt(&self, layer: Option<&Layer>, error: BuildError, log: &dyn LineSink) -> BuildError {
        if let (Some(layer), BuildError::Command { .. }) = (layer.cloned(), &error) {
            let dropped = blocking("drop kept dependencies".into(), move || layer.drop_kept()).await;
            let said = "The next build installs the dependencies anew, in case those of the earlier build are damaged.";
            dropped.into_iter().for_each(|()| log.line(LineSource::AppRunner, said));
        }
        error
    }

    /// Lays out an empty build: source, home, temporary files, and the stand-ins for tools. Returns whose it is.
    async fn prepare(
        &self,
        directory: &Path,
        at: &Directories,
        job: &BuildJob,
        interpreter: &Interpreter,
    ) -> Result<Option<u32>, BuildError> {
        let (directory, at, interpreter) = (directory.to_owned(), at.clone(), interpreter.clone());
        let (tree, name) = (job.tree.clone(), job.name.clone());
        let (search, policy) = (self.options.search.clone(), self.options.policy.clone());
        blocking(format!("lay out {}", directory.display()), move || {
            remove_tree(&directory)?;
            let tools = directory.join("tools");
            for path in [&directory, &at.home, &at.bin, &at.cache, &apart::temporary(&directory), &tools] {
                create(path)?;
            }
            tools::write(&tools, interpreter.language, &search)?;
            tools::write_shell(&at.bin, &search)?;
            move_tree(&tree, &directory.join(SOURCE))?;
            let user = policy.user(name.as_str())?;
            apart::hand_over(&directory, &at, &interpreter, user)?;
            Ok(user)
        })
        .await
    }

    fn cache_of(&self, service: &ServiceName) -> PathBuf {
        self.options.cache.join("services").join(service.as_str())
    }

    /// After a build, however it ended. What fails here fails no build: the next collection tries again.
    async fn keep_cache_small(&self, service: &ServiceName) {
        let (cache, most) = (self.cache_of(service), self.options.cache_limit);
        let kept = blocking(format!("bound {}", cache.display()), move || caches::keep_below(&cache, most)).await;
        if let Err(error) = kept {
            tracing::warn!(%service, %error, "the cache of downloads could not be bounded");
        }
    }

    fn directories(&self, directory: &Path, job: &BuildJob) -> Directories {
        Directories {
            // All of the repository is there; commands run in the source directory.
            source: job.directory.iter().fold(directory.join(SOURCE), |root, inner| root.join(inner.as_str())),
            home: directory.join("home"),
            bin: directory.join("bin"),
            venv: directory.join("venv"),
            cache: self.cache_of(&job.name),
        }
    }

    fn place(
        &self,
        build: &Build<'_>,
        layout: &Layout,
        variables: &BTreeMap<EnvName, String>,
        groups: &Arc<std::sync::Mutex<Groups>>,
    ) -> Place {
        let ProcessBuilderOptions { passthrough, search, policy, .. } = &self.options;
        let mut building = layout.clone();
        building.path_prefix.insert(0, build.directory.join("tools"));
        let mut env = recipe::build_environment(&building, passthrough, variables, search);
        let temporary = apart::temporary(build.directory);
        env.insert("TMPDIR".into(), policy.temporary(&temporary).display().to_string());
        Place {
            build: build.directory.to_owned(),
            directory: build.at.source.clone(),
            cache: build.at.cache.clone(),
            env,
            exe: policy.exe.clone(),
            jail: apart::jail(policy, build, passthrough, search),
            groups: Arc::clone(groups),
        }
    }

    /// Instances find their tools where the build found them: the host's search path comes after the build's own.
    fn artifact(&self, directory: &Path, at: Directories, layout: Layout) -> Artifact {
        let path_prefix = layout.path_prefix.into_iter().chain(self.options.search.iter().cloned()).collect();
        let env = layout.env.into_iter().filter_map(|(name, value)| Some((name.parse::<EnvName>().ok()?, value)));
        Artifact::Directory { path: at.source, root: Some(directory.to_owned()), path_prefix, env: env.collect() }
    }
}

/// The name of a build's directory: short, because paths in it end up in first lines of scripts, which are limited.
fn name(id: &BuildId) -> String {
    id.as_str()[..32].to_owned()
}

fn is_name(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn create(directory: &Path) -> io::Result<PathBuf> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    directory.canonicalize()
}

fn failed(act: String, source: io::Error) -> BuildError {
    BuildError::Io { act, source }
}

async fn blocking<T: Send + 'static>(
    act: String,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BuildError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|source| failed(act, source))
}

async fn remove(directory: PathBuf) -> Result<(), BuildError> {
    blocking(format!("remove {}", directory.display()), move || {
        // The marker first: what is left of an interrupted removal is not a result.
        let _ = std::fs::remove_file(directory.join("complete.json"));
        remove_tree(&directory)
    })
    .await
}

/// The marker of a finished build; `None` when it is missing, damaged, or its files are gone.
fn read_complete(directory: &Path) -> Option<Complete> {
    let bytes = read_small(&directory.join("complete.json"), 1 << 20).ok()?;
    let complete: Complete = serde_json::from_slice(&bytes).ok()?;
    let there = matches!(&complete.artifact, Artifact::Directory { path, .. } if path.is_dir());
    let on_disk = boot_id().is_ok_and(|boot| boot == complete.boot)
        || read_small(&directory.join("synced"), 100)
            .is_ok_and(|text| text == complete.made_at.0.to_string().as_bytes());
    (there && on_disk && directory.ends_with(name(&complete.id))).then_some(complete)
}

fn announce(log: &dyn LineSink, choice: &Choice) {
    let interpreter = &choice.interpreter;
    let (version, path) = (&interpreter.version, interpreter.path.display());
    log.line(LineSource::AppRunner, &format!("Building with {path} ({version})."));
    if let Some(notice) = &choice.notice {
        log.line(LineSource::AppRunner, notice);
    }
}

/// Drops what only the build needed and writes the marker; then lets the files reach the disk in the background.
async fn complete(
    directory: &Path,
    id: BuildId,
    artifact: Artifact,
    (policy, user): (Policy, Option<u32>),
) -> Result<(), BuildError> {
    let directory = directory.to_owned();
    blocking(format!("finish {}", directory.display()), move || {
        apart::close(&directory, &policy, user)?;
        remove_tree(&directory.join("tmp"))?;
        remove_tree(&directory.join("tools"))?;
        let made_at = Timestamp::now();
        let marker = Complete { id, artifact, boot: boot_id()?, made_at };
        write_atomic(&directory.join("complete.json"), &serde_json::to_vec(&marker)?)?;
        std::thread::spawn(move || sync(&directory, made_at));
        Ok(())
    })
    .await
}

/// Lets a build reach the disk. Takes as long as everybody's unwritten data on that disk, so nobody waits for it.
fn sync(directory: &Path, made_at: Timestamp) {
    let synced = std::fs::File::open(directory).and_then(|root| Ok(rustix::fs::syncfs(root)?));
    // Removed meanwhile, or the disk is full: the result then counts until the next boot only.
    let _ = synced.and_then(|()| write_atomic(&directory.join("synced"), made_at.0.to_string().as_bytes()));
}

#[async_trait]
impl Builder for ProcessBuilder {
    async fn identify(&self, commit: &Commit, settings: &AppSettings) -> Result<BuildId, BuildError> {
        if let Some(dockerfile) = &settings.dockerfile {
            return Err(BuildError::Dockerfile(format!(
                "`{}` makes an image, and the process engine runs no images: declare `build` with a runtime, or run \
                 towpath with `--engine docker` and another `--data-dir`.",
                dockerfile.path
            )));
        }
        let choice = self.choose(settings).await?;
        Ok(self.options.provision.identify(recipe::identify(commit, settings, &choice.interpreter.identity())))
    }

    async fn find(&self, id: &BuildId) -> Result<Option<Artifact>, BuildError> {
        let (directory, id) = (self.directory(id), id.clone());
        blocking(format!("read {}", directory.display()), move || {
            Ok(read_complete(&directory).filter(|complete| complete.id == id).map(|complete| complete.artifact))
        })
        .await
    }

    async fn build(
        &self,
        job: BuildJob,
        log: &dyn LineSink,
        cancel: CancellationToken,
    ) -> Result<Artifact, BuildError> {
        let directory = self.directory(&job.id);
        let marker = command::marker(&directory);
        let waited = tokio::time::timeout(job.deadline, Turn::take(&self.turns, directory.clone(), marker.clone()));
        let turn = tokio::select! {
            () = cancel.cancelled() => return Err(BuildError::Cancelled),
            turn = waited => turn.map_err(|_| BuildError::Limit("the same build by another service did not end in time".into()))?,
        };
        if let Some(artifact) = self.find(&job.id).await? {
            turn.finish();
            remove(job.tree).await?;
            return Ok(artifact);
        }
        // Left over from a crash in the middle of the same build.
        kill_marked(marker).await;
        let outcome = self.build_in(&directory, &job, log, &cancel).await;
        self.keep_cache_small(&job.name).await;
        if outcome.is_ok() {
            turn.finish();
        } else {
            turn.wipe().await;
        }
        outcome
    }

    async fn remove(&self, id: &BuildId) -> Result<(), BuildError> {
        remove(self.directory(id)).await
    }

    async fn usage(&self) -> Result<Vec<(BuildId, Option<u64>)>, BuildError> {
        let directories = self.list().await?.into_iter().map(|id| (self.directory(&id), id)).collect::<Vec<_>>();
        let builds = self.options.builds.display().to_string();
        blocking(format!("read {builds}"), move || {
            let sized = directories.into_iter().map(|(path, id)| (id, tree_size(&path).ok().map(|(bytes, _)| bytes)));
            Ok(sized.collect())
        })
        .await
    }

    async fn tidy(&self, services: &BTreeSet<ServiceName>) -> Result<(), BuildError> {
        let (services, caches) = (services.clone(), self.options.cache.join("services"));
        let (most, layers) = (self.options.cache_limit, self.options.cache.join(LAYERS));
        blocking(format!("tidy {}", caches.display()), move || {
            layers::tidy(&layers, &services)?;
            caches::tidy(&caches, &services, most)
        })
        .await
    }

    async fn list(&self) -> Result<Vec<BuildId>, BuildError> {
        let names = self.names().await?;
        let builds = self.options.builds.clone();
        blocking(format!("read {}", builds.display()), move || {
            Ok(names.iter().filter_map(|n| read_complete(&builds.join(n))).map(|complete| complete.id).collect())
        })
        .await
    }
}
