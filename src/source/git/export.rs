//! Writes the files of a commit to a directory. Not a checkout: no filters, no attributes, no line ends changed.
//!
//! Nothing can be written outside the directory: names are checked, every file and directory is made new (so a name that
//! comes twice fails), and symbolic links are checked together and written last.

use super::SourceError;
use super::failure::{self, Fault};
use super::links::{Links, leads_out};
use super::tree::{Kind, OpenCommit, shown};
use git2::{Oid, Tree};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The longest target of a link, as Linux has it.
const LONGEST_TARGET: u64 = 4_095;

/// What is in a commit by name only. Its files were written, but what they stand for was not fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotFetched {
    /// Submodules, by their paths: empty directories.
    pub submodules: Names,
    /// Pointers of Git LFS, by their paths: small text files.
    pub lfs_pointers: Names,
}

/// How many, and the first few by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub first: Vec<String>,
}

impl Names {
    fn add(&mut self, path: &[u8]) {
        self.count += 1;
        if self.first.len() < 5 {
            self.first.push(shown(path));
        }
    }
}

/// How a pointer of Git LFS begins (its specification); it has less than 1,024 bytes.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// Writes a commit's files; removes them again on failure.
pub(super) fn export(open: &OpenCommit<'_>, to: &Path) -> Result<NotFetched, Fault> {
    prepare(to).map_err(|error| write_error(open, to, error))?;
    let mut export = Export { open, to, files: 0, bytes: 0, links: Links::new(), not_fetched: NotFetched::default() };
    let done = export.write_all();
    if done.is_err() {
        // What cannot be removed is found by the next attempt, which asks for an empty directory.
        let _ = fs::remove_dir_all(to);
    }
    done.map(|()| export.not_fetched)
}

fn prepare(to: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        done => return done,
    }
    if fs::symlink_metadata(to)?.is_dir() && fs::read_dir(to)?.next().is_none() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "it is not an empty directory"))
}

fn write_error(open: &OpenCommit<'_>, path: &Path, source: io::Error) -> Fault {
    let (repository, path) = (open.repository.to_string(), path.display().to_string());
    SourceError::Write { repository, path, source }.into()
}

struct Export<'a> {
    open: &'a OpenCommit<'a>,
    to: &'a Path,
    files: u64,
    bytes: u64,
    links: Links,
    not_fetched: NotFetched,
}

