//! Apps of the stand-in: their keys, what they show for themselves, and the tokens of their installations.

use super::{Answer, Asked, State};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::rsa::Rsa;
use openssl::sign::Verifier;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Who asks, as their credentials show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    Nobody,
    /// A person.
    Person,
    /// An App for itself.
    App(u64),
    /// An App where it is installed.
    Installation(u64),
}

/// An App as its owner knows it.
#[derive(Clone, Debug)]
pub struct App {
    pub id: u64,
    pub slug: String,
    /// Its private key, as GitHub gives it out (PKCS #1).
    pub pem: String,
}

/// An App as GitHub knows it.
pub(super) struct Known {
    pub(super) app: App,
    key: PKey<Public>,
    pub(super) installations: Vec<u64>,
    /// Token, installation, until when.
    pub(super) tokens: Vec<(String, u64, SystemTime)>,
}

pub(super) fn make(id: u64, installations: &[u64]) -> (Known, App) {
    let rsa = Rsa::generate(2048).unwrap();
    let pem = String::from_utf8(rsa.private_key_to_pem().unwrap()).unwrap();
    let key = PKey::public_key_from_pem(&rsa.public_key_to_pem().unwrap()).unwrap();
    let app = App { id, slug: format!("towpath-{id}"), pem };
    (Known { app: app.clone(), key, installations: installations.to_vec(), tokens: Vec::new() }, app)
}

/// Who shows this; why it is refused, otherwise. Credentials that are well-formed but not known get an answer, since they happen.
pub(super) fn caller(state: &State, authorization: Option<&str>) -> Result<Caller, Answer> {
    let Some(value) = authorization else { return Ok(Caller::Nobody) };
    let bad = |why: &str| Err(Answer::refusal(401, why));
    let Some(token) = value.strip_prefix("Bearer ") else { return bad("Bad credentials") };
    if token.split('.').count() == 3 {
        return signed(state, token).map(Caller::App).or_else(|why| bad(&why));
    }
    if state.personal.iter().any(|known| known == token) {
        return Ok(Caller::Person);
    }
    let now = SystemTime::now();
    let mut given = state.apps.iter().flat_map(|app| &app.tokens);
    match given.find(|(known, _, until)| known == token && *until > now) {
        Some((_, installation, _)) => Ok(Caller::Installation(*installation)),
        None => bad("Bad credentials"),
    }
}

/// The App that signed a JSON web token.
fn signed(state: &State, token: &str) -> Result<u64, String> {
    let parts: Vec<&str> = token.split('.').collect();
    let decoded =
        |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|e| format!("A JSON web token could not be decoded: {e}"));
    let json = |part: &str| serde_json::from_slice::<Value>(&decoded(part)?).map_err(|e| e.to_string());
    let (head, claims) = (json(parts[0])?, json(parts[1])?);
    if head["alg"] != "RS256" {
        return Err("the algorithm is not RS256".into());
    }
    let number = |name: &str| claims[name].as_i64().ok_or_else(|| format!("'{name}' claim must be a number"));
    let (begin, end) = (number("iat")?, number("exp")?);
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    if begin > now || end <= now || end > now + 600 || end - begin > 600 {
        return Err(format!("'Expiration time' claim ('exp') is wrong: {begin} to {end}, and it is {now}"));
    }
    let id =
        claims["iss"].as_str().and_then(|id| id.parse::<u64>().ok()).ok_or("'Issuer' claim ('iss') must be an id")?;
    let app = state.apps.iter().find(|app| app.app.id == id).ok_or("Integration not found")?;
    let mut verifier = Verifier::new(MessageDigest::sha256(), &app.key).unwrap();
    let text = format!("{}.{}", parts[0], parts[1]);
    let good = verifier.verify_oneshot(&decoded(parts[2])?, text.as_bytes()).unwrap_or(false);
    if good { Ok(id) } else { Err("A JSON web token could not be decoded".into()) }
}

