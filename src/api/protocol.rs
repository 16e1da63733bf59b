//! The protocols of AWS that the network listener speaks: JSON (1.0 and 1.1, the operation in `X-Amz-Target`) and Query
//! (a form, or the query of a presigned URL; XML back). Which one a request is in decides how it is answered.

use super::control::Refusal;
use super::errors::{ApiError, CONTENT_TYPE, Fault, REQUEST_ID};
use crate::access::SignatureFault;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use std::collections::BTreeMap;

/// The content type of forms.
const FORM: &str = "application/x-www-form-urlencoded";
/// The newer content type of AWS JSON.
const JSON_1_1: &str = "application/x-amz-json-1.1";
/// More parameters than any call has.
const MOST_PARAMETERS: usize = 200;

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// AWS JSON.
    Json,
    /// AWS Query.
    Query,
}

/// What a request wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `AppRunner.ListServices`.
    Target(String),
    /// A call of STS, by its parameters.
    Sts(BTreeMap<String, String>),
    /// Nothing that there is; why.
    Nothing(String),
}

impl Protocol {
    /// The protocol of a request.
    pub fn of(head: &Parts) -> Self {
        let asks_by_url =
            head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("Action=")));
        if content_type(head) == FORM || (head.method == Method::GET && asks_by_url) { Self::Query } else { Self::Json }
    }

    /// Whether the request is a call at all.
    ///
    /// # Errors
    /// For another path or method.
    pub fn check(self, head: &Parts) -> Result<(), Fault> {
        if head.uri.path() != "/" {
            return Err(Fault::UnknownOperation("only `/` is answered here".into()));
        }
        let methods: &[Method] = if self == Self::Query { &[Method::POST, Method::GET] } else { &[Method::POST] };
        if methods.contains(&head.method) { Ok(()) } else { Err(Fault::Method) }
    }

    /// Whether the body is of a type that this protocol has; asked once the caller is known.
    ///
    /// # Errors
    /// For another content type.
    pub fn check_content(self, head: &Parts) -> Result<(), Fault> {
        match content_type(head).as_str() {
            FORM | CONTENT_TYPE | JSON_1_1 => Ok(()),
            _ if self == Self::Query => Ok(()),
            _ => Err(Fault::Serialization(format!("the content type must be `{CONTENT_TYPE}`"))),
        }
    }

    /// An error in this protocol's form.
    pub fn refuse(self, error: &ApiError, request_id: &str) -> Response<Body> {
        match self {
            Self::Json => error.respond(request_id),
            Self::Query => {
                let (status, code) = (error.row().0, query_code(error));
                let kind = if status.is_server_error() { "Receiver" } else { "Sender" };
                let (code, message) = (escape(code), escape(&error.public_message(request_id)));
                let xml = format!(
                    "<ErrorResponse xmlns=\"{STS_NAMESPACE}\">\n  <Error>\n    <Type>{kind}</Type>\n    \
                     <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n  \
                     <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n"
                );
                respond_xml(status, xml, request_id)
            }
        }
    }
}

/// The XML namespace of STS.
pub(super) const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The code of an error as the Query protocol has it.
fn query_code(error: &ApiError) -> &'static str {
    match error {
        ApiError::Fault(Fault::Signature(SignatureFault::Missing)) => "MissingAuthenticationToken",
        ApiError::Fault(Fault::Signature(SignatureFault::Incomplete(_))) => "IncompleteSignature",
        ApiError::Fault(Fault::Signature(SignatureFault::UnknownKey)) => "InvalidClientTokenId",
        ApiError::Fault(Fault::Signature(SignatureFault::Mismatch(_))) => "SignatureDoesNotMatch",
        ApiError::Fault(Fault::Signature(SignatureFault::ExpiredToken)) => "ExpiredToken",
        ApiError::Fault(Fault::UnknownOperation(_)) => "InvalidAction",
        ApiError::Fault(Fault::Denied(_)) => "AccessDenied",
        ApiError::Refused(Refusal::InvalidRequest(_)) => "ValidationError",
        other => other.row().1,
    }
}

/// An answer in the version of AWS JSON that it was asked in: services differ.
pub(super) fn in_type_of(head: &Parts, mut response: Response<Body>) -> Response<Body> {
    let json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == CONTENT_TYPE);
    if json && content_type(head) == JSON_1_1 {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON_1_1));
    }
    response
}

/// Answers in XML.
pub(super) fn respond_xml(status: StatusCode, xml: String, request_id: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(xml));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Text as XML carries it. Characters that XML cannot carry are left out.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

impl Wanted {
    /// What a request wants. Says nothing yet of whether it may.
    pub fn read(protocol: Protocol, head: &Parts, body: &[u8]) -> Self {
        if protocol == Protocol::Query {
            let parameters =
                if head.method == Method::GET { head.uri.query().unwrap_or_default().as_bytes() } else { body };
            return Self::of_parameters(&form(parameters));
        }
        let mut targets = head.headers.get_all("x-amz-target").iter();
        match (targets.next().and_then(|target| target.to_str().ok()), targets.next()) {
            (None | Some(""), _) => Self::Nothing("the request carries no `X-Amz-Target`".into()),
            (_, Some(_)) => Self::Nothing("the request carries `X-Amz-Target` twice".into()),
            (Some(target), None) => Self::Target(target.to_owned()),
        }
    }

    fn of_parameters(parameters: &BTreeMap<String, String>) -> Self {
        let parameter = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        match parameter("Version") {
            "2011-06-15" => Self::Sts(parameters.clone()),
            version => {
                let (action, version) = (shown(parameter("Action")), shown(version));
                Self::Nothing(format!("Could not find operation {action} for version {version}"))
            }
        }
    }

    /// The signing names that a request may be signed for.
    pub fn services(&self) -> &'static [&'static str] {
        match self {
            Self::Sts(_) => &["sts"],
            Self::Target(target) => match target.split('.').next() {
                Some("AppRunner" | "Towpath") => &["apprunner"],
                Some("com") => &["cloudtrail"],
                Some("Logs_20140328") => &["logs"],
                // Whoever may sign at all hears that there is no such operation.
                _ => SERVICES,
            },
            Self::Nothing(_) => SERVICES,
        }
    }
}

/// All signing names that there are here.
const SERVICES: &[&str] = &["apprunner", "sts", "cloudtrail", "logs", "monitoring", "events"];

/// A form's parameters; the first of several of a name.
fn form(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for pair in bytes.split(|b| *b == b'&').take(MOST_PARAMETERS) {
        let (name, value) = match pair.iter().position(|b| *b == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        parameters.entry(decode(name)).or_insert_with(|| decode(value));
    }
    parameters
}

/// Undoes a form's encoding; bytes that are no text become replacement characters.
fn decode(bytes: &[u8]) -> String {
    let plain: Vec<u8> = bytes.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    String::from_utf8_lossy(&crate::access::signature::percent_decoded(&plain)).into_owned()
}

fn content_type(head: &Parts) -> String {
    let value = head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}
