//! Images in registries that speak the OCI distribution specification: which digest a tag has now, by one HEAD request.
//!
//! Registries on this machine are spoken to over plain HTTP, as Docker does, all others over TLS. A registry that asks for
//! a token sends for one, and the token is kept as long as it says. Layers are never read here: the engine pulls them.

use super::SourceError;
use super::git::connection::{Connection, Connections, Origin};
use super::git::{Head, transport_text};
use crate::model::image::is_local;
use crate::model::{Commit, CommitId, ImageName, Reference, RegistryLogin, RepositoryUrl, Timestamp};
use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one question may take, tokens included.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a token is good whose giver does not say (distribution specification, token authentication).
const TOKEN_TIME: Duration = Duration::from_secs(60);
/// How long a password that was taken is sent without being asked for.
const PASSWORD_TIME: Duration = Duration::from_secs(3600);
/// A token is used no longer than this before its end.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);
/// The longest answer of a giver of tokens.
const LONGEST_ANSWER: usize = 64 << 10;
/// Manifests of one platform and indexes of several.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Who pulls which image, or why that is not known.
pub type Logins = HashMap<ImageName, Result<RegistryLogin, String>>;

/// Asks registries.
#[derive(Debug)]
pub(super) struct Registry {
    connections: Connections,
    /// What let a request in, as the header has it.
    tokens: Mutex<HashMap<ImageName, (String, Instant)>>,
    logins: Mutex<Logins>,
}

