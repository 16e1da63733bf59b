//! The body of an answer: a page of ours, or an instance's bytes as they come, with the request's count and connection.

use super::instance::InFlight;
use super::upstream::Connection;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// See the module.
#[derive(Debug)]
pub(super) enum Reply {
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
        Self::Page(Some(Bytes::from(text)))
    }

    pub(super) fn stream(body: Incoming, connection: Option<Connection>, in_flight: InFlight) -> Self {
        Self::Stream(Stream { body, connection, in_flight, ended: false })
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
        let Some(mut connection) = self.connection.take() else { return };
        // Lets it see the end of the message; one that is not done then is of no further use.
        if connection.is_open() {
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
        match self.get_mut() {
            Self::Page(page) => Poll::Ready(page.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Page(page) => page.is_none(),
            Self::Stream(stream) => stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Page(page) => SizeHint::with_exact(page.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(stream) => stream.body.size_hint(),
        }
    }
}
