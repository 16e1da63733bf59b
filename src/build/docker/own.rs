//! Builds by the repository's own Dockerfile (row S9): what of the tree is sent, which images have to be there, and what
//! the file asks for that cannot be.

use super::context::Context;
use super::dockerfile::{Dockerfile, Needed};
use super::ignore::Ignore;
use super::transport::Request;
use super::trusting::Trusting;
use super::{Backend, CALL, DockerBuilder};
use crate::build::{BuildError, BuildJob};
use crate::model::{DockerfileBuild, LineSink, LineSource};
use bollard::query_parameters::RemoveImageOptionsBuilder;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The largest Dockerfile that is read.
const LARGEST: u64 = 1 << 20;

/// Where a Dockerfile is put that is not part of the context.
const APART: &str = ".towpath.Dockerfile";

/// What is said where the file's commands are not given the installation's authorities.
const NOT_TRUSTED: &str = "The certificate authorities of this installation cannot be shown to a Dockerfile's commands by \
                           Docker's classic builder and Podman's: copy them in, or use an engine with BuildKit.";

/// A build, ready to be sent.
pub(super) struct Own {
    pub file: Dockerfile,
    pub text: String,
    /// Its place in the context.
    name: String,
    context: Context,
    /// The stage to build.
    stage: usize,
}

impl Own {
    /// Reads the Dockerfile and what belongs to it out of a tree.
    pub fn open(tree: &Path, build: &DockerfileBuild) -> Result<Self, BuildError> {
        let (path, root) = (build.path.as_str(), context_root(tree, build)?);
        let text = read(tree, path)?.ok_or_else(|| missing(tree, path))?;
        let file = Dockerfile::read(path, &text);
        let stage = stage(&file, path, build)?;
        if let Some((line, kind)) = file.needs_session() {
            return Err(BuildError::Dockerfile(format!(
                "{path}:{line} asks for a `{kind}` mount, which only `docker build` itself can serve. Give the build what \
                 it needs by `args` where that is no secret, or fetch it when the application starts."
            )));
        }
        let ignore = ignore(tree, &root, path)?;
        let inside = inside(tree, &root, path).filter(|name| !ignore.excludes(name));
        let (name, beside) = match inside {
            Some(name) => (name, Vec::new()),
            None => (APART.to_owned(), vec![(APART.to_owned(), text.clone().into_bytes())]),
        };
        Ok(Self { file, text, name, context: Context { root, prefix: None, ignore, beside }, stage })
    }
}

impl DockerBuilder {
    pub(super) async fn build_own(
        &self,
        job: &BuildJob,
        build: &DockerfileBuild,
        log: &dyn LineSink,
    ) -> Result<(), BuildError> {
        // Paths begin in the directory of the source: what is above it is not sent.
        let tree = job.directory.as_ref().map_or_else(|| job.tree.clone(), |d| job.tree.join(d.as_str()));
        let wanted = build.clone();
        let opened = tokio::task::spawn_blocking(move || Own::open(&tree, &wanted)).await;
        let own = opened.map_err(|e| io_error("read the Dockerfile", io::Error::other(e)))??;
        // What the service says is stronger.
        let given = self.provision.env.iter().chain(&build.args);
        let args: BTreeMap<String, String> = given.map(|(name, value)| (name.to_string(), value.clone())).collect();
        // Not for what a repository's Dockerfile names: that could be anybody's registry.
        let login = job.login.as_ref().filter(|_| job.commit.is_image());
        let mut brought = Vec::new();
        let images = own.file.images(own.stage, &args);
        for needed in &images {
            if self.image_id(&needed.image).await?.is_none() {
                brought.push(needed.image.clone());
            }
            self.bring(&needed.image, login).await?.map_err(|why| unavailable(build, needed, &why))?;
        }
        self.confine(&own, build.path.as_str(), &args, &images).await?;
        let trusting = self.authorities().await?.map(|image| Trusting::of(&own.text, &own.file, &image));
        let request = |backend| {
            let trusting = trusting.as_ref().filter(|_| backend == Backend::BuildKit);
            if self.provision.authorities.is_some() && trusting.is_none() {
                log.line(LineSource::AppRunner, NOT_TRUSTED);
            }
            self.request_own(job, build, &own, (&args, trusting), backend)
        };
        let ended = self.run_either(request, &own.file, log).await;
        if job.commit.is_image() {
            self.let_go(&brought).await;
        }
        let ended = ended.map_err(|error| explain(error, build, own.file.syntax.as_ref()));
        match (ended, &trusting) {
            (Err(BuildError::Dockerfile(message)), Some(changed)) => {
                Err(BuildError::Dockerfile(changed.in_original(&message)))
            }
            (ended, _) => ended,
        }
    }

    /// An image of a registry is kept under our own name only: the other one would keep its layers for ever, as nobody
    /// knows when it is not needed any more.
    async fn let_go(&self, images: &[String]) {
        for image in images {
            let options = RemoveImageOptionsBuilder::default().noprune(true).build();
            let removal = self.docker.remove_image(image, Some(options), None);
            match tokio::time::timeout(CALL, removal).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%image, %error, "an image keeps the name of its registry"),
                Err(_) => tracing::debug!(%image, "an image keeps the name of its registry: no answer in time"),
            }
        }
    }

    fn request_own(
        &self,
        job: &BuildJob,
        build: &DockerfileBuild,
        own: &Own,
        (args, trusting): (&BTreeMap<String, String>, Option<&Trusting>),
        backend: Backend,
    ) -> Request {
        let mut context = own.context.clone();
        if let Some(Trusting { text, .. }) = trusting {
            context.beside = vec![(own.name.clone(), text.clone().into_bytes())];
        }
        let mut request = self.request(job, context, backend);
        request.query.push(("dockerfile", own.name.clone()));
        request.query.extend(build.target.clone().map(|target| ("target", target)));
        request.query.push(self.arguments(job, args, backend));
        request
    }
}

