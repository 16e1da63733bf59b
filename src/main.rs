//! Parses, runs, exits.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use towpath::cli::{self, Hooks};
use towpath::reconcile::{doctor, entry, history};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(Hooks {
        up: entry::up,
        ingress: entry::ingress,
        shim: entry::shim,
        stop_leftovers: entry::stop_leftovers,
        examine: doctor::examine,
        manifest_at: history::manifest_at,
    })
}
