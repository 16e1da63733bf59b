//! Landlock: what a jailed process may read and write, whatever the permissions of files say.
//!
//! As much as the kernel knows: renaming between directories, truncation, devices, signals and abstract sockets came
//! later than reading and writing. Connections cannot be told apart by host, so networks are not its business here.

use landlock::{
    ABI, Access, AccessFs, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
    path_beneath_rules,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The newest rights that are asked for; older kernels grant what they know.
const NEWEST: ABI = ABI::V6;

/// What programs of every kind read: the system, and where it keeps certificates and name servers.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/gnu",
    "/snap",
    "/proc",
    "/sys",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/run/current-system",
    "/var/lib/ca-certificates",
];
/// Devices that hold nothing.
const DEVICES: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts"];

/// What a jailed process may do with files, beyond reading the system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Walls {
    /// What it may read and execute, with all below.
    pub read: Vec<PathBuf>,
    /// What it may change as well, with all below.
    pub write: Vec<PathBuf>,
}

impl Walls {
    /// Locks this process in, and all that it will start. What is not there is left out.
    ///
    /// # Errors
    /// When the kernel has no Landlock or refuses a rule.
    pub fn raise(&self) -> Result<(), RulesetError> {
        let read = SYSTEM.iter().map(PathBuf::from).chain(self.read.iter().cloned());
        let write = DEVICES.iter().map(PathBuf::from).chain(self.write.iter().cloned());
        Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))?
            .scope(Scope::Signal | Scope::AbstractUnixSocket)?
            .create()?
            .add_rules(path_beneath_rules(read, AccessFs::from_read(NEWEST)))?
            .add_rules(path_beneath_rules(write, AccessFs::from_all(NEWEST)))?
            .restrict_self()
            .map(|_| ())
    }
}

/// The version of Landlock that holds here; `None` without. Found out by locking a thread in that does nothing else.
pub fn version() -> Option<u32> {
    let probe = || Ruleset::default().handle_access(AccessFs::from_all(ABI::V1))?.create()?.restrict_self();
    match std::thread::spawn(probe).join().ok()?.ok()?.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            Some(kernel_abi.map_or(effective_abi as u32, i32::unsigned_abs))
        }
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => None,
    }
}
