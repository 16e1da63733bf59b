//! What Docker says of a running build, as the few things a person wants to know: which command runs, its output, and
//! which one failed. Reads the messages of Docker's both builders; Podman's are read by `buildah`. Pure.

use super::buildah;
use super::recipe::Command;
use super::trace::{Status, Vertex};
use base64::Engine as _;
use std::collections::{BTreeMap, BTreeSet};

/// Output without a line end is cut into lines of this length.
const LONGEST_LINE: usize = 16 << 10;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A command of a phase runs now.
    Runs(Command),
    /// A command's result was there already.
    Cached(Command),
    /// A line of output.
    Line(String),
    /// The build failed: at a command, or else before.
    Failed { command: Option<Command>, message: String, code: Option<i64> },
}

/// What the steps of a build are.
pub(super) trait Steps: Sync {
    /// The command of the `n`th step (from 1) of the classic builder.
    fn classic(&self, n: usize) -> Option<&Command>;
    /// The command of a step of BuildKit by the name that it has there: `[4/7] RUN …`, `[builder 4/7] RUN …`.
    fn buildkit(&self, name: &str) -> Option<&Command>;
    /// The command of an instruction of Podman's builder, by its stage and its number there (from 1), and its text.
    fn buildah(&self, stage: usize, number: usize, instruction: &str) -> Option<&Command>;
}

/// Follows one build.
pub(super) struct Progress<'a> {
    steps: &'a dyn Steps,
    /// Output that waits for its line end, by step and stream.
    partial: BTreeMap<String, Vec<u8>>,
    /// Steps of BuildKit that were told.
    told: BTreeSet<String>,
    /// The command at which BuildKit saw an error.
    failed: Option<Command>,
    /// The classic builder's present step, and whether its command runs.
    step: usize,
    running: bool,
    /// The present instruction, where Podman builds.
    buildah: Option<buildah::Present>,
}

impl<'a> Progress<'a> {
    pub fn new(steps: &'a dyn Steps) -> Self {
        let (partial, told) = (BTreeMap::new(), BTreeSet::new());
        Self { steps, partial, told, failed: None, step: 0, running: false, buildah: None }
    }

    /// What one message tells. What cannot be read tells nothing.
    pub fn take(&mut self, message: &[u8]) -> Vec<Event> {
        let json: serde_json::Value = serde_json::from_slice(message).unwrap_or_default();
        let mut events = Vec::new();
        if json["id"] == "moby.buildkit.trace" {
            let bytes = base64::engine::general_purpose::STANDARD.decode(json["aux"].as_str().unwrap_or_default());
            self.buildkit(&Status::read(&bytes.unwrap_or_default()), &mut events);
        } else if let Some(text) = json["stream"].as_str() {
            if self.buildah.is_none() && self.step == 0 && buildah::Present::begins(text) {
                self.buildah = Some(buildah::Present::default());
            }
            match &mut self.buildah {
                Some(present) => present.take(text, self.steps, &mut events),
                None => self.classic(text, &mut events),
            }
        }
        if let Some(error) = json["error"].as_str() {
            self.flush(&mut events);
            let code = json["errorDetail"]["code"].as_i64().or_else(|| trailing_code(error));
            let command = match &self.buildah {
                Some(present) => present.command().cloned(),
                None => self.failed.clone().or_else(|| self.steps.classic(self.step).cloned()),
            };
            events.push(Event::Failed { command, message: error.to_owned(), code });
        }
        events
    }

    /// The last output that has no line end.
    pub fn flush(&mut self, events: &mut Vec<Event>) {
        for (_, rest) in std::mem::take(&mut self.partial) {
            push_line(&rest, events);
        }
        if let Some(present) = &mut self.buildah {
            present.flush(events);
        }
    }

