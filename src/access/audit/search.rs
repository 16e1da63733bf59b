//! Finding records: newest first, by what CloudTrail's `LookupEvents` knows and a little more.

use super::AuditError;
use super::chain::Line;
use super::files::{files, read_lines};
use serde_json::Value;
use std::path::Path;

/// Which records are asked for. What is not said matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Their id.
    pub event_id: Option<String>,
    /// The operation.
    pub event_name: Option<String>,
    /// The service: `apprunner.amazonaws.com`.
    pub event_source: Option<String>,
    /// Whether they only looked.
    pub read_only: Option<bool>,
    /// Who called: a user's name, a session's name, an ARN.
    pub user: Option<String>,
    /// The access key.
    pub access_key: Option<String>,
    /// What it was done to: an ARN, or a part between slashes of one.
    pub resource: Option<String>,
    /// Whether they failed.
    pub failed: Option<bool>,
    /// Not before this moment: `2026-11-26T15:00:00Z`.
    pub since: Option<String>,
    /// Not after this moment.
    pub until: Option<String>,
    /// Before this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The records with their numbers, the newest first.
    pub records: Vec<(u64, Value)>,
    /// Whether there are more before the last.
    pub more: bool,
}

pub(super) fn search(directory: &Path, filter: &Filter) -> Result<Found, AuditError> {
    let mut found = Found::default();
    for file in files(directory)?.iter().rev() {
        let mut here = Vec::new();
        read_lines(file, |_, line| {
            let Some(line) = Line::read(line).filter(|line| filter.before.is_none_or(|before| line.number < before))
            else {
                return;
            };
            if let Ok(record) = serde_json::from_str::<Value>(line.record)
                && filter.matches(&record)
            {
                here.push((line.number, record));
            }
        })?;
        here.reverse();
        found.records.append(&mut here);
        if found.records.len() > filter.limit {
            found.records.truncate(filter.limit);
            found.more = true;
            break;
        }
    }
    Ok(found)
}

impl Filter {
    fn matches(&self, record: &Value) -> bool {
        let is =
            |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| record[name] == wanted.as_str());
        let time = record["eventTime"].as_str().unwrap_or_default();
        is(&self.event_id, "eventID")
            && is(&self.event_name, "eventName")
            && is(&self.event_source, "eventSource")
            && self.read_only.is_none_or(|wanted| record["readOnly"] == wanted)
            && self.failed.is_none_or(|wanted| record.get("errorCode").is_some() == wanted)
            && self.user.as_ref().is_none_or(|wanted| is_by(record, wanted))
            && self.access_key.as_ref().is_none_or(|wanted| record["userIdentity"]["accessKeyId"] == wanted.as_str())
            && self.resource.as_ref().is_none_or(|wanted| is_about(record, wanted))
            // Both are in UTC and of the same form, so that their order as text is their order in time.
            && self.since.as_deref().is_none_or(|since| time >= since)
            && self.until.as_deref().is_none_or(|until| time <= until)
    }
}

/// The name that CloudTrail lists a record under.
pub fn user_of(record: &Value) -> Option<&str> {
    let identity = &record["userIdentity"];
    identity["userName"].as_str().or_else(|| identity["principalId"].as_str()?.rsplit(':').next())
}

fn is_by(record: &Value, wanted: &str) -> bool {
    user_of(record) == Some(wanted) || record["userIdentity"]["arn"] == wanted
}

fn is_about(record: &Value, wanted: &str) -> bool {
    let resources = record["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let arns = resources.iter().filter_map(|resource| resource["ARN"].as_str());
    arns.into_iter().any(|arn| arn == wanted || arn.split(['/', ':']).any(|part| part == wanted))
}
