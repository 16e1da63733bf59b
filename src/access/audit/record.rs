//! A record in CloudTrail's shape.

use super::redact::redacted;
use crate::access::{Caller, Identity, Place, RequestFacts};
use crate::model::Timestamp;
use serde_json::{Value, json};

/// The version of the shape.
const VERSION: &str = "1.08";

/// A call that is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Who called.
    pub caller: &'a Caller,
    /// What is known of the request.
    pub facts: &'a RequestFacts,
    /// `apprunner`.
    pub service: &'a str,
    /// `CreateService`.
    pub name: &'a str,
    /// The record's own id.
    pub event_id: &'a str,
    /// What was asked.
    pub input: &'a Value,
    /// What it is done to, in ARNs.
    pub resource: &'a str,
    /// What came of it.
    pub outcome: Outcome<'a>,
}

/// What came of a call.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// An answer.
    Answer(&'a Value),
    /// An error.
    Error {
        /// Its code.
        code: &'a str,
        /// Its message.
        message: &'a str,
    },
}

/// Whether an operation only looks.
pub fn is_read_only(name: &str) -> bool {
    ["List", "Describe", "Get", "Lookup", "Filter"].iter().any(|prefix| name.starts_with(prefix))
        || name == "Plan"
        || name == "VerifyAudit"
}

/// The record of a call.
pub fn record(call: &Recorded<'_>, place: &Place) -> Value {
    let read_only = is_read_only(call.name);
    let source =
        call.facts.source.map_or_else(|| "control socket".to_owned(), |address| address.to_canonical().to_string());
    let mut record = json!({
        "eventVersion": VERSION,
        "userIdentity": identity(call.caller, place),
        "eventTime": seconds(call.facts.now),
        "eventSource": format!("{}.amazonaws.com", call.service),
        "eventName": call.name,
        "awsRegion": place.region,
        "sourceIPAddress": source,
        "userAgent": call.facts.user_agent.as_deref().unwrap_or("-"),
    });
    if let Outcome::Error { code, message } = call.outcome {
        record["errorCode"] = code.trim_end_matches("Exception").into();
        record["errorMessage"] = message.into();
    }
    record["requestParameters"] = redacted(call.input);
    record["responseElements"] = match call.outcome {
        Outcome::Answer(answer) if !read_only => redacted(answer),
        _ => Value::Null,
    };
    record["requestID"] = call.facts.request_id.as_str().into();
    record["eventID"] = call.event_id.into();
    record["readOnly"] = read_only.into();
    if call.resource != "*" {
        record["resources"] = json!([{ "accountId": place.account, "ARN": call.resource }]);
    }
    record["eventType"] = "AwsApiCall".into();
    record["recipientAccountId"] = place.account.as_str().into();
    record
}

/// Who called, as CloudTrail writes it.
fn identity(caller: &Caller, place: &Place) -> Value {
    let account = &place.account;
    let mut identity = match &caller.identity {
        Identity::Local { name } => json!({
            "type": "Root", "principalId": name, "arn": format!("arn:aws:iam::{account}:root"), "accountId": account,
            "userName": name,
        }),
        Identity::User { name, id, account } => json!({
            "type": "IAMUser", "principalId": id, "arn": caller.name(), "accountId": account, "userName": name,
        }),
        Identity::Session(session) => json!({
            "type": "AssumedRole", "principalId": caller.id(), "arn": caller.name(), "accountId": session.account,
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role", "principalId": session.role_id, "arn": session.role_arn(),
                    "accountId": session.account, "userName": session.role,
                },
                "attributes": { "creationDate": seconds(session.since), "mfaAuthenticated": "false" },
            },
        }),
    };
    if let Some(key) = &caller.key_id {
        identity["accessKeyId"] = key.as_str().into();
    }
    identity
}

/// `2026-11-26T15:00:00Z`.
fn seconds(time: Timestamp) -> String {
    Timestamp(time.0 - time.0.rem_euclid(1000)).to_string().replace(".000Z", "Z")
}
