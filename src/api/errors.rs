//! The one table of errors on the wire (house rule 8): code, status, public message. Internals are logged, never sent.

use super::control::Refusal;
use crate::access::SignatureFault;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

/// The content type of AWS JSON 1.0.
pub const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
/// Carries an id per request, in every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// Carries the error's code; some SDKs read it before the body.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The longest message that App Runner's model allows (`ErrorMessage`).
const MESSAGE_CHARACTERS: usize = 600;

/// Everything that a call can end with but its answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The control plane said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request never reached it.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What is wrong with a request as such.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No token was given.
    #[error("the request carries no token: send `Authorization: Bearer <token>`")]
    TokenMissing,
    /// Another token was given.
    #[error("the token in the request is not this server's: it is made anew at each start")]
    TokenWrong,
    /// The signature is missing, malformed or another's.
    #[error(transparent)]
    Signature(SignatureFault),
    /// Who is at the other end of the control socket may not call at all.
    #[error("{0}")]
    Stranger(String),
    /// No policy lets the caller do it (row A5).
    #[error("{0}")]
    Denied(String),
    /// An error that another AWS service has and App Runner has not: its code, and why.
    #[error("{1}")]
    Coded(&'static str, String),
    /// Not `POST`.
    #[error("only `POST /` is answered here")]
    Method,
    /// Another path, another service, or an operation that there is not.
    #[error("{0}")]
    UnknownOperation(String),
    /// Not JSON, not an object, or a member of another type.
    #[error("{0}")]
    Serialization(String),
    /// The body is larger than a request can be.
    #[error("the request's body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body did not come.
    #[error("the request's body did not arrive in time")]
    BodyTimeout,
    /// The answer did not come. What was asked for may have begun.
    #[error("the control plane did not answer in time; what was asked for may have begun")]
    AnswerTimeout,
}

/// A row of the table: HTTP status, the code (`__type`).
type Row = (StatusCode, &'static str);

impl ApiError {
    /// The table. Statuses follow the AWS JSON protocol: 400 for whatever the client did, 500 for what we did, but
    /// where AWS itself answers otherwise.
    pub fn row(&self) -> Row {
        match self {
            Self::Refused(Refusal::NotFound(_)) => (StatusCode::BAD_REQUEST, "ResourceNotFoundException"),
            Self::Refused(Refusal::InvalidState(_)) => (StatusCode::BAD_REQUEST, "InvalidStateException"),
            Self::Refused(Refusal::InvalidRequest(_)) => (StatusCode::BAD_REQUEST, "InvalidRequestException"),
            Self::Refused(Refusal::QuotaExceeded(_)) => (StatusCode::BAD_REQUEST, "ServiceQuotaExceededException"),
            Self::Refused(Refusal::Stale(_)) => (StatusCode::BAD_REQUEST, "StalePlanException"),
            Self::Refused(Refusal::Internal(_)) | Self::Fault(Fault::AnswerTimeout) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalServiceErrorException")
            }
            Self::Fault(Fault::TokenMissing) => (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException"),
            Self::Fault(Fault::TokenWrong) => (StatusCode::FORBIDDEN, "UnrecognizedClientException"),
            Self::Fault(Fault::Signature(fault)) => signature_row(fault),
            Self::Fault(Fault::Stranger(_)) => (StatusCode::FORBIDDEN, "AccessDeniedException"),
            // JSON services of AWS answer 400.
            Self::Fault(Fault::Denied(_)) => (StatusCode::BAD_REQUEST, "AccessDeniedException"),
            Self::Fault(Fault::Coded(code, _)) => (StatusCode::BAD_REQUEST, code),
            Self::Fault(Fault::Method) => (StatusCode::METHOD_NOT_ALLOWED, "UnknownOperationException"),
            Self::Fault(Fault::UnknownOperation(_)) => (StatusCode::NOT_FOUND, "UnknownOperationException"),
            Self::Fault(Fault::Serialization(_)) => (StatusCode::BAD_REQUEST, "SerializationException"),
            Self::Fault(Fault::TooLarge(_)) => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            Self::Fault(Fault::BodyTimeout) => (StatusCode::REQUEST_TIMEOUT, "RequestTimeoutException"),
        }
    }

    /// What the caller may know. The request id leads from it to the log line with the rest.
    pub(super) fn public_message(&self, request_id: &str) -> String {
        match self {
            Self::Refused(Refusal::Internal(_)) => {
                format!("An unexpected service exception occurred (request {request_id}).")
            }
            other => bounded(&other.to_string()),
        }
    }

    /// The answer, logged on the way out.
    pub fn respond(&self, request_id: &str) -> Response<Body> {
        let (status, code) = self.row();
        if status.is_server_error() {
            tracing::error!(request_id, code, error = %self, "a call failed");
        } else {
            tracing::debug!(request_id, code, error = %self, "a call was refused");
        }
        let body = json!({ "__type": code, "Message": self.public_message(request_id) });
        let mut response = answer(status, &body, request_id);
        response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(code));
        if matches!(self, Self::Fault(Fault::Method)) {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

fn signature_row(fault: &SignatureFault) -> Row {
    match fault {
        SignatureFault::Missing => (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException"),
        SignatureFault::Incomplete(_) => (StatusCode::BAD_REQUEST, "IncompleteSignatureException"),
        SignatureFault::UnknownKey => (StatusCode::BAD_REQUEST, "UnrecognizedClientException"),
        SignatureFault::Mismatch(_) => (StatusCode::FORBIDDEN, "InvalidSignatureException"),
        SignatureFault::ExpiredToken => (StatusCode::FORBIDDEN, "ExpiredTokenException"),
    }
}

/// An answer of the protocol.
pub fn answer(status: StatusCode, body: &serde_json::Value, request_id: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn bounded(message: &str) -> String {
    if message.chars().count() <= MESSAGE_CHARACTERS {
        return message.to_owned();
    }
    let cut: String = message.chars().take(MESSAGE_CHARACTERS - 1).collect();
    format!("{cut}…")
}
