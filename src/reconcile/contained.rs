//! Work whose panic must not take down what waits for it: a bug costs one operation, one healing or one pass, never the
//! control plane, and never hangs a service.

use futures_util::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;

/// Does the work; the error is what a panic in it said.
///
/// What the work shares survives a panic unharmed: the state's lock is not held over more than single assignments, and a
/// transaction that does not come to its end changes neither store nor memory.
pub async fn contained<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_words() {
        assert_eq!(contained(async { 7 }).await, Ok(7));
        assert_eq!(contained(async { panic!("bad {}", 3) }).await, Err::<(), _>("bad 3".to_owned()));
        assert_eq!(contained(async { panic!("bad") }).await, Err::<(), _>("bad".to_owned()));
    }
}
