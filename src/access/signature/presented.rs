//! What a request presents: in its `Authorization` header, or in its query (presigned).

use super::canonical::{SIGNATURE_PARAMETER, parameters};
use super::time::{parse_basic, parse_date};
use super::{ALGORITHM, LONGEST_LIFE_SECONDS, Request, SignatureFault};
use crate::model::Timestamp;
use http::HeaderMap;
use std::collections::BTreeMap;

/// More headers than any client signs.
const MOST_SIGNED_HEADERS: usize = 100;
/// Longer than any session token of ours.
const LONGEST_TOKEN: usize = 8 << 10;

/// A signature, read but not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Whose: `AKIA…`.
    pub key_id: String,
    /// The day in the credential scope: `20261126`.
    pub day: String,
    /// The region in it.
    pub region: String,
    /// The service in it.
    pub service: String,
    /// Which headers are signed: lower case, in order.
    pub signed_headers: Vec<String>,
    /// The signature.
    pub signature: [u8; 32],
    /// When it was made.
    pub at: Timestamp,
    /// Seconds that a presigned request lives; `None` for a signature in the header.
    pub life: Option<i64>,
    /// The session token of temporary credentials.
    pub token: Option<String>,
}

impl Presented {
    /// Reads what a request presents.
    ///
    /// # Errors
    /// `Missing` when there is nothing, `Incomplete` for everything that is malformed.
    pub fn read(request: &Request<'_>) -> Result<Self, SignatureFault> {
        let query = Query::read(request.query)?;
        let presigned = query.names_any();
        match (request.headers.contains_key(http::header::AUTHORIZATION), presigned) {
            (false, false) => Err(SignatureFault::Missing),
            (true, true) => {
                Err(incomplete("a request is signed in its `Authorization` header or in its query, not both"))
            }
            (true, false) => Self::of_header(request.headers),
            (false, true) => Self::of_query(&query),
        }
    }

    fn of_header(headers: &HeaderMap) -> Result<Self, SignatureFault> {
        let header = only(headers, "authorization")?.unwrap_or_default();
        let (algorithm, rest) = header.split_once(' ').unwrap_or((header, ""));
        check_algorithm(algorithm)?;
        let parts = Parts::read(rest)?;
        let at = match (only(headers, "x-amz-date")?, only(headers, "date")?) {
            (Some(text), _) => parse_basic(text).ok_or_else(|| bad_date(text))?,
            (None, Some(text)) => parse_date(text).ok_or_else(|| bad_date(text))?,
            (None, None) => {
                return Err(incomplete(
                    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
                ));
            }
        };
        let token = only(headers, "x-amz-security-token")?;
        Self::of(parts.credential, parts.signed_headers, parts.signature, at, None, token)
    }

    fn of_query(query: &Query) -> Result<Self, SignatureFault> {
        let needed = |name: &str| {
            query.get(name).ok_or_else(|| incomplete(&format!("AWS query-string parameters must include '{name}'.")))
        };
        check_algorithm(needed("X-Amz-Algorithm")?)?;
        let date = needed("X-Amz-Date")?;
        let at = parse_basic(date).ok_or_else(|| bad_date(date))?;
        let life = needed("X-Amz-Expires")?;
        let life = life.parse().ok().filter(|seconds| (1..=LONGEST_LIFE_SECONDS).contains(seconds));
        let life = life.ok_or_else(|| incomplete("X-Amz-Expires must be between 1 and 604800 seconds."))?;
        let (credential, signature) = (needed("X-Amz-Credential")?, needed(SIGNATURE_PARAMETER)?);
        Self::of(
            credential,
            needed("X-Amz-SignedHeaders")?,
            signature,
            at,
            Some(life),
            query.get("X-Amz-Security-Token"),
        )
    }

