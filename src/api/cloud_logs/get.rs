//! `GetLogEvents`: one stream, page by page in both directions. The same token twice says that there is nothing more.

use super::groups::{Group, Named, foreign};
use super::lines::{Line, Spot, Stream};
use super::{invalid, limit};
use crate::api::dispatch::Context;
use crate::api::errors::ApiError;
use crate::api::logs::LINES;
use serde::Deserialize;
use serde_json::{Value, json};

/// About the most bytes of one answer.
pub(super) const ANSWER_BYTES: usize = 1 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GetLogEvents {
    #[serde(flatten)]
    group: Named,
    log_stream_name: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    next_token: Option<String>,
    limit: Option<i64>,
    start_from_head: Option<bool>,
}

/// Which way a page goes from a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Forward(Spot),
    Backward(Spot),
}

pub(super) async fn get(context: &Context, asked: GetLogEvents) -> Result<Value, ApiError> {
    let name = asked.log_stream_name.as_deref().ok_or_else(|| invalid("`logStreamName` is required"))?;
    let most = limit(asked.limit, LINES)?;
    let group = Group::find(context, &asked.group)?;
    let stream = Stream { context, service: &group.service, stream: group.stream(context, name).await? };
    let (since, until) = (asked.start_time.unwrap_or(0), asked.end_time.unwrap_or(i64::MAX));
    if since < 0 || until < since {
        return Err(invalid("`startTime` and `endTime` are milliseconds, and the end is not before the start"));
    }
    let end = Spot { at: until, number: 0 };
    let way = match asked.next_token.as_deref() {
        Some(token) => read_token(token).ok_or_else(foreign)?,
        None if asked.start_from_head.unwrap_or(false) => Way::Forward(Spot { at: since, number: 0 }),
        None => Way::Backward(stream.end().await?.min(end)),
    };
    let (lines, from) = match way {
        Way::Forward(from) => {
            let wanted = |line: &Line| line.spot >= from && line.spot < end;
            (stream.since(from.at.max(since), most, wanted).await?, from)
        }
        Way::Backward(from) => (stream.before(from, since, most).await?, from),
    };
    Ok(answer(way, within(way, lines), from))
}

/// As many lines as an answer holds: the first ones, or the last ones.
fn within(way: Way, mut lines: Vec<Line>) -> Vec<Line> {
    let mut bytes = 0;
    let mut fits = |line: &Line| {
        bytes += line.message.len() + 26;
        bytes <= ANSWER_BYTES
    };
    match way {
        Way::Forward(_) => {
            let count = lines.iter().take_while(|line| fits(line)).count();
            lines.truncate(count.max(1));
        }
        Way::Backward(_) => {
            let count = lines.iter().rev().take_while(|line| fits(line)).count();
            lines.drain(..lines.len() - count.max(1).min(lines.len()));
        }
    }
    lines
}

fn answer(way: Way, lines: Vec<Line>, from: Spot) -> Value {
    let after = lines.last().map(|line| Spot { number: line.spot.number + 1, ..line.spot });
    let (first, after) = match (way, lines.first().map(|line| line.spot)) {
        // Nothing that way: the same token again.
        (_, None) => (from, from),
        (_, Some(first)) => (first, after.unwrap_or(from)),
    };
    let events: Vec<Value> = lines.into_iter().map(event).collect();
    let token = |letter: char, spot: Spot| format!("{letter}/{}.{}", spot.at, spot.number);
    json!({
        "events": events, "nextForwardToken": token('f', after), "nextBackwardToken": token('b', first),
    })
}

fn read_token(token: &str) -> Option<Way> {
    let (letter, spot) = token.split_once('/')?;
    let (at, number) = spot.split_once('.')?;
    let spot = Spot { at: at.parse().ok().filter(|at| *at >= 0)?, number: number.parse().ok()? };
    match letter {
        "f" => Some(Way::Forward(spot)),
        "b" => Some(Way::Backward(spot)),
        _ => None,
    }
}

fn event(line: Line) -> Value {
    let at = line.spot.at;
    json!({ "timestamp": at, "ingestionTime": at, "message": shown(line.message) })
}

/// CloudWatch has no empty messages.
pub(super) fn shown(message: String) -> String {
    if message.is_empty() { " ".into() } else { message }
}
