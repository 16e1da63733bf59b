//! What goes wrong with GitHub's API, as values that say who acts next.

use super::ApiBase;
use crate::model::{Class, Timestamp};
use crate::source::git::plain;
use http::{HeaderMap, StatusCode};

/// How long nothing is asked where GitHub does not say for how long (its advice: a minute).
const REST: i64 = 60 * 1000;
/// Limits are by the hour; whoever says more is not believed.
const LONGEST_REST: i64 = 2 * 60 * 60 * 1000;
/// How much of what GitHub says is repeated, in characters.
const SAID: usize = 200;

/// What went wrong. Carries no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// The credentials are wrong, expired or revoked.
    #[error("GitHub refused the credentials: {0}")]
    Unauthorized(String),
    /// The credentials are good, but not for this.
    #[error("GitHub does not allow this to these credentials: {0}")]
    Forbidden(String),
    /// Not there, or not for these credentials.
    #[error("GitHub has nothing there, or hides it from these credentials: {0}")]
    NotFound(String),
    /// Too much was asked.
    #[error("GitHub answers no more for now, its rate limit is reached: {message}")]
    RateLimited {
        /// When it answers again.
        until: Timestamp,
        /// What it says.
        message: String,
    },
    /// It takes the request for wrong.
    #[error("GitHub refused the request (HTTP status {status}): {message}")]
    Refused {
        /// The status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// It is not well.
    #[error("GitHub failed (HTTP status {status}): {message}")]
    Failed {
        /// The status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// It was not reached, or its answer broke off.
    #[error("failed to ask GitHub at {place}: {message}")]
    Transport {
        /// The server.
        place: String,
        /// What happened.
        message: String,
    },
    /// It answered something that it does not answer.
    #[error("GitHub's answer is not understood: {0}")]
    Unexpected(String),
}

impl GitHubError {
    pub(super) fn transport(base: &ApiBase, message: &str) -> Self {
        Self::Transport { place: base.origin.url(), message: plain(message, 300) }
    }

    pub(super) fn unexpected(message: &str) -> Self {
        Self::Unexpected(plain(message, 300))
    }

    /// Who acts next.
    pub fn class(&self) -> Class {
        match self {
            Self::RateLimited { .. } | Self::Failed { .. } | Self::Transport { .. } => Class::Retry,
            _ => Class::Stalled,
        }
    }

    /// When to ask again at the earliest, where GitHub says so.
    pub fn not_before(&self) -> Option<Timestamp> {
        match self {
            Self::RateLimited { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// What an answer that is no success means.
    fn of_answer(status: StatusCode, headers: &HeaderMap, message: &str, now: Timestamp) -> Self {
        let message = plain(message, SAID);
        if let Some(until) = limited(status, headers, &message, now) {
            return Self::RateLimited { until, message };
        }
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized(message),
            StatusCode::FORBIDDEN => Self::Forbidden(message),
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::NotFound(message),
            status if status.is_server_error() => Self::Failed { status: status.as_u16(), message },
            status => Self::Refused { status: status.as_u16(), message },
        }
    }
}

/// Until when nothing more is answered: GitHub says so with 429 and 403 alike.
fn limited(status: StatusCode, headers: &HeaderMap, message: &str, now: Timestamp) -> Option<Timestamp> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let after = number("retry-after").map(|seconds| now.0.saturating_add(seconds.saturating_mul(1000)));
    let used_up = number("x-ratelimit-remaining") == Some(0);
    let reset = number("x-ratelimit-reset").filter(|_| used_up).map(|seconds| seconds.saturating_mul(1000));
    let limited = match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN => after.is_some() || used_up || message.contains("secondary rate limit"),
        _ => false,
    };
    let until = after.or(reset).unwrap_or(now.0 + REST);
    limited.then(|| Timestamp(until.clamp(now.0 + 1000, now.0 + LONGEST_REST)))
}

impl From<octocrab::Error> for GitHubError {
    fn from(error: octocrab::Error) -> Self {
        match error {
            octocrab::Error::GitHub { source, .. } => {
                let headers = source.headers.clone().unwrap_or_default();
                Self::of_answer(source.status_code, &headers, &source.message, Timestamp::now())
            }
            octocrab::Error::Service { source, .. } => match source.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::unexpected(&other.to_string()),
            },
            other => Self::unexpected(&other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn answer(status: u16, headers: &[(&'static str, &str)], message: &str) -> GitHubError {
        let headers = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        GitHubError::of_answer(StatusCode::from_u16(status).unwrap(), &headers, message, NOW)
    }

    #[test]
    fn a_rate_limit_says_until_when() {
        let until = |status, headers: &[(&'static str, &str)], text| answer(status, headers, text).not_before();
        let after = |milliseconds| Some(Timestamp(NOW.0 + milliseconds));
        let used_up = ("x-ratelimit-remaining", "0");
        assert_eq!(until(429, &[("retry-after", "30")], ""), after(30_000));
        assert_eq!(until(403, &[("retry-after", "30")], ""), after(30_000));
        assert_eq!(until(403, &[used_up, ("x-ratelimit-reset", "1700000090")], ""), after(90_000));
        assert_eq!(until(429, &[], ""), after(REST));
        assert_eq!(until(403, &[], "You have exceeded a secondary rate limit."), after(REST));
        // Neither a limit that is over nor one for ever is believed.
        assert_eq!(until(403, &[used_up, ("x-ratelimit-reset", "1")], ""), after(1000));
        assert_eq!(until(429, &[("retry-after", "99999999999999999")], ""), after(LONGEST_REST));
        assert_eq!(until(403, &[("x-ratelimit-remaining", "10")], "Resource not accessible by integration"), None);
    }

    #[test]
    fn a_status_says_who_acts_next() {
        for (status, class) in [
            (401, Class::Stalled),
            (403, Class::Stalled),
            (404, Class::Stalled),
            (422, Class::Stalled),
            (500, Class::Retry),
            (503, Class::Retry),
            (429, Class::Retry),
        ] {
            assert_eq!(answer(status, &[], "x").class(), class, "{status}");
        }
    }
}
