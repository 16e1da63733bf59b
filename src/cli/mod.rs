//! Commands and how they print.

pub mod problems;
