//! One test binary: linking does not eat the day.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop, in its helpers too")]

mod ingress;