/// What every GitHub has for Apps; `None` for any other path.
pub(super) fn answer(state: &mut State, asked: &Asked) -> Option<Answer> {
    let parts: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    if let ("POST", ["app-manifests", code, "conversions"]) = (asked.method.as_str(), parts.as_slice()) {
        // Good once.
        let at = state.codes.iter().position(|(known, _)| known == code);
        return Some(at.map_or_else(|| Answer::refusal(404, "Not Found"), |at| converted(&state.codes.remove(at).1)));
    }
    if parts[0] != "app" {
        return None;
    }
    let Caller::App(id) = asked.caller else {
        return Some(Answer::refusal(401, "A JSON web token could not be decoded"));
    };
    let lifetime = state.lifetime.unwrap_or(Duration::from_secs(3600));
    let app = state.apps.iter_mut().find(|app| app.app.id == id)?;
    let known = |text: &str| text.parse().ok().filter(|id| app.installations.contains(id));
    match (asked.method.as_str(), &parts[1..]) {
        ("GET", []) => Some(Answer::new(200, described(&app.app))),
        ("GET", ["installations"]) => {
            let all: Vec<Value> = app.installations.iter().map(|at| installation(&app.app, *at)).collect();
            Some(Answer::new(200, all.into()))
        }
        ("GET", ["installations", at]) => Some(match known(at) {
            Some(at) => Answer::new(200, installation(&app.app, at)),
            None => Answer::refusal(404, "Not Found"),
        }),
        ("POST", ["installations", at, "access_tokens"]) => Some(match known(at) {
            Some(at) => give_token(app, at, lifetime),
            None => Answer::refusal(404, "Not Found"),
        }),
        _ => None,
    }
}

fn give_token(app: &mut Known, installation: u64, lifetime: Duration) -> Answer {
    let until = SystemTime::now() + lifetime;
    let token = format!("ghs_{:032x}", fastrand::u128(..));
    app.tokens.push((token.clone(), installation, until));
    let seconds = i64::try_from(until.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let expires = jiff::Timestamp::from_second(seconds).unwrap().to_string();
    let permissions = json!({ "contents": "read", "metadata": "read", "statuses": "write" });
    Answer::new(
        201,
        json!({ "token": token, "expires_at": expires, "permissions": permissions, "repository_selection": "selected" }),
    )
}

fn described(app: &App) -> Value {
    json!({
        "id": app.id, "slug": app.slug, "node_id": "MDM6QXBwMQ==", "client_id": format!("Iv1.{:016x}", app.id),
        "owner": { "login": "acme", "id": 1, "type": "Organization" }, "name": app.slug,
        "description": "", "external_url": "https://example.com", "html_url": format!("https://github.com/apps/{}", app.slug),
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "permissions": { "contents": "read", "metadata": "read", "statuses": "write" }, "events": ["push"],
    })
}

fn converted(app: &App) -> Answer {
    let mut all = described(app);
    all["pem"] = app.pem.clone().into();
    all["webhook_secret"] = format!("webhook secret of {}", app.id).into();
    all["client_secret"] = "a client secret that nobody needs".into();
    Answer::new(201, all)
}

/// Whether a token of an installation is shown as git shows it.
pub(super) fn may_read(state: &State, authorization: Option<&str>) -> bool {
    let pair = authorization.and_then(|value| value.strip_prefix("Basic "));
    let pair = pair.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok()).unwrap_or_default();
    let pair = String::from_utf8(pair).unwrap_or_default();
    let now = SystemTime::now();
    let mut given = state.apps.iter().flat_map(|app| &app.tokens);
    given.any(|(token, _, until)| pair == format!("x-access-token:{token}") && *until > now)
}

fn installation(app: &App, id: u64) -> Value {
    json!({
        "id": id, "app_id": app.id, "app_slug": app.slug, "target_id": 1, "target_type": "Organization",
        "account": { "login": "acme", "id": 1, "type": "Organization" }, "repository_selection": "selected",
        "permissions": { "contents": "read", "metadata": "read", "statuses": "write" }, "events": ["push"],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "suspended_at": null,
    })
}
