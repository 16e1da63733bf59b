//! Previews of pull requests.

use super::hub::Hub;
use super::{SOON, Shop};
use crate::faults::node;
use crate::installation::{get, get_with};
use serde_json::Value;

/// A pull request of the application with this greeting; its head.
fn propose(shop: &Shop, number: u64, greeting: &str, fork: bool) -> String {
    shop.app.git(&["checkout", "-q", "-B", &format!("topic-{number}"), "main"]);
    let head = node::greet(&shop.app, greeting);
    shop.app.git(&["update-ref", &format!("refs/pull/{number}/head"), &head]);
    shop.app.git(&["checkout", "-q", "main"]);
    shop.hub.pull(number, &head, fork);
    head
}

fn comment(shop: &Shop, number: u64) -> String {
    let kept = shop.hub.kept();
    let found = kept.comments.iter().find(|c| c["issue"] == number.to_string().as_str());
    found.map(|c| c["body"].as_str().unwrap().to_owned()).unwrap_or_default()
}

fn shop() -> Shop {
    let shop = Shop::at(Hub::new().with_pulls());
    node::greet(&shop.app, "one");
    std::fs::write(shop.installation.path().join("secret"), "hunter2").unwrap();
    std::fs::write(shop.installation.path().join("mail"), "mail-key").unwrap();
    shop
}

const SECRETS: &str = "    secrets: { DB: { file: ./secret }, MAIL: { file: ./mail } }\n    env: { LEVEL: info }\n";

#[test]
fn a_pull_request_has_a_service_of_its_own_until_it_is_closed() {
    let mut shop = shop();
    shop.declare(
        "",
        &format!("{SECRETS}    previews: {{ ttl: 1h, max: 2, secrets: [MAIL], env: {{ LEVEL: debug }} }}\n"),
    );
    shop.installation.up();
    shop.installation.until_answer("shop", "one");
    let head = propose(&shop, 17, "seventeen", false);
    shop.installation.until_answer("shop-pr-17", "seventeen");
    let answer = get_with(shop.installation.http, "shop-pr-17", "/env", "").unwrap();
    let env: Value = serde_json::from_str(answer.body.trim()).unwrap();
    assert_eq!(
        (env["LEVEL"].as_str(), env["MAIL"].as_str(), &env["DB"]),
        (Some("debug"), Some("mail-key"), &Value::Null)
    );
    shop.until("the comment has the URL", |_| comment(&shop, 17).contains("shop-pr-17.localhost"));
    shop.until("its deployment is said", |hub| hub.last(&head, "towpath/shop-pr-17")["state"] == "success");
    assert!(
        shop.hub.kept().deployments.iter().any(|d| d["sha"] == head.as_str() && d["transient_environment"] == true)
    );
    // Pushed to again, and through a restart.
    propose(&shop, 17, "again", false);
    shop.installation.until_answer("shop-pr-17", "again");
    shop.installation.kill();
    shop.installation.up();
    assert_eq!(get(shop.installation.http, "shop-pr-17").unwrap().body.trim(), "again");
    // It is no part of what is exported.
    assert!(!shop.installation.ok(&["export"]).contains("shop-pr-17"));
    shop.hub.close(17, None);
    shop.installation.until("it is gone", SOON, |i| i.service("shop-pr-17") == Value::Null);
    shop.until("its end is said", |_| comment(&shop, 17).contains("is removed"));
    assert_eq!(get(shop.installation.http, "shop").unwrap().body.trim(), "one");
}

#[test]
fn there_are_as_many_as_there_may_be_and_none_of_forks() {
    let mut shop = shop();
    shop.declare("", &format!("{SECRETS}    previews: {{ max: 1 }}\n"));
    shop.installation.up();
    shop.installation.until_answer("shop", "one");
    propose(&shop, 30, "of a fork", true);
    propose(&shop, 31, "first", false);
    shop.installation.until_answer("shop-pr-31", "first");
    propose(&shop, 32, "second", false);
    shop.installation.until_answer("shop-pr-32", "second");
    shop.installation.until("the older one is gone", SOON, |i| i.service("shop-pr-31") == Value::Null);
    assert_eq!(shop.installation.service("shop-pr-30"), Value::Null);
}

#[test]
fn one_of_a_fork_gets_no_secret_even_where_forks_are_wanted() {
    let mut shop = shop();
    shop.declare("", &format!("{SECRETS}    previews: {{ forks: true, secrets: [MAIL] }}\n"));
    shop.installation.up();
    shop.installation.until_answer("shop", "one");
    propose(&shop, 40, "of a fork", true);
    shop.installation.until_answer("shop-pr-40", "of a fork");
    let answer = get_with(shop.installation.http, "shop-pr-40", "/env", "").unwrap();
    let env: Value = serde_json::from_str(answer.body.trim()).unwrap();
    assert_eq!((&env["MAIL"], &env["DB"], env["LEVEL"].as_str()), (&Value::Null, &Value::Null, Some("info")));
}
