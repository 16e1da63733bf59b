//! The doors of the processes: what `main` calls for `up`, `ingress`, `shim`, and for what a control plane left behind.

use super::{down, up};
use crate::cli::Leftovers;
use crate::ingress::IngressArgs;
use crate::settings::UpSettings;
use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// `towpath up`.
pub fn up(settings: UpSettings) -> ExitCode {
    log_to_stderr();
    keep_memory_small();
    // libgit2's options and certificates belong to the process: set before there are threads.
    if let Err(message) = crate::source::prepare() {
        return fail(&std::io::Error::other(message), None);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, None),
    };
    let result = runtime.block_on(up::run(settings));
    // Threads that still hang in a blocking call must not keep the process from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.hint()),
    }
}

/// `towpath ingress --dir DIR --cores N [--uid N --gid N]`, started by the control plane.
pub fn ingress(words: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = words.into_iter().filter_map(|w| w.into_string().ok()).collect();
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str| value(name).and_then(|text| text.parse::<u32>().ok());
    let Some(dir) = value("--dir") else {
        eprintln!("error: `towpath ingress` is started by `towpath up`, not by hand");
        return ExitCode::from(64);
    };
    log_to_stderr();
    let cores = number("--cores").and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let args = IngressArgs { dir: dir.into(), cores, user: number("--uid").zip(number("--gid")) };
    match crate::ingress::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, None),
    }
}

/// `towpath shim DIR`, started by the process engine.
pub fn shim(words: Vec<OsString>) -> ExitCode {
    let Some(dir) = words.first() else {
        eprintln!("error: `towpath shim` is started by the process engine, not by hand");
        return ExitCode::from(64);
    };
    let code = match (dir.to_str(), words.get(1)) {
        // Between a shim and its application, see `host::jail`.
        (Some("enter"), None) => crate::host::jail::enter::run(),
        (Some("probe"), Some(place)) => crate::host::jail::probe::run(place.as_ref()),
        _ => crate::engine::process::shim::run(dir.as_ref()),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Stops an ingress and instances that run on a data directory without a control plane.
///
/// # Errors
/// What could not be stopped, or could not be looked at.
pub fn stop_leftovers(data_dir: &Path) -> Result<Leftovers, Box<dyn Error + Send + Sync>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(down::leftovers(data_dir)).map_err(|error| match error {
        // As it is: a command tells a directory that is still locked from other failures.
        up::UpError::DataDir(error) => error.into(),
        error => error.into(),
    })
}

/// Small pages for this process and for the ingress and shims that it starts: they inherit it. The allocator asks for huge
/// ones where the kernel grants them on request, and then a shim with 300 kB of heap holds 6 MB. Applications get
/// the kernel's own setting back from their shim.
fn keep_memory_small() {
    // A kernel without huge pages refuses, and needs nothing.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_new(crate::settings::log_filter());
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A second subscriber is refused: the first one stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(super::view::log_writer)
        .with_ansi(false)
        .try_init();
}

fn fail(error: &(dyn Error + 'static), hint: Option<String>) -> ExitCode {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("caused by: {error}");
        cause = error.source();
    }
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}
