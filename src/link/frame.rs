//! The framing: a big-endian `u32` length, then that many bytes of JSON. Pure; untrusted input.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest body of a frame, in bytes: the full state of some ten thousand services.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;
const PREFIX: usize = 4;

/// What is wrong with a stream of frames. After it the stream is of no use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A length prefix, or a message to be sent, is over [`MAX_FRAME`].
    #[error("a frame of {0} bytes is over the limit of {MAX_FRAME}")]
    TooLarge(usize),
    /// A body is not the message that was expected.
    #[error("a frame does not hold a message of this protocol")]
    Malformed(#[source] serde_json::Error),
}

/// A message as the bytes of one frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; PREFIX];
    serde_json::to_writer(&mut bytes, message).map_err(FrameError::Malformed)?;
    let length = bytes.len() - PREFIX;
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME).ok_or(FrameError::TooLarge(length))?;
    bytes[..PREFIX].copy_from_slice(&prefix.to_be_bytes());
    Ok(bytes)
}

/// Collects bytes as they come and gives the messages among them.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, `None` when more bytes are needed. An oversized length is an error before its body comes.
    pub fn pop<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let pending = &self.buffer[self.start..];
        let Some(prefix) = pending.first_chunk::<PREFIX>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(FrameError::TooLarge(length));
        }
        let Some(body) = pending.get(PREFIX..PREFIX + length) else { return Ok(None) };
        let message = serde_json::from_slice(body).map_err(FrameError::Malformed)?;
        self.start += PREFIX + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_messages_survive_any_cutting_of_the_stream(
            messages in prop::collection::vec(".{0,60}", 0..12),
            cuts in prop::collection::vec(1usize..40, 1..40),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|m| encode(m).unwrap()).collect();
            let mut decoder = Decoder::default();
            let mut seen: Vec<String> = Vec::new();
            let mut rest = stream.as_slice();
            for size in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, tail) = rest.split_at((*size).min(rest.len()));
                rest = tail;
                decoder.push(piece);
                while let Some(message) = decoder.pop().unwrap() { seen.push(message); }
            }
            prop_assert_eq!(seen, messages);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic_or_hang(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            for _ in 0..bytes.len() + 1 {
                if !matches!(decoder.pop::<u64>(), Ok(Some(_))) { break; }
            }
        }
    }

    #[test]
    fn an_oversized_length_is_refused_before_its_body_arrives() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_be_bytes());
        assert!(matches!(decoder.pop::<String>(), Err(FrameError::TooLarge(_))));
    }

    #[test]
    fn an_oversized_message_is_not_encoded() {
        assert!(matches!(encode(&"a".repeat(MAX_FRAME)), Err(FrameError::TooLarge(_))));
    }
}
