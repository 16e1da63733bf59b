//! The two systemd units. Pure: settings in, texts out.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// The name of the unit that decides.
pub const CONTROL: &str = "towpath.service";
/// The name of the unit that carries traffic.
pub const INGRESS: &str = "towpath-ingress.service";

/// What the units are written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Units {
    /// The program, by its absolute path.
    pub program: PathBuf,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The manifest: a file or a directory.
    pub manifest: PathBuf,
    /// Who the control plane runs as; root if none.
    pub user: Option<String>,
    /// User and group of the ingress; the control plane's user if none.
    pub ingress_user: Option<(u32, u32)>,
    /// Threads of the ingress.
    pub cores: usize,
    /// Further flags of `towpath up`.
    pub flags: Vec<String>,
}

impl Units {
    /// The unit of the control plane. Its end leaves instances (`KillMode=process`) and traffic alone, its out-of-memory the
    /// instances (`OOMPolicy=continue`); it makes cgroups of its own below its own (`Delegate=yes`).
    pub fn control(&self) -> String {
        let flags: String = self.flags.iter().map(|flag| format!(" {}", word(flag))).collect();
        let (program, manifest, data) = (path(&self.program), path(&self.manifest), path(&self.data_dir));
        let start = format!("{program} up --manifest {manifest} --data-dir {data} --ingress await{flags}");
        let unit = [
            line("Description", "towpath: what git declares is what runs"),
            line("Wants", format!("network-online.target {INGRESS}")),
            line("After", format!("network-online.target docker.service {INGRESS}")),
        ];
        let user = self.user.iter().map(|user| line("User", user));
        let service = [line("ExecStart", start)].into_iter().chain(user).chain([CONTROL_SERVICE.to_owned()]);
        whole(unit, service)
    }

    /// The unit of the ingress: it needs its directory and its sockets, and gets nothing else. It ends by itself only when
    /// `towpath down` says so, and then it stays down.
    pub fn ingress(&self) -> String {
        let directory = path(&self.data_dir.join("ingress"));
        let Identity { prepare, flags, user } = self.identity(&directory);
        let start = format!("{} ingress --dir {directory} --cores {}{flags}", path(&self.program), self.cores);
        // It need not be there before the first start makes it.
        let writes = line("ReadWritePaths", format!("-{}", path(&self.data_dir)));
        let service = [prepare, line("ExecStart", start), user, INGRESS_SERVICE.to_owned(), writes];
        whole([line("Description", "towpath: the ingress, which carries traffic")], service)
    }

    /// Who the ingress runs as.
    fn identity(&self, directory: &str) -> Identity {
        let data = path(&self.data_dir);
        let make = |flags: String, what: &str| line("ExecStartPre", format!("+/usr/bin/install -d -m {flags}{what}"));
        match (self.ingress_user, &self.user) {
            (Some((uid, gid)), _) => Identity {
                prepare: make("0711 ".into(), &data) + &make(format!("0700 -o {uid} -g {gid} "), directory),
                flags: format!(" --uid {uid} --gid {gid}"),
                // An id without an account, which `User=` does not take: it starts as root and becomes it before anything else.
                user: line("CapabilityBoundingSet", "CAP_SETUID CAP_SETGID CAP_DAC_OVERRIDE"),
            },
            (None, Some(user)) => Identity {
                prepare: [&data, directory].map(|what| make(format!("0700 -o {user} "), what)).concat(),
                flags: String::new(),
                user: line("User", user) + &line("CapabilityBoundingSet", ""),
            },
            (None, None) => Identity::default(),
        }
    }
}

/// What follows from who the ingress runs as.
#[derive(Default)]
struct Identity {
    /// Makes its directories.
    prepare: String,
    /// Further flags of it.
    flags: String,
    /// Lines of its unit.
    user: String,
}

/// Instances and traffic outlive the control plane; the next one takes them over.
const CONTROL_SERVICE: &str = "\
Restart=on-failure
RestartSec=2
# Instances and traffic outlive the control plane; the next one takes them over.
KillMode=process
Delegate=yes
OOMPolicy=continue
TimeoutStopSec=60
LimitNOFILE=1048576
TasksMax=infinity
UMask=0077
ProtectClock=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
RestrictRealtime=yes
";

/// It is started again at once, and is kept from everything but its directory and its sockets.
const INGRESS_SERVICE: &str = "\
Restart=on-failure
RestartSec=100ms
OOMScoreAdjust=-500
TimeoutStopSec=40
LimitNOFILE=1048576
UMask=0077
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
";

/// What both units have, with their own lines in place. It is tried again for ever, since nothing else mends itself.
fn whole(unit: impl IntoIterator<Item = String>, service: impl IntoIterator<Item = String>) -> String {
    let (unit, service): (String, String) = (unit.into_iter().collect(), service.into_iter().collect());
    format!(
        "[Unit]\n{unit}StartLimitIntervalSec=0\n\n[Service]\nType=exec\n{service}\n[Install]\nWantedBy=multi-user.target\n"
    )
}

fn line(key: &str, value: impl Display) -> String {
    format!("{key}={value}\n")
}

fn path(path: &Path) -> String {
    word(&path.to_string_lossy())
}

/// A word of a unit file: `%` and `$` mean nothing, spaces and quotes stay inside (systemd.service(5), *Command lines*).
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=,@+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units() -> Units {
        Units {
            program: "/usr/local/bin/towpath".into(),
            data_dir: "/var/lib/towpath".into(),
            manifest: "/etc/towpath".into(),
            user: None,
            ingress_user: Some((61_584, 61_584)),
            cores: 2,
            flags: vec!["--http".into(), "0.0.0.0:80".into()],
        }
    }

    #[test]
    fn the_control_plane_may_end_without_what_it_started() {
        let text = units().control();
        for line in [
            "ExecStart=/usr/local/bin/towpath up --manifest /etc/towpath --data-dir /var/lib/towpath --ingress await --http 0.0.0.0:80",
            "KillMode=process",
            "Delegate=yes",
            "OOMPolicy=continue",
            "Wants=network-online.target towpath-ingress.service",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("User="));
        assert!(Units { user: Some("deploy".into()), ..units() }.control().contains("\nUser=deploy\n"));
    }

    #[test]
    fn the_ingress_is_never_root_and_writes_to_its_directory_only() {
        let text = units().ingress();
        assert!(text.contains(" --uid 61584 --gid 61584\n") && text.contains("\nReadWritePaths=-/var/lib/towpath\n"));
        assert!(text.contains("-o 61584 -g 61584 /var/lib/towpath/ingress\n"));
        let of_user = Units { user: Some("deploy".into()), ingress_user: None, ..units() }.ingress();
        assert!(
            of_user.contains("\nUser=deploy\n") && of_user.contains("-m 0700 -o deploy /var/lib/towpath/ingress\n")
        );
    }

    #[test]
    fn words_cannot_leave_their_place_in_a_unit() {
        assert_eq!(word("/srv/a b"), "\"/srv/a b\"");
        assert_eq!(word("%n $HOME \"x\" \\"), "\"%%n $$HOME \\\"x\\\" \\\\\"");
    }
}
