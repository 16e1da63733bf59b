//! The units under a real systemd, in a container: installed on a machine that never had towpath, killed, restarted, stopped,
//! taken away, while somebody asks the service all the time.

use crate::docker::{Lab, script};
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::CreateContainerOptions;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const IMAGE: &str = "towpath-test/systemd:252-1";
/// Generous: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(90);

/// An application in a repository, and a manifest.
const PREPARE: &str = r#"
mkdir -p /srv/app /etc/towpath && cd /srv/app && git init -q -b main && cat > app.py <<'END'
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "3"); self.end_headers(); self.wfile.write(b"one")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
END
git add -A && git -c user.name=a -c user.email=a@example.com commit -qm one
cat > /etc/towpath/towpath.yaml <<'END'
services:
  shop:
    source: { repository: /srv/app }
    build: { runtime: python3, start: python app.py }
    deploy: { drain: 1s }
END
"#;

/// Asks until the file `/srv/enough` is there, and counts.
const ASK: &str = "while [ ! -e /srv/enough ]; do curl -sf -m 5 -H 'Host: shop.localhost' http://127.0.0.1:8080/ >/dev/null || \
    echo lost >> /srv/lost; echo . >> /srv/asked; sleep 0.05; done";

/// A machine with systemd.
struct Machine {
    lab: Lab,
    container: String,
}

impl Machine {
    /// `None`, said aloud, where there is no engine, or systemd does not run in a container.
    async fn boot() -> Option<Self> {
        let lab = Lab::open(false)?;
        let made = tokio::task::spawn_blocking(|| script("systemd")).await.unwrap();
        if !made.status.success() {
            return skip(&String::from_utf8_lossy(&made.stderr));
        }
        let program = format!("{}:/usr/local/bin/towpath:ro", env!("CARGO_BIN_EXE_towpath"));
        let memory = ["/run", "/run/lock", "/tmp"].map(|path| (path.to_owned(), "exec".to_owned()));
        let host = HostConfig {
            cap_add: Some(["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"].map(String::from).into()),
            security_opt: Some(vec!["seccomp=unconfined".into(), "apparmor=unconfined".into()]),
            cgroupns_mode: Some(bollard::models::HostConfigCgroupnsModeEnum::HOST),
            binds: Some(vec!["/sys/fs/cgroup:/sys/fs/cgroup:rw".into(), program]),
            tmpfs: Some(memory.into()),
            ..HostConfig::default()
        };
        let body = ContainerCreateBody {
            image: Some(IMAGE.into()),
            cmd: Some(vec!["/lib/systemd/systemd".into()]),
            env: Some(vec!["container=docker".into()]),
            labels: Some(HashMap::from([("io.towpath.installation".to_owned(), lab.installation.to_string())])),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let container = lab.docker.create_container(None::<CreateContainerOptions>, body).await.unwrap().id;
        if let Err(error) = lab.docker.start_container(&container, None).await {
            return skip(&error.to_string());
        }
        let machine = Self { lab, container };
        let end = Instant::now() + Duration::from_secs(40);
        while !["running", "degraded"].contains(&machine.run("systemctl is-system-running").await.1.trim()) {
            if Instant::now() > end {
                return skip("systemd does not come up in a container");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        match machine.run("towpath --version").await {
            (0, _) => Some(machine),
            (_, said) => skip(&format!("the program does not run on the image's libraries: {said}")),
        }
    }

    /// Runs a line in it; its exit code, and both streams.
    async fn run(&self, line: &str) -> (i64, String) {
        let options = CreateExecOptions {
            cmd: Some(vec!["sh", "-c", line]),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        // A container that ended already runs nothing.
        let Ok(made) = self.lab.docker.create_exec(&self.container, options).await else { return (-1, String::new()) };
        let mut said = String::new();
        if let Ok(StartExecResults::Attached { mut output, .. }) = self.lab.docker.start_exec(&made.id, None).await {
            while let Some(Ok(piece)) = output.next().await {
                said.push_str(&piece.to_string());
            }
        }
        let code = self.lab.docker.inspect_exec(&made.id).await.ok().and_then(|e| e.exit_code);
        (code.unwrap_or(-1), said)
    }

    async fn ok(&self, line: &str) -> String {
        let (code, said) = self.run(line).await;
        assert_eq!(code, 0, "{line}: {said}\n{}", self.run("journalctl -o cat --no-pager -n 60 -u 'towpath*'").await.1);
        said
    }

    async fn until(&self, what: &str, line: &str, wanted: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            let said = self.run(line).await.1;
            if said.trim() == wanted {
                return;
            }
            let journal = "journalctl -o cat --no-pager -n 60 -u 'towpath*'";
            assert!(Instant::now() < end, "{what}: {said}\n{}", self.run(journal).await.1);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn until_served(&self, what: &str) {
        self.until(what, "curl -sf -m 2 -H 'Host: shop.localhost' http://127.0.0.1:8080/", "one").await;
    }

    async fn until_known(&self, what: &str) {
        self.until(what, "towpath status shop | grep -o RUNNING | head -n 1", "RUNNING").await;
    }
}

fn skip<T>(why: &str) -> Option<T> {
    eprintln!("SKIPPED: the units are not tried under systemd: {}", why.trim());
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_units_are_installed_killed_restarted_stopped_and_taken_away_without_losing_a_request() {
    let Some(machine) = Machine::boot().await else { return };
    machine.ok(PREPARE).await;
    let install = "towpath install-service --manifest /etc/towpath -- --http 127.0.0.1:8080 --engine process --poll 1s";
    machine.ok(install).await;
    machine.until_served("the service answers").await;
    machine.until_known("it is deployed").await;
    machine.ok(&format!("setsid sh -c \"{ASK}\" >/dev/null 2>&1 &")).await;

    machine.ok("systemctl kill -s KILL --kill-who=main towpath").await;
    machine.until("systemd starts it again", "systemctl show -P NRestarts towpath", "1").await;
    machine.until_known("and it knows what runs").await;
    machine.ok("systemctl restart towpath").await;
    machine.until_known("after a restart it does, too").await;
    machine.ok("systemctl stop towpath").await;
    assert_eq!(machine.run("systemctl is-active towpath").await.1.trim(), "inactive");
    tokio::time::sleep(Duration::from_secs(2)).await;
    machine.until_served("traffic goes on without it").await;
    machine.ok("systemctl start towpath").await;
    machine.until_known("it takes over").await;
    machine.ok("touch /srv/enough").await;
    assert_eq!(machine.run("cat /srv/lost").await.0, 1, "no request was lost");
    let asked: usize = machine.ok("wc -l < /srv/asked").await.trim().parse().unwrap();
    assert!(asked > 50, "{asked}");

    machine.ok("systemctl kill -s KILL --kill-who=main towpath-ingress").await;
    machine.until_served("the ingress is started again").await;
    machine.ok("towpath down").await;
    machine.until("down is down", "systemctl is-active towpath-ingress towpath | sort -u", "inactive").await;
    assert_eq!(machine.run("cat /proc/[0-9]*/comm | grep -c python").await.1.trim(), "0", "no instance is left");
    machine.ok("towpath install-service --uninstall").await;
    assert_eq!(machine.run("ls /etc/systemd/system | grep towpath").await.1, "");
    machine.ok("test -d /var/lib/towpath/store && test -f /etc/towpath/towpath.yaml").await;
}