    fn buildkit(&mut self, status: &Status, events: &mut Vec<Event>) {
        for vertex in status.vertexes.iter().filter(|v| v.started || v.cached || !v.error.is_empty()) {
            self.vertex(vertex, events);
        }
        for output in &status.outputs {
            self.output(&format!("{} {}", output.vertex, output.stream), &output.bytes, events);
        }
    }

    fn vertex(&mut self, vertex: &Vertex, events: &mut Vec<Event>) {
        let Some(command) = self.steps.buildkit(&vertex.name) else { return };
        if vertex.cached && vertex.completed && self.told.insert(vertex.digest.clone()) {
            events.push(Event::Cached(command.clone()));
        } else if !vertex.cached && self.told.insert(vertex.digest.clone()) {
            events.push(Event::Runs(command.clone()));
        }
        if !vertex.error.is_empty() {
            self.failed = Some(command.clone());
        }
    }

    fn classic(&mut self, text: &str, events: &mut Vec<Event>) {
        let command = self.steps.classic(self.step).cloned();
        if next_step(text) == Some(self.step + 1) {
            self.flush(events);
            self.step += 1;
            self.running = false;
            // What is no `RUN` has no line of its own that says so.
            events.extend(self.steps.classic(self.step).filter(|c| !runs(c)).cloned().map(Event::Runs));
        } else if !self.running && text.starts_with(" ---> Running in ") {
            self.running = true;
            events.extend(command.filter(runs).map(Event::Runs));
        } else if !self.running && text.trim() == "---> Using cache" {
            events.extend(command.filter(runs).map(Event::Cached));
        } else if self.running && is_removal(text) {
            self.flush(events);
            self.running = false;
        } else if self.running {
            // The builder colours what came on standard error.
            let plain = text.replace("\u{1b}[91m", "").replace("\u{1b}[0m", "");
            self.output("", plain.as_bytes(), events);
        }
    }

    fn output(&mut self, step: &str, bytes: &[u8], events: &mut Vec<Event>) {
        push_output(self.partial.entry(step.to_owned()).or_default(), bytes, events);
    }
}

/// Output as lines; what has no line end yet waits in `partial`.
pub(super) fn push_output(partial: &mut Vec<u8>, bytes: &[u8], events: &mut Vec<Event>) {
    for piece in bytes.split_inclusive(|b| *b == b'\n') {
        partial.extend_from_slice(piece);
        if piece.ends_with(b"\n") || partial.len() >= LONGEST_LINE {
            push_line(&std::mem::take(partial), events);
        }
    }
}

/// Whether a command of the classic builder runs in a container, and is told when that does.
pub(super) fn runs(command: &Command) -> bool {
    command.place.is_none() || command.line.starts_with("RUN")
}

/// A line as a terminal would show it in the end: what stands before a carriage return was overwritten.
fn push_line(bytes: &[u8], events: &mut Vec<Event>) {
    let text = String::from_utf8_lossy(bytes);
    let last = text.trim_end().rsplit('\r').next().unwrap_or_default();
    if !last.is_empty() {
        events.push(Event::Line(last.to_owned()));
    }
}

/// The number of a step of BuildKit: `[4/7] RUN …`, `[stage-0 4/7] RUN …`.
pub(super) fn step_number(name: &str) -> Option<usize> {
    let (inside, _) = name.strip_prefix('[')?.split_once(']')?;
    inside.rsplit(' ').next()?.split_once('/')?.0.parse().ok()
}

/// The number in the classic builder's `Step 4/9 : RUN …`.
fn next_step(text: &str) -> Option<usize> {
    text.strip_prefix("Step ")?.split_once('/')?.0.parse().ok()
}

fn is_removal(text: &str) -> bool {
    let id = text.strip_prefix("Removing intermediate container ").map(str::trim_end);
    id.is_some_and(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The exit code at the end of `… exit code: 1`, and of Podman's `… exit status 1`.
fn trailing_code(message: &str) -> Option<i64> {
    let code = message.rsplit_once("code: ").or_else(|| message.rsplit_once("exit status "));
    code?.1.trim().parse().ok()
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
