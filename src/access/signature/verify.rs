//! Whether a signature belongs to its request.

use super::canonical::{canonical_request, sha256_hex};
use super::time::basic;
use super::{ALGORITHM, Presented, Request, SKEW_MINUTES, SignatureFault};
use crate::model::{Secret, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a signature has to be made for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// This installation's region.
    pub region: &'a str,
    /// The signing names that the operation may have: `apprunner`.
    pub services: &'a [&'a str],
    /// The present moment.
    pub now: Timestamp,
}

/// Whether a presented signature is made for this place, this time and this request, with this secret.
///
/// # Errors
/// `Mismatch` with what differs, as far as the caller may know.
pub fn verify(
    request: &Request<'_>,
    presented: &Presented,
    secret: &Secret,
    expected: &Expected<'_>,
) -> Result<(), SignatureFault> {
    check_scope(presented, expected)?;
    check_time(presented, expected.now)?;
    check_signed_headers(request, presented)?;
    let payload = payload_hash(request)?;
    let canonical = canonical_request(request, &presented.signed_headers, &payload);
    let text = string_to_sign(presented.at, &presented.scope(), &canonical);
    let key = signing_key(secret, &presented.day, &presented.region, &presented.service);
    // Compares in constant time.
    let matches = mac(&key, text.as_bytes()).verify_slice(&presented.signature);
    matches.map_err(|_| SignatureFault::Mismatch(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.".into(),
    ))
}

impl Presented {
    /// `20261126/local-1/apprunner/aws4_request`.
    pub(super) fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.day, self.region, self.service)
    }
}

fn check_scope(presented: &Presented, expected: &Expected<'_>) -> Result<(), SignatureFault> {
    let mut wrong = Vec::new();
    if presented.region != expected.region {
        let (given, ours) = (shown(&presented.region), expected.region);
        wrong.push(format!("Credential should be scoped to a valid region, not '{given}': this server's is '{ours}'."));
    }
    if !expected.services.contains(&presented.service.as_str()) {
        let ours = expected.services.join("' or '");
        wrong.push(format!("Credential should be scoped to correct service: '{ours}'."));
    }
    let stamp = basic(presented.at);
    if stamp.get(..8) != Some(presented.day.as_str()) {
        let day = shown(&presented.day);
        wrong.push(format!("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{day}', from '{stamp}'."));
    }
    if wrong.is_empty() { Ok(()) } else { Err(SignatureFault::Mismatch(wrong.join(" "))) }
}

fn check_time(presented: &Presented, now: Timestamp) -> Result<(), SignatureFault> {
    let skew = SKEW_MINUTES * 60_000;
    let (at, clock) = (basic(presented.at), basic(now));
    let (earliest, latest) = (now.0 - presented.life.map_or(skew, |seconds| seconds * 1000), now.0 + skew);
    // Seconds are all that a request carries: the fraction of ours must not decide.
    if presented.at.0 < earliest - 999 {
        let edge = basic(Timestamp(earliest));
        return Err(SignatureFault::Mismatch(format!(
            "Signature expired: {at} is now earlier than {edge} (the time here is {clock})."
        )));
    }
    if presented.at.0 > latest {
        let edge = basic(Timestamp(latest));
        return Err(SignatureFault::Mismatch(format!(
            "Signature not yet current: {at} is still later than {edge} ({clock} + {SKEW_MINUTES} min.)."
        )));
    }
    Ok(())
}

/// `host` and every `x-amz-*` header decide what a request does, so that none of them may stand outside of what is signed.
fn check_signed_headers(request: &Request<'_>, presented: &Presented) -> Result<(), SignatureFault> {
    let signed = |name: &str| presented.signed_headers.iter().any(|signed| signed == name);
    let unsigned = request.headers.keys().map(http::HeaderName::as_str).find(|n| n.starts_with("x-amz-") && !signed(n));
    let unsigned = unsigned.or_else(|| (!signed("host")).then_some("host"));
    if let Some(name) = unsigned {
        return Err(SignatureFault::Mismatch(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")));
    }
    match presented.signed_headers.iter().find(|name| !request.headers.contains_key(name.as_str())) {
        Some(name) => {
            Err(SignatureFault::Mismatch(format!("the signed header '{}' is not in the request", shown(name))))
        }
        None => Ok(()),
    }
}

/// The body's hash; what the request says of it has to be true.
fn payload_hash(request: &Request<'_>) -> Result<String, SignatureFault> {
    let computed = sha256_hex(request.body);
    match request.headers.get("x-amz-content-sha256") {
        Some(said) if said.as_bytes() != computed.as_bytes() => Err(SignatureFault::Mismatch(
            "The provided 'x-amz-content-sha256' header does not match what was computed; unsigned and chunked payloads are not taken here.".into(),
        )),
        _ => Ok(computed),
    }
}

pub(super) fn string_to_sign(at: Timestamp, scope: &str, canonical: &[u8]) -> String {
    format!("{ALGORITHM}\n{}\n{scope}\n{}", basic(at), sha256_hex(canonical))
}

/// The key of one day, region and service, so that the secret itself signs nothing.
pub(super) fn signing_key(secret: &Secret, day: &str, region: &str, service: &str) -> [u8; 32] {
    let first = [b"AWS4", secret.reveal().as_bytes()].concat();
    let day = finish(mac(&first, day.as_bytes()));
    [region, service, "aws4_request"].into_iter().fold(day, |key, part| finish(mac(&key, part.as_bytes())))
}

pub(super) fn mac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(text);
    mac
}

pub(super) fn finish(mac: Hmac<Sha256>) -> [u8; 32] {
    mac.finalize().into_bytes().into()
}

fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}
