//! The build context: a tar stream of the tree, made as Docker reads it and never held whole.
//!
//! Symbolic links are sent as links and never followed here, so nothing outside the tree is read. Owners and times are
//! the same for everybody: equal trees make equal contexts.

use super::ignore::Ignore;
use bytes::Bytes;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Blocks on their way: 16 × 64 KiB at the most.
const QUEUE: usize = 16;
const BLOCK: usize = 64 << 10;

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// The directory whose files are sent.
    pub root: PathBuf,
    /// The directory of the context that they are put into; none is the context itself.
    pub prefix: Option<&'static str>,
    /// What of them is left out.
    pub ignore: Ignore,
    /// Files beside them, by their place in the context; they take the place of a file of the tree.
    pub beside: Vec<(String, Vec<u8>)>,
}

/// Starts writing the context on a thread of its own. The last item is an error if the tree could not be read; a
/// receiver that is dropped ends the writing.
pub(super) fn stream(context: Context) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::task::spawn_blocking(move || {
        let mut blocks = Blocks { sender: sender.clone(), block: Vec::with_capacity(BLOCK) };
        let written = write(&mut blocks, &context, &sender).and_then(|()| blocks.flush());
        if let Err(error) = written {
            // Nobody to tell when the receiver is gone.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// Collects bytes and sends them by the block.
struct Blocks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    block: Vec<u8>,
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let sent = self.sender.blocking_send(Ok(block.into()));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

fn write(out: &mut impl Write, context: &Context, receiver: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut tar = tar::Builder::new(out);
    for (name, contents) in &context.beside {
        let mut header = header(tar::EntryType::Regular, 0o644);
        header.set_size(contents.len() as u64);
        tar.append_data(&mut header, name, contents.as_slice())?;
    }
    let prefix = Path::new(context.prefix.unwrap_or_default());
    if context.prefix.is_some() {
        append_directory(&mut tar, prefix)?;
    }
    let mut walk =
        Walk { tar, prefix, ignore: &context.ignore, beside: &context.beside, waiting: Vec::new(), receiver };
    for entry in sorted(&context.root)? {
        // The history is no part of the application.
        if entry.file_name() != ".git" {
            walk.append(&entry, Path::new(&entry.file_name()))?;
        }
    }
    walk.tar.finish()
}

struct Walk<'a, W: Write> {
    tar: tar::Builder<W>,
    prefix: &'a Path,
    ignore: &'a Ignore,
    beside: &'a [(String, Vec<u8>)],
    /// Directories that are left out, sent once something in them is not.
    waiting: Vec<PathBuf>,
    receiver: &'a mpsc::Sender<io::Result<Bytes>>,
}

impl<W: Write> Walk<'_, W> {
    fn append(&mut self, entry: &std::fs::DirEntry, path: &Path) -> io::Result<()> {
        // A tree of which nothing is sent would be walked to its end for nobody.
        if self.receiver.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let replaced =
            self.prefix.as_os_str().is_empty() && self.beside.iter().any(|(name, _)| path == Path::new(name));
        let out = replaced || self.ignore.excludes(&path.to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            return self.append_tree(entry, path, out);
        }
        if out {
            return Ok(());
        }
        self.append_waiting()?;
        let name = self.prefix.join(path);
        if kind.is_symlink() {
            let target = std::fs::read_link(entry.path())?;
            let mut header = header(tar::EntryType::Symlink, 0o777);
            header.set_size(0);
            return self.tar.append_link(&mut header, name, target);
        }
        if kind.is_file() { append_file(&mut self.tar, &entry.path(), &name) } else { Ok(()) }
    }

    fn append_tree(&mut self, entry: &std::fs::DirEntry, path: &Path, out: bool) -> io::Result<()> {
        if out && !self.ignore.takes_back() {
            return Ok(());
        }
        self.waiting.push(path.to_owned());
        if !out {
            self.append_waiting()?;
        }
        for child in sorted(&entry.path())? {
            self.append(&child, &path.join(child.file_name()))?;
        }
        self.waiting.pop_if(|waiting| waiting == path);
        Ok(())
    }

    fn append_waiting(&mut self) -> io::Result<()> {
        for path in std::mem::take(&mut self.waiting) {
            append_directory(&mut self.tar, &self.prefix.join(path))?;
        }
        Ok(())
    }
}

fn append_file(tar: &mut tar::Builder<impl Write>, path: &Path, name: &Path) -> io::Result<()> {
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    let executable = metadata.permissions().mode() & 0o111 != 0;
    let mut header = header(tar::EntryType::Regular, if executable { 0o755 } else { 0o644 });
    header.set_size(metadata.len());
    // A file that changes while it is read must not spoil the rest of the stream.
    tar.append_data(&mut header, name, io::Read::take(file, metadata.len()))
}

fn append_directory(tar: &mut tar::Builder<impl Write>, name: &Path) -> io::Result<()> {
    let mut header = header(tar::EntryType::Directory, 0o755);
    header.set_size(0);
    tar.append_data(&mut header, name, io::empty())
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn sorted(directory: &Path) -> io::Result<Vec<std::fs::DirEntry>> {
    let mut entries = std::fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn context(tree: &Path) -> Context {
        let beside = vec![("Dockerfile".to_owned(), b"FROM x\n".to_vec())];
        Context { root: tree.to_owned(), prefix: Some("app"), ignore: Ignore::default(), beside }
    }

    async fn packed(context: Context) -> BTreeMap<String, (tar::EntryType, u32, Vec<u8>)> {
        let mut receiver = stream(context);
        let mut bytes = Vec::new();
        while let Some(block) = receiver.recv().await {
            bytes.extend_from_slice(&block.unwrap());
        }
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            io::Read::read_to_end(&mut entry, &mut content).unwrap();
            (name, (entry.header().entry_type(), entry.header().mode().unwrap(), content))
        });
        entries.collect()
    }

    #[tokio::test]
    async fn a_context_holds_the_tree_beside_the_dockerfile_and_follows_no_link() {
        let tree = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::fs::create_dir_all(tree.path().join(".git/objects")).unwrap();
        std::fs::create_dir_all(tree.path().join("d").join("x".repeat(120))).unwrap();
        std::fs::write(tree.path().join("d").join("x".repeat(120)).join("deep"), "deep").unwrap();
        std::fs::write(tree.path().join("Dockerfile"), "FROM evil\n").unwrap();
        std::os::unix::fs::symlink(outside.path(), tree.path().join("link")).unwrap();
        std::fs::write(tree.path().join("run.sh"), vec![b'x'; 200_000]).unwrap();
        std::fs::set_permissions(tree.path().join("run.sh"), PermissionsExt::from_mode(0o700)).unwrap();
        let packed = packed(context(tree.path())).await;
        assert_eq!(packed["Dockerfile"].2, b"FROM x\n");
        assert_eq!(packed["app/Dockerfile"].2, b"FROM evil\n");
        assert_eq!((packed["app/link"].0, packed["app/link"].2.len()), (tar::EntryType::Symlink, 0));
        assert_eq!((packed["app/run.sh"].1, packed["app/run.sh"].2.len()), (0o755, 200_000));
        assert_eq!(packed[&format!("app/d/{}/deep", "x".repeat(120))].2, b"deep");
        assert!(!packed.keys().any(|name| name.contains(".git")));
    }

    #[tokio::test]
    async fn what_is_left_out_is_not_sent_and_what_is_taken_back_comes_with_its_directories() {
        let tree = tempfile::tempdir().unwrap();
        for file in ["a/b/keep", "a/b/drop", "c/drop", "d/e/drop", "top"] {
            std::fs::create_dir_all(tree.path().join(file).parent().unwrap()).unwrap();
            std::fs::write(tree.path().join(file), file).unwrap();
        }
        let ignore = Ignore::read("*\n!**/keep\n!c\nc/drop\n").unwrap();
        let sent = packed(Context { prefix: None, ignore, ..context(tree.path()) }).await;
        let names: Vec<&str> = sent.keys().map(|name| name.trim_end_matches('/')).collect();
        assert_eq!(names, ["Dockerfile", "a", "a/b", "a/b/keep", "c"]);
    }

    #[tokio::test]
    async fn a_tree_that_is_not_there_is_an_error_and_not_an_empty_context() {
        let mut receiver = stream(context(Path::new("/nonexistent/tree")));
        let mut last = None;
        while let Some(block) = receiver.recv().await {
            last = Some(block);
        }
        assert_eq!(last.unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