    fn of(
        credential: &str,
        signed_headers: &str,
        signature: &str,
        at: Timestamp,
        life: Option<i64>,
        token: Option<&str>,
    ) -> Result<Self, SignatureFault> {
        let scope: Vec<&str> = credential.split('/').collect();
        let [key_id, day, region, service, "aws4_request"] = scope.as_slice() else {
            return Err(incomplete(&format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/aws4_request, got '{}'",
                shown(credential)
            )));
        };
        if token.is_some_and(|token| token.len() > LONGEST_TOKEN) {
            return Err(SignatureFault::UnknownKey);
        }
        Ok(Self {
            key_id: (*key_id).to_owned(),
            day: (*day).to_owned(),
            region: (*region).to_owned(),
            service: (*service).to_owned(),
            signed_headers: read_signed_headers(signed_headers)?,
            signature: read_signature(signature)?,
            at,
            life,
            token: token.map(str::to_owned),
        })
    }
}

/// The parts of an `Authorization` header.
struct Parts<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Result<Self, SignatureFault> {
        let mut parts = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return Err(incomplete(&format!(
                    "'{}' not a valid key=value pair (missing equal-sign) in Authorization header.",
                    shown(part)
                )));
            };
            if parts.insert(name, value).is_some() {
                return Err(incomplete(&format!("Authorization header has '{}' twice.", shown(name))));
            }
        }
        let missing = ["Credential", "Signature", "SignedHeaders"].into_iter().filter(|name| !parts.contains_key(name));
        let missing: Vec<String> =
            missing.map(|name| format!("Authorization header requires '{name}' parameter.")).collect();
        match (parts.get("Credential"), parts.get("SignedHeaders"), parts.get("Signature")) {
            (Some(credential), Some(signed_headers), Some(signature)) => {
                Ok(Self { credential, signed_headers, signature })
            }
            _ => Err(incomplete(&missing.join(" "))),
        }
    }
}

/// The signature's own parameters of a query, each at most once.
struct Query(BTreeMap<&'static str, String>);

impl Query {
    const NAMES: [&'static str; 7] = [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Security-Token",
        SIGNATURE_PARAMETER,
        "X-Amz-SignedHeaders",
    ];

    fn read(query: &str) -> Result<Self, SignatureFault> {
        let mut found = BTreeMap::new();
        for (name, value) in parameters(query) {
            let Some(name) = Self::NAMES.into_iter().find(|known| known.as_bytes() == name.as_slice()) else {
                continue;
            };
            let value = String::from_utf8(value).map_err(|_| incomplete(&format!("'{name}' is not text")))?;
            if found.insert(name, value).is_some() {
                return Err(incomplete(&format!("the query has '{name}' twice")));
            }
        }
        Ok(Self(found))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether the query is meant to be signed.
    fn names_any(&self) -> bool {
        ["X-Amz-Algorithm", "X-Amz-Credential", SIGNATURE_PARAMETER].iter().any(|name| self.0.contains_key(name))
    }
}

fn read_signed_headers(text: &str) -> Result<Vec<String>, SignatureFault> {
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    let plain = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase() && b != b':')
    };
    let ordered = names.windows(2).all(|pair| pair[0] < pair[1]);
    if names.len() > MOST_SIGNED_HEADERS || !ordered || !names.iter().all(plain) {
        return Err(incomplete("SignedHeaders must be lower case, in order, each once, and separated by ';'."));
    }
    Ok(names)
}

fn read_signature(text: &str) -> Result<[u8; 32], SignatureFault> {
    let byte = |n: usize| u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok();
    let whole = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    let bytes = bytes.filter(|_| whole).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| incomplete("Signature must be 64 lower-case hex digits."))
}

/// The only value of a header, as text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, SignatureFault> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), second) = (values.next(), values.next()) else { return Ok(None) };
    if second.is_some() {
        return Err(incomplete(&format!("the request has '{name}' twice")));
    }
    value.to_str().map(Some).map_err(|_| incomplete(&format!("'{name}' is not text")))
}

fn check_algorithm(text: &str) -> Result<(), SignatureFault> {
    if text == ALGORITHM {
        return Ok(());
    }
    Err(incomplete(&format!("Unsupported AWS 'algorithm': '{}'; `{ALGORITHM}` is the one that is taken.", shown(text))))
}

fn bad_date(text: &str) -> SignatureFault {
    incomplete(&format!("Date must be in ISO-8601 'basic format'. Got '{}'.", shown(text)))
}

fn incomplete(message: &str) -> SignatureFault {
    SignatureFault::Incomplete(message.to_owned())
}

fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}
