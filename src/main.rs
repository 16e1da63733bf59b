//! Parses, runs, exits.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use towpath::ingress::{self, IngressArgs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("ingress") => ingress(&words[1..]),
        _ => ExitCode::from(64),
    }
}

fn ingress(words: &[String]) -> ExitCode {
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str| value(name).and_then(|text| text.parse::<u32>().ok());
    let Some(dir) = value("--dir") else { return ExitCode::from(64) };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let cores = number("--cores").and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let args = IngressArgs { dir: dir.into(), cores, user: number("--uid").zip(number("--gid")) };
    match ingress::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                eprintln!("caused by: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}
