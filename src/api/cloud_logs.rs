//! CloudWatch Logs, as far as App Runner's users read logs with it: the log groups of services, their streams, their lines
//! (row O1), in JSON 1.1. `aws logs tail`, `filter-log-events` and `get-log-events` work as they are.
//!
//! A service has two groups, `/aws/apprunner/<name>/<id>/service` and `…/application`. Groups and streams cannot be made,
//! written or deleted here.

mod filter;
mod get;
mod groups;
mod lines;
mod pattern;

use super::dispatch::{Call, Context, unknown};
use super::errors::{ApiError, Fault};
pub(super) use groups::arn;
use serde_json::Value;

/// Answers a call of one of the operations.
pub(super) async fn answer(context: &Context, call: &Call, operation: &str) -> Result<Value, ApiError> {
    match operation {
        "DescribeLogGroups" => groups::describe_groups(context, call.read()?),
        "DescribeLogStreams" => groups::describe_streams(context, call.read()?).await,
        "FilterLogEvents" => filter::filter(context, call.read()?).await,
        "GetLogEvents" => get::get(context, call.read()?).await,
        _ => Err(unknown(&call.target).into()),
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    Fault::Coded("InvalidParameterException", message.into()).into()
}

/// A limit within its bounds.
fn limit(given: Option<i64>, most: usize) -> Result<usize, ApiError> {
    let Some(given) = given else { return Ok(most) };
    let fits = usize::try_from(given).ok().filter(|n| (1..=most).contains(n));
    fits.ok_or_else(|| invalid(format!("`limit` must be 1 to {most}, not {given}")))
}
