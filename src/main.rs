//! Parses, runs, exits.
#![forbid(unsafe_code)]

fn main() {}
