//! Operations that are under way, as lines of a live view: who, what, how far, how long, and the newest line of its log.
//! Pure: no terminal and no clock.

use super::live::{clip, width};
use super::screen::{Tone, harmless};
use crate::model::{OperationKind, Step, Timestamp};
use std::time::Duration;

const BUILT: &[Step] = &[Step::Fetch, Step::Build, Step::Start, Step::Check, Step::Shift, Step::Drain, Step::Retire];
const KEPT: &[Step] = &[Step::Start, Step::Check, Step::Shift, Step::Drain, Step::Retire];
const PAUSED: &[Step] = &[Step::Shift, Step::Drain, Step::Retire];
const DELETED: &[Step] = &[Step::Shift, Step::Drain, Step::Retire, Step::Clean];

/// The steps that an operation of a kind mostly has; `kept`: it runs a revision that is built already.
pub fn usual_steps(kind: OperationKind, kept: bool) -> &'static [Step] {
    match kind {
        OperationKind::PauseService => PAUSED,
        OperationKind::DeleteService => DELETED,
        OperationKind::ResumeService => KEPT,
        _ if kept => KEPT,
        OperationKind::CreateService | OperationKind::StartDeployment | OperationKind::UpdateService => BUILT,
    }
}

/// A step in a word.
pub fn step_word(step: Step) -> &'static str {
    match step {
        Step::Fetch => "fetch",
        Step::Build => "build",
        Step::Release => "release",
        Step::Start => "start",
        Step::Check => "check",
        Step::Shift => "shift",
        Step::Drain => "drain",
        Step::Retire => "retire",
        Step::Clean => "clean",
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The service.
    pub name: String,
    /// What it is: `deployment`.
    pub noun: &'static str,
    /// Where it is.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// The newest lines of its log, the last one last.
    pub lines: Vec<String>,
}

/// Where an operation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits for its turn.
    Queued,
    /// A step runs.
    Running {
        /// The step, as people say it.
        word: &'static str,
        /// How many steps are before it.
        done: usize,
        /// How many there are; 0 where that is not known.
        of: usize,
    },
    /// It goes back to what served before.
    GoingBack,
    /// It ended well.
    Done,
    /// It failed, after so long.
    Failed {
        /// How long it took.
        took: Duration,
    },
}

impl Stage {
    /// A step among those that there are.
    pub fn at(step: Step, steps: &[Step], word: &'static str) -> Self {
        // Whether there is a release command is not known to whoever asks over the wire: it counts with the build then.
        let counted = if step == Step::Release && !steps.contains(&step) { Step::Build } else { step };
        let place = steps.iter().position(|s| *s == counted);
        Self::Running { word, done: place.unwrap_or(0), of: place.map_or(0, |_| steps.len()) }
    }
}

/// How lines are painted.
pub type Paint<'p> = &'p dyn Fn(Tone, &str) -> String;

/// The lines of the view, one for each operation; below one that failed, what its log ends with.
pub fn lines(acts: &[Act], now: Timestamp, columns: usize, paint: Paint) -> Vec<String> {
    let names = acts.iter().map(|act| width(&act.name)).max().unwrap_or(0).min(40);
    let nouns = acts.iter().map(|act| act.noun.len()).max().unwrap_or(0);
    acts.iter().flat_map(|act| one(act, now, names, nouns, columns, paint)).collect()
}

fn one(act: &Act, now: Timestamp, names: usize, nouns: usize, columns: usize, paint: Paint) -> Vec<String> {
    let (stage, took) = match &act.stage {
        Stage::Queued => ("queued".to_owned(), now.since(act.since)),
        Stage::Running { word, done, of } => (format!("{}{word}", bar(*done, *of)), now.since(act.since)),
        Stage::GoingBack => (paint(Tone::Notice, "goes back"), now.since(act.since)),
        Stage::Done => (paint(Tone::Good, "done"), Duration::ZERO),
        Stage::Failed { took } => (paint(Tone::Bad, "failed"), *took),
    };
    let time = if act.stage == Stage::Done { String::new() } else { clock(took) };
    let pad = |text: &str, to: usize| " ".repeat(to.saturating_sub(width(text)));
    let name = clip(&act.name, names);
    let head =
        format!("  {name}{}  {:<nouns$}  {stage}{}  {time}", pad(&name, names), act.noun, pad(&stage, STAGE_COLUMNS));
    if matches!(act.stage, Stage::Failed { .. }) {
        let below = act.lines.iter().map(|line| format!("      {}", paint(Tone::Quiet, &format!("| {}", said(line)))));
        return std::iter::once(head).chain(below).collect();
    }
    let room = columns.saturating_sub(width(&head) + 4);
    let newest = act.lines.last().map(|line| said(line));
    let newest = newest.filter(|line| room > 12 && !line.trim().is_empty() && act.stage != Stage::Done);
    let newest = newest.map(|line| format!("  {}", paint(Tone::Quiet, &clip(line.trim(), room)))).unwrap_or_default();
    vec![format!("{head}{newest}")]
}

/// A line of a log without who wrote it (row O1).
fn said(line: &str) -> String {
    let line = ["[Build] ", "[AppRunner] "].iter().find_map(|who| line.strip_prefix(who)).unwrap_or(line);
    harmless(line).replace('\t', " ")
}

/// Room for seven steps and the longest word for one.
const STAGE_COLUMNS: usize = 15;

/// `■■□□□□□ `: the steps that are done, then the others.
fn bar(done: usize, of: usize) -> String {
    if of == 0 {
        return String::new();
    }
    let done = (done + 1).min(of);
    format!("{}{} ", "■".repeat(done), "□".repeat(of - done))
}

/// `4s`, `1m 05s`, `1h 02m`.
fn clock(span: Duration) -> String {
    match span.as_secs() {
        s if s < 60 => format!("{s}s"),
        s if s < 3_600 => format!("{}m {:02}s", s / 60, s % 60),
        s => format!("{}h {:02}m", s / 3_600, s % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(name: &str, stage: Stage, lines: &[&str]) -> Act {
        let lines = lines.iter().map(|l| (*l).to_owned()).collect();
        Act { name: name.into(), noun: "deployment", stage, since: Timestamp(0), lines }
    }

    fn drawn(acts: &[Act], columns: usize) -> Vec<String> {
        lines(acts, Timestamp(65_000), columns, &|_, text| text.to_owned())
    }

    #[test]
    fn an_operation_says_how_far_it_is_and_what_its_log_says() {
        let building = Stage::at(Step::Build, usual_steps(OperationKind::StartDeployment, false), "build");
        let acts = [act("shop", building, &["[Build] \x1b[2JCollecting\tflask"]), act("a", Stage::Queued, &[])];
        assert_eq!(
            drawn(&acts, 80),
            [
                "  shop  deployment  ■■□□□□□ build    1m 05s  Collecting flask",
                "  a     deployment  queued           1m 05s",
            ]
        );
        assert_eq!(drawn(&acts[..1], 50), ["  shop  deployment  ■■□□□□□ build    1m 05s"], "no room for the log");
    }

    #[test]
    fn a_failure_shows_what_its_log_ends_with() {
        let failed = act("shop", Stage::Failed { took: Duration::from_secs(3) }, &["a", "b"]);
        assert_eq!(drawn(&[failed], 80), ["  shop  deployment  failed           3s", "      | a", "      | b"]);
    }

    #[test]
    fn a_step_that_is_not_known_here_has_no_bar() {
        assert_eq!(Stage::at(Step::Clean, BUILT, "clean"), Stage::Running { word: "clean", done: 0, of: 0 });
    }
}
