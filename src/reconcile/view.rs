//! What is under way, drawn below the lines of `towpath up` on a terminal: an operation a line, and a line that counts services.
//!
//! One region per process, behind a lock: whoever writes to the terminal meanwhile (the process' own log) writes above it.

use super::core::Core;
use super::steps;
use crate::cli::Tone;
use crate::cli::live::{self, Region, Size};
use crate::cli::progress::{Act, Stage, lines, step_word};
use crate::model::{Operation, OperationKind, OperationStatus, ServiceStatus};
use crate::telemetry::Stream;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often time goes on in the view.
pub const TICK: Duration = Duration::from_millis(250);
/// How long the terminal is left alone after it was drawn on.
pub const REST: Duration = Duration::from_millis(100);
/// How often the newest lines of logs are read.
const LOG_PAUSE: Duration = Duration::from_secs(1);
/// Operations whose logs are read.
const MOST_LOGS: usize = 16;

static REGION: Mutex<Option<Region>> = Mutex::new(None);

fn region() -> MutexGuard<'static, Option<Region>> {
    REGION.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The view of one `towpath up`.
pub struct View {
    color: bool,
    /// The newest line of each operation's log, and when they were read.
    lines: Vec<(String, String)>,
    looked: Option<Instant>,
}

impl View {
    /// An empty view: nothing is drawn yet.
    pub fn new(color: bool) -> Self {
        *region() = Some(Region::default());
        Self { color, lines: Vec::new(), looked: None }
    }

    /// Prints lines that stay, and draws what is under way now below them.
    pub async fn show(&mut self, core: &Core, said: &str) {
        let operations = under_way(core);
        self.read_logs(core, &operations).await;
        let size = Size::of_stdout();
        let drawn = self.lines_of(core, &operations, size);
        let mut region = region();
        let Some(region) = region.as_mut() else { return };
        let above = if said.is_empty() { String::new() } else { region.above(said, size) };
        live::write(io::stdout(), &(above + &region.frame(&drawn, size)));
    }

    async fn read_logs(&mut self, core: &Core, operations: &[(String, Operation)]) {
        if self.looked.is_some_and(|at| at.elapsed() < LOG_PAUSE) {
            return;
        }
        self.looked = Some(Instant::now());
        let mut newest = Vec::new();
        for (_, operation) in operations.iter().filter(|(_, o)| o.step.is_some()).take(MOST_LOGS) {
            // A log that cannot be read has no line to show.
            let tail = core.logs.tail(&operation.service, &Stream::of(operation), 1).await.unwrap_or_default();
            newest.extend(tail.into_iter().map(|line| (operation.id.to_string(), line.text)));
        }
        self.lines = newest;
    }

    fn lines_of(&self, core: &Core, operations: &[(String, Operation)], size: Size) -> Vec<String> {
        let acts: Vec<Act> = operations.iter().map(|(name, operation)| self.act(name, operation)).collect();
        let paint = |tone: Tone, text: &str| self.paint(tone, text);
        let mut drawn = lines(&acts, core.now(), size.columns, &paint);
        drawn.extend(counts(core, acts.len()).map(|text| self.paint(Tone::Quiet, &format!("  {text}"))));
        drawn
    }

    fn act(&self, name: &str, operation: &Operation) -> Act {
        let own = self.lines.iter().filter(|(id, _)| *id == operation.id.as_str());
        Act {
            name: name.to_owned(),
            noun: noun(operation),
            stage: stage(operation),
            since: operation.started_at.unwrap_or(operation.created_at),
            lines: own.map(|(_, line)| line.clone()).collect(),
        }
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        tone.paint(text, self.color)
    }
}

/// Operations that are not over, the oldest first, with the names of their services.
fn under_way(core: &Core) -> Vec<(String, Operation)> {
    let state = core.state();
    let named = |o: &Operation| Some((state.world.services.get(&o.service)?.name.to_string(), o.clone()));
    let mut open: Vec<(String, Operation)> = state.world.open_operations().filter_map(named).collect();
    open.sort_by_key(|(_, operation)| operation.created_at);
    open
}

/// `3 services: 2 running, 1 paused`; nothing while there is none.
fn counts(core: &Core, under_way: usize) -> Option<String> {
    let state = core.state();
    let live = state.world.services.values().filter(|record| record.deleted_at.is_none());
    let statuses: Vec<ServiceStatus> = live.map(|r| r.status(state.world.open_operation(&r.id))).collect();
    let count = |status: ServiceStatus| statuses.iter().filter(|s| **s == status).count();
    let failed = count(ServiceStatus::CreateFailed) + count(ServiceStatus::DeleteFailed);
    let parts = [
        (count(ServiceStatus::Running), "running"),
        (under_way, "under way"),
        (count(ServiceStatus::Paused), "paused"),
        (failed, "failed"),
    ];
    let said: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let noun = if statuses.len() == 1 { "service" } else { "services" };
    (!said.is_empty()).then(|| format!("{} {noun}: {}", statuses.len(), said.join(", ")))
}

fn noun(operation: &Operation) -> &'static str {
    match operation.kind {
        OperationKind::CreateService => "creation",
        OperationKind::StartDeployment if operation.target.revision.is_some() => "rollback",
        OperationKind::StartDeployment => "deployment",
        OperationKind::UpdateService => "update",
        OperationKind::PauseService => "pause",
        OperationKind::ResumeService => "resumption",
        OperationKind::DeleteService => "deletion",
    }
}

fn stage(operation: &Operation) -> Stage {
    match (operation.status, operation.step) {
        (OperationStatus::RollbackInProgress, _) => Stage::GoingBack,
        (OperationStatus::InProgress, Some(step)) => {
            Stage::at(step, steps::sequence(operation.kind, &operation.target), step_word(step))
        }
        _ => Stage::Queued,
    }
}

/// Ends the view: what is printed next stands where it was.
pub fn end() {
    if let Some(mut region) = region().take() {
        live::write(io::stdout(), &region.end(Size::of_stdout()));
    }
}

/// Where the process' own log goes: standard error, above the view where both are one terminal.
pub fn log_writer() -> impl Write {
    LogWriter
}

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut region = region();
        match region.as_mut().filter(|_| io::stderr().is_terminal()) {
            Some(region) => {
                let text = String::from_utf8_lossy(bytes);
                live::write(io::stderr(), &region.above(&text, Size::of_stdout()));
            }
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
