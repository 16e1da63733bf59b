//! The audit trail on the wire: CloudTrail's `LookupEvents`, and ours for the command.

use super::control::Refusal;
use super::dispatch::{Call, output, unknown};
use super::door::Door;
use super::errors::{ApiError, Fault};
use crate::access::audit::{AuditError, Filter, Found, blocking, user_of};
use crate::model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The most records of one answer of ours.
const MOST: usize = 1000;

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> Self {
        let message = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Refusal::Internal(message).into()
    }
}

/// What `towpath audit` asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct LookupAudit {
    /// Who called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// What it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Whether it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<bool>,
    /// Whether it only looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// Not before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
}

/// Records, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Records {
    /// The records.
    pub records: Vec<Value>,
    /// Whether there are older ones.
    pub more: bool,
}

/// Answers a call of one of these operations.
pub(super) async fn answer(door: &Door, call: &Call, operation: &str) -> Result<Value, ApiError> {
    match operation {
        "LookupAudit" => lookup(door, call).await,
        "VerifyAudit" => {
            let audit = door.audit.clone();
            output(&blocking(move || audit.verify()).await?)
        }
        "LookupEvents" => lookup_events(door, call).await,
        _ => Err(unknown(&call.target).into()),
    }
}

async fn search(door: &Door, filter: Filter) -> Result<Found, ApiError> {
    let audit = door.audit.clone();
    Ok(blocking(move || audit.search(&filter)).await?)
}

async fn lookup(door: &Door, call: &Call) -> Result<Value, ApiError> {
    let asked: LookupAudit = call.read()?;
    let filter = Filter {
        user: asked.user,
        event_name: asked.event,
        resource: asked.resource,
        failed: asked.failed,
        read_only: asked.read_only,
        since: asked.since.map(whole_seconds),
        limit: asked.limit.clamp(1, MOST),
        ..Filter::default()
    };
    let Found { records, more } = search(door, filter).await?;
    output(&Records { records: records.into_iter().map(|(_, record)| record).collect(), more })
}

fn whole_seconds(time: Timestamp) -> String {
    Timestamp(time.0 - time.0.rem_euclid(1000)).to_string().replace(".000Z", "Z")
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LookupEvents {
    #[serde(default)]
    lookup_attributes: Vec<Attribute>,
    start_time: Option<f64>,
    end_time: Option<f64>,
    event_category: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    attribute_key: String,
    attribute_value: String,
}

fn refused(code: &'static str, message: &str) -> ApiError {
    Fault::Coded(code, message.to_owned()).into()
}

async fn lookup_events(door: &Door, call: &Call) -> Result<Value, ApiError> {
    let filter = read_filter(call.read()?)?;
    let Some(filter) = filter else { return Ok(json!({ "Events": [] })) };
    let found = search(door, filter).await?;
    let events: Vec<Value> = found.records.iter().map(|(_, record)| event(record)).collect();
    let mut answer = json!({ "Events": events });
    if let Some((last, _)) = found.records.last().filter(|_| found.more) {
        answer["NextToken"] = last.to_string().into();
    }
    Ok(answer)
}

/// What CloudTrail's request asks for; `None` for what we never have (`insight` events).
fn read_filter(asked: LookupEvents) -> Result<Option<Filter>, ApiError> {
    if asked.event_category.is_some() {
        return Ok(None);
    }
    let limit = match asked.max_results.unwrap_or(50) {
        limit @ 1..=50 => usize::try_from(limit).unwrap_or(50),
        _ => return Err(refused("InvalidMaxResultsException", "MaxResults must be between 1 and 50.")),
    };
    let invalid_token = || refused("InvalidNextTokenException", "The NextToken is not one that this operation gave.");
    let before = asked.next_token.map(|token| token.parse().map_err(|_| invalid_token())).transpose()?;
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and no record is from there")]
    let moment = |seconds: f64| whole_seconds(Timestamp((seconds * 1000.0) as i64));
    if asked.start_time.zip(asked.end_time).is_some_and(|(start, end)| start > end) {
        return Err(refused("InvalidTimeRangeException", "StartTime must not be after EndTime."));
    }
    let (since, until) = (asked.start_time.map(moment), asked.end_time.map(moment));
    let mut filter = Filter { before, limit, since, until, ..Filter::default() };
    match asked.lookup_attributes.as_slice() {
        [] => {}
        [attribute] => apply(&mut filter, attribute)?,
        _ => return Err(refused("InvalidLookupAttributesException", "At most one lookup attribute is allowed.")),
    }
    Ok(Some(filter))
}

fn apply(filter: &mut Filter, attribute: &Attribute) -> Result<(), ApiError> {
    let value = Some(attribute.attribute_value.clone());
    match attribute.attribute_key.as_str() {
        "EventId" => filter.event_id = value,
        "EventName" => filter.event_name = value,
        "EventSource" => filter.event_source = value,
        "Username" => filter.user = value,
        "AccessKeyId" => filter.access_key = value,
        "ResourceName" => filter.resource = value,
        // All resources of ours are of App Runner or IAM; an ARN names its own type.
        "ResourceType" => {
            filter.resource = value.map(|v| v.rsplit("::").next().unwrap_or_default().to_ascii_lowercase())
        }
        "ReadOnly" => filter.read_only = Some(attribute.attribute_value == "true"),
        _ => return Err(refused("InvalidLookupAttributesException", "The lookup attribute is not one that there is.")),
    }
    Ok(())
}

/// A record as `LookupEvents` lists it.
fn event(record: &Value) -> Value {
    let text = |name: &str| record[name].as_str().unwrap_or_default();
    let time = text("eventTime").parse::<jiff::Timestamp>().map(jiff::Timestamp::as_second).unwrap_or_default();
    let arns = record["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let resources: Vec<Value> = arns.iter().filter_map(|resource| named(resource["ARN"].as_str()?)).collect();
    let mut event = json!({
        "EventId": text("eventID"),
        "EventName": text("eventName"),
        "ReadOnly": record["readOnly"].to_string(),
        "EventTime": time,
        "EventSource": text("eventSource"),
        "Resources": resources,
        "CloudTrailEvent": record.to_string(),
    });
    if let Some(user) = user_of(record) {
        event["Username"] = user.into();
    }
    if let Some(key) = record["userIdentity"]["accessKeyId"].as_str() {
        event["AccessKeyId"] = key.into();
    }
    event
}

/// `arn:aws:apprunner:…:service/…` is an `AWS::AppRunner::Service`.
fn named(arn: &str) -> Option<Value> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, resource) = (parts.next()?, parts.nth(2)?);
    let kind = resource.split('/').next()?;
    let capital = |word: &str| {
        word.chars().next().map(|c| c.to_ascii_uppercase()).into_iter().chain(word.chars().skip(1)).collect::<String>()
    };
    let service = if service == "apprunner" { "AppRunner".to_owned() } else { service.to_ascii_uppercase() };
    Some(json!({ "ResourceType": format!("AWS::{service}::{}", capital(kind)), "ResourceName": arn }))
}