impl Export<'_> {
    fn write_all(&mut self) -> Result<(), Fault> {
        // A stack of directories rather than calls: how deep a tree goes is its author's choice.
        let mut directories: Vec<(Vec<u8>, usize, Oid)> = vec![(Vec::new(), 0, self.open.tree.id())];
        while let Some((path, depth, id)) = directories.pop() {
            let tree = self.open.mirror.find_tree(id)?;
            self.write_directory(&path, depth, &tree, &mut directories)?;
        }
        self.write_links()
    }

    fn write_directory(
        &mut self,
        parent: &[u8],
        depth: usize,
        tree: &Tree<'_>,
        directories: &mut Vec<(Vec<u8>, usize, Oid)>,
    ) -> Result<(), Fault> {
        for entry in tree.iter() {
            let path = self.admit(parent, entry.name_bytes())?;
            match Kind::of(entry.filemode_raw()) {
                Some(Kind::File { executable }) => self.write_file(&path, entry.id(), executable)?,
                Some(Kind::Link) => self.keep_link(path, entry.id())?,
                Some(Kind::Submodule) => {
                    self.not_fetched.submodules.add(&path);
                    self.make_directory(&path)?;
                }
                Some(Kind::Directory) if depth >= self.open.bounds.limits.depth => {
                    let message = format!("`{}` is deeper than {depth} directories", shown(&path));
                    return Err(failure::limit(self.open.repository, message).into());
                }
                Some(Kind::Directory) => {
                    self.make_directory(&path)?;
                    directories.push((path, depth + 1, entry.id()));
                }
                None => return Err(self.open.refuse(&path, "is of a kind that git does not have").into()),
            }
        }
        Ok(())
    }

    /// The path of an entry, if there is room and time for it and its name is one.
    fn admit(&mut self, parent: &[u8], name: &[u8]) -> Result<Vec<u8>, Fault> {
        self.open.bounds.check(self.open.repository)?;
        let path = if parent.is_empty() { name.to_vec() } else { [parent, name].join(&b'/') };
        self.files += 1;
        let limit = self.open.bounds.limits.files;
        if self.files > limit {
            return Err(failure::limit(self.open.repository, format!("more than {limit} files")).into());
        }
        // `.GIT` is `.git` on file systems that ignore case; git refuses it too.
        let bad = name.is_empty() || name == b"." || name == b".." || name.eq_ignore_ascii_case(b".git");
        if bad || name.iter().any(|byte| *byte == b'/' || *byte == 0) {
            return Err(self.open.refuse(&path, "is a name that could lead elsewhere").into());
        }
        Ok(path)
    }

    fn write_file(&mut self, path: &[u8], id: Oid, executable: bool) -> Result<(), Fault> {
        let blob = self.open.blob(id, self.open.bounds.limits.file_bytes, path)?;
        self.count(blob.size() as u64)?;
        if blob.size() < 1024 && blob.content().starts_with(LFS_POINTER) {
            self.not_fetched.lfs_pointers.add(path);
        }
        let mode = if executable { 0o755 } else { 0o644 };
        let target = self.target(path);
        let written = write_new(&target, mode, blob.content());
        written.map_err(|error| self.failed(path, &target, error))
    }

    fn count(&mut self, bytes: u64) -> Result<(), Fault> {
        self.bytes += bytes;
        let limit = self.open.bounds.limits.tree_bytes;
        if self.bytes > limit {
            let message = format!("its files have more than {limit} bytes together");
            return Err(failure::limit(self.open.repository, message).into());
        }
        Ok(())
    }

    fn make_directory(&self, path: &[u8]) -> Result<(), Fault> {
        let target = self.target(path);
        let made = DirBuilder::new().create(&target).and_then(|()| set_mode(&target, 0o755));
        made.map_err(|error| self.failed(path, &target, error))
    }

    fn keep_link(&mut self, path: Vec<u8>, id: Oid) -> Result<(), Fault> {
        let target = self.open.blob(id, LONGEST_TARGET, &path)?.content().to_vec();
        if target.is_empty() || target.contains(&0) {
            return Err(self.open.refuse(&path, "is a symbolic link without a proper target").into());
        }
        self.count(target.len() as u64)?;
        if self.links.insert(path.clone(), target).is_some() {
            return Err(self.open.refuse(&path, "is there twice").into());
        }
        Ok(())
    }

    fn write_links(&self) -> Result<(), Fault> {
        if let Some(path) = self.links.keys().find(|path| leads_out(path, &self.links)) {
            let target = shown(&self.links[path]);
            let why = format!("is a symbolic link to `{target}`, which leads out of the repository");
            return Err(self.open.refuse(path, &why).into());
        }
        for (path, target) in &self.links {
            let place = self.target(path);
            let made = std::os::unix::fs::symlink(OsStr::from_bytes(target), &place);
            made.map_err(|error| self.failed(path, &place, error))?;
        }
        Ok(())
    }

    fn target(&self, path: &[u8]) -> PathBuf {
        self.to.join(OsStr::from_bytes(path))
    }

    /// What is there already in a directory that was empty came from the tree itself.
    fn failed(&self, path: &[u8], target: &Path, error: io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::AlreadyExists => self.open.refuse(path, "is there twice").into(),
            io::ErrorKind::InvalidFilename => self.open.refuse(path, "is too long a path").into(),
            _ => write_error(self.open, target, error),
        }
    }
}

fn write_new(path: &Path, mode: u32, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(contents)?;
    // The mode at opening is cut by the umask.
    file.set_permissions(Permissions::from_mode(mode))
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}
