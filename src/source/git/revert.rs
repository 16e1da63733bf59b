//! What takes commits back: computed in the mirror, from what it has, without a work tree. Nothing is written to the
//! repository; whoever asks does that.

use super::failure::{Fault, plain};
use super::fetch::oid;
use super::mirror::Mirror;
use crate::model::{CommitId, RepositoryUrl};
use git2::{Delta, ErrorCode, Oid, Repository, Tree};

/// So many files are taken back at most, of so many bytes together.
const MOST_FILES: usize = 300;
const MOST_BYTES: usize = 10 << 20;
/// How many of the commits are named.
const NAMED: usize = 20;

/// What has to be done to the head of a branch, so that it is as before some commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversal {
    /// The tree of the head.
    pub head_tree: String,
    /// The tree that it becomes.
    pub tree: String,
    /// What differs between the two.
    pub entries: Vec<Entry>,
    /// The first lines of the commits that are taken back, newest first; of many the newest.
    pub undone: Vec<String>,
    /// How many they are.
    pub count: usize,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: String,
    /// Its mode as git writes it: `100644`.
    pub mode: String,
    /// What it becomes; nothing where it goes.
    pub content: Option<Content>,
}

/// What a file becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A blob that the repository has, by its id.
    Known(String),
    /// A new one.
    New(Vec<u8>),
}

/// Takes back what came after `good`, up to and with `bad`, at a head that has it. The reason in words where that cannot be
/// done.
pub(super) fn revert(
    mirror: &Mirror,
    repository: &RepositoryUrl,
    (good, bad): (&CommitId, &CommitId),
    head: &CommitId,
) -> Result<Result<Reversal, String>, Fault> {
    let Some(open) = mirror.open()? else { return Ok(Err("its repository is not mirrored any more".into())) };
    let ids = (oid(repository, good)?, oid(repository, bad)?, oid(repository, head)?);
    match reversal(&open, ids) {
        Err(error) if error.code() == ErrorCode::NotFound => Ok(Err("a commit of it is not mirrored any more".into())),
        Err(error) if error.code() == ErrorCode::MergeConflict => Ok(Err(conflict())),
        done => Ok(done?),
    }
}

fn conflict() -> String {
    "later commits changed the same lines, so a person has to resolve it: `git revert` in a clone".into()
}

fn reversal(open: &Repository, (good, bad, head): (Oid, Oid, Oid)) -> Result<Result<Reversal, String>, git2::Error> {
    if bad != head && !open.graph_descendant_of(head, bad)? {
        return Ok(Err("its branch does not have the commit any more".into()));
    }
    if !open.graph_descendant_of(bad, good)? {
        return Ok(Err("what runs now is not an earlier commit of the same history".into()));
    }
    let tree = |id: Oid| open.find_commit(id)?.tree();
    let (before, after, now) = (tree(good)?, tree(bad)?, tree(head)?);
    let mut index = open.merge_trees(&after, &now, &before, None)?;
    if index.has_conflicts() {
        return Ok(Err(conflict()));
    }
    let result = open.find_tree(index.write_tree_to(open)?)?;
    if result.id() == now.id() {
        return Ok(Err("its branch has it taken back already".into()));
    }
    let entries = match entries(open, &now, &result, &before)? {
        Ok(entries) => entries,
        Err(why) => return Ok(Err(why)),
    };
    let (undone, count) = undone(open, good, bad)?;
    Ok(Ok(Reversal { head_tree: now.id().to_string(), tree: result.id().to_string(), entries, undone, count }))
}

/// What differs, file by file.
fn entries(
    open: &Repository,
    now: &Tree<'_>,
    result: &Tree<'_>,
    before: &Tree<'_>,
) -> Result<Result<Vec<Entry>, String>, git2::Error> {
    let diff = open.diff_tree_to_tree(Some(now), Some(result), None)?;
    if diff.deltas().len() > MOST_FILES {
        return Ok(Err(format!("it touches more than {MOST_FILES} files: `git revert` in a clone")));
    }
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for delta in diff.deltas() {
        let gone = delta.status() == Delta::Deleted;
        let file = if gone { delta.old_file() } else { delta.new_file() };
        let Some(path) = file.path().and_then(|path| path.to_str()) else {
            return Ok(Err("a file of it has a name that is not UTF-8: `git revert` in a clone".into()));
        };
        let known = before.get_path(std::path::Path::new(path)).is_ok_and(|entry| entry.id() == file.id());
        let content = match (gone, known) {
            (true, _) => None,
            (false, true) => Some(Content::Known(file.id().to_string())),
            (false, false) => {
                let blob = open.find_blob(file.id())?;
                bytes += blob.size();
                Some(Content::New(blob.content().to_vec()))
            }
        };
        if bytes > MOST_BYTES {
            return Ok(Err("it is larger than can be sent: `git revert` in a clone".into()));
        }
        entries.push(Entry { path: path.to_owned(), mode: format!("{:06o}", u32::from(file.mode())), content });
    }
    Ok(Ok(entries))
}

/// The commits after one up to another, newest first.
fn undone(open: &Repository, good: Oid, bad: Oid) -> Result<(Vec<String>, usize), git2::Error> {
    let mut walk = open.revwalk()?;
    walk.push(bad)?;
    walk.hide(good)?;
    let (mut named, mut count) = (Vec::new(), 0);
    for id in walk {
        count += 1;
        if named.len() < NAMED {
            let commit = open.find_commit(id?)?;
            let summary = plain(&String::from_utf8_lossy(commit.message_bytes()), 200);
            named.push(format!("{} {summary}", &commit.id().to_string()[..7]));
        }
    }
    Ok((named, count))
}
