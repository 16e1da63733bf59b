//! `MaxResults` and `NextToken` (App Runner's model: without `MaxResults` everything comes in one answer).

use super::control::Refusal;

/// One page of a list.
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// What asks for the next page; `None` on the last.
    pub next: Option<String>,
}

/// Cuts a page out of a list. The token is the key of the last item handed out: a list that grew at its front meanwhile
/// goes on where it was.
///
/// # Errors
/// `InvalidRequest` for a `MaxResults` outside 1 to `most`, and for a token that is not of this list.
pub fn page<T>(
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    most: u32,
    max_results: Option<i64>,
    token: Option<&str>,
) -> Result<Page<T>, Refusal> {
    let size = match max_results {
        None => usize::MAX,
        Some(n) if (1..=i64::from(most)).contains(&n) => usize::try_from(n).unwrap_or(usize::MAX),
        Some(n) => return Err(Refusal::InvalidRequest(format!("`MaxResults` is 1 to {most}, not {n}"))),
    };
    let start = match token {
        None => 0,
        Some(token) => items
            .iter()
            .position(|item| key(item) == token)
            .map(|at| at + 1)
            .ok_or_else(|| Refusal::InvalidRequest("`NextToken` is not one that this list gave".into()))?,
    };
    let mut rest: Vec<T> = items.into_iter().skip(start).collect();
    let more = rest.len() > size;
    rest.truncate(size);
    let next = if more { rest.last().map(&key) } else { None };
    Ok(Page { items: rest, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(max: i64) -> Vec<Vec<u32>> {
        let (mut pages, mut token) = (Vec::new(), None);
        loop {
            let items: Vec<u32> = (0..5).collect();
            let page = page(items, u32::to_string, 20, Some(max), token.as_deref()).unwrap();
            pages.push(page.items);
            token = page.next;
            if token.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_cover_a_list_once_and_the_last_has_no_token() {
        assert_eq!(walk(2), [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(walk(5), [vec![0, 1, 2, 3, 4]]);
    }

    #[test]
    fn a_size_out_of_range_and_a_foreign_token_are_refused() {
        for (max, token) in [(Some(0), None), (Some(21), None), (Some(-1), None), (None, Some("9"))] {
            assert!(matches!(page(vec![1, 2], u32::to_string, 20, max, token), Err(Refusal::InvalidRequest(_))));
        }
    }
}
