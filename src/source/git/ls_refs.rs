//! Asks a repository over HTTP for some references with one request of protocol version 2 (`ls-refs`), which moves some 65
//! bytes where libgit2, which speaks version 0 only, lists every reference. Whoever does not understand it is asked by
//! libgit2, and once an hour like this again.
//!
//! One POST without the usual greeting before it: servers that speak version 2 need none. Connections are kept and used again.

use super::Reference;
use super::connection::{Connection, Connections, Origin};
use super::failure::transport_text;
use super::head::name;
use super::pkt::{self, Listed};
use super::{SourceError, failure};
use crate::model::RepositoryUrl;
use crate::source::access::Shown;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a repository that does not understand version 2 is asked by libgit2.
const ASK_AGAIN: Duration = Duration::from_secs(3600);

/// How often a repository may have been renamed.
const MOST_REDIRECTS: usize = 3;

/// More than any list of the references that one prefix finds.
const LONGEST_ANSWER: usize = 4 << 20;

/// Asks repositories, and remembers what was learned of each.
#[derive(Debug)]
pub(super) struct LsRefs {
    connections: Connections,
    learned: Mutex<HashMap<RepositoryUrl, Learned>>,
}

/// What is known of one repository.
#[derive(Clone, Debug, Default)]
struct Learned {
    /// It does not speak version 2; asked again after this.
    silent_until: Option<Instant>,
    /// It spoke it: what it refuses now is an answer.
    spoke: bool,
    /// Where it was moved to.
    moved: Option<String>,
}

/// What one attempt came to.
enum Outcome {
    Listed(Vec<Listed>),
    /// Not the protocol.
    NotSpoken(String),
    /// Refused as servers hide what is not there or needs credentials.
    Hidden,
    Failed(SourceError),
}

impl LsRefs {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections, learned: Mutex::default() }
    }

    /// What the repository has of these references, and of others with names that begin alike; `None` where libgit2 has
    /// to ask.
    pub(super) async fn ask(
        &self,
        repository: &RepositoryUrl,
        references: &[Reference],
        shown: Option<&Shown>,
    ) -> Option<Result<Vec<Listed>, SourceError>> {
        let RepositoryUrl::Http(url) = repository else { return None };
        let learned = self.learned().get(repository).cloned().unwrap_or_default();
        if learned.silent_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let body = Bytes::from(question(references));
        let at = learned.moved.clone().unwrap_or_else(|| url.clone());
        let (outcome, moved) = self.follow(repository, at, &body, shown).await;
        match outcome {
            Outcome::Listed(listed) => {
                let moved = moved.or(learned.moved);
                self.learned().insert(repository.clone(), Learned { silent_until: None, spoke: true, moved });
                Some(Ok(listed))
            }
            Outcome::Failed(error) => {
                self.forget_move(repository);
                Some(Err(error))
            }
            Outcome::Hidden if learned.spoke && learned.moved.is_none() => {
                Some(Err(SourceError::NotFound { repository: repository.to_string() }))
            }
            Outcome::Hidden => {
                self.leave_to_libgit2(repository, "it hides the repository");
                None
            }
            Outcome::NotSpoken(why) => {
                self.leave_to_libgit2(repository, &why);
                None
            }
        }
    }

    fn learned(&self) -> MutexGuard<'_, HashMap<RepositoryUrl, Learned>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asked next where it was declared: the place that it moved to may be gone, and it be back.
    fn forget_move(&self, repository: &RepositoryUrl) {
        if let Some(learned) = self.learned().get_mut(repository) {
            learned.moved = None;
        }
    }

    fn leave_to_libgit2(&self, repository: &RepositoryUrl, why: &str) {
        tracing::debug!(%repository, why, "does not speak protocol version 2");
        // Not all at once again.
        let until = Instant::now() + ASK_AGAIN.mul_f64(0.75 + 0.5 * fastrand::f64());
        self.learned().insert(repository.clone(), Learned { silent_until: Some(until), spoke: false, moved: None });
    }

    /// Follows redirects, and says where they ended if there were any.
    async fn follow(
        &self,
        repository: &RepositoryUrl,
        mut at: String,
        body: &Bytes,
        shown: Option<&Shown>,
    ) -> (Outcome, Option<String>) {
        let mut moved = None;
        for _ in 0..=MOST_REDIRECTS {
            if let Some(shown) = shown.filter(|shown| !shown.is_for(&at)) {
                return (Outcome::Failed(shown.leads_elsewhere(repository)), None);
            }
            let (response, origin, connection) = match self.attempt(repository, &at, body, shown).await {
                Ok(answered) => answered,
                Err(error) => return (Outcome::Failed(error), None),
            };
            if !response.status().is_redirection() {
                let outcome = read(repository, response, shown).await;
                // One with an answer that was not read would hold up whoever gets it next.
                if matches!(outcome, Outcome::Listed(_)) {
                    self.connections.give_back(origin, connection);
                }
                return (outcome, moved);
            }
            match target(&at, &response) {
                Ok(next) => {
                    at = next;
                    moved = Some(at.clone());
                }
                Err(why) => return (Outcome::NotSpoken(why), None),
            }
        }
        let message = format!("it redirects more than {MOST_REDIRECTS} times");
        (Outcome::Failed(transport_text(repository, &message)), None)
    }

    /// One request; on a kept connection that turns out closed, once more on a new one.
    async fn attempt(
        &self,
        repository: &RepositoryUrl,
        at: &str,
        body: &Bytes,
        shown: Option<&Shown>,
    ) -> Result<(Response<Incoming>, Origin, Connection), SourceError> {
        let failed = |message: String| transport_text(repository, &message);
        let (origin, path) = Origin::split(at).map_err(failed)?;
        let authorization = shown.and_then(|shown| shown.authorization(at));
        let request = || request(&origin, &path, body, authorization.as_ref()).map_err(failed);
        if let Some(mut kept) = self.connections.take(&origin)
            && let Ok(response) = kept.send(request()?).await
        {
            return Ok((response, origin, kept));
        }
        let mut fresh = self.connections.open(&origin).await.map_err(failed)?;
        let response = fresh.send(request()?).await.map_err(failed)?;
        Ok((response, origin, fresh))
    }
}

