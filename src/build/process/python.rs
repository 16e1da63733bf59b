//! Virtual environments: made without pip in a fraction of a second, and pip copied in from a seed that is made once
//! per interpreter (`python -m venv` installs it from scratch each time, which takes seconds).

use super::command::{Budget, Place, in_words};
use crate::build::recipe::Interpreter;
use crate::build::{BuildError, system};
use crate::host::files::{copy_tree, remove_tree, write_atomic};
use crate::host::jail::users;
use crate::model::{Digest, LineSink};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Runs pip of the environment that it lies in; no shebang names a path, so that its length does not matter.
const PIP: &[u8] = b"#!/bin/sh\nexec \"${0%/*}/python\" -m pip \"$@\"\n";

/// What making an environment needs.
pub struct Environment<'a> {
    /// The interpreter.
    pub interpreter: &'a Interpreter,
    /// Where the environment goes.
    pub venv: &'a Path,
    /// Where seeds are kept.
    pub seeds: &'a Path,
    /// Where the commands run.
    pub place: &'a Place,
}

impl Environment<'_> {
    /// Makes the environment with `python`, `python3`, `pip` and `pip3` in its `bin`.
    pub async fn make(
        &self,
        budget: &mut Budget,
        log: &dyn LineSink,
        cancel: &CancellationToken,
    ) -> Result<(), BuildError> {
        let seed = self.seed(budget, log, cancel).await?;
        self.venv_at(self.venv, self.place, budget, log, cancel).await?;
        let (venv, packages, user) = (self.venv.to_owned(), self.packages(), self.place.jail.user);
        let furnished = move || {
            furnish(&venv, &seed.join(&packages), &packages)?;
            allow_user_installs(&venv.join(&packages))?;
            user.map_or(Ok(()), |user| users::give(&venv, user))
        };
        let copied = tokio::task::spawn_blocking(furnished).await;
        let failed = |source| BuildError::Io { act: format!("copy pip into {}", self.venv.display()), source };
        copied.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)
    }

    /// The place of installed packages below an environment.
    fn packages(&self) -> PathBuf {
        let minor: Vec<String> = self.interpreter.version.0.iter().take(2).map(u32::to_string).collect();
        format!("lib/python{}/site-packages", minor.join(".")).into()
    }

    /// The seed of this interpreter, made when it is not there.
    async fn seed(
        &self,
        budget: &mut Budget,
        log: &dyn LineSink,
        cancel: &CancellationToken,
    ) -> Result<PathBuf, BuildError> {
        let seed = self.seeds.join(Digest::of(&self.interpreter.identity()).short());
        if tokio::fs::try_exists(seed.join("complete")).await.unwrap_or(false) {
            return Ok(seed);
        }
        // Under a name of this build first: two builds may make it at the same time.
        let partial =
            self.seeds.join(format!("partial-{}", self.place.build.file_name().unwrap_or_default().display()));
        // By ourselves, not by the service: what one service makes, another shall not run.
        let seeds = self.seeds.to_owned();
        let made = tokio::task::spawn_blocking(move || std::fs::create_dir_all(seeds)).await;
        made.unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|source| BuildError::Io { act: format!("create {}", self.seeds.display()), source })?;
        self.venv_at(&partial, &self.place.trusted(self.seeds), budget, log, cancel).await?;
        let (from, to) = (partial, seed.clone());
        let placed = tokio::task::spawn_blocking(move || place_seed(&from, &to)).await;
        let failed = |source| BuildError::Io { act: format!("keep {}", seed.display()), source };
        placed.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)?;
        Ok(seed)
    }

    async fn venv_at(
        &self,
        venv: &Path,
        place: &Place,
        budget: &mut Budget,
        log: &dyn LineSink,
        cancel: &CancellationToken,
    ) -> Result<(), BuildError> {
        let (python, target) = (self.interpreter.path.to_string_lossy(), venv.to_string_lossy());
        let mut command = vec![&*python, "-I", "-m", "venv", "--clear"];
        // The service's own gets pip from the seed.
        command.extend((venv == self.venv).then_some("--without-pip"));
        command.push(&target);
        let status = place.run(&command, budget, log, cancel).await?;
        if status.success() {
            return Ok(());
        }
        Err(BuildError::Runtime(format!(
            "`{}` could not make a virtual environment (it {}); the log above says why. On Debian and Ubuntu install \
             `python3-venv`, or use the Docker engine",
            command.join(" "),
            in_words(status)
        )))
    }
}

/// Moves a finished seed to its place; another build may have been quicker, which is as good.
fn place_seed(from: &Path, to: &Path) -> io::Result<()> {
    write_atomic(&from.join("complete"), b"")?;
    if !to.join("complete").exists() {
        remove_tree(to)?;
        if std::fs::rename(from, to).is_ok() {
            return Ok(());
        }
    }
    remove_tree(from)
}

/// Removes seeds that were cut off. Blocking.
pub fn sweep(seeds: &Path) -> io::Result<()> {
    let partial = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("partial-");
    let mut entries = std::fs::read_dir(seeds).into_iter().flatten().flatten().filter(partial);
    entries.try_for_each(|entry| remove_tree(&entry.path()))
}

/// The environment was made by the service: no process of it runs now, and links that it left are not followed.
fn furnish(venv: &Path, packages: &Path, below: &Path) -> io::Result<()> {
    let inside = [venv.join(below), venv.join("bin")].iter().all(|path| path.canonicalize().is_ok_and(|p| p == *path));
    if !inside {
        return Err(io::Error::other(format!("{} is not laid out as a virtual environment", venv.display())));
    }
    copy_tree(packages, &venv.join(below))?;
    for name in ["pip", "pip3"] {
        let path = venv.join("bin").join(name);
        std::fs::write(&path, PIP)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Lets `pip install --user` work: a module that the interpreter of this environment loads at its start.
fn allow_user_installs(packages: &Path) -> io::Result<()> {
    std::fs::write(packages.join("_pip_user.py"), system::pip_user())?;
    std::fs::write(packages.join("_pip_user.pth"), "import _pip_user\n")
}
