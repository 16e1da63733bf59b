//! The body of an answer: a page of ours, or an instance's bytes as they come, with the request's count and connection.

use super::client::Turn;
use super::instance::InFlight;
use super::upstream::Connection;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// See the module.
#[derive(Debug)]
pub(super) struct Reply {
    source: Source,
    /// Ends with the body.
    turn: Option<Turn>,
}

#[derive(Debug)]
enum Source {
    /// All of it at once; `None` when taken.
    Page(Option<Bytes>),
    /// From an instance.
    Stream(Stream),
}

/// An answer that is being passed on. Dropped at its end it gives its connection back, dropped earlier it closes it.
#[derive(Debug)]
pub(super) struct Stream {
    body: Incoming,
    /// `None` once given back, or where a task drives the connection.
    connection: Option<Connection>,
    in_flight: InFlight,
    ended: bool,
}

impl Reply {
    pub(super) fn page(text: String) -> Self {
        Self { source: Source::Page(Some(Bytes::from(text))), turn: None }
    }

    pub(super) fn empty() -> Self {
        Self { source: Source::Page(None), turn: None }
    }

    /// The client's turn lasts until this is dropped.
    pub(super) fn hold(&mut self, turn: Turn) {
        turn.answer();
        self.turn = Some(turn);
    }

    pub(super) fn stream(body: Incoming, connection: Option<Connection>, in_flight: InFlight) -> Self {
        Self { source: Source::Stream(Stream { body, connection, in_flight, ended: false }), turn: None }
    }
}

impl Stream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending()
            && let Some(connection) = &mut self.connection
        {
            connection.drive(cx);
            polled = Pin::new(&mut self.body).poll_frame(cx);
        }
        if let Poll::Ready(frame) = &polled {
            self.ended = frame.is_none() || (matches!(frame, Some(Ok(_))) && self.body.is_end_stream());
        }
        polled
    }

    fn give_back(&mut self) {
        // Whether it is open, and has seen the end of its message, is looked at when it is taken out again.
        if let Some(connection) = self.connection.take() {
            self.in_flight.give_back(connection);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.ended || self.body.is_end_stream() {
            self.give_back();
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().source {
            Source::Page(page) => Poll::Ready(page.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Stream(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Page(page) => page.is_none(),
            Source::Stream(stream) => stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Page(page) => SizeHint::with_exact(page.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Source::Stream(stream) => stream.body.size_hint(),
        }
    }
}
