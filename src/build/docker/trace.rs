//! BuildKit's progress as the Engine API carries it: in each `moby.buildkit.trace` line, base64 of a protocol buffers
//! message `moby.buildkit.v1.StatusResponse`. Four fields of it are needed, so it is read here by hand.
//!
//! The wire format: <https://protobuf.dev/programming-guides/encoding/>. Damaged input ends the reading, it never panics.

/// A step of the build, as far as it is known at that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Vertex {
    pub digest: String,
    /// `[4/7] RUN …`.
    pub name: String,
    /// Its result was there already.
    pub cached: bool,
    pub started: bool,
    pub completed: bool,
    /// Why it failed; empty while it did not.
    pub error: String,
}

/// Some output of a step; not necessarily whole lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Output {
    pub vertex: String,
    /// 1 or 2, as descriptors are numbered: each has lines of its own.
    pub stream: u64,
    pub bytes: Vec<u8>,
}

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub vertexes: Vec<Vertex>,
    pub outputs: Vec<Output>,
}

impl Status {
    /// Reads a message as far as it is whole.
    pub fn read(bytes: &[u8]) -> Self {
        let mut status = Self::default();
        for (number, value) in Fields(bytes) {
            match (number, value) {
                (1, Value::Bytes(bytes)) => status.vertexes.push(vertex(bytes)),
                (3, Value::Bytes(bytes)) => status.outputs.push(output(bytes)),
                _ => {}
            }
        }
        status
    }
}

fn vertex(bytes: &[u8]) -> Vertex {
    let mut vertex = Vertex::default();
    for (number, value) in Fields(bytes) {
        match (number, value) {
            (1, Value::Bytes(bytes)) => vertex.digest = text(bytes),
            (3, Value::Bytes(bytes)) => vertex.name = text(bytes),
            (4, Value::Number(n)) => vertex.cached = n != 0,
            (5, Value::Bytes(_)) => vertex.started = true,
            (6, Value::Bytes(_)) => vertex.completed = true,
            (7, Value::Bytes(bytes)) => vertex.error = text(bytes),
            _ => {}
        }
    }
    vertex
}

fn output(bytes: &[u8]) -> Output {
    let mut output = Output::default();
    for (number, value) in Fields(bytes) {
        match (number, value) {
            (1, Value::Bytes(bytes)) => output.vertex = text(bytes),
            (3, Value::Number(n)) => output.stream = n,
            (4, Value::Bytes(bytes)) => output.bytes = bytes.to_vec(),
            _ => {}
        }
    }
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of one message, in order.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_of_a_real_build_is_read() {
        // As Docker Engine 20.10 sends them, texts shortened.
        let message = b"\n\x3d\n\x03abc\x12\x03def\x1a\x11[build 5/5] RUN x*\x0c\x08\x8f\xd2\x8b\xd8\x06\x10\xac\xdf\xe9\xa4\x02:\x10exit code: 1 yes\
            \x1a\x15\n\x03abc\x18\x01\"\x0cwith cache\n!";
        let status = Status::read(message);
        assert_eq!(status.vertexes[0].name, "[build 5/5] RUN x");
        assert_eq!(status.vertexes[0].error, "exit code: 1 yes");
        assert!(status.vertexes[0].started && !status.vertexes[0].completed && !status.vertexes[0].cached);
        assert_eq!(
            status.outputs,
            [Output { vertex: "abc".into(), bytes: b"with cache\n!".to_vec(), ..status.outputs[0].clone() }]
        );
    }

    proptest! {
        #[test]
        fn damaged_messages_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            Status::read(&bytes);
        }
    }
}
