//! The manifest pulled from a git repository: `towpath up --repo`.

use crate::faults::node;
use crate::installation::{Installation, Repository, get};
use serde_json::Value;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// An installation that pulls `path` of a repository beside an application.
struct Team {
    installation: Installation,
    infra: Repository,
    app: Repository,
}

impl Team {
    fn new(path: &str) -> Self {
        let mut installation = Installation::new();
        let (infra, app) = (installation.repository("infra"), installation.repository("app"));
        node::greet(&app, "hello");
        let url = infra.path().to_string_lossy().into_owned();
        installation.pulls(&["--repo", &url, "--branch", "main", "--path", path]);
        Self { installation, infra, app }
    }

    /// A service of the application, with more lines of its own.
    fn service(&self, name: &str, more: &str) -> String {
        node::service(name, more).replace("./app", &self.app.path().to_string_lossy())
    }

    fn shop(&self, more: &str) -> String {
        format!("services:\n{}", self.service("shop", more))
    }

    fn in_force(&self) -> String {
        let commit = &self.installation.service("shop")["manifest"]["commit"];
        commit.as_str().unwrap_or_default().to_owned()
    }

    fn until_in_force(&self, commit: &str) {
        self.installation.until("the commit is in force", SOON, |_| self.in_force() == commit);
    }

    fn revision(&self) -> Value {
        self.installation.service("shop")["revision"].clone()
    }
}

