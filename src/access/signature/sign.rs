//! Making a signature, for our own client.

use super::canonical::{canonical_request, sha256_hex};
use super::time::basic;
use super::verify::{finish, mac, signing_key, string_to_sign};
use super::{ALGORITHM, Request};
use crate::model::ids::hex;
use crate::model::{Secret, Timestamp};

/// What a client signs with.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `AKIA…`.
    pub key_id: String,
    /// Its secret.
    pub secret: Secret,
    /// The session token of temporary credentials. Its header has to be in the request that is signed.
    pub token: Option<String>,
}

/// The `Authorization` header of a request that carries an `x-amz-date` of this moment. Every header that it has is signed.
pub fn sign(request: &Request<'_>, credentials: &Credentials, region: &str, service: &str, now: Timestamp) -> String {
    let stamp = basic(now);
    let day = stamp.get(..8).unwrap_or_default();
    let mut signed: Vec<String> = request.headers.keys().map(|name| name.as_str().to_owned()).collect();
    signed.sort();
    let canonical = canonical_request(request, &signed, &sha256_hex(request.body));
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = string_to_sign(now, &scope, &canonical);
    let key = signing_key(&credentials.secret, day, region, service);
    let signature = hex(&finish(mac(&key, text.as_bytes())));
    let key_id = &credentials.key_id;
    format!("{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={}, Signature={signature}", signed.join(";"))
}

/// The `x-amz-date` header of a moment.
pub fn stamp(now: Timestamp) -> String {
    basic(now)
}
