//! An installation that many faults are tried on in a row: `shop` serves under load all the time, `rest` is paused and
//! resumed, `fresh` is created and deleted.

use super::node;
use crate::installation::{Installation, Load, Repository, get};
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

/// What `shop` and `fresh` declare of deployments.
pub const RELEASE: &str = "    deploy: { drain: 2s, release: node -e 0 }\n";

const LIMIT: Duration = Duration::from_secs(40);

pub struct Site {
    pub installation: Installation,
    app: Repository,
    load: Load,
    version: u32,
    level: u32,
    interval: u32,
    fresh: bool,
}

impl Site {
    /// `shop` and `rest` serve, `shop` under load.
    pub fn new() -> Self {
        let installation = Installation::new();
        let app = installation.repository("app");
        node::greet(&app, "version 0");
        let load = Load::start(installation.http, "shop", 0);
        let mut site = Self { installation, app, load, version: 0, level: 0, interval: 5, fresh: false };
        site.declare();
        site.installation.up();
        site.installation.until_status("shop", "RUNNING");
        site.installation.until_status("rest", "RUNNING");
        site.load = Load::start(site.installation.http, "shop", 4);
        site
    }

    fn declare(&self) {
        let mut text = String::from("services:\n");
        let own = format!(
            "    env: {{ LEVEL: \"{}\" }}\n    health: {{ interval: {}s }}\n{RELEASE}",
            self.level, self.interval
        );
        let _ = write!(text, "{}", node::service("shop", &own));
        // It stays as it is: only `shop` follows the branch.
        let _ = write!(text, "{}", node::service("rest", "").replace("./app }", "./app, autoDeploy: false }"));
        if self.fresh {
            let _ =
                write!(text, "{}", node::service("fresh", RELEASE).replace("./app }", "./app, autoDeploy: false }"));
        }
        self.installation.declare(&text);
    }

    pub fn commit(&mut self) {
        self.version += 1;
        node::greet(&self.app, &format!("version {}", self.version));
    }

    pub fn change_environment(&mut self) {
        self.level += 1;
        self.declare();
    }

    pub fn change_check(&mut self) {
        self.interval = if self.interval == 5 { 6 } else { 5 };
        self.declare();
    }

    pub fn declare_fresh(&mut self, fresh: bool) {
        self.fresh = fresh;
        self.declare();
    }

    /// Starts the control plane so that it dies at a point of the operation that `act` brings about, then starts it
    /// again and waits until `done`.
    pub fn crash(&mut self, fault: &str, act: impl Fn(&mut Self), done: impl Fn(&Installation) -> bool) {
        self.installation.kill();
        self.installation.set("TOWPATH_FAULT_AT", fault);
        self.installation.up();
        act(self);
        let status = self.installation.ended(LIMIT);
        assert_eq!(status.signal(), Some(9), "{fault}: {}", self.installation.log());
        self.installation.unset("TOWPATH_FAULT_AT");
        self.installation.up();
        self.installation.until(&format!("it goes on after {fault}"), LIMIT, done);
        self.assert_settled(fault);
    }

    /// Nothing is left to do, nothing was lost, nothing is left over.
    pub fn assert_settled(&self, after: &str) {
        let failures = self.load.failures();
        assert!(failures.is_empty(), "lost after {after}: {failures:?}\n{}", self.installation.log());
        let i = &self.installation;
        i.until(&format!("nothing is left to do after {after}"), LIMIT, |i| plan_is_empty(i) && no_orphans(i));
        assert!(get(i.http, "shop").is_ok_and(|a| a.status == 200), "{after}");
    }

    pub fn finish(self) -> u64 {
        let tally = self.load.finish();
        assert!(tally.failures.is_empty(), "{tally:?}\n{}", self.installation.log());
        tally.good
    }
}

/// `towpath plan` of what is declared: nothing that could be executed now.
pub fn plan_is_empty(i: &Installation) -> bool {
    i.run(&["plan", "-f", i.manifest().to_str().unwrap(), "--detailed-exitcode"]).status.code() == Some(0)
}

/// As many shims and applications as instances, and one ingress.
pub fn no_orphans(i: &Installation) -> bool {
    let processes = i.processes();
    let count = |what: &str| processes.iter().filter(|(_, c)| c.contains(what)).count();
    let all = i.try_json(&["status"]).unwrap_or_default();
    let running = all.as_array().into_iter().flatten().filter_map(|s| s["instances"]["running"].as_u64());
    let running = usize::try_from(running.sum::<u64>()).unwrap();
    count(" shim ") == running && count("server.js") == running && count(" ingress ") == 1
}

/// The operations of a service, newest first, as type and status.
pub fn operations(i: &Installation, service: &str) -> Vec<(String, String)> {
    let all = i.try_json(&["operations", service]).unwrap_or_default();
    let text = |o: &serde_json::Value, name: &str| o[name].as_str().unwrap_or_default().to_owned();
    all.as_array().into_iter().flatten().map(|o| (text(o, "Type"), text(o, "Status"))).collect()
}
