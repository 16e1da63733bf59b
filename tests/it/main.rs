//! The integration tests: one binary, a module per room.

mod desired;
