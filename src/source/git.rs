//! Git repositories: their heads, their commits in a local mirror, their files. In go typed URLs, branches and commit ids;
//! out come commits, bytes and directories, or a [`SourceError`].
//!
//! All of git2 blocks, so every act runs on a blocking thread under a deadline. Nothing of a repository is executed: libgit2
//! runs no hooks, and files are written from the object database without checkout, so without filters, attributes or
//! line-end conversion. A mirror holds the history of the branches that were asked for, under the digest of the URL.

mod bounds;
pub(in crate::source) mod connection;
mod export;
mod failure;
mod fetch;
mod head;
mod http;
mod known_hosts;
mod links;
mod ls_refs;
mod mirror;
mod objects;
mod pkt;
mod pull;
mod revert;
mod ssh;
mod tree;

pub use export::{Names, NotFetched};
pub(in crate::source) use failure::{plain, transport_text};
pub use pull::Merged;
pub use revert::{Content, Reversal};
pub use ssh::SshOptions;

use self::bounds::Bounds;
use self::connection::Connections;
use self::failure::Fault;
use self::ls_refs::LsRefs;
use self::mirror::{Mirror, State};
use self::ssh::Ssh;
use super::SourceError;
use super::access::{Access, Shown};
use super::github::{GitHub, Wire};
use super::registry::{self, Logins, Registry};
use crate::model::{Commit, CommitId, CommitPrefix, Contents, Reference, RepositoryUrl, SourceDirectory};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The largest file that [`GitSource::read_file`] reads, in bytes.
const READ_LIMIT: u64 = 1 << 20;

/// What a repository may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GitLimits {
    /// Bytes of one fetch, as they come over the wire.
    pub received_bytes: u64,
    /// Bytes of one commit's files together.
    pub tree_bytes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Files, directories and links of one commit together.
    pub files: u64,
    /// Directories inside each other.
    pub depth: usize,
    /// How long asking for a head may take.
    pub head_deadline: Duration,
    /// How long a fetch may take, waiting for another of the same repository included.
    pub fetch_deadline: Duration,
    /// How long reading or writing a commit's files may take.
    pub read_deadline: Duration,
    /// How many repositories are asked or fetched at the same time.
    pub parallel: usize,
}

impl Default for GitLimits {
    fn default() -> Self {
        Self {
            received_bytes: 2 << 30,
            tree_bytes: 4 << 30,
            file_bytes: 512 << 20,
            files: 100_000,
            depth: 200,
            head_deadline: Duration::from_secs(30),
            fetch_deadline: Duration::from_secs(600),
            read_deadline: Duration::from_secs(300),
            parallel: 8,
        }
    }
}

/// The commit that a reference stands for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The reference: the one asked for, or the branch that is the repository's default.
    pub reference: Reference,
    /// Its commit.
    pub commit: CommitId,
}

/// Reads git repositories through mirrors in one directory, which belongs to this process alone.
#[derive(Debug)]
pub struct GitSource {
    root: PathBuf,
    limits: GitLimits,
    network: Semaphore,
    /// None where proxies are set, which libgit2 knows how to use.
    ls_refs: Option<LsRefs>,
    /// For images, which are sources like repositories.
    registry: Registry,
    ssh: Arc<Ssh>,
    /// For GitHub's API.
    wire: Wire,
    /// What connections give, by what they are to read.
    access: RwLock<HashMap<RepositoryUrl, Arc<Access>>>,
    repositories: Mutex<HashMap<RepositoryUrl, Arc<Locks>>>,
}

/// The locks of one repository. The guards of `asking` and `writing` go to the blocking thread: when a deadline passes, the
/// caller goes on, and a thread that still hangs in libgit2 keeps the next one out, so that at most two hang per repository.
#[derive(Debug, Default)]
struct Locks {
    asking: Arc<tokio::sync::Mutex<()>>,
    writing: Arc<tokio::sync::Mutex<()>>,
    /// Held for reading by all who read the mirror or add to it, for writing by who removes from it. Only locked on
    /// blocking threads.
    contents: RwLock<()>,
    /// What a killed process left in the mirror is removed before its first use.
    swept: OnceLock<()>,
}

