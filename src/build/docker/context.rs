//! The build context: a tar stream of the tree, made as Docker reads it and never held whole.
//!
//! Symbolic links are sent as links and never followed here, so nothing outside the tree is read. Owners and times are
//! the same for everybody: equal trees make equal contexts.

use super::recipe::CONTEXT_APP;
use bytes::Bytes;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Blocks on their way: 16 × 64 KiB at the most.
const QUEUE: usize = 16;
const BLOCK: usize = 64 << 10;

/// Starts writing the context on a thread of its own. The last item is an error if the tree could not be read; a
/// receiver that is dropped ends the writing.
pub(super) fn stream(dockerfile: String, tree: PathBuf) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::task::spawn_blocking(move || {
        let mut blocks = Blocks { sender: sender.clone(), block: Vec::with_capacity(BLOCK) };
        let written = write(&mut blocks, &dockerfile, &tree).and_then(|()| blocks.flush());
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

fn write(out: &mut impl Write, dockerfile: &str, tree: &Path) -> io::Result<()> {
    let mut tar = tar::Builder::new(out);
    let mut header = header(tar::EntryType::Regular, 0o644);
    header.set_size(dockerfile.len() as u64);
    tar.append_data(&mut header, "Dockerfile", dockerfile.as_bytes())?;
    append_directory(&mut tar, tree, Path::new(CONTEXT_APP))?;
    for entry in sorted(tree)? {
        // The history is no part of the application.
        if entry.file_name() != ".git" {
            append(&mut tar, &entry, &Path::new(CONTEXT_APP).join(entry.file_name()))?;
        }
    }
    tar.finish()
}

fn append(tar: &mut tar::Builder<impl Write>, entry: &std::fs::DirEntry, name: &Path) -> io::Result<()> {
    let path = entry.path();
    let kind = entry.file_type()?;
    if kind.is_symlink() {
        let target = std::fs::read_link(&path)?;
        let mut header = header(tar::EntryType::Symlink, 0o777);
        header.set_size(0);
        return tar.append_link(&mut header, name, target);
    }
    if kind.is_dir() {
        append_directory(tar, &path, name)?;
        for child in sorted(&path)? {
            append(tar, &child, &name.join(child.file_name()))?;
        }
        return Ok(());
    }
    if kind.is_file() { append_file(tar, &path, name) } else { Ok(()) }
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

fn append_directory(tar: &mut tar::Builder<impl Write>, _path: &Path, name: &Path) -> io::Result<()> {
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

    async fn packed(tree: &Path) -> BTreeMap<String, (tar::EntryType, u32, Vec<u8>)> {
        let mut receiver = stream("FROM x\n".into(), tree.to_owned());
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
        let packed = packed(tree.path()).await;
        assert_eq!(packed["Dockerfile"].2, b"FROM x\n");
        assert_eq!(packed["app/Dockerfile"].2, b"FROM evil\n");
        assert_eq!((packed["app/link"].0, packed["app/link"].2.len()), (tar::EntryType::Symlink, 0));
        assert_eq!((packed["app/run.sh"].1, packed["app/run.sh"].2.len()), (0o755, 200_000));
        assert_eq!(packed[&format!("app/d/{}/deep", "x".repeat(120))].2, b"deep");
        assert!(!packed.keys().any(|name| name.contains(".git")));
    }

    #[tokio::test]
    async fn a_tree_that_is_not_there_is_an_error_and_not_an_empty_context() {
        let mut receiver = stream("FROM x\n".into(), "/nonexistent/tree".into());
        let mut last = None;
        while let Some(block) = receiver.recv().await {
            last = Some(block);
        }
        assert_eq!(last.unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
