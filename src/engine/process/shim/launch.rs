//! Finds and starts one command of an instance, and says in words why it could not.

use super::super::files::{MARKER, SpecFile};
use crate::host::cgroup::Cgroups;
use crate::host::jail::fixed_port::{Move, Mover};
use crate::host::jail::{self, Launch};
use crate::model::{Input, StartCommand};
use rustix::fs::{Access, access};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, PipeWriter, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

/// Why a command could not be started, with the exit code that a shell would give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// 127 when it was not found, 126 when it was found and cannot be executed.
    pub code: i32,
    /// For people.
    pub message: String,
}

/// Starts a command in its own process group, jail and control groups: standard input empty or, if it `reads`, this
/// process' own; output into the pipe, or to the terminal that it has for input; only its own environment. Returns its
/// process id, and what answers its binds.
pub fn start(
    spec: &SpecFile,
    command: &StartCommand,
    output: &PipeWriter,
    reads: bool,
    groups: &mut Cgroups,
    moved: Option<Move>,
) -> Result<(i32, Option<Mover>), Failure> {
    let (program, name, arguments) = resolve(spec, command)?;
    let failed = |error: &io::Error| failure(126, &name, &error.to_string());
    // The file that this shim itself was started from, also when an upgrade has put another in its place.
    let (mut process, door) =
        jail::command(Path::new("/proc/self/exe"), (MARKER, spec.id.as_str())).map_err(|e| failed(&e))?;
    let terminal = reads && matches!(spec.input, Input::Terminal(_));
    let input = reads.then(|| own_input(spec)).transpose().map_err(|e| failed(&e))?;
    let end = || match &input {
        Some(input) if terminal => input.try_clone(),
        _ => output.as_fd().try_clone_to_owned(),
    };
    let (out, err) = end().and_then(|first| Ok((first, end()?))).map_err(|e| failed(&e))?;
    process.stdout(out).stderr(err);
    if !terminal {
        // The leader of a session, which has the terminal, is made later and leads a group besides.
        process.process_group(0);
    }
    let mut child = process.spawn().map_err(|e| failed(&e))?;
    // It holds the other end of the door.
    drop(process);
    groups.admit(child.id());
    let launch = Launch {
        program: program.clone(),
        name: name.clone(),
        arguments,
        env: spec.env.clone(),
        directory: spec.directory.clone(),
        jail: spec.jail.clone(),
        asks_to_bind: moved.is_some(),
        terminal,
    };
    let listener = door.launch(&launch, input.as_ref().map(AsFd::as_fd)).map_err(|stopped| {
        let _ = child.kill();
        let _ = child.wait();
        if stopped.at_program {
            refused(&program, &name, &spec.directory, &io::Error::from_raw_os_error(stopped.errno))
        } else {
            failure(126, &name, &format!("towpath could not {stopped}"))
        }
    })?;
    let pid = i32::try_from(child.id()).map_err(|_| failure(126, &name, "its process id is out of range"))?;
    Ok((pid, moved.zip(listener).map(|(ports, listener)| Mover::new(listener, ports))))
}

/// What this process was given to read from, for the command's user: programs open `/dev/stdin` by its path.
fn own_input(spec: &SpecFile) -> io::Result<OwnedFd> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    if let Some(user) = spec.files.user {
        std::os::unix::fs::fchown(&input, Some(user), Some(user))?;
    }
    Ok(input)
}

fn failure(code: i32, name: &str, why: &str) -> Failure {
    Failure { code, message: format!("`{name}` could not be started: {why}") }
}

/// The program's path, the name it is called by, and its arguments.
fn resolve(spec: &SpecFile, command: &StartCommand) -> Result<(PathBuf, String, Vec<String>), Failure> {
    match command {
        StartCommand::Shell(line) => {
            // The build's own, where it brought one.
            let shell = find("sh", &spec.env, &spec.directory).unwrap_or_else(|_| "/bin/sh".into());
            Ok((shell, "sh".into(), vec!["-c".into(), line.clone()]))
        }
        StartCommand::Words(words) => {
            let Some((name, arguments)) = words.split_first() else {
                return Err(failure(127, "", "the start command is empty"));
            };
            Ok((find(name, &spec.env, &spec.directory)?, name.clone(), arguments.to_vec()))
        }
    }
}

/// Looks a command up as a shell does: a name with a slash as it is, another one in every directory of `PATH`.
fn find(name: &str, env: &BTreeMap<String, String>, directory: &Path) -> Result<PathBuf, Failure> {
    if name.contains('/') {
        let path = directory.join(name);
        return if path.exists() { Ok(path) } else { Err(failure(127, name, "there is no such file in the source")) };
    }
    let search = env.get("PATH").map_or("", String::as_str);
    let candidates = search.split(':').map(|part| directory.join(part).join(name)).filter(|path| path.is_file());
    let (usable, denied): (Vec<PathBuf>, Vec<PathBuf>) =
        candidates.partition(|path| access(path, Access::EXEC_OK).is_ok());
    match (usable.into_iter().next(), denied.first()) {
        (Some(path), _) => Ok(path),
        (None, Some(path)) => Err(failure(126, name, &format!("{} is not executable", path.display()))),
        (None, None) => {
            let why = format!("not found in PATH ({search}); a build command has to install it, or the name is wrong");
            Err(failure(127, name, &why))
        }
    }
}

/// Words for what the kernel said.
fn refused(program: &Path, name: &str, directory: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        _ if !directory.is_dir() => failure(126, name, &format!("its directory {} is gone", directory.display())),
        io::ErrorKind::NotFound => failure(127, name, &unknown_interpreter(program)),
        io::ErrorKind::PermissionDenied => {
            failure(126, name, "it is not executable; `git update-index --chmod=+x` it and commit, or start it by `sh`")
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => failure(
            126,
            name,
            "it is neither a program for this machine nor a script with a first line like `#!/bin/sh`",
        ),
        _ => failure(126, name, &error.to_string()),
    }
}

/// Why the kernel does not find the interpreter of a script: its first line, as it reads it.
fn unknown_interpreter(program: &Path) -> String {
    let line = first_line(program).unwrap_or_default();
    if line.ends_with('\r') {
        return "it has Windows line ends, so its first line names no interpreter; store it with Unix ones (in \
                `.gitattributes`: `*.sh text eol=lf`, then `git add --renormalize .`) and commit"
            .to_owned();
    }
    let interpreter = line.strip_prefix("#!").map_or("", str::trim);
    format!("the interpreter that its first line names does not exist: `{interpreter}`")
}

fn first_line(path: &Path) -> io::Result<String> {
    // The kernel looks at no more than this either.
    let mut start = Vec::new();
    File::open(path)?.take(256).read_to_end(&mut start)?;
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}
