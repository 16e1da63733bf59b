//! AWS Signature Version 4: what a request presents, whether it holds, and making one.
//!
//! Pure: the request, the secret and the time come in. Service-independent rules of AWS, without those of S3: the path is
//! normalized and encoded once more than it was sent, the body is always hashed, chunked signatures are not taken.
//! Own code, because the crate there is for it (`scratchstack-aws-signature`) does not look at a presigned request's life.

mod canonical;
#[cfg(test)]
mod fuzz;
mod presented;
mod sign;
#[cfg(test)]
mod tests;
mod time;
mod verify;

pub use canonical::percent_decoded;
pub use presented::Presented;
pub use sign::{Credentials, sign, stamp};
pub use verify::{Expected, verify};

use http::HeaderMap;

/// The only algorithm.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a request's clock may be off, either way, as most AWS services take it.
pub const SKEW_MINUTES: i64 = 5;
/// The longest life of a presigned request: seven days.
pub const LONGEST_LIFE_SECONDS: i64 = 604_800;

/// A request as it came over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The path as it was sent, percent signs and all.
    pub path: &'a str,
    /// What stands behind `?`, as it was sent; empty without one.
    pub query: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
}

/// What is wrong with a signature. Messages are AWS' own where they are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// There is none.
    #[error("Missing Authentication Token")]
    Missing,
    /// A part of it is missing or malformed.
    #[error("{0}")]
    Incomplete(String),
    /// Nobody has this access key, or the session token beside it is not ours.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// It does not belong to this request: another secret, body, date, region or service.
    #[error("{0}")]
    Mismatch(String),
    /// The session's credentials are over.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
}
