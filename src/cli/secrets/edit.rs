//! Changing an encrypted value in an editor. The value lies in a private directory while the editor runs, in memory where
//! the machine has such a place, and is removed in any case that leaves us alive.

use super::EditArgs;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;
use crate::desired::files::read_text;
use crate::model::Secret;
use crate::secrets::{Keyring, MAX_VALUE, encrypt, without_line_end};
use crate::settings;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
/// The largest manifest or encrypted file.
const MAX_FILE: u64 = 1 << 20;
/// `TMPFS_MAGIC` of statfs(2).
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// Lets a person change a value, and encrypts it again.
pub(super) fn edit(screen: &Screen, keyring: &Keyring, args: &EditArgs) -> Result<(), Failure> {
    let shown = args.file.display();
    let text = read_text(&args.file, MAX_FILE).map_err(|e| Failure::new(format!("failed to read `{shown}`: {e}")))?;
    let place = Place::find(&text, args.name.as_deref()).map_err(|e| e.in_file(&args.file))?;
    let old = keyring.decrypt(&place.sealed(&text))?;
    let new = in_editor(&old)?;
    if new == old {
        screen.note("The value is the same; nothing was changed.");
        return Ok(());
    }
    let mut recipients = vec![keyring.recipient()];
    recipients.extend(args.recipient.iter().cloned());
    replace(&args.file, &place.with(&text, &encrypt(&recipients, &new)?))?;
    screen.note(&format!("`{shown}` holds the new value."));
    Ok(())
}

/// Where in a text the encrypted one stands: lines from its first to its last, and how far they are indented.
struct Place {
    first: usize,
    last: usize,
    indent: usize,
}

/// What a person is told who named something that is not there.
struct NotThere(String);

impl NotThere {
    fn in_file(self, file: &Path) -> Failure {
        Failure::new(format!("{} in `{}`", self.0, file.display())).hint(
            "name an encrypted file, or a manifest and a secret that stands in it as `NAME: |` with the encrypted text below",
        )
    }
}

impl Place {
    /// The only encrypted text of a file, or the one under a name.
    fn find(text: &str, name: Option<&str>) -> Result<Self, NotThere> {
        let lines: Vec<&str> = text.lines().collect();
        let key = |line: &str| line.trim().split_once(':').map(|(key, _)| key.trim_matches(['"', '\'']).to_owned());
        let begins = lines.iter().enumerate().filter(|(_, line)| line.trim() == BEGIN).map(|(n, _)| n);
        let found: Vec<usize> = match name {
            None => begins.collect(),
            Some(name) => begins.filter(|n| *n > 0 && key(lines[n - 1]).as_deref() == Some(name)).collect(),
        };
        let first = match (&found[..], name) {
            ([only], _) => *only,
            ([], Some(name)) => return Err(NotThere(format!("there is no encrypted secret `{name}`"))),
            ([], None) => return Err(NotThere("there is no encrypted secret".into())),
            (several, _) => return Err(NotThere(format!("there are {} encrypted secrets", several.len()))),
        };
        let last = lines[first..].iter().position(|line| line.trim() == END).map(|n| first + n);
        let last = last.ok_or_else(|| NotThere(format!("there is no line `{END}` after line {}", first + 1)))?;
        Ok(Self { first, last, indent: lines[first].len() - lines[first].trim_start().len() })
    }

    fn sealed(&self, text: &str) -> String {
        text.lines()
            .skip(self.first)
            .take(self.last - self.first + 1)
            .map(|line| format!("{}\n", line.trim()))
            .collect()
    }

    fn with(&self, text: &str, sealed: &str) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let indent = " ".repeat(self.indent);
        let new = sealed.lines().map(|line| format!("{indent}{line}"));
        let before = lines[..self.first].iter().map(ToString::to_string);
        let after = lines[self.last + 1..].iter().map(ToString::to_string);
        before.chain(new).chain(after).map(|line| line + "\n").collect()
    }
}

/// Puts a new file in an old one's place, with its permissions.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let mode = fs::metadata(path).map_or(0o644, |m| m.permissions().mode() & 0o777);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
        fs::rename(&fresh, path)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&fresh);
        Failure::caused(format!("failed to write `{}`", path.display()), &e)
    })
}

/// A private directory with the value, for as long as it is edited.
struct Desk(PathBuf);

impl Desk {
    fn set(value: &Secret) -> io::Result<Self> {
        let mut name = [0_u8; 8];
        getrandom::fill(&mut name).map_err(|e| io::Error::other(e.to_string()))?;
        let name: String = name.iter().map(|b| format!("{b:02x}")).collect();
        let desk = Self(in_memory().unwrap_or_else(std::env::temp_dir).join(format!("towpath-{name}")));
        DirBuilder::new().mode(0o700).create(&desk.0)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(desk.file())?;
        file.write_all(value.reveal().as_bytes())?;
        file.write_all(b"\n")?;
        Ok(desk)
    }

    fn file(&self) -> PathBuf {
        self.0.join("secret")
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            let _ = writeln!(io::stderr(), "warning: `{}` could not be removed: {error}", self.0.display());
        }
    }
}

/// A directory that is kept in memory, if this user may write there.
fn in_memory() -> Option<PathBuf> {
    let shared = PathBuf::from("/dev/shm");
    let runtime = settings::environment().remove("XDG_RUNTIME_DIR").map(PathBuf::from);
    let is_ours = |path: &PathBuf| {
        let in_memory = rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type == TMPFS);
        in_memory && rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
    };
    runtime.into_iter().chain([shared]).find(is_ours)
}

fn in_editor(old: &Secret) -> Result<Secret, Failure> {
    let environment = settings::environment();
    let line = ["VISUAL", "EDITOR"].iter().filter_map(|name| environment.get(*name)).find(|v| !v.trim().is_empty());
    let line = line.map_or("vi", String::as_str);
    let words = shlex::split(line).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| Failure::new(format!("`$EDITOR` is not a command: `{line}`")))?;
    let told = ToldToStop::listen();
    let desk = Desk::set(old).map_err(|e| Failure::caused("failed to put the value where an editor finds it", &e))?;
    let status = Command::new(&words[0]).args(&words[1..]).arg(desk.file()).status();
    let status = status.map_err(|e| {
        Failure::caused(format!("failed to start the editor `{}`", words[0]), &e).hint("name one with `EDITOR`")
    })?;
    if told.is_told() {
        return Err(Failure::new("interrupted; nothing was changed"));
    }
    if !status.success() {
        return Err(Failure::new(format!("the editor ended with {status}; nothing was changed")));
    }
    let text = read_text(&desk.file(), MAX_VALUE + 2).map_err(|e| Failure::new(format!("the edited value: {e}")))?;
    Ok(Secret::new(without_line_end(&text).to_owned()))
}

/// While the editor runs Ctrl-C and the end of a session must not end us: the value would stay behind.
struct ToldToStop(Arc<AtomicBool>);

impl ToldToStop {
    fn listen() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            // One that cannot be listened for ends us as it always did.
            let _ = signal_hook::flag::register(signal, flag.clone());
        }
        Self(flag)
    }

    fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
