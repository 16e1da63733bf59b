//! The error page: which service, which request, what happened. HTML for browsers, text for everyone else.

use super::failure::Failure;
use super::headers::X_REQUEST_ID;
use super::reply::Reply;
use crate::model::ServiceName;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response};

/// Whether `Accept` names HTML, as browsers do first.
pub(super) fn wants_html(accept: Option<&HeaderValue>) -> bool {
    accept.and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("text/html"))
}

/// The answer for a failed request.
pub(super) fn render(
    failure: &Failure,
    service: Option<&ServiceName>,
    id: &HeaderValue,
    accept: Option<&HeaderValue>,
) -> Response<Reply> {
    let html = wants_html(accept);
    let body = if html { as_html(failure, service, id) } else { as_text(failure, service, id) };
    let mut response = Response::new(Reply::page(body));
    *response.status_mut() = failure.status();
    let headers = response.headers_mut();
    let kind = if html { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_REQUEST_ID, id.clone());
    if let Some(seconds) = failure.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn as_text(failure: &Failure, service: Option<&ServiceName>, id: &HeaderValue) -> String {
    let mut text = format!("{}\n{}\n", failure.status(), failure.sentence());
    if let Some(name) = service {
        text += &format!("service: {name}\n");
    }
    text + &format!("request: {}\n", id.to_str().unwrap_or(""))
}

fn as_html(failure: &Failure, service: Option<&ServiceName>, id: &HeaderValue) -> String {
    let title = escape(&failure.status().to_string());
    let service = service.map(|name| format!("<dt>Service</dt><dd>{}</dd>", escape(name.as_str()))).unwrap_or_default();
    let id = escape(id.to_str().unwrap_or(""));
    let sentence = escape(failure.sentence());
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>body{{font:1rem/1.5 system-ui,sans-serif;\
         max-width:40rem;margin:4rem auto;padding:0 1rem}}dt{{font-weight:600}}dd{{margin:0 0 .5rem}}</style>\
         <h1>{title}</h1><p>{sentence}</p><dl>{service}<dt>Request</dt><dd>{id}</dd></dl></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_which_service_which_request_and_when_to_try_again() {
        let failure = Failure::Unavailable("The service is <paused>.".to_owned());
        let name = "shop".parse().unwrap();
        let (id, accept) = (HeaderValue::from_static("abc"), HeaderValue::from_static("text/html,*/*"));
        let html = as_html(&failure, Some(&name), &id);
        for part in ["503 Service Unavailable", "&lt;paused&gt;", "<dd>shop</dd>", "<dd>abc</dd>"] {
            assert!(html.contains(part), "{part} in {html}");
        }
        let response = render(&failure, Some(&name), &id, Some(&accept));
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(response.headers()["retry-after"], "10");
        assert_eq!(render(&failure, None, &id, None).headers()["content-type"], "text/plain; charset=utf-8");
    }
}