/// How a registry wants to know who asks.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    /// By a user and a password.
    Password,
    /// By a token, which is had there.
    Token { realm: String, service: Option<String> },
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Registry {
    pub fn new(connections: Connections) -> Self {
        Self { connections, tokens: Mutex::default(), logins: Mutex::default() }
    }

    /// Replaces who pulls which image.
    pub fn set_logins(&self, logins: Logins) {
        let mut known = self.logins();
        self.tokens().retain(|image, _| known.get(image) == logins.get(image));
        *known = logins;
    }

    fn logins(&self) -> MutexGuard<'_, Logins> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digests of several tags of one image, in their order.
    pub async fn heads(&self, image: &ImageName, references: &[Reference]) -> Vec<Result<Head, SourceError>> {
        let mut heads = Vec::with_capacity(references.len());
        for reference in references {
            let digest = match reference.commit().and_then(|digest| digest.whole()) {
                // What never moves is not asked for.
                Some(digest) => Ok(digest),
                None => self.digest(image, reference, None).await,
            };
            heads.push(digest.map(|commit| Head { reference: reference.clone(), commit }));
        }
        heads
    }

    /// The image that a reference stands for, or the wanted one, which has to be there.
    pub async fn find(
        &self,
        image: &ImageName,
        reference: &Reference,
        wanted: Option<&CommitId>,
    ) -> Result<Commit, SourceError> {
        let id = self.digest(image, reference, wanted).await?;
        let tag = reference.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
        Ok(Commit::of_image(id, format!("{image}{tag}"), Timestamp::now()))
    }

    async fn digest(
        &self,
        image: &ImageName,
        reference: &Reference,
        wanted: Option<&CommitId>,
    ) -> Result<CommitId, SourceError> {
        let digest =
            wanted.map(|id| format!("sha256:{id}")).or_else(|| Some(format!("sha256:{}", reference.commit()?)));
        let version = digest.unwrap_or_else(|| reference.tag().map_or("latest", |tag| tag.as_str()).to_owned());
        match tokio::time::timeout(DEADLINE, self.ask(image, &version)).await {
            Ok(answer) => answer,
            Err(_) => Err(transport(image, &format!("no answer within {} s", DEADLINE.as_secs()))),
        }
    }

    async fn ask(&self, image: &ImageName, version: &str) -> Result<CommitId, SourceError> {
        let scheme = if image.is_local() { "http" } else { "https" };
        let url = format!("{scheme}://{}/v2/{}/manifests/{version}", image.registry(), image.path());
        let login = self.login(image)?;
        let token = self.token(image);
        let mut response = self.send(image, Method::HEAD, &url, "", token.as_deref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let proof = match (challenge(&response), &login) {
                (Some(Challenge::Token { realm, service }), _) => {
                    self.send_for_token(image, login.as_ref(), &realm, service.as_deref()).await?
                }
                (Some(Challenge::Password), Some(login)) => self.remember(image, basic(login), PASSWORD_TIME),
                _ => return Err(closed(image, login.as_ref())),
            };
            response = self.send(image, Method::HEAD, &url, "", Some(&proof)).await?;
        }
        judge(image, login.as_ref(), version, &response)
    }

    fn login(&self, image: &ImageName) -> Result<Option<RegistryLogin>, SourceError> {
        self.logins().get(image).cloned().transpose().map_err(|problem| SourceError::Image {
            image: image.to_string(),
            problem,
            hint: "its registry is asked again as soon as the password can be read".into(),
        })
    }

    fn remember(&self, image: &ImageName, proof: String, time: Duration) -> String {
        self.tokens().insert(image.clone(), (proof.clone(), Instant::now() + time));
        proof
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<ImageName, (String, Instant)>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self, image: &ImageName) -> Option<String> {
        let mut tokens = self.tokens();
        tokens.retain(|_, (_, until)| *until > Instant::now());
        tokens.get(image).map(|(token, _)| token.clone())
    }

    async fn send_for_token(
        &self,
        image: &ImageName,
        login: Option<&RegistryLogin>,
        realm: &str,
        service: Option<&str>,
    ) -> Result<String, SourceError> {
        if !may_be_asked(image, realm) {
            return Err(transport(image, "its registry asks for a token over a connection without encryption"));
        }
        let mut query = format!("?scope={}", escaped(&format!("repository:{}:pull", image.path())));
        if let Some(service) = service {
            query.push_str(&format!("&service={}", escaped(service)));
        }
        let proof = login.map(basic);
        let response = self.send(image, Method::GET, realm, &query, proof.as_deref()).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                return Err(closed(image, login));
            }
            status => return Err(transport(image, &format!("no token was given: HTTP status {}", status.as_u16()))),
        }
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let bytes =
            body.map_err(|e| transport(image, &format!("the answer with the token broke off: {e}")))?.to_bytes();
        // The parser's message may quote a token.
        let answer: Option<TokenAnswer> = serde_json::from_slice(&bytes).ok();
        let time = answer.as_ref().and_then(|a| a.expires_in).map_or(TOKEN_TIME, Duration::from_secs);
        let token = answer.and_then(|a| a.token.or(a.access_token)).filter(|t| !t.is_empty());
        let token = token.ok_or_else(|| transport(image, "no token was in the answer that should have one"))?;
        Ok(self.remember(image, format!("Bearer {token}"), time.saturating_sub(TOKEN_MARGIN)))
    }

    /// One request; on a kept connection that turns out closed, once more on a new one.
    async fn send(
        &self,
        image: &ImageName,
        method: Method,
        url: &str,
        query: &str,
        token: Option<&str>,
    ) -> Result<Response<Incoming>, SourceError> {
        let failed = |message: String| transport(image, &message);
        let (origin, path) = Origin::split(url).map_err(failed)?;
        let request = || request(&method, &origin, &format!("{path}{query}"), token).map_err(failed);
        if let Some(mut kept) = self.connections.take(&origin)
            && let Ok(response) = kept.send(request()?).await
        {
            self.keep(origin, kept, &response);
            return Ok(response);
        }
        let mut fresh = self.connections.open(&origin).await.map_err(failed)?;
        let response = fresh.send(request()?).await.map_err(failed)?;
        self.keep(origin, fresh, &response);
        Ok(response)
    }

    /// One whose answer has a body, which nobody may have read to its end, is not used again.
    fn keep(&self, origin: Origin, connection: Connection, response: &Response<Incoming>) {
        if hyper::body::Body::is_end_stream(response.body()) {
            self.connections.give_back(origin, connection);
        }
    }
}

/// Writes what a builder makes of an image: the one line that takes it as it is.
pub(super) async fn export(image: &ImageName, digest: &CommitId, to: &Path) -> Result<(), SourceError> {
    let file = to.join("Dockerfile");
    let failed =
        |source| SourceError::Write { repository: image.to_string(), path: file.display().to_string(), source };
    tokio::fs::create_dir_all(to).await.map_err(failed)?;
    tokio::fs::write(&file, format!("FROM {image}@sha256:{digest}\n")).await.map_err(failed)
}

fn transport(image: &ImageName, message: &str) -> SourceError {
    transport_text(&RepositoryUrl::Image(image.clone()), message)
}

/// Whether a giver of tokens may be sent a password: over TLS, or on this machine by a registry on this machine. What is no
/// URL is found out by whoever sends.
fn may_be_asked(image: &ImageName, realm: &str) -> bool {
    let plain = Origin::split(realm).ok().filter(|(origin, _)| origin.is_plain());
    plain.is_none_or(|(origin, _)| image.is_local() && is_local(&origin.authority()))
}

