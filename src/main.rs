//! Parses, runs, exits.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use towpath::cli::{self, Hooks, Leftovers};

fn main() -> ExitCode {
    // The server, the ingress and the shim are connected here as they are built; until then they fail.
    cli::main(Hooks {
        up: |_| ExitCode::FAILURE,
        ingress: |_| ExitCode::FAILURE,
        shim: |_| ExitCode::FAILURE,
        stop_leftovers: |_| Ok(Leftovers::default()),
    })
}
