//! The integration tests: one binary, a module per room.

mod git_source;