impl GitSource {
    /// Opens the directory of the mirrors, `<data-dir>/mirrors`, and makes it (mode 0700) if it is not there.
    ///
    /// # Errors
    /// [`SourceError::Mirror`] when the directory cannot be made or libgit2 cannot be set up.
    pub fn open(root: PathBuf, limits: GitLimits) -> Result<Self, SourceError> {
        let failed = |message: String| SourceError::Mirror { repository: root.display().to_string(), message };
        super::prepare().map_err(failed)?;
        mirror::make_private(&root).map_err(|error| failed(error.to_string()))?;
        let network = Semaphore::new(limits.parallel.max(1));
        let ls_refs = Some(LsRefs::new(Connections::new().map_err(failed)?));
        let registry = Registry::new(Connections::new().map_err(failed)?);
        let ssh = Arc::new(Ssh::new(SshOptions::default(), root.with_file_name("ssh")));
        let wire = Wire::new(None).map_err(failed)?;
        let (access, repositories) = (RwLock::default(), Mutex::default());
        Ok(Self { root, limits, network, ls_refs, registry, ssh, wire, access, repositories })
    }

    /// The same with keys and known hosts for ssh. Without them no repository over ssh is read.
    ///
    /// # Errors
    /// [`SourceError::Mirror`] when libgit2 cannot be told where known hosts are.
    pub fn with_ssh(mut self, options: SshOptions) -> Result<Self, SourceError> {
        // Beside the mirrors; what is in there is made anew whenever it is needed.
        let home = self.root.with_file_name("ssh");
        let told = super::libgit2::set_home(&home);
        told.map_err(|message| SourceError::Mirror { repository: home.display().to_string(), message })?;
        self.ssh = Arc::new(Ssh::new(options, home));
        Ok(self)
    }

    /// The same trusting the certificate authorities in a PEM file, besides the machine's own.
    ///
    /// # Errors
    /// [`SourceError::Mirror`] when the file cannot be used.
    pub fn trusting(mut self, file: &Path) -> Result<Self, SourceError> {
        let failed = |message| SourceError::Mirror { repository: file.display().to_string(), message };
        super::libgit2::trust(file).map_err(failed)?;
        self.registry = Registry::new(Connections::trusting(file).map_err(failed)?);
        self.wire = Wire::new(Some(file)).map_err(failed)?;
        if self.ls_refs.is_some() {
            self.ls_refs = Some(LsRefs::new(Connections::trusting(file).map_err(failed)?));
        }
        Ok(self)
    }

    /// The same with libgit2 asking all repositories: it knows how to use proxies.
    #[must_use]
    pub fn through_proxies(mut self) -> Self {
        self.ls_refs = None;
        self
    }

    /// Replaces the private keys that sources name.
    pub fn set_keys(&self, keys: HashMap<RepositoryUrl, PathBuf>) {
        self.ssh.set_keys(keys);
    }

    /// Replaces who pulls which image.
    pub fn set_logins(&self, logins: Logins) {
        self.registry.set_logins(logins);
    }

    /// Replaces what connections give, by what they are to read.
    pub fn set_access(&self, access: HashMap<RepositoryUrl, Arc<Access>>) {
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = access;
    }

    /// Asks a repository with what a connection gives, whatever is set for it. One without branches is an answer too.
    ///
    /// # Errors
    /// As [`GitSource::head`], where it does not get in.
    pub async fn try_access(&self, repository: &RepositoryUrl, access: &Arc<Access>) -> Result<(), SourceError> {
        let shown = access.show(repository).await?;
        self.ask(repository, vec![Reference::Default], Some(shown)).await.map(drop)
    }

    /// A client of GitHub's API with the credentials that a repository is read by, if it is GitHub's and has some.
    pub fn github(&self, repository: &RepositoryUrl) -> Option<GitHub> {
        self.access(repository)?.github(&self.wire)
    }

