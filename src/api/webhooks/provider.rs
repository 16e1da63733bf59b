//! What each git host signs with, and how it names events and deliveries.

use crate::model::Secret;
use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A git host, or anything that signs as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// GitHub and GitHub Enterprise: `X-Hub-Signature-256`.
    GitHub,
    /// GitLab, which sends the secret itself: `X-Gitlab-Token`.
    GitLab,
    /// Gitea and Forgejo: `X-Gitea-Signature`.
    Gitea,
    /// Bitbucket: `X-Hub-Signature`.
    Bitbucket,
    /// Whoever signs as GitHub does: `{"repository": {"clone_url": "…"}}`.
    Generic,
}

/// Events that tell of new commits, of pull requests, or that a check ended.
const EVENTS: &[&str] = &[
    "push",
    "create",
    "delete",
    "release",
    "pull_request",
    "check_run",
    "check_suite",
    "workflow_run",
    "status",
    "Push Hook",
    "Tag Push Hook",
    "Pipeline Hook",
    "repo:push",
    "repo:refs_changed",
];

impl Provider {
    const ALL: [(Self, &'static str); 5] = [
        (Self::GitHub, "github"),
        (Self::GitLab, "gitlab"),
        (Self::Gitea, "gitea"),
        (Self::Bitbucket, "bitbucket"),
        (Self::Generic, "generic"),
    ];

    /// The last part of a path.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, n)| *n == name).map(|(provider, _)| provider)
    }

    pub(super) fn paths() -> String {
        let paths: Vec<String> = Self::ALL.iter().map(|(_, name)| format!("{}{name}", super::PREFIX)).collect();
        paths.join(", ")
    }

    /// The flag of `towpath up` that names the file of its secret.
    pub fn flag(self) -> &'static str {
        match self {
            Self::GitHub => "--github-webhook-secret-file",
            Self::GitLab => "--gitlab-webhook-secret-file",
            Self::Gitea => "--gitea-webhook-secret-file",
            Self::Bitbucket => "--bitbucket-webhook-secret-file",
            Self::Generic => "--generic-webhook-secret-file",
        }
    }

    pub(super) fn signature_header(self) -> &'static str {
        match self {
            Self::GitHub | Self::Generic => "X-Hub-Signature-256",
            Self::GitLab => "X-Gitlab-Token",
            Self::Gitea => "X-Gitea-Signature",
            Self::Bitbucket => "X-Hub-Signature",
        }
    }

    /// Whether a body is signed with the secret, compared in constant time.
    pub(super) fn admits(self, secret: &Secret, headers: &HeaderMap, body: &[u8]) -> bool {
        let secret = secret.reveal().as_bytes();
        let Some(given) = headers.get(self.signature_header()).and_then(|v| v.to_str().ok()) else { return false };
        match self {
            // No signature, but the secret: compared by digests under it, which take the same time however far they agree.
            Self::GitLab => mac(secret, given.as_bytes()).is_some_and(|of_given| {
                let of_secret = mac(secret, secret).map(|m| m.finalize().into_bytes());
                of_secret.is_some_and(|of_secret| of_given.verify_slice(&of_secret).is_ok())
            }),
            Self::Gitea => verified(secret, body, given),
            Self::GitHub | Self::Bitbucket | Self::Generic => {
                given.strip_prefix("sha256=").is_some_and(|hex| verified(secret, body, hex))
            }
        }
    }

    /// Whether its event may have brought a new version.
    pub(super) fn concerns_sources(self, headers: &HeaderMap) -> bool {
        let name = match self {
            Self::GitHub => "x-github-event",
            Self::GitLab => "x-gitlab-event",
            Self::Gitea => "x-gitea-event",
            Self::Bitbucket => "x-event-key",
            Self::Generic => return true,
        };
        headers.get(name).and_then(|v| v.to_str().ok()).is_some_and(|event| EVENTS.contains(&event))
    }

    /// The delivery's id with its host's name; `None` where it has none that could be one.
    pub(super) fn delivery_id(self, headers: &HeaderMap) -> Option<String> {
        let (prefix, name) = match self {
            Self::GitHub => ("github", "x-github-delivery"),
            Self::GitLab => ("gitlab", "x-gitlab-event-uuid"),
            Self::Gitea => ("gitea", "x-gitea-delivery"),
            Self::Bitbucket => ("bitbucket", "x-request-uuid"),
            Self::Generic => ("generic", "x-delivery-id"),
        };
        let id = headers.get(name)?.to_str().ok()?;
        (1..=64).contains(&id.len()).then(|| format!("{prefix}:{id}"))
    }
}

fn mac(secret: &[u8], message: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(message);
    Some(mac)
}

fn verified(secret: &[u8], body: &[u8], hex: &str) -> bool {
    let Some(signature) = unhex(hex) else { return false };
    mac(secret, body).is_some_and(|mac| mac.verify_slice(&signature).is_ok())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..64).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(provider: Provider, header: &str, value: &str, body: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(axum::http::HeaderName::try_from(header).unwrap(), value.parse().unwrap());
        provider.admits(&Secret::new("It's a Secret to Everybody".into()), &headers, body.as_bytes())
    }

    /// GitHub's own example (<https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>).
    const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn a_signature_is_of_the_body_under_the_secret() {
        let github = |value: &str, body: &str| admits(Provider::GitHub, "X-Hub-Signature-256", value, body);
        assert!(github(&format!("sha256={SIGNATURE}"), "Hello, World!"));
        assert!(!github(&format!("sha256={SIGNATURE}"), "Hello, World"));
        for wrong in ["", "sha256=", SIGNATURE, "sha1=757107ea", &format!("sha256={}", "+f".repeat(32)), "sha256=+f"] {
            assert!(!github(wrong, "Hello, World!"), "{wrong}");
        }
        assert!(admits(Provider::Bitbucket, "X-Hub-Signature", &format!("sha256={SIGNATURE}"), "Hello, World!"));
        assert!(admits(Provider::Gitea, "X-Gitea-Signature", SIGNATURE, "Hello, World!"));
    }

    #[test]
    fn gitlab_sends_the_secret_itself() {
        assert!(admits(Provider::GitLab, "X-Gitlab-Token", "It's a Secret to Everybody", "x"));
        for wrong in ["", "It's a Secret to Everybod", "It's a Secret to Everybody!"] {
            assert!(!admits(Provider::GitLab, "X-Gitlab-Token", wrong, "x"), "{wrong}");
        }
    }
}
