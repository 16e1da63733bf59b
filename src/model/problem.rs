//! Problems in files that people write: where, what, and what to do.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether a problem stops the use of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; the reader should know.
    Warning,
}

/// A place in a file; lines and columns count from 1, columns in characters. Line 0 is the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file as it was named by the user.
    pub file: String,
    /// The line, from 1; 0 where the file as a whole is meant (it cannot be read).
    pub line: u32,
    /// The column, from 1; 0 with line 0.
    pub column: u32,
}

impl Place {
    /// `file:line:column`, or the file alone.
    pub fn to_spot(&self) -> String {
        if self.line == 0 { self.file.clone() } else { format!("{}:{}:{}", self.file, self.line, self.column) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// One problem in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable word for the class of problem (`unknown-key`, `type`, `missing`, `runtime`, `shell`, …).
    pub class: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// How many characters to underline, at least 1.
    pub length: u32,
    /// What is wrong, literals in backticks.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The line of the file itself, for the rendering; bounded, and withheld where it may hold a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_line: Option<String>,
}

impl Problem {
    /// The problem in one line, for logs and events: `apprunner.yaml:3:5: error: …; hint: …`.
    pub fn one_line(&self) -> String {
        let place = self.place.to_spot();
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let hint = self.hint.as_ref().map(|h| format!("; hint: {h}")).unwrap_or_default();
        format!("{place}: {severity}: {}{hint}", self.message)
    }
}