    /// What speaks to GitHub's servers, with the same trusted authorities.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Whether a repository is read by what a connection gives.
    pub fn is_read_by_connection(&self, repository: &RepositoryUrl) -> bool {
        self.access(repository).is_some()
    }

    fn access(&self, repository: &RepositoryUrl) -> Option<Arc<Access>> {
        self.access.read().unwrap_or_else(PoisonError::into_inner).get(repository).cloned()
    }

    /// What to show a repository, if a connection leads there.
    async fn show(&self, repository: &RepositoryUrl) -> Result<Option<Shown>, SourceError> {
        match self.access(repository) {
            Some(access) => access.show(repository).await.map(Some),
            None => Ok(None),
        }
    }

    /// What to show after a failure, where it was a refusal and something fresh can be had; else that failure.
    async fn renewed(
        &self,
        repository: &RepositoryUrl,
        shown: Option<Shown>,
        error: SourceError,
    ) -> Result<Option<Shown>, SourceError> {
        match shown {
            Some(old) if matches!(error, SourceError::Unauthorized { .. }) && old.renew().await => {
                self.show(repository).await
            }
            _ => Err(error),
        }
    }

    fn bounds(&self, shown: Option<Shown>, deadline: Duration) -> Bounds {
        Bounds::new(&self.limits, self.ssh.clone(), shown, deadline)
    }

    /// The commit of a reference. Asks the repository; the mirror is not touched, but for a commit.
    ///
    /// # Errors
    /// [`SourceError::NoBranch`] when the branch is not there or the repository is empty.
    pub async fn head(&self, repository: &RepositoryUrl, reference: &Reference) -> Result<Head, SourceError> {
        let answer = self.heads(repository, std::slice::from_ref(reference)).await?.pop();
        answer.unwrap_or_else(|| Err(failure::transport_text(repository, "it answered nothing")))
    }

    /// The commits of several references of one repository, in their order, with one question to it. A whole commit id
    /// answers itself; the beginning of one is looked for in the mirror, and fetched if it is not there.
    ///
    /// # Errors
    /// As the repository as a whole; a reference that is not there fails alone.
    pub async fn heads(
        &self,
        repository: &RepositoryUrl,
        references: &[Reference],
    ) -> Result<Vec<Result<Head, SourceError>>, SourceError> {
        if let RepositoryUrl::Image(image) = repository {
            let _permit = self.network.acquire().await;
            return Ok(self.registry.heads(image, references).await);
        }
        let moving: Vec<Reference> = references.iter().filter(|r| r.commit().is_none()).cloned().collect();
        let mut asked = match moving.is_empty() {
            true => Vec::new(),
            false => self.ask_showing(repository, moving).await?,
        }
        .into_iter();
        let mut heads = Vec::with_capacity(references.len());
        for reference in references {
            let head = match reference {
                Reference::Commit(prefix) => self.resolve(repository, reference, prefix).await,
                _ => asked
                    .next()
                    .unwrap_or_else(|| Err(failure::transport_text(repository, "it answered less than was asked"))),
            };
            heads.push(head);
        }
        Ok(heads)
    }

    /// The heads by one small request; `None` where libgit2 has to ask: also for a reference that is not there, since an
    /// error names those that are.
    async fn ask_briefly(
        &self,
        repository: &RepositoryUrl,
        references: &[Reference],
        shown: Option<&Shown>,
    ) -> Option<Result<Vec<Result<Head, SourceError>>, SourceError>> {
        let listed = match self.ls_refs.as_ref()?.ask(repository, references, shown).await? {
            Ok(listed) => listed,
            Err(error) => return Some(Err(error)),
        };
        let heads = references.iter().map(|reference| head::listed_head(repository, &listed, reference));
        let heads: Result<Vec<Head>, SourceError> = heads.collect();
        heads.ok().map(|heads| Ok(heads.into_iter().map(Ok).collect()))
    }

