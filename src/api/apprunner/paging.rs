//! `MaxResults` and `NextToken`: pages of a list, with tokens that are opaque and cannot be altered.
//!
//! A token says after which key the next page begins, and carries a MAC over operation, parameters and key: one of another
//! list, of other parameters, or made up is refused. A list that changed meanwhile goes on where it was, since keys are
//! ordered.

use super::input::Input;
use crate::api::control::Refusal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// How many bytes of the MAC a token carries.
const MAC_BYTES: usize = 16;

/// One page of a list.
pub(super) struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// What asks for the next page; `None` on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The answer: the list under its name, and the token where there is more.
    pub fn answer(self, list: &str, show: impl Fn(T) -> Value) -> Value {
        let mut answer = serde_json::Map::new();
        answer.insert(list.into(), self.items.into_iter().map(show).collect());
        if let Some(next) = self.next {
            answer.insert("NextToken".into(), next.into());
        }
        Value::Object(answer)
    }
}

/// Cuts the page out of a list that the request asks for. The list is in the order of its keys.
///
/// # Errors
/// `InvalidRequest` for a token that is not of this list with these parameters.
pub(super) fn page<T>(
    secret: &[u8; 32],
    input: &Input,
    items: Vec<T>,
    key: impl Fn(&T) -> String,
) -> Result<Page<T>, Refusal> {
    let size = input.integer("MaxResults").map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(1));
    let start = match input.text("NextToken") {
        None => 0,
        Some(token) => {
            let last = open(secret, input, token).ok_or_else(foreign)?;
            items.partition_point(|item| key(item) <= last)
        }
    };
    let mut rest: Vec<T> = items.into_iter().skip(start).collect();
    let more = rest.len() > size;
    rest.truncate(size);
    let next = rest.last().filter(|_| more).map(|last| seal(secret, input, &key(last)));
    Ok(Page { items: rest, next })
}

/// The page of a list that is kept in the order of its items' names: `after` gives those after a name, or the first, and no more
/// than so many.
///
/// # Errors
/// As [`page`].
pub(super) fn page_by_name<T>(
    secret: &[u8; 32],
    input: &Input,
    after: impl FnOnce(Option<&str>, usize) -> Vec<T>,
    name: impl for<'t> Fn(&'t T) -> &'t str,
) -> Result<Page<T>, Refusal> {
    let size = input.integer("MaxResults").map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(1));
    let last = input.text("NextToken").map(|token| open(secret, input, token).ok_or_else(foreign)).transpose()?;
    let mut rest = after(last.as_deref(), size.saturating_add(1));
    let more = rest.len() > size;
    rest.truncate(size);
    let next = rest.last().filter(|_| more).map(|last| seal(secret, input, name(last)));
    Ok(Page { items: rest, next })
}

fn foreign() -> Refusal {
    let message = "`NextToken` is not one that this operation gave with these parameters: send it with the parameters of \
        the first request, or begin again without it";
    Refusal::InvalidRequest(message.into())
}

fn seal(secret: &[u8; 32], input: &Input, key: &str) -> String {
    let mut bytes = mac(secret, input, key).to_vec();
    bytes.extend_from_slice(key.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn open(secret: &[u8; 32], input: &Input, token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (given, key) = bytes.split_at_checked(MAC_BYTES)?;
    let key = std::str::from_utf8(key).ok()?;
    let wanted = mac(secret, input, key);
    // All bytes are looked at: the time taken tells nothing of the first one that differs.
    let differing = given.iter().zip(wanted).fold(0, |all, (a, b)| all | (a ^ b));
    (differing == 0).then(|| key.to_owned())
}

fn mac(secret: &[u8; 32], input: &Input, key: &str) -> [u8; MAC_BYTES] {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return [0; MAC_BYTES] };
    for part in [input.operation(), &input.parameters(), key] {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part.as_bytes());
    }
    let whole = mac.finalize().into_bytes();
    std::array::from_fn(|at| whole[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: [u8; 32] = [7; 32];

    fn input(operation: &'static str, value: Value) -> Input {
        Input::new(operation, value)
    }

    fn walk(size: usize, changed: impl Fn(usize) -> Vec<&'static str>) -> Vec<Vec<&'static str>> {
        let (mut pages, mut token) = (Vec::new(), None);
        loop {
            let mut asked = json!({ "MaxResults": size });
            if let Some(token) = token {
                asked["NextToken"] = Value::String(token);
            }
            let items = changed(pages.len());
            let page = page(&KEY, &input("ListServices", asked), items, |i| (*i).to_owned()).unwrap();
            pages.push(page.items);
            token = page.next;
            if token.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_cover_a_list_once_and_the_last_has_no_token() {
        let all = |_| vec!["a", "b", "c", "d", "e"];
        assert_eq!(walk(2, all), [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
        assert_eq!(walk(5, all), [all(0)]);
    }

    #[test]
    fn pages_by_name_are_those_of_the_ordered_list() {
        let all = |last: Option<&str>, most: usize| -> Vec<&str> {
            let all = ["a", "b", "c", "d", "e"].into_iter();
            all.filter(|name| last.is_none_or(|last| *name > last)).take(most).collect()
        };
        let (mut seen, mut asked) = (Vec::new(), json!({ "MaxResults": 2 }));
        loop {
            let page = page_by_name(&KEY, &input("ListServices", asked.clone()), all, |i| i).unwrap();
            seen.push(page.items);
            let Some(token) = page.next else { break };
            asked["NextToken"] = token.into();
        }
        assert_eq!(seen, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
        let made_up = json!({ "NextToken": "x" });
        assert!(page_by_name(&KEY, &input("ListServices", made_up), all, |i| i).is_err());
    }

    #[test]
    fn a_list_that_loses_the_last_item_shown_goes_on_after_it() {
        let shrinking = |page| if page == 0 { vec!["a", "b", "c"] } else { vec!["a", "c"] };
        assert_eq!(walk(2, shrinking), [vec!["a", "b"], vec!["c"]]);
    }

    #[test]
    fn a_token_of_another_operation_parameter_or_key_and_an_altered_one_are_refused() {
        let first = page(&KEY, &input("ListConnections", json!({ "MaxResults": 1 })), vec!["a", "b"], |i| (*i).into());
        let token = first.unwrap().next.unwrap();
        let ask = |key: &[u8; 32], operation, mut parameters: Value, token: &str| {
            parameters["NextToken"] = token.into();
            page(key, &input(operation, parameters), vec!["a", "b"], |i| (*i).into()).map(|p| p.items)
        };
        assert_eq!(ask(&KEY, "ListConnections", json!({ "MaxResults": 1 }), &token).unwrap(), ["b"]);
        assert!(ask(&KEY, "ListServices", json!({ "MaxResults": 1 }), &token).is_err());
        assert!(ask(&KEY, "ListConnections", json!({ "MaxResults": 2 }), &token).is_err());
        assert!(ask(&KEY, "ListConnections", json!({ "MaxResults": 1, "ConnectionName": "x" }), &token).is_err());
        assert!(ask(&[8; 32], "ListConnections", json!({ "MaxResults": 1 }), &token).is_err());
        for at in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(ask(&KEY, "ListConnections", json!({ "MaxResults": 1 }), &altered).is_err(), "{altered}");
        }
        for made_up in ["", "x", "not-a-token", "bm9wZQ=="] {
            assert!(ask(&KEY, "ListConnections", json!({}), made_up).is_err(), "{made_up}");
        }
    }
}
