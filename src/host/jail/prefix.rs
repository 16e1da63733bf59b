//! Where the programs of a search path have their libraries: what a jail has to show besides the system.

use std::path::{Path, PathBuf};

/// The directories that the programs of these directories need, without those of the system itself: a Python below
/// `~/.pyenv/versions/3.11.4/bin` needs all of `~/.pyenv/versions/3.11.4`, a tool in `~/.local/bin` not all of `~/.local`.
pub fn of(search: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for directory in search {
        let Ok(directory) = directory.canonicalize() else { continue };
        for path in around(&directory).into_iter().filter(|path| path.exists()) {
            // What lies in one that is there already is shown with it.
            if !is_system(&path) && !found.iter().any(|known| path.starts_with(known)) {
                found.retain(|known| !known.starts_with(&path));
                found.push(path);
            }
        }
    }
    found
}

fn is_system(path: &Path) -> bool {
    ["/usr", "/bin", "/sbin", "/opt", "/nix", "/snap", "/etc", "/lib"].iter().any(|system| path.starts_with(system))
}

fn around(directory: &Path) -> Vec<PathBuf> {
    let only = vec![directory.to_owned()];
    let Some(parent) = directory.parent() else { return Vec::new() };
    match directory.file_name().and_then(|name| name.to_str()) {
        // pyenv, rbenv, nodenv, asdf: scripts that look for the version to run beside themselves.
        Some("shims") if parent.join("versions").is_dir() || parent.join("installs").is_dir() => vec![parent.into()],
        Some("bin") if parent.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")) => {
            // `~/.local`, `~/.cargo`: what lies beside may be anything, credentials too.
            vec![directory.to_owned(), parent.join("lib"), parent.join("lib64")]
        }
        Some("bin") if !is_home(parent) => vec![parent.to_owned()],
        _ => only,
    }
}

/// Whether this is somebody's home, or holds homes.
fn is_home(directory: &Path) -> bool {
    let marks = [".profile", ".bashrc", ".ssh", ".bash_history", ".config", ".cache"];
    let holds_homes = ["/", "/home", "/root", "/Users"].iter().any(|path| directory == Path::new(path));
    holds_homes || directory.parent() == Some(Path::new("/home")) || marks.iter().any(|m| directory.join(m).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_shown_whole_and_a_home_never() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        for path in ["versions/3.11/bin", ".local/bin", ".local/lib", ".local/share/keyrings", "bin", ".env/shims"] {
            std::fs::create_dir_all(home.join(path)).unwrap();
        }
        std::fs::create_dir_all(home.join(".env/versions")).unwrap();
        std::fs::write(home.join(".profile"), "").unwrap();
        let search = ["versions/3.11/bin", ".local/bin", "bin", ".env/shims", "missing/bin"].map(|p| home.join(p));
        let expected = ["versions/3.11", ".local/bin", ".local/lib", "bin", ".env"].map(|p| home.join(p));
        assert_eq!(of(&search), expected);
    }

    #[test]
    fn what_the_system_has_is_not_listed() {
        assert_eq!(of(&["/usr/bin".into(), "/bin".into(), "/usr/local/sbin".into()]), Vec::<PathBuf>::new());
    }
}
