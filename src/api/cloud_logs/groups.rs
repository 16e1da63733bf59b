//! Log groups and their streams.

use super::{invalid, limit};
use crate::access::Place;
use crate::api::control::{LogStream, Refusal};
use crate::api::dispatch::Context;
use crate::api::errors::ApiError;
use crate::api::facts::{Facts, looked};
use crate::api::logs::LogStreamSummary;
use crate::model::{ServiceId, ServiceRecord};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What the names of all groups begin with.
const PREFIX: &str = "/aws/apprunner/";
/// The most groups or streams of one answer.
const MOST: usize = 50;

/// One of a service's two groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Its life and its operations.
    Service,
    /// Its instances' output.
    Application,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Application => "application",
        }
    }

    fn of(stream: &LogStream) -> Self {
        match stream {
            LogStream::Events | LogStream::Operation(_) => Self::Service,
            LogStream::Instance(_) => Self::Application,
        }
    }
}

/// A group that there is.
pub(super) struct Group {
    /// Whose.
    pub service: ServiceId,
    part: Part,
    arn: String,
}

/// How a request names a group: by its name, or by its ARN.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
}

/// What a call is done to, for access control: `arn:aws:logs:…:log-group:NAME:*`, or one stream of it.
pub(in crate::api) fn arn(place: &Place, input: &Value) -> String {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let name = text("logGroupName").or_else(|| text("logGroupIdentifier")).unwrap_or_default();
    let name: String = name_of(name).chars().take(512).collect();
    let stream = text("logStreamName").map(|stream| format!("log-stream:{stream}"));
    let stream = stream.unwrap_or_else(|| "*".into());
    format!("arn:aws:logs:{}:{}:log-group:{name}:{stream}", place.region, place.account)
}

/// `NAME` of `NAME` and of `arn:aws:logs:REGION:ACCOUNT:log-group:NAME:*`.
fn name_of(text: &str) -> &str {
    let tail = text.strip_prefix("arn:").and_then(|_| text.split_once(":log-group:"));
    tail.map_or(text, |(_, name)| name.strip_suffix(":*").unwrap_or(name))
}

impl Group {
    /// The group that a request names.
    pub fn find(context: &Context, named: &Named) -> Result<Self, ApiError> {
        let text = match (&named.log_group_name, &named.log_group_identifier) {
            (Some(text), None) | (None, Some(text)) => text,
            _ => return Err(invalid("give one of `logGroupName` and `logGroupIdentifier`")),
        };
        if !(1..=2048).contains(&text.len()) {
            return Err(invalid("the name of a log group has 1 to 512 characters"));
        }
        let found = looked(&*context.control, |facts| Self::of(facts, text)).flatten();
        let shown: String = text.chars().take(200).flat_map(char::escape_debug).collect();
        let missing = || Refusal::NotFound(format!("The specified log group does not exist: `{shown}`"));
        Ok(found.ok_or_else(missing)?)
    }

