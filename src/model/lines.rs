//! How lower rooms hand log lines up.

/// Who wrote a line of a deployment log (row O1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineSource {
    /// towpath itself: `[AppRunner]`.
    AppRunner,
    /// The build commands' output: `[Build]`.
    Build,
    /// The release command's output: `[Release]`.
    Release,
}

impl LineSource {
    /// The prefix of the line.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::AppRunner => "[AppRunner]",
            Self::Build => "[Build]",
            Self::Release => "[Release]",
        }
    }
}

/// Takes lines as they are produced. Must not block for long; bounding is the sink's business.
pub trait LineSink: Send + Sync {
    /// Takes one line, without its line end.
    fn line(&self, source: LineSource, text: &str);
}
