//! STS on AWS' Query protocol: who am I, which every SDK's user tries first; and temporary credentials of a role.

use super::control::Refusal;
use super::door::Door;
use super::errors::{ApiError, Fault};
use super::protocol::{STS_NAMESPACE, escape, respond_xml};
use crate::access::{AssumeRole, Caller, Identity, Place, RequestFacts};
use crate::model::Timestamp;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::Value;
use std::collections::BTreeMap;

/// An answer: the operation and what its result holds.
pub(super) struct Answer {
    operation: &'static str,
    members: Vec<Member>,
}

/// A member of a result.
enum Member {
    Text(&'static str, String),
    Structure(&'static str, Vec<Member>),
}

/// Answers a call and records it.
///
/// # Errors
/// For an operation that there is not, for a role that the caller may not have, and for values that are not taken.
pub(super) async fn call(
    door: &Door,
    caller: &Caller,
    facts: &RequestFacts,
    parameters: &BTreeMap<String, String>,
) -> Result<Answer, ApiError> {
    let name = parameters.get("Action").map(String::as_str).unwrap_or_default();
    let answered = match name {
        "GetCallerIdentity" => Ok(who(caller, door.access.place())),
        "AssumeRole" => assume_role(door, caller, facts, parameters),
        other => {
            let shown: String = other.chars().take(100).flat_map(char::escape_debug).collect();
            return Err(
                Fault::UnknownOperation(format!("Could not find operation {shown} for version 2011-06-15")).into()
            );
        }
    };
    let asked = parameters.iter().filter(|(name, _)| !matches!(name.as_str(), "Action" | "Version"));
    let asked = Value::Object(asked.map(|(name, value)| (name.clone(), value.as_str().into())).collect());
    let role = parameters.get("RoleArn").filter(|_| name == "AssumeRole").map_or("*", String::as_str);
    let shown = answered.as_ref().map(Answer::json);
    door.record(caller, facts, ("sts", name), role, (&asked, shown.as_ref().map_err(|error| *error))).await?;
    answered
}

fn assume_role(
    door: &Door,
    caller: &Caller,
    facts: &RequestFacts,
    parameters: &BTreeMap<String, String>,
) -> Result<Answer, ApiError> {
    let parameter = |name: &str| parameters.get(name).cloned();
    let seconds = parameter("DurationSeconds").map(|text| text.parse::<u32>());
    let seconds =
        seconds.transpose().map_err(|_| Refusal::InvalidRequest("`DurationSeconds` must be a number".into()))?;
    let asked = AssumeRole {
        role_arn: parameter("RoleArn").unwrap_or_default(),
        session_name: parameter("RoleSessionName").unwrap_or_default(),
        seconds,
        policy: parameter("Policy"),
        external_id: parameter("ExternalId"),
    };
    let made = door.access.assume_role(caller, &asked, facts)?;
    let session = Caller { identity: Identity::Session(made.session), key_id: None };
    let credentials = vec![
        Member::Text("AccessKeyId", made.key_id),
        Member::Text("SecretAccessKey", made.secret.reveal().to_owned()),
        Member::Text("SessionToken", made.token),
        Member::Text("Expiration", whole_seconds(made.until)),
    ];
    let user = vec![Member::Text("Arn", session.name()), Member::Text("AssumedRoleId", session.id())];
    let members = vec![Member::Structure("AssumedRoleUser", user), Member::Structure("Credentials", credentials)];
    Ok(Answer { operation: "AssumeRole", members })
}

/// `2026-11-26T15:00:00Z`, as AWS writes it.
fn whole_seconds(time: Timestamp) -> String {
    Timestamp(time.0 - time.0.rem_euclid(1000)).to_string().replace(".000Z", "Z")
}

/// No right is needed for it, as on AWS.
fn who(caller: &Caller, place: &Place) -> Answer {
    let members = [("Arn", caller.name()), ("UserId", caller.id()), ("Account", place.account.clone())];
    let members = members.into_iter().map(|(name, value)| Member::Text(name, value)).collect();
    Answer { operation: "GetCallerIdentity", members }
}

impl Answer {
    /// The result as it is recorded.
    fn json(&self) -> Value {
        Member::json(&self.members)
    }

    /// The answer in XML.
    pub fn respond(&self, request_id: &str) -> Response<Body> {
        let Self { operation, members } = self;
        let members: String = members.iter().map(|member| member.xml(4)).collect();
        let xml = format!(
            "<{operation}Response xmlns=\"{STS_NAMESPACE}\">\n  <{operation}Result>\n{members}  </{operation}Result>\n  \
             <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n</{operation}Response>\n"
        );
        respond_xml(StatusCode::OK, xml, request_id)
    }
}

impl Member {
    fn json(members: &[Self]) -> Value {
        let members = members.iter().map(|member| match member {
            Self::Text(name, value) => ((*name).to_owned(), value.as_str().into()),
            Self::Structure(name, members) => ((*name).to_owned(), Self::json(members)),
        });
        Value::Object(members.collect())
    }

    fn xml(&self, indent: usize) -> String {
        let space = " ".repeat(indent);
        match self {
            Self::Text(name, value) => format!("{space}<{name}>{}</{name}>\n", escape(value)),
            Self::Structure(name, members) => {
                let inside: String = members.iter().map(|member| member.xml(indent + 2)).collect();
                format!("{space}<{name}>\n{inside}{space}</{name}>\n")
            }
        }
    }
}
