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
    if let Some(endpoint) = &call.facts.endpoint {
        record["vpcEndpointId"] = endpoint.name().into();
    }
    if call.resource != "*" {
        record["resources"] = json!([{ "accountId": place.account, "ARN": call.resource }]);
    }
    record["eventType"] = "AwsApiCall".into();
    record["recipientAccountId"] = place.account.as_str().into();
    record
}

/// A request of which nobody is known to have made it: its signature does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Stranger<'a> {
    /// What is known of it.
    pub facts: &'a RequestFacts,
    /// The access key that it names.
    pub key_id: Option<&'a str>,
    /// The service and the operation that it names, where there is such an operation.
    pub wanted: Option<(&'a str, &'a str)>,
    /// The record's own id.
    pub event_id: &'a str,
    /// The error's code and message.
    pub error: (&'a str, &'a str),
    /// How many such requests were not recorded since the last one that was: there were too many.
    pub unrecorded: u64,
}

/// The record of a stranger's request.
pub fn record_of_stranger(call: &Stranger<'_>, place: &Place) -> Value {
    let (service, name) = call.wanted.unwrap_or(("apprunner", "Unknown"));
    let source = call.facts.source.map_or_else(|| "-".to_owned(), |address| address.to_canonical().to_string());
    let mut record = json!({
        "eventVersion": VERSION,
        "userIdentity": { "type": "Unknown" },
        "eventTime": seconds(call.facts.now),
        "eventSource": format!("{service}.amazonaws.com"),
        "eventName": name,
        "awsRegion": place.region,
        "sourceIPAddress": source,
        "userAgent": call.facts.user_agent.as_deref().unwrap_or("-"),
        "errorCode": call.error.0.trim_end_matches("Exception"),
        "errorMessage": call.error.1,
        "requestID": call.facts.request_id,
        "eventID": call.event_id,
        "readOnly": is_read_only(name),
        "eventType": "AwsApiCall",
        "recipientAccountId": place.account,
    });
    if let Some(key) = call.key_id {
        record["userIdentity"]["accessKeyId"] = key.chars().take(128).collect::<String>().into();
    }
    if call.unrecorded > 0 {
        record["additionalEventData"] = json!({ "unrecordedBefore": call.unrecorded });
    }
    record
}

/// An operation that nobody called for: the manifest, a commit or an image caused it.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// When.
    pub now: Timestamp,
    /// `apprunner`, `iam`.
    pub service: &'a str,
    /// `CreateService`.
    pub name: &'a str,
    /// What it is done to: an ARN.
    pub resource: &'a str,
    /// What caused it: `declared at towpath.yaml:2 at 3f2a91c`.
    pub cause: &'a str,
    /// The operation's id, if it is one.
    pub operation: Option<&'a str>,
    /// The record's own id.
    pub event_id: &'a str,
}

/// The record of an operation of towpath's own.
pub fn record_of_own(event: &Own<'_>, place: &Place) -> Value {
    json!({
        "eventVersion": VERSION,
        "userIdentity": { "type": "AWSService", "invokedBy": "towpath", "userName": "towpath" },
        "eventTime": seconds(event.now),
        "eventSource": format!("{}.amazonaws.com", event.service),
        "eventName": event.name,
        "awsRegion": place.region,
        "sourceIPAddress": "towpath",
        "userAgent": "towpath",
        "requestParameters": Value::Null,
        "responseElements": event.operation.map(|id| json!({ "operationId": id })),
        "additionalEventData": { "cause": event.cause },
        "eventID": event.event_id,
        "readOnly": false,
        "resources": [{ "accountId": place.account, "ARN": event.resource }],
        "eventType": "AwsServiceEvent",
        "recipientAccountId": place.account,
    })
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
