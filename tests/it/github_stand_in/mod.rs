//! A stand-in for GitHub's REST API that looks at every request as sternly as it can: what no test said would come, or comes
//! with a wrong header, a wrong signature or a wrong body, fails the test when the stand-in is dropped.
//!
//! Its web pages are at [`StandIn::url`], as those of a GitHub Enterprise Server, its API at `/api/v3` below. It runs on a thread of its own, so that tests with and without
//! a runtime can use it.

mod app;
mod git;
mod server;

pub use app::{App, Caller};

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A request that was taken.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Without `/api/v3` and without the query.
    pub path: String,
    pub query: String,
    /// Its JSON; null if it has none.
    pub body: Value,
    pub caller: Caller,
}

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    AtOnce,
    /// A byte every fifth of a second, without end.
    Drip,
    /// Bytes as fast as they are taken, without end.
    Flood,
    /// Half of the body, then the connection ends.
    BreakOff,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
    pub pace: Pace,
}

impl Answer {
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body, pace: Pace::AtOnce }
    }

    /// A refusal in GitHub's form.
    pub fn refusal(status: u16, message: &str) -> Self {
        Self::new(
            status,
            json!({ "message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string() }),
        )
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
}

type Handler = Box<dyn Fn(&Asked) -> Answer + Send>;

struct Route {
    method: &'static str,
    pattern: String,
    handler: Handler,
}

#[derive(Default)]
struct State {
    routes: Vec<Route>,
    /// Answers that are given once, before all routes.
    once: Vec<(&'static str, String, Answer)>,
    apps: Vec<app::Known>,
    personal: Vec<String>,
    seen: Vec<Asked>,
    faults: Vec<String>,
    /// Work trees of repositories, by owner and name.
    repositories: BTreeMap<String, PathBuf>,
    /// How long tokens of installations live.
    lifetime: Option<Duration>,
    /// Where its git repositories are served.
    git: Option<u16>,
    /// Codes of Apps that were made of a manifest.
    codes: Vec<(String, App)>,
}

/// The stand-in.
pub struct StandIn {
    port: u16,
    state: Arc<Mutex<State>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl StandIn {
    pub fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let (port, stop) = server::start(state.clone());
        Self { port, state, stop: Some(stop) }
    }

    /// Where its web pages would be, and its repositories: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes requests of a method for a path, in which `*` stands for one part.
    pub fn route(&self, method: &'static str, pattern: &str, handler: impl Fn(&Asked) -> Answer + Send + 'static) {
        self.state().routes.push(Route { method, pattern: pattern.to_owned(), handler: Box::new(handler) });
    }

    /// Answers the next request like this once.
    pub fn once(&self, method: &'static str, pattern: &str, answer: Answer) {
        self.state().once.push((method, pattern.to_owned(), answer));
    }

    /// Knows a person's token from now on.
    pub fn personal_token(&self, token: &str) {
        self.state().personal.push(token.to_owned());
    }

    /// Lets tokens of installations live this long.
    pub fn token_lifetime(&self, lifetime: Duration) {
        self.state().lifetime = Some(lifetime);
    }

    /// Knows no token any more that was given out for an installation or is a person's.
    pub fn revoke_tokens(&self) {
        let mut state = self.state();
        state.personal.clear();
        state.apps.iter_mut().for_each(|app| app.tokens.clear());
    }

    /// Makes an App that is installed under these ids.
    pub fn app(&self, installations: &[u64]) -> App {
        let mut state = self.state();
        let id = 12_345 + state.apps.len() as u64;
        let (known, app) = app::make(id, installations);
        state.apps.push(known);
        app
    }

    /// Has the repositories that a server has at `/git/`, under `/acme/`, for who shows a token of an installation.
    pub fn serve_git(&self, port: u16) {
        self.state().git = Some(port);
    }

    /// Makes an App of a manifest, as the page does that a browser posts it to; the code that it is fetched with.
    pub fn make_of_manifest(&self, installations: &[u64]) -> (String, App) {
        let app = self.app(installations);
        let code = format!("code-{}", app.id);
        self.state().codes.push((code.clone(), app.clone()));
        (code, app)
    }

    /// Has a repository of this machine as `OWNER/NAME`. Returns its URL.
    pub fn repository(&self, name: &str, work_tree: &Path) -> String {
        self.state().repositories.insert(name.to_owned(), work_tree.to_owned());
        format!("{}/{name}", self.url())
    }

    /// Every request that was taken, in order.
    pub fn seen(&self) -> Vec<Asked> {
        self.state().seen.clone()
    }

    /// How often a path was asked for with a method.
    pub fn count(&self, method: &str, pattern: &str) -> usize {
        self.state().seen.iter().filter(|a| a.method == method && fits(pattern, &a.path)).count()
    }

    /// Fails if anything came that should not.
    pub fn check(&self) {
        let faults = self.state().faults.clone();
        assert!(faults.is_empty(), "GitHub was asked wrongly:\n{}", faults.join("\n"));
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if !std::thread::panicking() {
            self.check();
        }
    }
}

/// Whether a path is one of a pattern.
fn fits(pattern: &str, path: &str) -> bool {
    let (wanted, given): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    wanted.len() == given.len() && wanted.iter().zip(&given).all(|(w, g)| *w == "*" || w == g)
}
