//! Plans on pull requests against the repository of the manifest.

use super::hub::Hub;
use super::{SOON, Shop, TOKEN};
use crate::faults::node;
use crate::installation::Repository;
use serde_json::Value;
use std::time::Duration;

/// An installation that pulls its manifest from the hub.
struct Team {
    shop: Shop,
    infra: Repository,
}

impl Team {
    fn new(more: &[&str]) -> Self {
        let mut shop = Shop::at(Hub::new().with_pulls());
        let infra = shop.installation.repository("infra");
        let url = shop.hub.repository("infra", infra.path());
        node::greet(&shop.app, "one");
        std::fs::write(infra.path().join("token"), TOKEN).unwrap();
        let mut arguments = vec!["--repo", &url, "--branch", "main", "--repo-connection", "acme-github"];
        arguments.extend(more);
        shop.installation.pulls(&arguments);
        let team = Self { shop, infra };
        team.infra.commit("towpath.yaml", &team.manifest(""));
        team
    }

    /// The same, by an App that is installed for the repositories.
    fn by_an_app() -> Self {
        let mut team = Self::new(&[]);
        let app = team.shop.hub.github.app(&[7]);
        team.shop.means = format!("app: {{ id: {}, privateKey: {{ file: ./app.pem }} }}", app.id);
        std::fs::write(team.infra.path().join("app.pem"), &app.pem).unwrap();
        team.infra.commit("towpath.yaml", &team.manifest(""));
        team
    }

    fn manifest(&self, more: &str) -> String {
        format!("{}services:\n{}{more}", self.shop.connections(), self.shop.service("shop", ", report: false", ""))
    }