    fn of(facts: &Facts<'_>, text: &str) -> Option<Self> {
        let mut parts = name_of(text).strip_prefix(PREFIX)?.split('/');
        let (name, id, part, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
        let part = [Part::Service, Part::Application].into_iter().find(|p| p.word() == part)?;
        let record = facts.services.get(&id.parse().ok()?).filter(|record| record.name.as_str() == name)?;
        let whole = group_arn(facts, record, part);
        if text.starts_with("arn:") && text.strip_suffix(":*").unwrap_or(text) != whole {
            return None;
        }
        Some(Self { service: record.id.clone(), part, arn: whole })
    }

    /// Its streams.
    pub async fn streams(&self, context: &Context) -> Result<Vec<LogStreamSummary>, Refusal> {
        let streams = context.logs.streams(&self.service).await?;
        Ok(streams.into_iter().filter(|s| Part::of(&s.stream) == self.part).collect())
    }

    /// One of its streams.
    pub async fn stream(&self, context: &Context, name: &str) -> Result<LogStream, ApiError> {
        let streams = self.streams(context).await?;
        let found = streams.into_iter().find(|stream| stream.name == name);
        let missing = || Refusal::NotFound("The specified log stream does not exist.".into());
        Ok(found.ok_or_else(missing)?.stream)
    }
}

fn group_name(record: &ServiceRecord, part: Part) -> String {
    format!("{PREFIX}{}/{}/{}", record.name, record.id, part.word())
}

/// Without the `:*` that some of CloudWatch's answers end it with.
fn group_arn(facts: &Facts<'_>, record: &ServiceRecord, part: Part) -> String {
    let name = group_name(record, part);
    format!("arn:aws:logs:{}:{}:log-group:{name}", facts.installed.region, facts.installed.account)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeLogGroups {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

pub(super) fn describe_groups(context: &Context, asked: DescribeLogGroups) -> Result<Value, ApiError> {
    if asked.log_group_name_prefix.is_some() && asked.log_group_name_pattern.is_some() {
        return Err(invalid("give one of `logGroupNamePrefix` and `logGroupNamePattern`"));
    }
    let (limit, after) = (limit(asked.limit, MOST)?, after(asked.next_token.as_deref())?);
    let prefix = asked.log_group_name_prefix.unwrap_or_default();
    let pattern = asked.log_group_name_pattern.unwrap_or_default().to_lowercase();
    let wanted = |name: &str| name.starts_with(&prefix) && name.to_lowercase().contains(&pattern);
    let mut groups = looked(&*context.control, |facts| all(facts, &wanted)).unwrap_or_default();
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    groups.retain(|(name, _)| after.as_ref().is_none_or(|after| name > after));
    Ok(page("logGroups", groups, limit))
}

fn all(facts: &Facts<'_>, wanted: &dyn Fn(&str) -> bool) -> Vec<(String, Value)> {
    let both = |record| [Part::Service, Part::Application].map(|part| (record, part));
    let named = facts
        .services
        .values()
        .map(Arc::as_ref)
        .flat_map(both)
        .map(|(record, part)| (group_name(record, part), record, part));
    let shape = |(name, record, part): (String, &ServiceRecord, Part)| {
        let arn = group_arn(facts, record, part);
        let shape = json!({
            "logGroupName": name, "arn": format!("{arn}:*"), "logGroupArn": arn, "creationTime": record.created_at.0,
            "metricFilterCount": 0, "logGroupClass": "STANDARD",
        });
        (name, shape)
    };
    named.filter(|(name, ..)| wanted(name)).map(shape).collect()
}

/// The first of a list, with the token where there is more.
fn page(list: &str, mut items: Vec<(String, Value)>, limit: usize) -> Value {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|(key, _)| URL_SAFE_NO_PAD.encode(key));
    let mut answer = json!({ list: items.into_iter().map(|(_, shape)| shape).collect::<Vec<_>>() });
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    answer
}

/// The key that a token says the page before ended with.
fn after(token: Option<&str>) -> Result<Option<String>, ApiError> {
    let read = |token: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok();
    token.map(|token| read(token).ok_or_else(foreign)).transpose()
}

pub(super) fn foreign() -> ApiError {
    invalid("The specified nextToken is invalid.")
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeLogStreams {
    #[serde(flatten)]
    group: Named,
    log_stream_name_prefix: Option<String>,
    order_by: Option<String>,
    descending: Option<bool>,
    next_token: Option<String>,
    limit: Option<i64>,
}

pub(super) async fn describe_streams(context: &Context, asked: DescribeLogStreams) -> Result<Value, ApiError> {
    let by_time = match asked.order_by.as_deref() {
        None | Some("LogStreamName") => false,
        Some("LastEventTime") if asked.log_stream_name_prefix.is_none() => true,
        Some("LastEventTime") => return Err(invalid("`logStreamNamePrefix` does not go with `orderBy` LastEventTime")),
        Some(_) => return Err(invalid("`orderBy` must be one of LogStreamName, LastEventTime")),
    };
    let (limit, after) = (limit(asked.limit, MOST)?, after(asked.next_token.as_deref())?);
    let group = Group::find(context, &asked.group)?;
    let prefix = asked.log_stream_name_prefix.unwrap_or_default();
    let streams = group.streams(context).await?;
    let mut items: Vec<(String, Value)> =
        streams.iter().filter(|s| s.name.starts_with(&prefix)).map(|s| stream(&group, s, by_time)).collect();
    items.sort_by(|a, b| a.0.cmp(&b.0));
    if asked.descending.unwrap_or(false) {
        items.reverse();
        items.retain(|(key, _)| after.as_ref().is_none_or(|after| key < after));
    } else {
        items.retain(|(key, _)| after.as_ref().is_none_or(|after| key > after));
    }
    Ok(page("logStreams", items, limit))
}

/// A stream with the key that it is ordered by.
fn stream(group: &Group, stream: &LogStreamSummary, by_time: bool) -> (String, Value) {
    let name = &stream.name;
    let mut shape = json!({ "logStreamName": name, "arn": format!("{}:log-stream:{name}", group.arn) });
    if let Some(at) = stream.first_at {
        (shape["creationTime"], shape["firstEventTimestamp"]) = (at.0.into(), at.0.into());
    }
    if let Some(at) = stream.last_at {
        (shape["lastEventTimestamp"], shape["lastIngestionTime"]) = (at.0.into(), at.0.into());
    }
    let at = stream.last_at.map_or(0, |at| at.0);
    (if by_time { format!("{at:020} {name}") } else { name.clone() }, shape)
}