/// `Basic …` (RFC 7617).
fn basic(login: &RegistryLogin) -> String {
    let pair = format!("{}:{}", login.username, login.password.reveal());
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

fn closed(image: &ImageName, login: Option<&RegistryLogin>) -> SourceError {
    if let Some(login) = login {
        return SourceError::Image {
            image: image.to_string(),
            problem: format!("its registry does not let `{}` pull it", login.username.escape_debug()),
            hint: "check `source.credentials`, and what that user may pull".into(),
        };
    }
    SourceError::Image {
        image: image.to_string(),
        problem: "its registry wants credentials for it, or does not have it".into(),
        hint: "check the name; `source.credentials` says who pulls it".into(),
    }
}

fn request(method: &Method, origin: &Origin, path: &str, token: Option<&str>) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, origin.authority())
        .header(header::USER_AGENT, concat!("towpath/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, if *method == Method::HEAD { MANIFESTS } else { "application/json" });
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, token);
    }
    request.body(Full::new(Bytes::new())).map_err(|_| "its name or token cannot be put into a request".to_owned())
}

/// What a registry says of a manifest.
fn judge(
    image: &ImageName,
    login: Option<&RegistryLogin>,
    version: &str,
    response: &Response<Incoming>,
) -> Result<CommitId, SourceError> {
    let refused = |problem: String, hint: &str| {
        Err(SourceError::Image { image: image.to_string(), problem, hint: hint.to_owned() })
    };
    match response.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(closed(image, login)),
        StatusCode::NOT_FOUND => {
            return refused(
                format!("its registry has no `{version}` of it"),
                "push it, or correct the name or the tag",
            );
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(transport(image, &format!("its registry answered with HTTP status {}", status.as_u16())));
        }
        status => {
            let problem = format!("its registry answered with HTTP status {}", status.as_u16());
            return refused(problem, "is there a registry at that address?");
        }
    }
    let digest = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
    match digest.and_then(|digest| digest.strip_prefix("sha256:")?.parse::<CommitId>().ok()) {
        Some(digest) => Ok(digest),
        None => refused("its registry does not say the digest of a tag".into(), "name the digest: `NAME@sha256:…`"),
    }
}

/// `None` where a registry wants something that we do not have.
fn challenge(response: &Response<Incoming>) -> Option<Challenge> {
    let all = response.headers().get_all(header::WWW_AUTHENTICATE).into_iter();
    all.filter_map(|value| value.to_str().ok()).find_map(read_challenge)
}

/// `Bearer realm="https://auth.example/token",service="registry.example"` (RFC 9110 §11.6.1).
fn read_challenge(text: &str) -> Option<Challenge> {
    let (scheme, mut rest) = text.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Password);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        match name.trim_start_matches([',', ' ']).to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            _ => {}
        }
        rest = after;
    }
    realm.map(|realm| Challenge::Token { realm, service })
}

/// For a query (RFC 3986 §2.3: what is not unreserved).
fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_over_tls_or_stays_on_this_machine() {
        let (far, near): (ImageName, ImageName) =
            ("r.example/a/b".parse().unwrap(), "127.0.0.1:5000/a".parse().unwrap());
        assert!(may_be_asked(&far, "https://auth.example/token"));
        assert!(may_be_asked(&near, "http://localhost:81/token") && may_be_asked(&near, "http://127.0.0.1"));
        for (image, realm) in [
            (&far, "http://auth.example/token"),
            (&far, "http://localhost/"),
            (&near, "http://auth.example/t"),
            (&near, "HTTP://b.example/"),
        ] {
            assert!(!may_be_asked(image, realm), "{realm}");
        }
    }

    #[test]
    fn a_challenge_says_where_a_token_is_had() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="a:b,c:pull""#;
        let expected = Challenge::Token {
            realm: "https://auth.docker.io/token".into(),
            service: Some("registry.docker.io".into()),
        };
        assert_eq!(read_challenge(hub), Some(expected));
        assert_eq!(read_challenge("Basic realm=\"x\""), Some(Challenge::Password));
        assert_eq!(read_challenge("Negotiate x"), None);
        assert_eq!(read_challenge("Bearer service=\"x\""), None);
        assert_eq!(read_challenge("Bearer realm=\"x"), None);
    }

    #[test]
    fn a_query_holds_no_character_with_a_meaning() {
        assert_eq!(escaped("repository:a/b:pull&x=1"), "repository%3Aa%2Fb%3Apull%26x%3D1");
    }
}
