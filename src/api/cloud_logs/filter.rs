//! `FilterLogEvents`: lines of several streams in the order of their times, those that fit a pattern. What `aws logs tail` asks.
//!
//! One call reads one page of each stream at most: where more has to be looked through, its answer is short, or empty, and its
//! token goes on where it stopped, as CloudWatch's does.

use super::get::{ANSWER_BYTES, shown};
use super::groups::{Group, Named, foreign};
use super::lines::{Line, Spot, Stream};
use super::pattern::Pattern;
use super::{invalid, limit};
use crate::api::dispatch::Context;
use crate::api::errors::ApiError;
use crate::api::logs::{LINES, LogStreamSummary};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FilterLogEvents {
    #[serde(flatten)]
    group: Named,
    log_stream_names: Option<Vec<String>>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

/// Where the next page begins: at a moment, after so many lines of each stream at that very moment.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Token {
    at: i64,
    done: BTreeMap<String, u64>,
}

/// A line of a stream.
type Found = (Spot, usize, String);

pub(super) async fn filter(context: &Context, asked: FilterLogEvents) -> Result<Value, ApiError> {
    let most = limit(asked.limit, LINES)?;
    let pattern = Pattern::read(asked.filter_pattern.as_deref().unwrap_or_default()).map_err(invalid)?;
    let from = match asked.next_token.as_deref() {
        None => Token { at: asked.start_time.unwrap_or(0), ..Token::default() },
        Some(token) => read_token(token).ok_or_else(foreign)?,
    };
    if from.at < 0 {
        return Err(invalid("`startTime` is a number of milliseconds"));
    }
    let group = Group::find(context, &asked.group)?;
    let until = asked.end_time.unwrap_or(i64::MAX);
    let streams = wanted(&group, context, &asked, from.at).await?;
    let (mut found, mut horizon) = (Vec::new(), i64::MAX);
    for (at, summary) in streams.iter().enumerate() {
        let stream = Stream { context, service: &group.service, stream: summary.stream.clone() };
        let done = Spot { at: from.at, number: from.done.get(&summary.name).copied().unwrap_or(0) };
        let fits = |line: &Line| line.spot >= done && line.spot.at <= until && pattern.fits(&line.message);
        let read = stream.page(from.at, most, fits).await?;
        horizon = read.horizon.map_or(horizon, |far| horizon.min(far));
        found.extend(read.lines.into_iter().map(|line| (line.spot, at, line.message)));
    }
    // Stable: of the same moment, the lines of each stream stay in their order.
    found.sort_by_key(|(spot, stream, _)| (spot.at, *stream));
    found.retain(|(spot, ..)| spot.at <= horizon);
    Ok(answer(&streams, found, (from, horizon, most)))
}

/// The streams that a request asks for, without those that ended before.
async fn wanted(
    group: &Group,
    context: &Context,
    asked: &FilterLogEvents,
    since: i64,
) -> Result<Vec<LogStreamSummary>, ApiError> {
    let mut streams = group.streams(context).await?;
    match (&asked.log_stream_names, &asked.log_stream_name_prefix) {
        (Some(_), Some(_)) => return Err(invalid("give one of `logStreamNames` and `logStreamNamePrefix`")),
        (Some(names), None) if !(1..=100).contains(&names.len()) => {
            return Err(invalid("`logStreamNames` has 1 to 100 names"));
        }
        (Some(names), None) => streams.retain(|stream| names.contains(&stream.name)),
        (None, Some(prefix)) => streams.retain(|stream| stream.name.starts_with(prefix)),
        (None, None) => {}
    }
    streams.retain(|stream| stream.last_at.is_none_or(|last| last.0 >= since));
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(streams)
}

fn answer(streams: &[LogStreamSummary], mut found: Vec<Found>, (from, horizon, most): (Token, i64, usize)) -> Value {
    let mut bytes = 0;
    let fitting = found.iter().take(most).take_while(|(_, _, message)| {
        bytes += message.len() + 26;
        bytes <= ANSWER_BYTES
    });
    let count = fitting.count().max(1).min(found.len());
    let more = count < found.len();
    found.truncate(count);
    let next = match found.last() {
        Some((spot, ..)) if more || spot.at == horizon => Some(after(streams, &found, from)),
        // Everything up to the horizon was told: what comes next is not older. A page that does not get beyond one moment
        // has more lines of it than can be told apart.
        _ if horizon < i64::MAX => Some(Token { at: horizon.max(from.at + 1), ..Token::default() }),
        _ => None,
    };
    let events: Vec<Value> =
        found.into_iter().map(|(spot, stream, message)| event(&streams[stream].name, spot, message)).collect();
    let mut answer = json!({ "events": events, "searchedLogStreams": [] });
    if let Some(token) = next.and_then(|token| serde_json::to_vec(&token).ok()) {
        answer["nextToken"] = URL_SAFE_NO_PAD.encode(token).into();
    }
    answer
}

/// The place after the last line that was told.
fn after(streams: &[LogStreamSummary], told: &[Found], from: Token) -> Token {
    let Some((last, ..)) = told.last() else { return from };
    let mut done = if from.at == last.at { from.done } else { BTreeMap::new() };
    for (spot, stream, _) in told.iter().filter(|(spot, ..)| spot.at == last.at) {
        done.insert(streams[*stream].name.clone(), spot.number + 1);
    }
    Token { at: last.at, done }
}

fn read_token(token: &str) -> Option<Token> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

fn event(stream: &str, spot: Spot, message: String) -> Value {
    json!({
        "logStreamName": stream, "timestamp": spot.at, "ingestionTime": spot.at, "message": shown(message),
        "eventId": event_id(stream, spot),
    })
}

/// The same for the same line at every time: clients drop what they have seen.
fn event_id(stream: &str, spot: Spot) -> String {
    let place = format!("{stream}\0{}\0{}", spot.at, spot.number);
    let digest: [u8; 32] = Sha256::digest(place).into();
    let number = digest.iter().take(14).fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    format!("{:020}{number:036}", spot.at)
}
