//! Log files as the wire reads them.

use super::core::Core;
use crate::api::control::{LogStream, Refusal};
use crate::api::logs::{LogLine, LogPage, LogReader, LogStart, LogStreamSummary};
use crate::model::ServiceId;
use crate::telemetry::{Cursor, LogError, Position, Stream};
use async_trait::async_trait;
use std::sync::Arc;

/// About how many bytes of lines are read at once.
const PAGE_BYTES: usize = 1 << 20;

/// The log files of a control plane.
pub struct Reading(pub Arc<Core>);

fn failed(error: &LogError) -> Refusal {
    tracing::error!(error = %super::chain(error), "a log could not be read");
    Refusal::Internal("the log could not be read; towpath's own log says why".into())
}

impl Reading {
    /// The files' name of a stream, and whether it will never grow again.
    async fn find(&self, service: &ServiceId, stream: &LogStream) -> Result<(Stream, bool), Refusal> {
        match stream {
            LogStream::Events => Ok((Stream::Events, false)),
            LogStream::Instance(id) => {
                let gone = !self.0.state().world.instances.contains_key(id);
                Ok((Stream::Instance(id.clone()), gone))
            }
            LogStream::Operation(id) => {
                let known = self.0.state().world.operations.get(id).cloned();
                let stored = match known {
                    Some(operation) => Some(operation),
                    None => self.0.store.operation(id).await.ok().flatten(),
                };
                let ours = stored.filter(|o| &o.service == service);
                let operation = ours.ok_or_else(|| Refusal::NotFound(format!("there is no operation `{id}`")))?;
                Ok((Stream::of(&operation), operation.status.is_final()))
            }
        }
    }

    async fn place(&self, service: &ServiceId, stream: &Stream, start: LogStart) -> Result<Cursor, Refusal> {
        let position = match start {
            LogStart::After(cursor) => {
                return cursor.parse().map_err(|e: crate::model::Invalid| Refusal::InvalidRequest(e.to_string()));
            }
            LogStart::Head => Position::Start,
            LogStart::Since(time) => Position::Since(time),
            LogStart::Tail(count) => Position::Tail(count),
        };
        self.0.logs.seek(service, stream, position).await.map_err(|e| failed(&e))
    }
}

#[async_trait]
impl LogReader for Reading {
    async fn page(
        &self,
        service: &ServiceId,
        stream: &LogStream,
        start: LogStart,
        _limit: usize,
    ) -> Result<LogPage, Refusal> {
        // Asked before the lines are read: a stream that is complete now has no line that this page misses.
        let (stream, complete) = self.find(service, stream).await?;
        let from = self.place(service, &stream, start).await?;
        let page = self.0.logs.read(service, &stream, &from, PAGE_BYTES).await.map_err(|e| failed(&e))?;
        let lines = page.lines.into_iter().map(|l| LogLine { at: l.time, message: l.text }).collect();
        Ok(LogPage { lines, next: page.next.to_string(), more: page.more, complete })
    }

    async fn streams(&self, service: &ServiceId) -> Result<Vec<LogStreamSummary>, Refusal> {
        let streams = self.0.logs.streams(service).await.map_err(|e| failed(&e))?;
        let summary = |info: crate::telemetry::StreamInfo| LogStreamSummary {
            name: info.stream.name(),
            stream: match info.stream {
                Stream::Events => LogStream::Events,
                Stream::Operation { id, .. } => LogStream::Operation(id),
                Stream::Instance(id) => LogStream::Instance(id),
            },
            first_at: None,
            last_at: Some(info.modified),
        };
        Ok(streams.into_iter().map(summary).collect())
    }
}
