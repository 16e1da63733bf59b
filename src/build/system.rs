//! Scripts that make a machine answer what build lines written for App Runner's Amazon Linux expect of it.
//!
//! On a Debian base image `yum`, `dnf` and `amazon-linux-extras` are translated to apt; on the process engine they look
//! at what the host has and change nothing. Both know packages by one list, `packages.map`. Texts only, no I/O.

/// Amazon Linux packages and what they are called on Debian: a shell pattern, then names; the first line that fits.
const PACKAGES: &str = include_str!("system/packages.map");

/// `yum`, `dnf` and `amazon-linux-extras` of images on a Debian base.
pub fn translator() -> String {
    with_names(include_str!("system/translate.sh"))
}

/// Package managers in builds on this machine.
pub fn keep_out() -> String {
    with_names(include_str!("system/keep_out.sh"))
}

/// `sudo` of builds.
pub fn sudo() -> &'static str {
    include_str!("system/sudo.sh")
}

/// Prepares a base image; takes the translator and `sudo` as arguments.
pub fn prepare() -> &'static str {
    include_str!("system/prepare.sh")
}

/// A module for virtual environments, see there.
pub fn pip_user() -> &'static str {
    include_str!("system/pip_user.py")
}

/// Makes the virtual environment of an image; takes the module as argument.
pub fn venv() -> &'static str {
    include_str!("system/venv.sh")
}

fn with_names(script: &str) -> String {
    let names = include_str!("system/names.sh").replace("@PACKAGES@", PACKAGES.trim_end());
    script.replace("@NAMES@", names.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::{Command, Stdio};

    fn shell(script: &str, arguments: &[&str]) -> (bool, String) {
        let mut child = Command::new("/bin/sh")
            .args(["-s", "--"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn packages_of_amazon_linux_have_their_debian_names() {
        let names = with_names("@NAMES@\nfor name in \"$@\"; do echo \"$name:\" $(debian_names \"$name\"); done");
        let cases = [
            ("gcc-c++", "g++"),
            ("python3-devel", "python3-dev"),
            ("python3.11-devel", "python3-dev"),
            ("python38-devel", "python3-dev"),
            ("postgresql-devel", "libpq-dev"),
            ("postgresql15-devel", "libpq-dev"),
            ("postgresql14", "postgresql-client"),
            ("mysql-devel", "default-libmysqlclient-dev pkg-config"),
            ("mariadb105-devel", "default-libmysqlclient-dev pkg-config"),
            ("pycairo", "libcairo2-dev pkg-config"),
            ("epel-release", ""),
            ("libfoo-devel", "libfoo-dev"),
            ("foo-devel", "libfoo-dev"),
            ("xz", "xz-utils"),
            ("jq", "jq"),
        ];
        let (done, answer) = shell(&names, &cases.map(|(name, _)| name));
        let expected: String =
            cases.iter().map(|(name, debian)| format!("{name}: {debian}").trim().to_owned() + "\n").collect();
        assert!(done);
        assert_eq!(answer, expected);
    }

    #[test]
    fn every_line_of_the_list_is_a_pattern_with_names() {
        for line in PACKAGES.lines() {
            let mut words = line.split(' ');
            let pattern = words.next().unwrap();
            let names: Vec<&str> = words.collect();
            assert!(!pattern.is_empty() && !names.is_empty(), "{line:?}");
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-+.".contains(&b);
            assert!(names.iter().all(|n| *n == "-" || n.bytes().all(plain)), "{line:?}");
        }
    }

    /// The script runs as `tool`, beside an apt that knows every package but one and says what it is asked for.
    fn translated(tool: &str, arguments: &[&str]) -> (bool, String) {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        place(tool, &translator());
        place("apt-get", "#!/bin/sh\necho \"apt-get $*\"\n");
        place(
            "apt-cache",
            "#!/bin/sh\nfor last; do :; done; [ \"$last\" != libunheard-dev ] && [ \"$last\" != unheard-dev ]\n",
        );
        let path = format!("{}:/usr/bin:/bin", directory.path().display());
        run(&directory.path().join(tool), arguments, &path)
    }

    fn run(program: &Path, arguments: &[&str], path: &str) -> (bool, String) {
        let output = Command::new(program).args(arguments).env("PATH", path).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.success(), text)
    }

    #[test]
    fn yum_lines_of_real_files_are_translated() {
        let cases: [(&str, &[&str], &str); 8] = [
            ("yum", &["install", "-y", "gcc-c++", "python3-devel"], "install --no-install-recommends g++ python3-dev"),
            ("yum", &["-y", "groupinstall", "Development Tools"], "install --no-install-recommends build-essential"),
            ("dnf", &["group", "install", "-y", "development"], "install --no-install-recommends build-essential"),
            ("dnf", &["--setopt", "x=y", "--enablerepo=epel", "install", "jq"], "install --no-install-recommends jq"),
            ("yum", &["update", "-y"], "upgrade"),
            ("yum", &["clean", "all"], "apt-get clean"),
            ("amazon-linux-extras", &["install", "-y", "postgresql14=stable"], "recommends postgresql-client"),
            ("amazon-linux-extras", &["enable", "nginx1"], "nothing to enable"),
        ];
        for (tool, arguments, wanted) in cases {
            let (done, said) = translated(tool, arguments);
            assert!(done && said.contains(wanted), "{tool} {arguments:?}: {said}");
        }
    }

    #[test]
    fn what_cannot_be_translated_fails_by_name() {
        let (done, said) = translated("yum", &["install", "-y", "jq", "unheard-devel"]);
        assert!(!done && said.contains("`unheard-devel`") && said.contains("apt-get install"), "{said}");
        let (done, said) = translated("yum", &["install", "-y", "https://example.com/x.rpm"]);
        assert!(!done && said.contains("x.rpm"), "{said}");
        let (done, said) = translated("yum", &["swap", "a", "b"]);
        assert!(!done && said.contains("`swap`"), "{said}");
    }

    #[test]
    fn sudo_runs_the_command_without_its_own_options() {
        let echo = |arguments: &[&str]| shell(sudo(), arguments).1;
        assert_eq!(echo(&["-E", "-u", "root", "X=1", "sh", "-c", "echo $X"]), "1\n");
        assert_eq!(echo(&["--", "echo", "-n", "a b"]), "a b");
        assert_eq!(echo(&["-v"]), "");
    }
}
