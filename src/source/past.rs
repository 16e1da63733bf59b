//! What stood at a path of a repository on this machine at a revision. Read from the object database: nothing is checked out,
//! nothing of the repository runs, no filter and no hook. For `towpath plan --against`.

use crate::model::Invalid;
use git2::{Commit, ErrorCode, ObjectType, Oid, Repository, Tree};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// So many entries of a directory are written out, which is more than a manifest may have.
const MOST_ENTRIES: usize = 20_001;
/// The deepest directory that is written out, which is deeper than a manifest's may be.
const MOST_DEPTH: usize = 18;
/// Of files that are longer, so much is written: enough to see that they are too long.
const MOST_FILE: usize = (1 << 20) + 1;
/// Contents of all files together.
const MOST_BYTES: usize = 32 << 20;
/// Branches that are named in a hint.
const NAMED: usize = 6;

/// A repository at one of its revisions.
pub struct Past {
    repository: Repository,
    /// The work tree, without links.
    root: PathBuf,
    tree: Oid,
    commit: Oid,
}

/// What stood at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stood {
    /// Nothing.
    Nothing,
    /// A file or a directory, which was written out.
    Written,
    /// A symbolic link, which is not followed.
    Link,
}

impl Past {
    /// The repository that a path stands in, whether or not it is still there, at a revision as git writes them.
    ///
    /// # Errors
    /// In words: in no repository, in one without a work tree or that cannot be read, no such revision.
    pub fn open(path: &Path, revision: &str) -> Result<Self, Invalid> {
        super::prepare().map_err(Invalid::new)?;
        let place = without_links(path);
        let above = place.ancestors().skip(1).find(|p| p.is_dir()).unwrap_or(Path::new("/"));
        let repository = Repository::discover(above).map_err(|error| no_repository(path, &error))?;
        let root = repository.workdir().and_then(|root| root.canonicalize().ok());
        let root = root.ok_or_else(|| {
            Invalid::new(format!("the git repository of `{}` has no work tree", path.display()))
                .hint("stand in a clone of it")
        })?;
        let (tree, commit) = {
            let commit = resolve(&repository, revision)?;
            (commit.tree_id(), commit.id())
        };
        Ok(Self { repository, root, tree, commit })
    }

    /// The first seven digits of the commit.
    pub fn short(&self) -> String {
        self.commit.to_string()[..7].to_owned()
    }

    /// Writes what stood at a path to another, which is not there yet.
    ///
    /// # Errors
    /// In words: the path is outside of the repository, an object is missing or too much, the disk is full.
    pub fn write(&self, path: &Path, target: &Path) -> Result<Stood, Invalid> {
        let Some((mode, id)) = self.find(path)? else { return Ok(Stood::Nothing) };
        let mut writing = Writing { past: self, entries: 0, bytes: 0 };
        match mode & 0o170_000 {
            0o120_000 => return Ok(Stood::Link),
            0o040_000 => writing.directory(id, target, 0)?,
            0o100_000 => writing.file(id, target, MOST_FILE)?,
            _ => return Ok(Stood::Nothing),
        }
        Ok(Stood::Written)
    }

    /// The text of a file, if there was one of at most so many bytes.
    pub fn text(&self, path: &Path, most: usize) -> Option<String> {
        let (mode, id) = self.find(path).ok().flatten()?;
        let blob = self.repository.find_blob(id).ok().filter(|blob| blob.size() <= most)?;
        (mode & 0o170_000 == 0o100_000).then(|| String::from_utf8(blob.content().to_vec()).ok()).flatten()
    }

    /// Mode and object of the entry at a path.
    fn find(&self, path: &Path) -> Result<Option<(i32, Oid)>, Invalid> {
        let place = without_links(path);
        let Ok(inside) = place.strip_prefix(&self.root) else {
            let message = format!("`{}` is not in the work tree of `{}`", path.display(), self.root.display());
            return Err(Invalid::new(message));
        };
        if inside.as_os_str().is_empty() {
            return Ok(Some((0o040_000, self.tree)));
        }
        let tree = self.repository.find_tree(self.tree).map_err(|e| unreadable(&e))?;
        match tree.get_path(inside) {
            Ok(entry) => Ok(Some((entry.filemode_raw(), entry.id()))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(unreadable(&error)),
        }
    }
}

/// A tree on its way to a disk, within bounds.
struct Writing<'p> {
    past: &'p Past,
    entries: usize,
    bytes: usize,
}