    /// Has more services; the commit of theirs.
    fn infra_declares(&self, more: &str) -> String {
        self.infra.commit("towpath.yaml", &self.manifest(more));
        self.shop.app.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn up(&mut self) {
        let i = &mut self.shop.installation;
        i.up();
        i.ok(&["connections", "create", "acme-github", "--url", &self.shop.hub.github.url()]);
        let handshake = ["connections", "handshake", "acme-github"];
        let of = |file: &str| self.infra.path().join(file).to_string_lossy().into_owned();
        match self.shop.means.strip_prefix("app: { id: ") {
            Some(id) => {
                let id = id.split(',').next().unwrap();
                i.ok(&[&handshake[..], &["--app-id", id, "--app-key", &of("app.pem")]].concat())
            }
            None => i.ok(&[&handshake[..], &["--token", &of("token")]].concat()),
        };
        i.until_status("shop", "RUNNING");
    }

    /// A pull request that changes the manifest; the branch is `topic`, and its commit is returned.
    fn propose(&self, number: u64, manifest: &str, fork: bool) -> String {
        self.infra.git(&["checkout", "-q", "-B", "topic", "main"]);
        let head = self.infra.commit("towpath.yaml", manifest);
        self.infra.git(&["update-ref", &format!("refs/pull/{number}/head"), &head]);
        self.infra.git(&["checkout", "-q", "main"]);
        self.shop.hub.pull(number, &head, fork);
        head
    }

    fn comment(&self, number: u64) -> String {
        let kept = self.shop.hub.kept();
        let of = |c: &&Value| c["issue"] == number.to_string().as_str();
        let found: Vec<&Value> = kept.comments.iter().filter(of).collect();
        assert!(found.len() <= 1, "more than one comment: {found:?}");
        found.first().map(|c| c["body"].as_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// Waits until the check of a commit is this one, and was said once.
    fn until_checked(&self, commit: &str, state: &str) {
        let said = || self.shop.hub.said(commit, "towpath/plan");
        self.shop.installation.until(&format!("{commit} is {state}"), SOON, |_| said() == [state]);
    }

    fn until_comment(&self, number: u64, words: &str) {
        let what = format!("a comment on {number} says {words:?}");
        self.shop.installation.until(&what, SOON, |_| self.comment(number).contains(words));
    }
}

#[test]
fn a_pull_request_gets_its_plan_in_one_comment_that_is_kept_up_to_date() {
    let mut team = Team::new(&[]);
    team.up();
    let orders = team.shop.service("orders", ", report: false", "");
    let head = team.propose(7, &team.manifest(&orders), false);
    team.until_comment(7, "Create `orders`");
    assert!(team.comment(7).contains("merged into `main`"), "{}", team.comment(7));
    team.until_checked(&head, "success");
    assert_eq!(team.shop.hub.last(&head, "towpath/plan")["description"], "1 service would change");
    // Pushed to again, by force: the same comment, the new plan, also after a restart.
    team.shop.installation.kill();
    team.shop.installation.up();
    let other = team.propose(7, &team.manifest(&orders.replace("orders", "billing")), false);
    team.until_comment(7, "Create `billing`");
    assert!(!team.comment(7).contains("Create `orders`"), "{}", team.comment(7));
    team.until_checked(&other, "success");
    // Nothing of it was put in force.
    assert_eq!(team.shop.installation.service("billing"), Value::Null);
    // A manifest that is no good, with its place.
    let bad = team.propose(7, &team.manifest("  cart: { sourc: x }\n"), false);
    team.until_comment(7, "did you mean");
    assert!(team.comment(7).contains("towpath.yaml:"), "{}", team.comment(7));
    team.until_checked(&bad, "failure");
}

#[test]
fn an_app_writes_a_check_run_and_a_comment_and_its_services_report() {
    let mut team = Team::by_an_app();
    let first = team.infra_declares(&team.shop.service("site", "", ""));
    team.up();
    team.shop.until("the service reports", |hub| hub.last(&first, "towpath/site")["state"] == "success");
    let orders = team.shop.service("site", "", "") + &team.shop.service("orders", ", report: false", "");
    let head = team.propose(11, &team.manifest(&orders), false);
    team.until_comment(11, "Create `orders`");
    let run = |head: &str| {
        let kept = team.shop.hub.kept();
        let of: Vec<Value> = kept.runs.iter().filter(|r| r["head_sha"] == head).cloned().collect();
        assert!(of.len() <= 1, "more than one run of a commit: {of:?}");
        of.into_iter().next().unwrap_or_default()
    };
    team.shop.until("its check ran", |_| run(&head)["conclusion"] == "success");
    assert_eq!(run(&head)["name"], "towpath/plan");
    assert!(run(&head)["output"]["summary"].as_str().unwrap().contains("Create `orders`"), "{}", run(&head));
    // No commit status beside it: an App has its checks.
    assert_eq!(team.shop.hub.said(&head, "towpath/plan"), Vec::<String>::new());
    let bad = team.propose(11, &team.manifest("  cart: { sourc: x }\n"), false);
    team.shop.until("the next check ran", |_| run(&bad)["conclusion"] == "failure");
}

#[test]
fn the_merge_says_that_it_applied_what_was_planned() {
    let mut team = Team::new(&[]);
    team.up();
    let orders = team.shop.service("orders", ", report: false", "");
    team.propose(8, &team.manifest(&orders), false);
    team.until_comment(8, "Create `orders`");
    team.infra.git(&["merge", "-q", "--no-ff", "-m", "Merge 8", "topic"]);
    let merge = team.infra.git(&["rev-parse", "HEAD"]).trim().to_owned();
    team.shop.hub.close(8, Some(&merge));
    team.shop.installation.until_status("orders", "RUNNING");
    team.until_comment(8, "as planned here");
    assert!(team.comment(8).contains(&merge[..7]), "{}", team.comment(8));
    assert!(team.shop.installation.ok(&["events"]).contains("as it was planned"));
}

#[test]
fn the_merge_says_what_moved_since_the_plan() {
    let mut team = Team::new(&[]);
    team.up();
    let cart = team.shop.service("cart", ", report: false", "");
    team.propose(9, &team.manifest(&cart), false);
    team.until_comment(9, "Create `cart`");
    // It is merged in another form than it was planned in.
    team.infra.commit("towpath.yaml", &team.manifest(&cart.replace("cart", "till")));
    let merge = team.infra.git(&["rev-parse", "HEAD"]).trim().to_owned();
    team.shop.hub.close(9, Some(&merge));
    team.until_comment(9, "something moved");
    let said = team.comment(9);
    assert!(said.contains("`cart`: a creation is not to be done any more"), "{said}");
    assert!(said.contains("`till`: a creation came to it"), "{said}");
}

#[test]
fn pull_requests_of_forks_are_left_alone_unless_they_are_asked_for() {
    let mut team = Team::new(&[]);
    team.up();
    let orders = team.shop.service("orders", ", report: false", "");
    team.propose(10, &team.manifest(&orders), true);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(team.comment(10), "");
    assert!(team.shop.hub.kept().statuses.is_empty());

    let mut open = Team::new(&["--plan-pull-requests", "forks"]);
    open.up();
    let orders = open.shop.service("orders", ", report: false", "");
    open.propose(10, &open.manifest(&orders), true);
    open.until_comment(10, "Create `orders`");
}

#[test]
fn a_pull_request_that_is_closed_meanwhile_or_full_of_bad_things_stops_nothing() {
    let mut team = Team::new(&[]);
    team.up();
    // One whose commit is not there, one that is closed, one with a branch that cannot be merged.
    team.shop.hub.pull(11, &"1".repeat(40), false);
    team.propose(12, &team.manifest(""), false);
    team.shop.hub.close(12, None);
    let orders = team.shop.service("orders", ", report: false", "");
    team.propose(13, &team.manifest(&orders), false);
    team.infra.commit("towpath.yaml", &team.manifest("# on main meanwhile\n"));
    team.until_comment(13, "has conflicts with `main`");
    assert_eq!((team.comment(11), team.comment(12)), (String::new(), String::new()));
}