/// A file of the tree as text; `None` where there is none. Links are followed inside the tree only.
fn read(tree: &Path, path: &str) -> Result<Option<String>, BuildError> {
    let failed = |source| io_error(&format!("read `{path}`"), source);
    let Some(real) = resolve(tree, path).map_err(failed)? else { return Ok(None) };
    let metadata = std::fs::metadata(&real).map_err(failed)?;
    if !metadata.is_file() {
        return Err(BuildError::Dockerfile(format!("`{path}` in the repository is not a file.")));
    }
    if metadata.len() > LARGEST {
        return Err(BuildError::Limit(format!("`{path}` has more than {} KiB", LARGEST >> 10)));
    }
    let bytes = std::fs::read(&real).map_err(failed)?;
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| BuildError::Dockerfile(format!("`{path}` in the repository is not UTF-8 text.")))
}

/// The real place of a path, if it is there and in the tree.
fn resolve(tree: &Path, path: &str) -> io::Result<Option<PathBuf>> {
    let tree = tree.canonicalize()?;
    match tree.join(path).canonicalize() {
        Ok(real) if real.starts_with(&tree) => Ok(Some(real)),
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn context_root(tree: &Path, build: &DockerfileBuild) -> Result<PathBuf, BuildError> {
    let path = build.context.as_ref().map_or(".", |context| context.as_str());
    let found = resolve(tree, path).map_err(|e| io_error(&format!("find `{path}`"), e))?;
    found.filter(|root| root.is_dir()).ok_or_else(|| {
        BuildError::Dockerfile(format!("The build context `{path}` is not a directory of the repository."))
    })
}

fn missing(tree: &Path, path: &str) -> BuildError {
    let names = std::fs::read_dir(tree).into_iter().flatten().flatten().map(|e| e.file_name());
    let mut similar: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.to_ascii_lowercase().contains("dockerfile") && !name.ends_with(".dockerignore"))
        .map(|name| format!("`{name}`"))
        .collect();
    similar.sort();
    similar.truncate(5);
    let hint = if similar.is_empty() { String::new() } else { format!(" Its root has {}.", similar.join(", ")) };
    BuildError::Dockerfile(format!("There is no `{path}` in the repository.{hint}"))
}

fn stage(file: &Dockerfile, path: &str, build: &DockerfileBuild) -> Result<usize, BuildError> {
    let names = || file.stage_names().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    file.target(build.target.as_deref()).ok_or_else(|| {
        BuildError::Dockerfile(match &build.target {
            Some(target) if names().is_empty() => {
                format!("`{path}` has no stage `{target}`: none of its stages has a name.")
            }
            Some(target) => format!("`{path}` has no stage `{target}`; it has {}.", names()),
            None => format!("`{path}` has no `FROM` instruction: it builds nothing."),
        })
    })
}

/// The ignore file of this Dockerfile if it has one, else that of the context.
fn ignore(tree: &Path, root: &Path, path: &str) -> Result<Ignore, BuildError> {
    let of_context = ".dockerignore".to_owned();
    for (tree, name) in [(tree, format!("{path}.dockerignore")), (root, of_context)] {
        if let Some(text) = read(tree, &name)? {
            return Ignore::read(&text).map_err(|why| BuildError::Dockerfile(format!("`{name}`: {why}.")));
        }
    }
    Ok(Ignore::default())
}

/// The name of a file of the tree in the context; `None` where it is not in it.
fn inside(tree: &Path, root: &Path, path: &str) -> Option<String> {
    // The file as it is named, not where a link leads: the context carries the link.
    let tree = tree.canonicalize().ok()?;
    let name = tree.join(path).strip_prefix(root).ok()?.to_str()?.to_owned();
    let linked = root.join(&name).ancestors().take_while(|a| *a != root).any(Path::is_symlink);
    (!linked).then_some(name)
}

fn unavailable(build: &DockerfileBuild, needed: &Needed, why: &str) -> BuildError {
    let Needed { image, line } = needed;
    let path = build.path.as_str();
    BuildError::Dockerfile(format!(
        "The image `{image}` ({path}:{line}) is not on the Docker engine and could not be pulled: {why}. Correct its \
         name, log the engine in to its registry, or load it with `docker load`."
    ))
}

/// What a frontend that could not be had means.
fn explain(error: BuildError, build: &DockerfileBuild, syntax: Option<&Needed>) -> BuildError {
    match (&error, syntax) {
        (BuildError::Runtime(message), Some(Needed { image, line })) if message.contains("gateway.v0") => {
            let why = message.rsplit("gateway.v0: ").next().unwrap_or_default();
            BuildError::Dockerfile(format!(
                "{}:{line} asks for the syntax `{image}`, an image that the Docker engine could not pull: {why}. Remove \
                 that line if the engine's own syntax will do, or load the image with `docker load`.",
                build.path.as_str()
            ))
        }
        (BuildError::Runtime(message), _) => BuildError::Dockerfile(message.clone()),
        _ => error,
    }
}

fn io_error(act: &str, source: io::Error) -> BuildError {
    BuildError::Io { act: act.to_owned(), source }
}

#[cfg(test)]
#[path = "own_tests.rs"]
mod tests;
