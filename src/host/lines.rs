//! Splits a stream of bytes into lines of a bounded length, so that output without line ends costs no memory.

/// Splits bytes at line ends, and at a maximum length where none comes.
#[derive(Debug)]
pub struct LineSplitter {
    partial: Vec<u8>,
    max: usize,
}

impl LineSplitter {
    /// Lines of at most `max` bytes (at least 8).
    pub fn new(max: usize) -> Self {
        Self { partial: Vec::new(), max: max.max(8) }
    }

    /// Takes some bytes and hands out every line that they complete, without its line end (LF or CR LF).
    pub fn feed(&mut self, mut bytes: &[u8], emit: &mut dyn FnMut(&[u8])) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|b| *b == b'\n');
            let (line, rest) = end.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 1..]));
            match end {
                Some(_) if self.partial.is_empty() => self.emit_whole(line, emit),
                Some(_) => {
                    self.partial.extend_from_slice(line);
                    self.finish_line(emit);
                }
                None => {
                    self.partial.extend_from_slice(line);
                    self.cut(emit);
                }
            }
            bytes = rest;
        }
    }

    /// Hands out what is left without a line end.
    pub fn finish(&mut self, emit: &mut dyn FnMut(&[u8])) {
        if !self.partial.is_empty() {
            self.finish_line(emit);
        }
    }

    fn finish_line(&mut self, emit: &mut dyn FnMut(&[u8])) {
        let line = std::mem::take(&mut self.partial);
        self.emit_whole(&line, emit);
    }

    fn emit_whole(&self, line: &[u8], emit: &mut dyn FnMut(&[u8])) {
        let mut rest = line.strip_suffix(b"\r").unwrap_or(line);
        while rest.len() > self.max {
            let (head, tail) = rest.split_at(boundary(rest, self.max));
            emit(head);
            rest = tail;
        }
        emit(rest);
    }

    /// Hands out full pieces of a line that has no end yet.
    fn cut(&mut self, emit: &mut dyn FnMut(&[u8])) {
        let mut start = 0;
        while self.partial.len() - start > self.max {
            let end = start + boundary(&self.partial[start..], self.max);
            emit(&self.partial[start..end]);
            start = end;
        }
        self.partial.drain(..start);
    }
}

/// Where to cut so that no UTF-8 character is torn: at most three bytes before `max`.
fn boundary(bytes: &[u8], max: usize) -> usize {
    (max - 3..=max).rev().find(|at| bytes[*at] & 0xc0 != 0x80).unwrap_or(max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(max: usize, chunks: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut lines) = (LineSplitter::new(max), Vec::new());
        let mut emit = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
        for chunk in chunks {
            splitter.feed(chunk, &mut emit);
        }
        splitter.finish(&mut emit);
        lines
    }

    #[test]
    fn lines_are_whole_however_the_bytes_arrive() {
        assert_eq!(split(80, &[b"one\ntw", b"o\r", b"\n\nthree"]), ["one", "two", "", "three"]);
    }

    #[test]
    fn an_endless_line_is_cut_between_characters() {
        let text = "ä".repeat(20);
        for line in split(9, &[text.as_bytes()]) {
            assert!(line.len() <= 9 && !line.contains('\u{fffd}'), "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_line_is_longer_than_the_limit(
            chunks in proptest::collection::vec(proptest::collection::vec(97u8..123, 0..40), 0..20),
        ) {
            let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let lines = split(16, &slices);
            prop_assert!(lines.iter().all(|l| l.len() <= 16));
            prop_assert_eq!(lines.concat().into_bytes(), chunks.concat());
        }
    }
}
