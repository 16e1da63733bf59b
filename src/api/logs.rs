//! Reading log streams: what the wire needs of telemetry, and the two operations on it.

use super::arn;
use super::control::{LogStream, Refusal};
use super::dispatch::{Context, output};
use super::errors::ApiError;
use super::views::{Epoch, LogAnswer, LogEventView, LogStreamView};
use crate::model::{InstanceId, ServiceId, Timestamp};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

/// The most lines in one answer.
pub const LINES: usize = 10_000;
/// The lines in an answer when nothing else is asked for.
const LINES_BY_DEFAULT: usize = 1_000;

/// Where a page of a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogStart {
    /// At its first kept line.
    Head,
    /// After an earlier page: its `next`.
    After(String),
    /// At the first line that is not older.
    Since(Timestamp),
    /// So many lines before its end.
    Tail(usize),
}

/// One line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// The line, bounded, without its line end.
    pub message: String,
}

/// A page of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// Its lines, oldest first, at most as many as were asked for.
    pub lines: Vec<LogLine>,
    /// The place after them: a cursor that stays good while the stream is kept, also across restarts and rotation.
    pub next: String,
    /// Whether there are more lines already.
    pub more: bool,
    /// Whether the stream will never grow again (its operation or instance ended).
    pub complete: bool,
}

/// One stream of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStreamSummary {
    /// Which.
    pub stream: LogStream,
    /// Its name as row O1 has it: `events`, `deployment/<id>`, `pause/<id>`, `instance/<id>`.
    pub name: String,
    /// When its first line was written.
    pub first_at: Option<Timestamp>,
    /// When its last line was written.
    pub last_at: Option<Timestamp>,
}

/// The log files as the wire sees them.
#[async_trait]
pub trait LogReader: Send + Sync + 'static {
    /// A page of at most `limit` lines. `NotFound` for a stream that there is not, `InvalidRequest` for a cursor that is
    /// not of this stream.
    async fn page(
        &self,
        service: &ServiceId,
        stream: &LogStream,
        start: LogStart,
        limit: usize,
    ) -> Result<LogPage, Refusal>;

    /// The streams of a service, the one written last first.
    async fn streams(&self, service: &ServiceId) -> Result<Vec<LogStreamSummary>, Refusal>;
}

/// `Towpath.GetLogEvents`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct GetLogEvents {
    service: String,
    log_stream_name: String,
    next_token: Option<String>,
    start_time: Option<Epoch>,
    tail: Option<usize>,
    limit: Option<usize>,
}

pub(super) async fn get_events(context: &Context, input: GetLogEvents) -> Result<Value, ApiError> {
    let (service, _) = arn::find(&*context.control, &input.service).await?;
    let stream = parse_stream(&input.log_stream_name)?;
    let limit = input.limit.unwrap_or(LINES_BY_DEFAULT).clamp(1, LINES);
    let page = context.logs.page(&service, &stream, start(&input)?, limit).await?;
    let events = page.lines.into_iter().map(|l| LogEventView { at: l.at.into(), message: l.message }).collect();
    output(&LogAnswer { events, next_token: page.next, more: page.more, complete: page.complete })
}

fn start(input: &GetLogEvents) -> Result<LogStart, Refusal> {
    match (&input.next_token, input.start_time, input.tail) {
        (None, None, None) => Ok(LogStart::Head),
        (Some(token), None, None) => Ok(LogStart::After(token.clone())),
        (None, Some(time), None) => Ok(LogStart::Since(time.into())),
        (None, None, Some(lines)) => Ok(LogStart::Tail(lines.min(LINES))),
        _ => Err(Refusal::InvalidRequest("give one of `NextToken`, `StartTime` and `Tail`".into())),
    }
}

/// Reads a stream's name (row O1). The kind of an operation before its id is not looked at: ids are unique.
fn parse_stream(name: &str) -> Result<LogStream, Refusal> {
    let unknown = || Refusal::InvalidRequest(format!("`{}` is not the name of a log stream", name.escape_debug()));
    match name.split_once('/') {
        None if name == "events" => Ok(LogStream::Events),
        Some(("instance", id)) => id.parse::<InstanceId>().map(LogStream::Instance).map_err(|_| unknown()),
        Some(("deployment" | "create" | "update" | "pause" | "resume" | "delete", id)) => {
            arn::parse_operation(id).map(LogStream::Operation)
        }
        _ => Err(unknown()),
    }
}

/// `Towpath.ListLogStreams`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ListLogStreams {
    service: String,
}

pub(super) async fn list_streams(context: &Context, input: ListLogStreams) -> Result<Value, ApiError> {
    let (service, _) = arn::find(&*context.control, &input.service).await?;
    let streams = context.logs.streams(&service).await?;
    let views: Vec<LogStreamView> = streams
        .into_iter()
        .map(|s| LogStreamView {
            name: s.name,
            first_at: s.first_at.map(Epoch::from),
            last_at: s.last_at.map(Epoch::from),
        })
        .collect();
    Ok(json!({ "LogStreams": output(&views)? }))
}
