//! The client of GitHub's API against a stand-in that looks at every request.

use crate::github_stand_in::{Answer, Caller, Pace, StandIn};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use towpath::model::{Class, Secret};
use towpath::source::github::{ApiBase, AppKey, Credentials, GitHub, GitHubError, Installation, Wire};

fn client(github: &StandIn, credentials: Credentials) -> GitHub {
    let base = ApiBase::of(&github.url().parse().unwrap());
    GitHub::new(&Wire::new(None).unwrap(), base, credentials)
}

async fn get(client: &GitHub, path: &str) -> Result<Value, GitHubError> {
    Ok(client.api().get(path, None::<&()>).await?)
}

/// A client of the App's installation 7.
fn installed(github: &StandIn) -> GitHub {
    let app = github.app(&[7]);
    let key = AppKey::new(app.id, &Secret::new(app.pem)).unwrap();
    let itself = client(github, Credentials::App(Arc::new(key)));
    client(github, Credentials::Installation(Arc::new(Installation::new(itself, 7))))
}

#[tokio::test]
async fn a_token_is_shown_with_every_request() {
    let github = StandIn::start();
    github.personal_token("github_pat_good");
    github.route("GET", "/repos/acme/shop", |asked| {
        assert_eq!(asked.caller, Caller::Person);
        Answer::new(200, json!({ "full_name": "acme/shop" }))
    });
    let good = client(&github, Credentials::Token(Secret::new("github_pat_good".into())));
    assert_eq!(get(&good, "/repos/acme/shop").await.unwrap()["full_name"], "acme/shop");
    let bad = client(&github, Credentials::Token(Secret::new("github_pat_bad".into())));
    let error = get(&bad, "/repos/acme/shop").await.unwrap_err();
    assert!(matches!(&error, GitHubError::Unauthorized(said) if said == "Bad credentials"), "{error}");
    assert!(!format!("{error:?} {bad:?}").contains("github_pat"));
}

#[tokio::test]
async fn what_is_asked_arrives_as_it_is() {
    let github = StandIn::start();
    github.route("POST", "/repos/acme/shop/issues", |asked| Answer::new(201, asked.body.clone()));
    github.route("GET", "/repos/acme/shop/issues", |asked| Answer::new(200, json!({ "query": asked.query })));
    let client = client(&github, Credentials::Anonymous);
    let body = json!({ "title": "a \"title\" — ü", "labels": ["x"] });
    let made: Value = client.api().post("/repos/acme/shop/issues", Some(&body)).await.unwrap();
    assert_eq!(made, body);
    let listed: Value = client.api().get("/repos/acme/shop/issues", Some(&[("page", "2")])).await.unwrap();
    assert_eq!(listed["query"], "page=2");
}

#[tokio::test]
async fn a_token_of_an_installation_is_asked_for_once_and_renewed_when_it_is_refused() {
    let github = StandIn::start();
    github.route("GET", "/repos/acme/shop", |asked| {
        assert_eq!(asked.caller, Caller::Installation(7));
        Answer::new(200, json!({}))
    });
    let client = installed(&github);
    let tokens = || github.count("POST", "/app/installations/*/access_tokens");
    let both = tokio::join!(get(&client, "/repos/acme/shop"), get(&client, "/repos/acme/shop"));
    both.0.and(both.1).unwrap();
    assert_eq!(tokens(), 1, "two that ask at once share a token");
    github.revoke_tokens();
    get(&client, "/repos/acme/shop").await.unwrap();
    assert_eq!(tokens(), 2);
}

#[tokio::test]
async fn a_token_that_soon_ends_is_renewed_before() {
    let github = StandIn::start();
    github.token_lifetime(Duration::from_secs(300));
    github.route("GET", "/repos/acme/shop", |_| Answer::new(200, json!({})));
    let client = installed(&github);
    get(&client, "/repos/acme/shop").await.unwrap();
    get(&client, "/repos/acme/shop").await.unwrap();
    assert_eq!(github.count("POST", "/app/installations/*/access_tokens"), 2);
}