    async fn resolve(
        &self,
        repository: &RepositoryUrl,
        reference: &Reference,
        prefix: &CommitPrefix,
    ) -> Result<Head, SourceError> {
        let commit = match prefix.whole() {
            Some(commit) => commit,
            None => self.fetch(repository, reference, None).await?.id,
        };
        Ok(Head { reference: reference.clone(), commit })
    }

    async fn ask_showing(
        &self,
        repository: &RepositoryUrl,
        references: Vec<Reference>,
    ) -> Result<Vec<Result<Head, SourceError>>, SourceError> {
        let shown = self.show(repository).await?;
        match self.ask(repository, references.clone(), shown.clone()).await {
            Err(error) => {
                let fresh = self.renewed(repository, shown, error).await?;
                self.ask(repository, references, fresh).await
            }
            done => done,
        }
    }

    async fn ask(
        &self,
        repository: &RepositoryUrl,
        references: Vec<Reference>,
        shown: Option<Shown>,
    ) -> Result<Vec<Result<Head, SourceError>>, SourceError> {
        let url = repository.clone();
        let asking = self.locks(repository).asking.clone();
        let bounds = self.bounds(shown, self.limits.head_deadline);
        bounds::within(repository, &bounds.watch(), async move {
            let guard = asking.lock_owned().await;
            let _permit = self.network.acquire().await;
            if let Some(heads) = self.ask_briefly(repository, &references, bounds.shown.as_ref()).await {
                return heads;
            }
            bounds::blocking(repository, move || {
                let _guard = guard;
                head::heads(&url, &references, &bounds)
            })
            .await
        })
        .await
    }

    /// Brings a reference into the mirror and returns the wanted commit, or its newest if none is wanted. A wanted commit
    /// that is in the mirror already is returned without asking the repository.
    ///
    /// # Errors
    /// [`SourceError::NoCommit`] when the wanted commit is not in the history of the reference.
    pub async fn fetch(
        &self,
        repository: &RepositoryUrl,
        reference: &Reference,
        commit: Option<&CommitId>,
    ) -> Result<Commit, SourceError> {
        if let RepositoryUrl::Image(image) = repository {
            return self.registry.find(image, reference, commit).await;
        }
        if let Some(commit) = commit
            && let Ok(found) = self.read(repository, commit, |open| Ok(open.details.clone())).await
        {
            return Ok(found);
        }
        let shown = self.show(repository).await?;
        match self.fetch_showing(repository, reference, commit, shown.clone()).await {
            Err(error) => {
                let fresh = self.renewed(repository, shown, error).await?;
                self.fetch_showing(repository, reference, commit, fresh).await
            }
            done => done,
        }
    }

    async fn fetch_showing(
        &self,
        repository: &RepositoryUrl,
        reference: &Reference,
        commit: Option<&CommitId>,
        shown: Option<Shown>,
    ) -> Result<Commit, SourceError> {
        let (reference, commit) = (reference.clone(), commit.cloned());
        self.write(repository, shown, move |mirror, repository, bounds| {
            let found = mirror.renewing(repository, |state| match state {
                State::Kept => fetch::fetch(mirror, repository, &reference, commit.as_ref(), bounds),
                State::New => fetch::refetch(mirror, repository, &reference, commit.as_ref(), bounds),
            })?;
            mirror.tidy();
            Ok(found)
        })
        .await
    }

    /// What a pull request comes to: its head, brought into the mirror and merged there into a commit that the mirror has.
    ///
    /// # Errors
    /// [`SourceError::NoCommit`] when it was pushed to again, or is gone.
    pub async fn merge_pull(
        &self,
        repository: &RepositoryUrl,
        number: u64,
        head: &CommitId,
        base: &CommitId,
    ) -> Result<Merged, SourceError> {
        let (head, base) = (head.clone(), base.clone());
        let shown = self.show(repository).await?;
        self.write(repository, shown, move |mirror, repository, bounds| {
            pull::merge(mirror, repository, (number, &head), &base, bounds)
        })
        .await
    }