/// The request's body: the references by the beginnings of their names.
fn question(references: &[Reference]) -> String {
    let mut prefixes: Vec<String> =
        references.iter().map(|reference| name(reference).unwrap_or_else(|| "HEAD".to_owned())).collect();
    prefixes.sort();
    prefixes.dedup();
    let mut body = pkt::line("command=ls-refs\n");
    body.push_str("0001");
    if references.iter().any(|reference| reference.tag().is_some()) {
        body.push_str(&pkt::line("peel\n"));
    }
    if references.contains(&Reference::Default) {
        body.push_str(&pkt::line("symrefs\n"));
    }
    prefixes.iter().for_each(|prefix| body.push_str(&pkt::line(&format!("ref-prefix {prefix}\n"))));
    body.push_str("0000");
    body
}

fn request(
    origin: &Origin,
    path: &str,
    body: &Bytes,
    authorization: Option<&HeaderValue>,
) -> Result<Request<Full<Bytes>>, String> {
    let kind = "application/x-git-upload-pack";
    let mut request = Request::post(format!("{path}/git-upload-pack"));
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request
        .header(header::HOST, origin.authority())
        // Some hosts answer git only, and know it by its name.
        .header(header::USER_AGENT, concat!("git/2.0 (towpath ", env!("CARGO_PKG_VERSION"), ")"))
        .header(header::CONTENT_TYPE, format!("{kind}-request"))
        .header(header::ACCEPT, format!("{kind}-result"))
        .header("Git-Protocol", "version=2")
        .body(Full::new(body.clone()))
        .map_err(|error| error.to_string())
}

/// Where a redirect leads: to the same request elsewhere, never from https to http.
fn target(at: &str, response: &Response<Incoming>) -> Result<String, String> {
    // 303 asks for a GET, which is another question.
    if response.status() == StatusCode::SEE_OTHER {
        return Err("it redirects to a page".into());
    }
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or("it redirects to nowhere")?;
    let (origin, _) = Origin::split(at)?;
    let whole = if location.starts_with('/') && !location.starts_with("//") {
        format!("{}{location}", origin.url())
    } else {
        location.to_owned()
    };
    let base = whole.strip_suffix("/git-upload-pack").ok_or("it redirects to something else")?;
    if Origin::split(base)?.0.is_plain() && !origin.is_plain() {
        return Err("it redirects from https to http".into());
    }
    Ok(base.to_owned())
}

async fn read(repository: &RepositoryUrl, response: Response<Incoming>, shown: Option<&Shown>) -> Outcome {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let spoken = kind == "application/x-git-upload-pack-result";
    match status {
        StatusCode::OK if spoken => {}
        StatusCode::OK => return Outcome::NotSpoken("it answers with something else".into()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            return match shown {
                Some(shown) => Outcome::Failed(answered(status, repository, shown)),
                None => Outcome::Hidden,
            };
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            let message = format!("the server answered with HTTP status {}", status.as_u16());
            return Outcome::Failed(transport_text(repository, &message));
        }
        status => return Outcome::NotSpoken(format!("it answers with HTTP status {}", status.as_u16())),
    }
    match Limited::new(response.into_body(), LONGEST_ANSWER).collect().await {
        Ok(body) => match pkt::listed(&body.to_bytes()) {
            Ok(listed) => Outcome::Listed(listed),
            Err(why) => Outcome::NotSpoken(why),
        },
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("its list of references has more than {LONGEST_ANSWER} bytes");
            Outcome::Failed(failure::limit(repository, message))
        }
        Err(error) => Outcome::Failed(transport_text(repository, &format!("its answer broke off: {error}"))),
    }
}

/// What a refusal means to someone who has shown something.
fn answered(status: StatusCode, repository: &RepositoryUrl, shown: &Shown) -> SourceError {
    match status {
        StatusCode::UNAUTHORIZED => shown.refused(repository),
        StatusCode::FORBIDDEN => shown.forbidden(repository, status.as_u16()),
        _ => shown.explain(repository, SourceError::NotFound { repository: repository.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_each_reference_once() {
        let branch = Reference::Branch("main".parse().unwrap());
        let tag = Reference::Tag("v1".parse().unwrap());
        assert_eq!(
            question(&[branch.clone(), tag, branch.clone()]),
            "0014command=ls-refs\n00010009peel\n001fref-prefix refs/heads/main\n001cref-prefix refs/tags/v1\n0000"
        );
        assert_eq!(question(&[Reference::Default]), "0014command=ls-refs\n0001000csymrefs\n0014ref-prefix HEAD\n0000");
    }
}
