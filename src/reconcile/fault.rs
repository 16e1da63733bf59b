//! Points at which a debug build ends itself as `kill -9` would, or panics as a bug would, when a test asks for one: so
//! that faults at every step of every operation can be enumerated instead of sampled. A release build has none of it.

use super::core::Core;
use crate::model::{OperationKind, Step};

/// The variable that names the point of a crash: `<KIND>/<step>/<moment>`, for example `CREATE_SERVICE/build/entered`.
pub const CRASH: &str = "TOWPATH_FAULT_AT";
/// The variable that names the point of a panic, in the same way.
pub const PANIC: &str = "TOWPATH_PANIC_AT";

/// Moments of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The intent is written, nothing is done yet.
    Entered,
    /// All is done, the result is not written yet.
    Done,
}

/// Ends the process or panics here if this is the point that was asked for.
pub fn here(core: &Core, kind: OperationKind, step: Step, moment: Moment) {
    if !cfg!(debug_assertions) {
        return;
    }
    let asked = |variable: &str| core.config.environment.get(variable);
    let (crash, panic) = (asked(CRASH), asked(PANIC));
    if crash.is_none() && panic.is_none() {
        return;
    }
    let here = point(kind, step, moment);
    if crash.is_some_and(|wanted| wanted.reveal() == here) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    assert!(panic.is_none_or(|wanted| wanted.reveal() != here), "a test asked for a panic at {here}");
}

fn point(kind: OperationKind, step: Step, moment: Moment) -> String {
    let name = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let moment = if moment == Moment::Entered { "entered" } else { "done" };
    format!("{}/{}/{moment}", name(serde_json::to_value(kind)), name(serde_json::to_value(step)))
}
