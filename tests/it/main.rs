//! One test binary: linking does not eat the day.
mod ingress;
