//! The two systemd units. Pure: settings in, texts out.

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
        let user = self.user.as_ref().map(|user| format!("User={user}\n")).unwrap_or_default();
        let flags: String = self.flags.iter().map(|flag| format!(" {}", word(flag))).collect();
        format!(
            "[Unit]\n\
             Description=towpath: what git declares is what runs\n\
             Wants=network-online.target {INGRESS}\n\
             After=network-online.target docker.service {INGRESS}\n\
             StartLimitIntervalSec=0\n\
             \n\
             [Service]\n\
             Type=exec\n\
             ExecStart={} up --manifest {} --data-dir {} --ingress await{flags}\n\
             {user}\
             Restart=on-failure\n\
             RestartSec=2\n\
             # Instances and traffic outlive the control plane; the next one takes them over.\n\
             KillMode=process\n\
             Delegate=yes\n\
             OOMPolicy=continue\n\
             TimeoutStopSec=60\n\
             LimitNOFILE=1048576\n\
             TasksMax=infinity\n\
             UMask=0077\n\
             ProtectClock=yes\n\
             ProtectKernelLogs=yes\n\
             ProtectKernelModules=yes\n\
             RestrictRealtime=yes\n\
             \n\
             [Install]\n\
             WantedBy=multi-user.target\n",
            path(&self.program),
            path(&self.manifest),
            path(&self.data_dir),
        )
    }

    /// The unit of the ingress: it needs its directory and its sockets, and gets nothing else. It ends by itself only when
    /// `towpath down` says so, and then it stays down.
    pub fn ingress(&self) -> String {
        let directory = self.data_dir.join("ingress");
        let (user, identity, prepare) = match (self.ingress_user, &self.user) {
            (Some((uid, gid)), _) => {
                let make = "ExecStartPre=+/usr/bin/install -d -m";
                let (data, directory) = (path(&self.data_dir), path(&directory));
                let install = format!("{make} 0711 {data}\n{make} 0700 -o {uid} -g {gid} {directory}\n");
                // An id without an account, which `User=` does not take: it starts as root and becomes it before anything else.
                let drop = "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_DAC_OVERRIDE\n".to_owned();
                (drop, format!(" --uid {uid} --gid {gid}"), install)
            }
            (None, Some(user)) => {
                let make = format!("ExecStartPre=+/usr/bin/install -d -m 0700 -o {user}");
                let install = format!("{make} {}\n{make} {}\n", path(&self.data_dir), path(&directory));
                (format!("User={user}\nCapabilityBoundingSet=\n"), String::new(), install)
            }
            (None, None) => (String::new(), String::new(), String::new()),
        };
        format!(
            "[Unit]\n\
             Description=towpath: the ingress, which carries traffic\n\
             StartLimitIntervalSec=0\n\
             \n\
             [Service]\n\
             Type=exec\n\
             {prepare}\
             ExecStart={} ingress --dir {} --cores {}{identity}\n\
             {user}\
             Restart=on-failure\n\
             RestartSec=100ms\n\
             OOMScoreAdjust=-500\n\
             TimeoutStopSec=40\n\
             LimitNOFILE=1048576\n\
             UMask=0077\n\
             NoNewPrivileges=yes\n\
             PrivateDevices=yes\n\
             PrivateTmp=yes\n\
             ProtectClock=yes\n\
             ProtectControlGroups=yes\n\
             ProtectHostname=yes\n\
             ProtectKernelLogs=yes\n\
             ProtectKernelModules=yes\n\
             ProtectKernelTunables=yes\n\
             ProtectSystem=strict\n\
             ReadWritePaths={}\n\
             RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n\
             RestrictNamespaces=yes\n\
             RestrictRealtime=yes\n\
             RestrictSUIDSGID=yes\n\
             LockPersonality=yes\n\
             SystemCallArchitectures=native\n\
             \n\
             [Install]\n\
             WantedBy=multi-user.target\n",
            path(&self.program),
            path(&directory),
            self.cores,
            path(&self.data_dir),
        )
    }
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
        assert!(text.contains(" --uid 61584 --gid 61584\n") && text.contains("\nReadWritePaths=/var/lib/towpath\n"));
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