impl Writing<'_> {
    fn directory(&mut self, id: Oid, to: &Path, depth: usize) -> Result<(), Invalid> {
        fs::create_dir(to).map_err(|e| unwritable(to, &e))?;
        if depth >= MOST_DEPTH {
            return Ok(());
        }
        let tree: Tree = self.past.repository.find_tree(id).map_err(|e| unreadable(&e))?;
        for entry in &tree {
            if self.entries >= MOST_ENTRIES {
                return Ok(());
            }
            self.entries += 1;
            let name = Path::new(std::ffi::OsStr::from_bytes(entry.name_bytes()));
            // A tree that was made to hurt may have names that git itself never writes.
            let one = matches!(name.components().collect::<Vec<_>>()[..], [Component::Normal(only)] if only == name);
            if one {
                self.entry(entry.filemode_raw(), entry.id(), &to.join(name), depth)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, mode: i32, id: Oid, to: &Path, depth: usize) -> Result<(), Invalid> {
        let is_yaml = to.extension().is_some_and(|e| e == "yaml" || e == "yml");
        match mode & 0o170_000 {
            0o040_000 => self.directory(id, to, depth + 1),
            0o120_000 => self.link(id, to),
            // A link may lead to a file of any name; what is long is no manifest.
            0o100_000 => self.file(id, to, if is_yaml { MOST_FILE } else { 64 << 10 }),
            // A submodule is a repository of its own.
            0o160_000 => {
                fs::create_dir(to).and_then(|()| fs::create_dir(to.join(".git"))).map_err(|e| unwritable(to, &e))
            }
            _ => Ok(()),
        }
    }

    fn link(&self, id: Oid, to: &Path) -> Result<(), Invalid> {
        let blob = self.past.repository.find_blob(id).map_err(|e| unreadable(&e))?;
        let target = Path::new(std::ffi::OsStr::from_bytes(blob.content()));
        std::os::unix::fs::symlink(target, to).map_err(|e| unwritable(to, &e))
    }

    fn file(&mut self, id: Oid, to: &Path, most: usize) -> Result<(), Invalid> {
        let (size, kind) =
            self.past.repository.odb().and_then(|odb| odb.read_header(id)).map_err(|e| unreadable(&e))?;
        // Reading takes the whole of it; a file of a gigabyte is none of a manifest.
        let blob = match kind {
            ObjectType::Blob if size <= MOST_BYTES => self.past.repository.find_blob(id).map_err(|e| unreadable(&e))?,
            _ => return fs::write(to, vec![b'#'; most]).map_err(|e| unwritable(to, &e)),
        };
        let content = &blob.content()[..blob.size().min(most)];
        self.bytes += content.len();
        if self.bytes > MOST_BYTES {
            return Err(Invalid::new(format!(
                "the directory has more than {MOST_BYTES} bytes of files at this revision"
            ))
            .hint("name the directory with `-f` that holds the manifests alone"));
        }
        fs::write(to, content).map_err(|e| unwritable(to, &e))
    }
}

/// The path without links above its last part, as far as it is there.
fn without_links(path: &Path) -> PathBuf {
    let Some(parent) = path.parent() else { return path.to_owned() };
    let name = path.file_name().map(PathBuf::from);
    let Some(name) = name else { return path.canonicalize().unwrap_or_else(|_| path.to_owned()) };
    let real = parent.canonicalize().unwrap_or_else(|_| without_links(parent));
    real.join(name)
}

fn resolve<'r>(repository: &'r Repository, revision: &str) -> Result<Commit<'r>, Invalid> {
    let shown = revision.escape_debug();
    let object = repository.revparse_single(revision).map_err(|error| match error.code() {
        ErrorCode::NotFound => {
            Invalid::new(format!("there is no revision `{shown}` in this repository")).hint(known(repository, revision))
        }
        ErrorCode::Ambiguous => {
            Invalid::new(format!("`{shown}` begins more than one commit")).hint("write more digits")
        }
        _ => Invalid::new(format!("`{shown}` is no revision: {}", error.message()))
            .hint("write a branch, a tag or a commit, like `origin/main`"),
    })?;
    object.peel_to_commit().map_err(|_| {
        Invalid::new(format!("`{shown}` is no commit")).hint("write a branch, a tag or a commit, like `origin/main`")
    })
}

/// What may have been meant: the branch of a remote, else what there is.
fn known(repository: &Repository, revision: &str) -> String {
    let branches = repository.branches(None).into_iter().flatten().flatten();
    let names: Vec<String> =
        branches.filter_map(|(branch, _)| branch.name().ok().flatten().map(str::to_owned)).collect();
    let remote = names.iter().find(|name| name.strip_suffix(revision).is_some_and(|rest| rest.ends_with('/')));
    match (remote, &names[..]) {
        (Some(remote), _) => format!("did you mean `{remote}`?"),
        // As pipelines make them.
        (None, _) if repository.is_shallow() => {
            "this is a shallow clone: `git fetch --unshallow` brings what is before it, `git fetch origin BRANCH` a branch".into()
        }
        (None, []) => "nothing is committed here yet".into(),
        (None, names) => {
            let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
            format!("`git fetch` brings what is not here; there are {}", shown.join(", "))
        }
    }
}

fn no_repository(path: &Path, error: &git2::Error) -> Invalid {
    match error.code() {
        ErrorCode::NotFound => Invalid::new(format!("`{}` is in no git repository", path.display()))
            .hint("a manifest is compared with itself at a revision of the repository that it stands in"),
        _ => Invalid::new(format!("the git repository of `{}` cannot be read: {}", path.display(), error.message())),
    }
}

fn unreadable(error: &git2::Error) -> Invalid {
    Invalid::new(format!("the repository cannot be read: {}", error.message()))
        .hint("look at it: `git fsck`; a shallow clone lacks what was not fetched")
}

fn unwritable(path: &Path, error: &io::Error) -> Invalid {
    Invalid::new(format!("failed to write `{}`: {error}", path.display()))
}