#[test]
fn commits_of_the_repository_are_put_in_force_and_named() {
    let mut team = Team::new("prod/towpath.yaml");
    let first = team.infra.commit("prod/towpath.yaml", &team.shop(""));
    team.installation.up();
    team.installation.until_status("shop", "RUNNING");
    team.until_in_force(&first);
    assert_eq!(get(team.installation.http, "shop").unwrap().body.trim(), "hello");
    let i = &team.installation;
    i.until("it converged", SOON, |i| i.service("shop")["manifest"]["converged_at"].is_number());
    let shown = i.service("shop")["manifest"].clone();
    assert_eq!((shown["author"].as_str(), shown["summary"].as_str()), (Some("dev"), Some("Change prod/towpath.yaml")));
    let text = i.ok(&["status"]);
    assert!(text.contains(&format!("in force   {} Change prod/towpath.yaml, by dev", &first[..7])), "{text}");
    assert!(text.contains("prod/towpath.yaml of ") && !text.contains("not yet"), "{text}");
    let created = i.json(&["operations", "shop"])[0].to_string();
    assert!(i.log().contains(&format!("declared at prod/towpath.yaml:2 at {}", &first[..7])), "{created}\n{}", i.log());

    let two = format!("{}{}", team.shop(""), team.service("orders", ""));
    let second = team.infra.commit("prod/towpath.yaml", &two);
    i.until_status("orders", "RUNNING");
    team.until_in_force(&second);
    // What has nothing to do with it changes nothing.
    let third = team.infra.commit("README", "words");
    team.until_in_force(&third);
    assert_eq!(i.json(&["operations", "shop"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_commit_that_is_no_good_changes_nothing_and_says_so() {
    let mut team = Team::new("prod");
    let good = team.infra.commit("prod/shop.yaml", &team.shop(""));
    team.installation.up();
    team.installation.until_status("shop", "RUNNING");
    let i = &team.installation;
    team.infra.commit("prod/shop.yaml", "services:\n  shop: { sourc: x }\n");
    i.until("it is invalid", SOON, |i| i.ok(&["status"]).contains("The manifest is invalid"));
    let text = i.ok(&["status"]);
    assert!(text.contains("did you mean `source`?") && text.contains(&format!("prod at {}", &good[..7])), "{text}");
    assert_eq!(team.in_force(), good);
    // Neither does one that has lost the directory: nothing is deleted.
    team.infra.git(&["rm", "-q", "-r", "prod"]);
    let empty = team.infra.commit("README", "moved away");
    i.until("the loss is said", SOON, |i| i.log().contains(&empty[..7]) || i.ok(&["status"]).contains("`prod`"));
    assert_eq!(get(i.http, "shop").unwrap().status, 200);
    assert_eq!(i.service("shop")["status"], "RUNNING");
    let mended = team.infra.commit("prod/shop.yaml", &team.shop(""));
    team.until_in_force(&mended);
    assert_eq!(i.json(&["operations", "shop"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_restart_needs_no_repository_to_know_what_is_declared_not_even_on_a_full_disk() {
    let mut team = Team::new("towpath.yaml");
    let url = team.infra.path().to_string_lossy().into_owned();
    // Above the watermark everything goes that nothing needs: the manifest needs its mirror.
    team.installation.pulls(&["--repo", &url, "--branch", "main", "--disk-high", "1%"]);
    let commit = team.infra.commit("towpath.yaml", &team.shop(""));
    team.installation.up();
    team.installation.until_status("shop", "RUNNING");
    team.until_in_force(&commit);
    team.installation.until("it is remembered", SOON, |i| i.service("shop")["manifest"]["converged_at"].is_number());
    team.installation.kill();
    let away = team.infra.path().with_file_name("away");
    std::fs::rename(team.infra.path(), &away).unwrap();
    team.installation.up();
    team.until_in_force(&commit);
    team.installation.until("the loss is said", SOON, |i| i.ok(&["status"]).contains("cannot be followed"));
    let waiting = team.installation.service("shop")["waiting"].to_string();
    assert!(waiting.contains("cannot be followed") && waiting.contains("was not found"), "{waiting}");
    assert_eq!(get(team.installation.http, "shop").unwrap().status, 200);
    std::fs::rename(&away, team.infra.path()).unwrap();
    let next = team.infra.commit("towpath.yaml", &team.shop("    instance: { memory: 1 GB }\n"));
    team.until_in_force(&next);
    team.installation.until("it is well again", SOON, |i| !i.ok(&["status"]).contains("cannot be followed"));
}

#[test]
fn a_file_beside_the_manifest_is_read_from_the_commit_in_force() {
    let mut team = Team::new("towpath.yaml");
    let more = "    secrets: { TOKEN: { file: ./token } }\n";
    std::fs::write(team.infra.path().join("token"), "one").unwrap();
    team.infra.commit("towpath.yaml", &team.shop(more));
    team.installation.up();
    team.installation.until_status("shop", "RUNNING");
    let token = |i: &Installation| {
        let answer = crate::installation::get_with(i.http, "shop", "/env", "").unwrap();
        serde_json::from_str::<Value>(answer.body.trim()).unwrap()["TOKEN"].clone()
    };
    assert_eq!(token(&team.installation), "one");
    let before = team.revision();
    let next = team.infra.commit("README", "the path of the file is the same in every commit");
    team.until_in_force(&next);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(team.revision(), before, "{}", team.installation.log());
    // The file is not, and the next deployment has it.
    let next = team.infra.commit("token", "two");
    team.until_in_force(&next);
    node::greet(&team.app, "again");
    team.installation.until_answer("shop", "again");
    assert_eq!(token(&team.installation), "two");
}

#[test]
fn a_manifest_of_ten_megabytes_and_an_alias_bomb_change_nothing_and_say_so() {
    let mut team = Team::new("towpath.yaml");
    let good = team.infra.commit("towpath.yaml", &team.shop(""));
    team.installation.up();
    team.installation.until_status("shop", "RUNNING");
    let i = &team.installation;
    team.infra.commit("towpath.yaml", &format!("{}# {}\n", team.shop(""), "x".repeat(10 << 20)));
    i.until("its size is said", SOON, |i| i.ok(&["status"]).contains("larger than 1048576 bytes"));
    let levels = (1..9).map(|n| format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 10].join(",")));
    let bomb = format!("l0: &l0 [x,x,x,x,x,x,x,x,x,x]\n{}", levels.collect::<String>());
    team.infra.commit("towpath.yaml", &bomb);
    i.until("the bomb is named", SOON, |i| i.ok(&["status"]).contains("aliases"));
    assert_eq!(team.in_force(), good);
    assert_eq!(get(i.http, "shop").unwrap().status, 200);
    let mended = team.infra.commit("towpath.yaml", &team.shop(""));
    team.until_in_force(&mended);
    assert_eq!(i.json(&["operations", "shop"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_repository_that_is_emptied_by_force_deletes_nothing_and_the_forced_push_is_told() {
    let mut team = Team::new("towpath.yaml");
    let good = team.infra.commit("towpath.yaml", &team.shop(""));
    team.installation.up();
    team.installation.until_status("shop", "RUNNING");
    let i = &team.installation;
    team.until_in_force(&good);
    team.infra.git(&["checkout", "-q", "--orphan", "empty"]);
    team.infra.git(&["rm", "-q", "-r", "-f", "."]);
    team.infra.git(&["commit", "-q", "--allow-empty", "-m", "Nothing"]);
    team.infra.git(&["branch", "-q", "-M", "main"]);
    let empty = team.infra.git(&["rev-parse", "HEAD"]).trim().to_owned();
    i.until("the loss is said", SOON, |i| i.ok(&["status"]).contains("failed to read the manifest"));
    let told = format!("commit {} does not descend from {}", &empty[..7], &good[..7]);
    i.until("the forced push is told", SOON, |i| i.ok(&["events"]).contains(&told));
    i.until("and shown", SOON, |i| i.ok(&["status"]).contains("history    rewritten: "));
    assert_eq!(get(i.http, "shop").unwrap().status, 200);
    assert_eq!(i.service("shop")["status"], "RUNNING");
}

#[test]
fn a_manifest_that_may_only_grow_takes_no_forced_push() {
    let mut team = Team::new("towpath.yaml");
    let url = team.infra.path().to_string_lossy().into_owned();
    team.installation.pulls(&["--repo", &url, "--branch", "main", "--path", "towpath.yaml", "--fast-forward-only"]);
    let first = team.infra.commit("towpath.yaml", &team.shop(""));
    let second = team.infra.commit("README", "words");
    team.installation.up();
    team.installation.until_status("shop", "RUNNING");
    team.until_in_force(&second);
    let i = &team.installation;
    team.infra.git(&["reset", "-q", "--hard", &first]);
    let forced = team.infra.commit("README", "other words");
    let said = format!("commit {}: it does not descend from commit {}", &forced[..7], &second[..7]);
    i.until("it is refused", SOON, |i| i.ok(&["status"]).contains(&said));
    assert_eq!(team.in_force(), second);
    team.infra.git(&["merge", "-q", "-s", "ours", "-m", "Both", &second]);
    let both = team.infra.git(&["rev-parse", "HEAD"]).trim().to_owned();
    team.until_in_force(&both);
}

#[test]
fn a_forced_push_to_a_service_is_told_and_shown_and_refused_where_it_is_said_so() {
    let mut team = Team::new("towpath.yaml");
    let strict = team.service("strict", "").replace("source: {", "source: { verify: { fastForwardOnly: true },");
    let first = team.app.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let second = node::greet(&team.app, "second");
    team.infra.commit("towpath.yaml", &format!("{}{strict}", team.shop("")));
    team.installation.up();
    let i = &team.installation;
    i.until_answer("shop", "second");
    i.until_answer("strict", "second");
    team.app.git(&["reset", "-q", "--hard", &first]);
    let forced = node::greet(&team.app, "forced");
    i.until_answer("shop", "forced");
    let told = format!("commit {} does not descend from {}", &forced[..7], &second[..7]);
    i.until("it is told", SOON, |i| i.ok(&["events", "shop"]).contains(&told));
    i.until("it is shown", SOON, |i| i.ok(&["status", "shop"]).contains("does not descend from"));
    assert_eq!(i.service("shop")["source"]["rewritten"]["to"], forced.as_str());
    i.until("it is refused", SOON, |i| i.ok(&["status"]).contains("the history was rewritten"));
    assert_eq!(get(i.http, "strict").unwrap().body.trim(), "second");
    // Once the branch has it in its history again, it goes on.
    team.app.git(&["merge", "-q", "-s", "ours", "-m", "Both", &second]);
    i.until_answer("strict", "forced");
}
