//! Creating, checking, locking and naming data directories.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn opened(root: &Path) -> DataDir {
    DataDir::open(root).unwrap()
}

#[test]
fn opening_creates_everything_closed_to_others() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("a/towpath");
    let dir = opened(&root);
    assert!(dir.is_locked());
    for private in [dir.store(), dir.logs(), dir.run(), dir.mirrors(), dir.cache(), dir.ingress()] {
        assert_eq!(fs::metadata(&private).unwrap().mode() & 0o777, 0o700, "{}", private.display());
    }
    for path in [dir.root(), &dir.builds(), &dir.instances()] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o066, 0, "{}", path.display());
    }
    drop(dir);
    opened(&root);
}

#[test]
fn a_second_towpath_is_refused_with_the_first_ones_pid() {
    let parent = tempfile::tempdir().unwrap();
    let dir = opened(parent.path());
    let clone = dir.clone();
    drop(dir);
    let error = DataDir::open(parent.path()).unwrap_err();
    let expected =
        format!("another towpath (pid {}) runs on data directory `{}`", std::process::id(), parent.path().display());
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().unwrap().contains("towpath down"));
    assert_eq!(DataDir::at(parent.path()).holder(), Some(std::process::id()));
    drop(clone);
    assert_eq!(DataDir::at(parent.path()).holder(), None);
    opened(parent.path());
}

#[test]
fn a_path_too_long_for_sockets_is_refused_before_anything_is_made() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("d".repeat(100));
    let error = DataDir::open(&root).unwrap_err();
    assert!(matches!(error, DataDirError::PathTooLong { .. }), "{error}");
    assert!(!root.exists());
    let room = SOCKET_PATH_MAX - parent.path().as_os_str().len() - "/".len() - "/ingress/link.sock".len();
    let fits = opened(&parent.path().join("d".repeat(room)));
    assert_eq!(fits.link_socket().as_os_str().len(), SOCKET_PATH_MAX);
}

#[test]
fn a_directory_that_others_can_write_is_refused_with_the_mend() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("o'dir");
    for (path, mode) in [(root.clone(), 0o770), (root.join("store"), 0o702)] {
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = DataDir::open(&root).unwrap_err();
        assert!(error.to_string().contains(&format!("mode {mode:04o}")), "{error}");
        assert!(error.hint().unwrap().starts_with("run `chmod go-w \""), "{:?}", error.hint());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    opened(&root);
}

#[test]
fn a_directory_of_someone_else_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let metadata = fs::metadata(parent.path()).unwrap();
    let error = check_directory(parent.path(), &metadata, Some(metadata.uid() + 1)).unwrap_err();
    assert!(matches!(error, DataDirError::ForeignOwner { .. }));
    assert!(error.hint().unwrap().contains("chown -R"));
}

#[test]
fn files_links_and_relative_paths_are_no_data_directory() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(DataDir::open(&file), Err(DataDirError::NotADirectory { .. })));
    assert!(matches!(DataDir::open(&file.join("below")), Err(DataDirError::Io { .. })));
    assert!(matches!(DataDir::open(Path::new("here")), Err(DataDirError::Relative { .. })));
    let root = parent.path().join("root");
    fs::create_dir(&root).unwrap();
    std::os::unix::fs::symlink("/tmp", root.join("store")).unwrap();
    assert!(matches!(DataDir::open(&root), Err(DataDirError::NotADirectory { .. })));
}

#[test]
fn looking_creates_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let dir = DataDir::at(&parent.path().join("none"));
    assert_eq!(dir.holder(), None);
    assert!(!dir.root().exists());
}

#[test]
fn the_default_follows_user_and_xdg() {
    let (xdg, home) = (Path::new("/x/state"), Path::new("/home/me"));
    let cases = [
        (0, Some(xdg), Some(home), Some("/var/lib/towpath")),
        (1000, Some(xdg), Some(home), Some("/x/state/towpath")),
        (1000, None, Some(home), Some("/home/me/.local/state/towpath")),
        (1000, Some(Path::new("relative")), Some(home), Some("/home/me/.local/state/towpath")),
        (1000, None, None, None),
    ];
    for (uid, xdg, home, expected) in cases {
        assert_eq!(default_data_dir(uid, xdg, home), expected.map(PathBuf::from));
    }
}
