//! One test binary: a module per room.

mod engine_contract;
mod process_build;
mod process_engine;
