//! From an engine's records to lines. Docker has a record for each line, cut after 16 KiB. Podman has one for each piece that its
//! monitor read from the application, without a line end where more of the line follows; it may put an error among them,
//! outside of any record, when the container goes at that moment.

use super::logfile::{stamp, stamped};
use bollard::container::LogOutput;

/// A longer line is cut.
const LONGEST: usize = 16 << 10;

/// What a record is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The end of this line, without its line end.
    Line(Vec<u8>),
    /// A piece of a line that goes on.
    Piece,
    /// Nothing that the container said.
    Error,
}

/// Reads the records of one container.
#[derive(Debug)]
pub(super) struct Records {
    pieces: bool,
    /// What is there of a line: of the output, and of the error output.
    open: [Vec<u8>; 2],
}

impl Records {
    /// Docker's.
    pub fn whole() -> Self {
        Self { pieces: false, open: Default::default() }
    }

    /// Podman's.
    pub fn in_pieces() -> Self {
        Self { pieces: true, ..Self::whole() }
    }

    pub fn take(&mut self, output: LogOutput) -> Record {
        let (unframed, error_output) =
            (matches!(output, LogOutput::Console { .. }), matches!(output, LogOutput::StdErr { .. }));
        let bytes = output.into_bytes();
        if !self.pieces {
            return Record::Line(line(&bytes));
        }
        if unframed && is_error(&bytes) {
            return Record::Error;
        }
        let open = &mut self.open[usize::from(error_output)];
        let piece = bytes.strip_suffix(b"\n");
        extend(open, piece.unwrap_or(&bytes));
        if piece.is_none() && open.len() < LONGEST {
            return Record::Piece;
        }
        Record::Line(line(&std::mem::take(open)))
    }

    /// Lines that have no end yet.
    pub fn unended(&mut self) -> Vec<Vec<u8>> {
        let open = std::mem::take(&mut self.open);
        open.iter().filter(|open| !open.is_empty()).map(|open| line(open)).collect()
    }
}

/// The time of a line is that of its first piece.
fn extend(open: &mut Vec<u8>, piece: &[u8]) {
    let known = if open.is_empty() { 0 } else { (stamp(piece).len() + 1).min(piece.len()) };
    open.extend_from_slice(&piece[known..]);
}

fn line(bytes: &[u8]) -> Vec<u8> {
    stamped(bytes.trim_ascii_end()).into_owned()
}

/// Whether this is Podman's answer to a request that failed. What a container says begins with its time.
fn is_error(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes)
        .is_ok_and(|json| json["response"].is_u64() && json["message"].is_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(text: &str) -> LogOutput {
        LogOutput::StdOut { message: text.to_owned().into() }
    }

    fn said(record: Record) -> String {
        let Record::Line(line) = record else { return format!("{record:?}") };
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn pieces_of_podman_are_one_line_with_the_time_of_the_first() {
        let mut records = Records::in_pieces();
        let error = LogOutput::StdErr { message: "2026-11-27T01:32:36Z err\n".into() };
        assert_eq!(records.take(out("2026-11-27T01:32:35Z Loading ")), Record::Piece);
        assert_eq!(
            said(records.take(error)),
            "2026-11-27T01:32:36.000000000Z err",
            "the other stream has lines of its own"
        );
        assert_eq!(records.take(out("2026-11-27T01:32:38Z it")), Record::Piece);
        assert_eq!(
            said(records.take(out("2026-11-27T01:32:39Z  … done\n"))),
            "2026-11-27T01:32:35.000000000Z Loading it … done"
        );
        assert_eq!(said(records.take(out("2026-11-27T01:32:40Z \n"))), "2026-11-27T01:32:40.000000000Z");
        assert_eq!(records.take(out("2026-11-27T01:32:41Z no end")), Record::Piece);
        assert_eq!(records.unended(), [b"2026-11-27T01:32:41.000000000Z no end"]);
        assert_eq!(records.unended(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_line_without_end_is_cut_where_docker_cuts_it() {
        let mut records = Records::in_pieces();
        let piece = format!("2026-11-27T01:32:35Z {}", "x".repeat(8000));
        assert_eq!((records.take(out(&piece)), records.take(out(&piece))), (Record::Piece, Record::Piece));
        assert_eq!(said(records.take(out(&piece))).matches('x').count(), 24_000);
        assert_eq!(records.unended(), Vec::<Vec<u8>>::new());
    }

    /// As Podman 4.3.1 says it in a stream that was begun when the container went.
    #[test]
    fn an_error_among_podmans_records_is_no_output() {
        const ERROR: &str = r#"{"cause":"container has already been removed","message":"failed to obtain logs for Container 's1': container has already been removed","response":500}"#;
        let raw = |text: &str| LogOutput::Console { message: format!("{text}\n").into() };
        assert_eq!(Records::in_pieces().take(raw(ERROR)), Record::Error);
        let printed = format!("2026-11-27T01:32:35.000000000Z {ERROR}");
        assert_eq!(
            said(Records::in_pieces().take(out(&format!("{printed}\n")))),
            printed,
            "an application may print the same"
        );
        assert_eq!(said(Records::in_pieces().take(raw(&printed))), printed, "on a terminal too");
    }

    #[test]
    fn each_record_of_docker_is_a_line() {
        let mut records = Records::whole();
        assert_eq!(said(records.take(out("2026-11-22T13:06:13.513325559Z a\r\n"))), "2026-11-22T13:06:13.513325559Z a");
        assert_eq!(
            said(records.take(out("2026-11-22T13:06:13.513325560Z no end"))),
            "2026-11-22T13:06:13.513325560Z no end"
        );
        assert_eq!(records.unended(), Vec::<Vec<u8>>::new());
    }
}