    /// What takes back what came after one commit up to another, at a head that the mirror has; why not, in words.
    ///
    /// # Errors
    /// [`SourceError::Mirror`] when the mirror cannot be read.
    pub async fn revert(
        &self,
        repository: &RepositoryUrl,
        (good, bad): (&CommitId, &CommitId),
        head: &CommitId,
    ) -> Result<Result<Reversal, String>, SourceError> {
        let (good, bad, head) = (good.clone(), bad.clone(), head.clone());
        self.write(repository, None, move |mirror, repository, _| {
            revert::revert(mirror, repository, (&good, &bad), &head)
        })
        .await
    }

    /// Lets go of what [`GitSource::merge_pull`] keeps of a pull request.
    ///
    /// # Errors
    /// [`SourceError::Mirror`] when the mirror cannot be written.
    pub async fn forget_pull(&self, repository: &RepositoryUrl, number: u64) -> Result<(), SourceError> {
        self.write(repository, None, move |mirror, _, _| pull::forget(mirror, number)).await
    }

    /// A file of a commit in the mirror, at most 1 MiB; `None` when the path is not a file there.
    ///
    /// # Errors
    /// [`SourceError::Tree`] when the path leads out of the root or through a link, which is not followed.
    pub async fn read_file(
        &self,
        repository: &RepositoryUrl,
        commit: &CommitId,
        path: &str,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let path = path.to_owned();
        self.read(repository, commit, move |open| tree::read_file(open, &path, READ_LIMIT)).await
    }

    /// The names in a directory (the root if none) of a commit in the mirror, sorted as git sorts them; at most 1,000.
    ///
    /// # Errors
    /// [`SourceError::NoCommit`] when it is not in the mirror, [`SourceError::NoDirectory`] when the directory is not there.
    pub async fn list(
        &self,
        repository: &RepositoryUrl,
        commit: &CommitId,
        directory: Option<&SourceDirectory>,
    ) -> Result<Vec<String>, SourceError> {
        let directory = directory.cloned();
        self.read(repository, commit, move |open| tree::list(open, directory.as_ref())).await
    }

    /// What a commit in the mirror has in a directory.
    ///
    /// # Errors
    /// [`SourceError::NoDirectory`] when there is none, with the nearest that are; [`SourceError::Tree`] when a link is on
    /// the way, which is not followed.
    pub async fn directory(
        &self,
        repository: &RepositoryUrl,
        commit: &CommitId,
        directory: &SourceDirectory,
    ) -> Result<Contents, SourceError> {
        let directory = directory.clone();
        let find = move |open: &tree::OpenCommit<'_>| Ok(tree::directory(open, &directory)?.id().to_string());
        self.read(repository, commit, find).await.map(Contents::Tree)
    }

    /// A commit in the mirror as git stores it, for its signature.
    ///
    /// # Errors
    /// [`SourceError::NoCommit`] when it is not in the mirror, [`SourceError::Limit`] when it is larger than `longest`.
    pub async fn raw_commit(
        &self,
        repository: &RepositoryUrl,
        commit: &CommitId,
        longest: usize,
    ) -> Result<Vec<u8>, SourceError> {
        self.read(repository, commit, move |open| tree::raw_commit(open, longest)).await
    }

    /// Whether a commit in the mirror descends from another (or is it).
    ///
    /// # Errors
    /// As [`GitSource::raw_commit`].
    pub async fn descends(
        &self,
        repository: &RepositoryUrl,
        commit: &CommitId,
        from: &CommitId,
    ) -> Result<bool, SourceError> {
        let from = from.clone();
        self.read(repository, commit, move |open| Ok(Mirror::descends(open.mirror, &open.details.id, &from)?)).await
    }

