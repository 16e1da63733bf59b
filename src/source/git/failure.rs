//! From what libgit2 says to a [`SourceError`]. libgit2 tells HTTP statuses and full disks apart by text only.

use super::SourceError;
use crate::model::RepositoryUrl;
use git2::{ErrorClass, ErrorCode};

/// What went wrong while working with a mirror.
#[derive(Debug)]
pub(super) enum Fault {
    /// The source, its contents or a limit; the mirror is fine.
    Source(SourceError),
    /// The mirror: full disk or damage.
    Mirror(git2::Error),
}

impl From<SourceError> for Fault {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<git2::Error> for Fault {
    fn from(error: git2::Error) -> Self {
        Self::Mirror(error)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Mirror(git2::Error::new(ErrorCode::GenericError, ErrorClass::Os, error.to_string()))
    }
}

impl Fault {
    /// The error, once nothing more is tried.
    pub(super) fn into_error(self, repository: &RepositoryUrl) -> SourceError {
        match self {
            Self::Source(error) => error,
            Self::Mirror(error) => mirror(repository, &error),
        }
    }
}

pub(super) fn mirror(repository: &RepositoryUrl, error: &git2::Error) -> SourceError {
    mirror_text(repository, error.message())
}

pub(super) fn mirror_text(repository: &RepositoryUrl, message: &str) -> SourceError {
    SourceError::Mirror { repository: repository.to_string(), message: plain(message, 300) }
}

/// An image is asked for elsewhere ([`crate::source::registry`]), and never comes here.
pub(super) fn no_repository(repository: &RepositoryUrl) -> SourceError {
    SourceError::Unsupported { repository: repository.to_string(), message: "it is an image".into() }
}

pub(in crate::source) fn transport_text(repository: &RepositoryUrl, message: &str) -> SourceError {
    let mut message = plain(message, 300);
    if ["certificate verify failed", "SSL certificate is invalid"].iter().any(|sign| message.contains(sign)) {
        message.push_str(" (`towpath up --ca-certificates FILE` adds an authority to those that are trusted)");
    }
    SourceError::Transport { repository: repository.to_string(), message }
}

pub(super) fn limit(repository: &RepositoryUrl, message: String) -> SourceError {
    SourceError::Limit { repository: repository.to_string(), message }
}

pub(super) fn tree(repository: &RepositoryUrl, message: String) -> SourceError {
    SourceError::Tree { repository: repository.to_string(), message }
}

/// Whether the disk or its quota is full, or it cannot be written: making the mirror anew would not help.
pub(super) fn is_full(error: &git2::Error) -> bool {
    const SIGNS: [&str; 4] =
        ["No space left on device", "Disk quota exceeded", "Read-only file system", "Permission denied"];
    SIGNS.iter().any(|sign| error.message().contains(sign))
}

/// An error of opening or asking the other side.
pub(super) fn transport(repository: &RepositoryUrl, error: &git2::Error) -> SourceError {
    let text = error.message();
    if is_absent(error) {
        return SourceError::NotFound { repository: repository.to_string() };
    }
    if text.contains("unsupported extension") || text.contains("object format") || text.contains("repository version") {
        return SourceError::Unsupported { repository: repository.to_string(), message: plain(text, 300) };
    }
    transport_text(repository, &readable(text))
}

/// No repository there, or none for us: servers hide private ones behind 401, 404 or a sign-in page.
fn is_absent(error: &git2::Error) -> bool {
    let text = error.message();
    let hidden = ["status code: 401", "status code: 404", "status code: 410", "invalid content-type: 'text/html"];
    match (error.code(), error.class()) {
        (ErrorCode::Auth, _) | (ErrorCode::NotFound, ErrorClass::Repository | ErrorClass::Os) => true,
        _ => hidden.iter().any(|sign| text.contains(sign)),
    }
}

/// libgit2's wording where it is not one for people.
fn readable(text: &str) -> String {
    match text.strip_prefix("unexpected http status code: ") {
        Some(status) => format!("the server answered with HTTP status {status}"),
        None => text.to_owned(),
    }
}

/// One line without control characters, cut at a number of characters: what others wrote goes to logs and terminals.
pub(in crate::source) fn plain(text: &str, longest: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(longest).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(code: ErrorCode, class: ErrorClass, text: &str) -> SourceError {
        let repository = "https://git.example/acme/hello".parse().unwrap();
        transport(&repository, &git2::Error::new(code, class, text))
    }

    #[test]
    fn what_servers_say_becomes_what_people_understand() {
        let generic = ErrorCode::GenericError;
        for text in ["unexpected http status code: 404", "unexpected http status code: 401"] {
            assert!(matches!(heard(generic, ErrorClass::Http, text), SourceError::NotFound { .. }), "{text}");
        }
        let auth = heard(ErrorCode::Auth, ErrorClass::Http, "remote authentication required but no callback set");
        assert!(matches!(auth, SourceError::NotFound { .. }));
        let page = heard(generic, ErrorClass::Http, "invalid content-type: 'text/html; charset=utf-8'");
        assert!(matches!(page, SourceError::NotFound { .. }));
        let busy = heard(generic, ErrorClass::Http, "unexpected http status code: 503").to_string();
        assert!(busy.ends_with("the server answered with HTTP status 503"), "{busy}");
    }

    #[test]
    fn text_of_others_carries_no_control_characters_and_ends_somewhere() {
        assert_eq!(plain("a\u{1b}[31mb\nsecond line", 100), "a[31mb");
        assert_eq!(plain(&"x".repeat(500), 300).len(), 300);
    }
}