#[tokio::test]
async fn an_app_that_is_gone_is_no_endless_renewal() {
    let github = StandIn::start();
    let client = installed(&github);
    github.once("POST", "/app/installations/*/access_tokens", Answer::refusal(404, "Not Found"));
    let error = get(&client, "/repos/acme/shop").await.unwrap_err();
    assert!(matches!(error, GitHubError::NotFound(_)), "{error}");
    assert_eq!(github.seen().len(), 1);
}

#[tokio::test]
async fn a_bad_day_of_github_is_a_message_and_no_harm() {
    let github = StandIn::start();
    github.personal_token("x");
    let client = client(&github, Credentials::Token(Secret::new("x".into())));
    let bad = |answer: Answer| {
        github.once("GET", "/user", answer);
        get(&client, "/user")
    };
    let limited = bad(Answer::refusal(429, "slow down").header("retry-after", 7)).await.unwrap_err();
    assert!(limited.not_before().is_some() && limited.class() == Class::Retry, "{limited}");
    let limited = Answer::refusal(403, "API rate limit exceeded").header("x-ratelimit-remaining", 0);
    let limited = bad(limited.header("x-ratelimit-reset", 1)).await.unwrap_err();
    assert!(limited.to_string().contains("API rate limit exceeded"), "{limited}");
    let failed = bad(Answer::refusal(502, "Server Error")).await.unwrap_err();
    assert_eq!(failed.to_string(), "GitHub failed (HTTP status 502): Server Error");
    let refused = bad(Answer::refusal(403, "Resource not accessible by integration")).await.unwrap_err();
    assert_eq!(refused.class(), Class::Stalled);
    let broken = bad(Answer::new(200, json!({ "login": "acme" })).pace(Pace::BreakOff)).await.unwrap_err();
    assert!(broken.to_string().contains("broke off"), "{broken}");
    let begun = Instant::now();
    let flood = bad(Answer::new(200, Value::Null).pace(Pace::Flood)).await.unwrap_err();
    assert!(flood.to_string().contains("more than 8388608 bytes"), "{flood}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let odd = bad(Answer::new(200, json!(null))).await.unwrap_err();
    assert!(matches!(odd, GitHubError::Unexpected(_)), "{odd}");
    github.route("GET", "/user", |_| Answer::new(200, json!({ "login": "acme" })));
    assert_eq!(get(&client, "/user").await.unwrap()["login"], "acme", "and afterwards all is well");
}

#[tokio::test]
async fn an_answer_that_drips_for_ever_ends_at_the_deadline() {
    let github = StandIn::start();
    let client = client(&github, Credentials::Anonymous);
    github.once("GET", "/meta", Answer::new(200, Value::Null).pace(Pace::Drip));
    let begun = Instant::now();
    let error = get(&client, "/meta").await.unwrap_err();
    assert!(error.to_string().ends_with("no whole answer within 30 s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_redirect_to_another_server_gets_nothing() {
    let (github, other) = (StandIn::start(), StandIn::start());
    github.personal_token("x");
    let client = client(&github, Credentials::Token(Secret::new("x".into())));
    let moved = |to: String| Answer::refusal(301, "Moved Permanently").header("location", to);
    github.once("GET", "/repos/acme/old", moved(format!("{}/api/v3/repositories/1", other.url())));
    let error = get(&client, "/repos/acme/old").await.unwrap_err();
    assert!(error.to_string().contains("another server"), "{error}");
    assert!(other.seen().is_empty());
    github.once("GET", "/repos/acme/old", moved(format!("{}/api/v3/repositories/1", github.url())));
    github.route("GET", "/repositories/1", |_| Answer::new(200, json!({ "id": 1 })));
    assert_eq!(get(&client, "/repos/acme/old").await.unwrap()["id"], 1);
    github.once("GET", "/repos/acme/loop", moved("/api/v3/repos/acme/loop".into()));
    for _ in 0..4 {
        github.once("GET", "/repos/acme/loop", moved("/api/v3/repos/acme/loop".into()));
    }
    let error = get(&client, "/repos/acme/loop").await.unwrap_err();
    assert!(error.to_string().contains("more than 3 times"), "{error}");
}