    /// Writes the files of a commit in the mirror to a directory, which is made and must be empty if it is there: modes 0644
    /// and 0755, symbolic links that stay inside, submodules as empty directories, contents byte for byte. On failure nothing
    /// is left; a crash leaves a part. Returns what is there by name only.
    ///
    /// # Errors
    /// [`SourceError::Tree`] and [`SourceError::Limit`] name the path that cannot be written.
    pub async fn export(
        &self,
        repository: &RepositoryUrl,
        commit: &CommitId,
        to: &Path,
    ) -> Result<NotFetched, SourceError> {
        if let RepositoryUrl::Image(image) = repository {
            registry::export(image, commit, to).await?;
            return Ok(NotFetched::default());
        }
        let to = to.to_owned();
        self.read(repository, commit, move |open| export::export(open, &to)).await
    }

    /// Removes the mirror of a repository. Nothing to remove is success.
    ///
    /// # Errors
    /// [`SourceError::Mirror`] when it cannot be removed.
    pub async fn forget(&self, repository: &RepositoryUrl) -> Result<(), SourceError> {
        let locks = self.locks(repository);
        self.write(repository, None, move |mirror, _, _| {
            let _contents = locks.contents.write().unwrap_or_else(PoisonError::into_inner);
            Ok(mirror.remove()?)
        })
        .await
    }

    fn locks(&self, repository: &RepositoryUrl) -> Arc<Locks> {
        let mut all = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(repository.clone()).or_default().clone()
    }

    /// Does something with a commit in the mirror. A damaged mirror is made anew and the work done once more.
    async fn read<T: Send + 'static>(
        &self,
        repository: &RepositoryUrl,
        commit: &CommitId,
        work: impl Fn(&tree::OpenCommit<'_>) -> Result<T, Fault> + Send + Clone + 'static,
    ) -> Result<T, SourceError> {
        match self.read_once(repository, commit, work.clone()).await? {
            Ok(value) => return Ok(value),
            Err(Fault::Source(error)) => return Err(error),
            Err(Fault::Mirror(error)) if failure::is_full(&error) => return Err(failure::mirror(repository, &error)),
            Err(Fault::Mirror(error)) => {
                tracing::warn!(%repository, %error, "the mirror is damaged and is made anew");
            }
        }
        let shown = self.show(repository).await?;
        self.write(repository, shown, |mirror, repository, bounds| mirror.renew(repository, bounds)).await?;
        self.read_once(repository, commit, work).await?.map_err(|fault| fault.into_error(repository))
    }

    async fn read_once<T: Send + 'static>(
        &self,
        repository: &RepositoryUrl,
        commit: &CommitId,
        work: impl Fn(&tree::OpenCommit<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Result<T, Fault>, SourceError> {
        let mirror = self.mirror(repository);
        let (url, commit) = (repository.clone(), commit.clone());
        let bounds = self.bounds(None, self.limits.read_deadline);
        bounds::within(repository, &bounds.watch(), async move {
            bounds::blocking(repository, move || {
                let _contents = mirror.reading();
                Ok(tree::with_commit(&mirror, &url, &commit, &bounds, work))
            })
            .await
        })
        .await
    }

    /// Does something to the mirror, one at a time per repository.
    async fn write<T: Send + 'static>(
        &self,
        repository: &RepositoryUrl,
        shown: Option<Shown>,
        work: impl FnOnce(&Mirror, &RepositoryUrl, &Bounds) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, SourceError> {
        let mirror = self.mirror(repository);
        let url = repository.clone();
        let writing = mirror.locks.writing.clone();
        let bounds = self.bounds(shown, self.limits.fetch_deadline);
        bounds::within(repository, &bounds.watch(), async move {
            let guard = writing.lock_owned().await;
            let _permit = self.network.acquire().await;
            bounds::blocking(repository, move || {
                let _guard = guard;
                work(&mirror, &url, &bounds).map_err(|fault| fault.into_error(&url))
            })
            .await
        })
        .await
    }

    fn mirror(&self, repository: &RepositoryUrl) -> Mirror {
        Mirror::new(&self.root, repository, self.locks(repository))
    }
}
