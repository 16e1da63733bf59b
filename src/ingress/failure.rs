//! Why a request was not answered by the application. One table: status, title, sentence. Internals are never shown.

use http::StatusCode;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// `Host` is missing, there are several, or it is no host.
    BadHost,
    /// The method or target makes no sense here.
    BadRequest,
    /// The client broke off its body, or sent one that is no HTTP.
    BadBody,
    /// The head is larger than the limit.
    HeadTooLarge,
    /// No service has this host.
    UnknownHost,
    /// The ingress does not know yet what runs.
    Unsettled,
    /// The service does not run; the sentence says why.
    Unavailable(String),
    /// The service has no healthy instance.
    NoInstance,
    /// No instance takes connections.
    Unreachable,
    /// An instance took the request and gave no proper answer.
    Broken,
    /// The answer did not begin in time.
    Late,
}

impl Failure {
    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadHost | Self::BadRequest | Self::BadBody => StatusCode::BAD_REQUEST,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnknownHost => StatusCode::NOT_FOUND,
            Self::Unsettled | Self::Unavailable(_) | Self::NoInstance => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreachable | Self::Broken => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// After how many seconds it is worth trying again.
    pub(super) fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Unsettled | Self::NoInstance => Some(2),
            Self::Unavailable(_) => Some(10),
            _ => None,
        }
    }

    /// One sentence on what happened.
    pub(super) fn sentence(&self) -> &str {
        match self {
            Self::BadHost => "The request does not name one valid host.",
            Self::BadRequest => "The request makes no sense to this server.",
            Self::BadBody => "The body of the request is malformed or incomplete.",
            Self::HeadTooLarge => "The head of the request is too large.",
            Self::UnknownHost => "No service answers to this host name.",
            Self::Unsettled => "The server is starting and does not know its services yet.",
            Self::Unavailable(message) => message,
            Self::NoInstance => "No instance of the service is healthy at the moment.",
            Self::Unreachable => "The service does not accept connections.",
            Self::Broken => "The service closed the connection without a complete answer.",
            Self::Late => "The service did not answer in time.",
        }
    }
}
