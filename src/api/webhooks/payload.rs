//! The repositories that a payload names. Nothing else of it is read: it is a hint.

use crate::model::RepositoryUrl;
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use std::borrow::Cow;

/// The payload as far as it is read, of all hosts together. A member of another shape than a host sends is an error.
#[derive(Debug, Default, Deserialize)]
struct Payload {
    #[serde(default)]
    repository: Option<Named>,
    /// GitLab's.
    #[serde(default)]
    project: Option<Named>,
}

#[derive(Debug, Default, Deserialize)]
struct Named {
    clone_url: Option<String>,
    ssh_url: Option<String>,
    html_url: Option<String>,
    git_http_url: Option<String>,
    git_ssh_url: Option<String>,
    web_url: Option<String>,
    links: Option<Links>,
}

/// Bitbucket's.
#[derive(Debug, Default, Deserialize)]
struct Links {
    html: Option<Link>,
}

#[derive(Debug, Default, Deserialize)]
struct Link {
    href: Option<String>,
}

/// The URLs of the repositories that a payload is about, as far as they are any.
///
/// # Errors
/// In words, for a payload that cannot be read or names no repository.
pub(super) fn repositories(headers: &HeaderMap, body: &[u8]) -> Result<Vec<RepositoryUrl>, String> {
    let json = json(headers, body)?;
    let payload: Payload = serde_json::from_slice(&json).map_err(|e| format!("the payload cannot be read: {e}"))?;
    let texts = payload.repository.into_iter().chain(payload.project).flat_map(Named::urls);
    let urls: Vec<RepositoryUrl> = texts.filter_map(|text| text.parse().ok()).collect();
    if urls.is_empty() {
        return Err("the payload names no repository: `repository.clone_url` is missing".into());
    }
    Ok(urls)
}

/// GitHub sends JSON, or a form whose field `payload` is JSON.
fn json<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, [u8]>, String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(body.into()),
        "application/x-www-form-urlencoded" => {
            let field = body.split(|b| *b == b'&').find_map(|field| field.strip_prefix(b"payload="));
            let field = field.ok_or("the form has no field `payload`")?;
            let plain: Vec<u8> = field.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
            Ok(crate::access::signature::percent_decoded(&plain).into())
        }
        other => Err(format!("`{}` is not a content type of webhooks: it is `application/json`", other.escape_debug())),
    }
}

impl Named {
    fn urls(self) -> impl Iterator<Item = String> {
        let link = self.links.and_then(|links| links.html).and_then(|html| html.href);
        let all =
            [self.clone_url, self.ssh_url, self.html_url, self.git_http_url, self.git_ssh_url, self.web_url, link];
        all.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(kind: &str, body: &str) -> Result<Vec<String>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        repositories(&headers, body.as_bytes()).map(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_host_names_its_repository_in_its_own_way() {
        for (body, expected) in [
            (r#"{"repository":{"clone_url":"https://github.com/a/b.git","id":1}}"#, "https://github.com/a/b.git"),
            (r#"{"project":{"git_http_url":"https://gitlab.com/a/b.git"}}"#, "https://gitlab.com/a/b.git"),
            (r#"{"repository":{"links":{"html":{"href":"https://bitbucket.org/a/b"}}}}"#, "https://bitbucket.org/a/b"),
            (r#"{"repository":{"ssh_url":"git@github.com:a/b.git","clone_url":"x"}}"#, "git@github.com:a/b.git"),
        ] {
            assert_eq!(named("application/json", body), Ok(vec![expected.to_owned()]), "{body}");
        }
    }

    #[test]
    fn a_form_carries_json_in_a_field() {
        let form = "payload=%7B%22repository%22%3A%7B%22clone_url%22%3A+%22https%3A%2F%2Fgithub.com%2Fa%2Fb%22%7D%7D";
        assert_eq!(named("application/x-www-form-urlencoded", form).unwrap(), ["https://github.com/a/b"]);
    }

    #[test]
    fn what_is_no_payload_is_refused_in_words() {
        for (kind, body) in [
            ("application/json", ""),
            ("application/json", "{"),
            ("application/json", "[]"),
            ("application/json", "{}"),
            ("application/json", r#"{"repository":"x"}"#),
            ("application/json", r#"{"repository":{"clone_url":["https://github.com/a/b"]}}"#),
            ("application/json", r#"{"repository":{"clone_url":"--upload-pack=touch x"}}"#),
            ("application/x-www-form-urlencoded", "x=1"),
            ("text/plain", "{}"),
        ] {
            assert!(named(kind, body).is_err(), "{kind} {body}");
        }
    }
}
