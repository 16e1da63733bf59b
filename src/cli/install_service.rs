//! `towpath install-service`: the two systemd units, written, or shown, or taken away.

use super::args::Common;
use super::failure::Failure;
use super::screen::Screen;
use super::service_units::{CONTROL, INGRESS, Units};
use super::up::data_dir;
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where an administrator's units stand (systemd.unit(5)).
const UNITS: &str = "/etc/systemd/system";
/// The user and the group of the ingress beside a control plane that is root; see `reconcile::up`.
const INGRESS_USER: (u32, u32) = (61_584, 61_584);

/// `install-service`.
#[derive(Debug, Args)]
pub struct InstallServiceArgs {
    /// The file that declares what runs, or a directory of such files
    #[arg(short = 'f', long, value_name = "PATH", default_value = "/etc/towpath/towpath.yaml")]
    manifest: PathBuf,
    /// Who towpath runs as [default: root]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only print the units
    #[arg(long)]
    dry_run: bool,
    /// Stop the units and take them away; data and manifest stay
    #[arg(long, conflicts_with_all = ["dry_run", "user"])]
    uninstall: bool,
    /// Further flags of `towpath up`, after `--`
    #[arg(last = true, value_name = "FLAGS")]
    flags: Vec<String>,
}

/// Does it.
///
/// # Errors
/// Where there is no systemd, no permission, or systemd refuses.
pub fn install_service(screen: &Screen, common: &Common, args: &InstallServiceArgs) -> Result<(), Failure> {
    if args.uninstall {
        return uninstall(screen);
    }
    let units = units(common, args)?;
    let texts = [(INGRESS, units.ingress()), (CONTROL, units.control())];
    if args.dry_run {
        let shown = texts.iter().map(|(name, text)| format!("# {UNITS}/{name}\n{text}\n"));
        return screen.print(&shown.collect::<String>());
    }
    check_systemd()?;
    if !args.manifest.exists() {
        return Err(Failure::new(format!("there is no manifest `{}`", args.manifest.display()))
            .hint("write it first (`towpath init` makes one), or name another with `-f`"));
    }
    for (name, text) in &texts {
        let path = Path::new(UNITS).join(name);
        fs::write(&path, text).map_err(|e| {
            Failure::caused(format!("failed to write `{}`", path.display()), &e).hint("run this as root")
        })?;
        screen.note(&format!("Wrote `{}`.", path.display()));
    }
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--now", INGRESS, CONTROL])?;
    screen.print("towpath runs, and starts with the machine. Its log: `journalctl -u towpath -f`\n")
}

fn units(common: &Common, args: &InstallServiceArgs) -> Result<Units, Failure> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|e| Failure::caused(format!("failed to find `{}`", path.display()), &e))
    };
    let program = std::env::current_exe().map_err(|e| Failure::caused("failed to find the program's own file", &e))?;
    if let Some(user) = args.user.as_deref()
        && !user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    {
        return Err(Failure::new(format!("`{}` is not the name of a user", user.escape_debug())));
    }
    let data_dir = match (&common.data_dir, &args.user) {
        // The default is that of whoever runs this command, not of the user that the units run as.
        (None, Some(_)) => PathBuf::from("/var/lib/towpath"),
        _ => data_dir(common)?,
    };
    let user = args.user.clone().filter(|user| user != "root");
    Ok(Units {
        program,
        data_dir,
        manifest: absolute(&args.manifest)?,
        ingress_user: user.is_none().then_some(INGRESS_USER),
        user,
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(16),
        flags: args.flags.clone(),
    })
}

fn check_systemd() -> Result<(), Failure> {
    // As sd_booted(3) looks.
    if Path::new("/run/systemd/system").is_dir() {
        return Ok(());
    }
    Err(Failure::new("systemd does not run this machine").hint(
        "`towpath install-service --dry-run` prints the units; elsewhere let your service manager run `towpath up`",
    ))
}

fn uninstall(screen: &Screen) -> Result<(), Failure> {
    check_systemd()?;
    // The control plane first: without it nothing is started again.
    systemctl(&["disable", "--now", CONTROL, INGRESS])?;
    for name in [CONTROL, INGRESS] {
        let path = Path::new(UNITS).join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::caused(format!("failed to remove `{}`", path.display()), &error));
            }
            _ => screen.note(&format!("Removed `{}`.", path.display())),
        }
    }
    systemctl(&["daemon-reload"])?;
    screen.print("The units are gone. Instances that still run are stopped by `towpath down`.\n")
}

fn systemctl(arguments: &[&str]) -> Result<(), Failure> {
    let words = arguments.join(" ");
    let ran = Command::new("systemctl").args(arguments).output();
    let ran = ran.map_err(|e| Failure::caused(format!("failed to run `systemctl {words}`"), &e))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    Err(Failure::new(format!("`systemctl {words}` failed: {said}"))
        .hint("run this as root; why a unit failed says `journalctl -u towpath -u towpath-ingress`"))
}
