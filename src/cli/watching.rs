//! `--wait` on a terminal: operations are followed by a live view on standard error, which is gone once all have ended.

use super::client::{CallError, Client};
use super::failure::Failure;
use super::live::{self, Region, Size};
use super::operations::noun;
use super::progress::{Act, Stage, lines, step_word, usual_steps};
use super::screen::{Screen, Tone};
use super::wait::{PAUSE, describe, last_lines, name_of};
use crate::api::views::OperationView;
use crate::model::{Cause, OperationStatus, Timestamp};
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// How often the newest line of a log is asked for.
const LOG_PAUSE: Duration = Duration::from_secs(1);
/// Lines of a log that are shown below a failure, while others go on.
const FAILED_LINES: usize = 3;

/// One operation that is followed.
struct Followed {
    id: String,
    view: Option<OperationView>,
    lines: Vec<String>,
    looked: Option<Instant>,
}

impl Followed {
    fn has_ended(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.status.is_final())
    }

    async fn look(&mut self, client: &Client) -> Result<(), CallError> {
        if self.has_ended() {
            return Ok(());
        }
        let view = describe(client, &self.id).await?;
        let due = self.looked.is_none_or(|at| at.elapsed() >= LOG_PAUSE);
        if view.status.is_final() || (due && view.status == OperationStatus::InProgress) {
            let count = if view.status.is_final() { FAILED_LINES } else { 1 };
            self.lines = last_lines(client, name_of(&view), &self.id, count).await;
            self.looked = Some(Instant::now());
        }
        self.view = Some(view);
        Ok(())
    }

    fn act(&self) -> Option<Act> {
        let view = self.view.as_ref()?;
        let extra = view.extra.as_ref();
        let since = view.started_at.or(extra.map(|e| e.created_at)).unwrap_or(view.updated_at);
        Some(Act {
            name: name_of(view).to_owned(),
            noun: noun(view),
            stage: stage(view),
            since: since.into(),
            lines: self.lines.clone(),
        })
    }
}

fn stage(view: &OperationView) -> Stage {
    let extra = view.extra.as_ref();
    let kept = extra.is_some_and(|e| matches!(e.cause, Cause::Rollback { .. }));
    match (view.status, extra.and_then(|e| e.step)) {
        (OperationStatus::Succeeded, _) => Stage::Done,
        (OperationStatus::RollbackInProgress, _) => Stage::GoingBack,
        (OperationStatus::InProgress, Some(step)) => Stage::at(step, usual_steps(view.kind, kept), step_word(step)),
        (OperationStatus::Pending | OperationStatus::InProgress, _) => Stage::Queued,
        (OperationStatus::Failed | OperationStatus::RollbackFailed | OperationStatus::RollbackSucceeded, _) => {
            let begun = view.started_at.unwrap_or(view.updated_at).into();
            Stage::Failed { took: Timestamp::from(view.ended_at.unwrap_or(view.updated_at)).since(begun) }
        }
    }
}

/// Draws operations until all have ended.
///
/// # Errors
/// When the server cannot be asked any more, and for Ctrl-C: the operations go on, which is said.
pub async fn watch(screen: &Screen, client: &Client, ids: &[String]) -> Result<Vec<OperationView>, Failure> {
    let mut followed: Vec<Followed> =
        ids.iter().map(|id| Followed { id: id.clone(), view: None, lines: Vec::new(), looked: None }).collect();
    let mut region = Region::default();
    let ended = tokio::select! {
        ended = draw(screen, client, &mut followed, &mut region) => ended,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    };
    live::write(io::stderr(), &region.end(Size::of_stderr()));
    if matches!(ended, Err(Failure::Interrupted)) {
        for one in followed.iter().filter(|one| !one.has_ended()) {
            let (name, what) = one.view.as_ref().map_or(("?", "operation"), |view| (name_of(view), noun(view)));
            screen.note(&format!("{name}: the {what} goes on; `towpath operations {name}` shows how it ended"));
        }
    }
    ended?;
    Ok(followed.into_iter().filter_map(|one| one.view).collect())
}

async fn draw(screen: &Screen, client: &Client, followed: &mut [Followed], region: &mut Region) -> Result<(), Failure> {
    let paint = |tone: Tone, text: &str| screen.error_tone(tone, text);
    loop {
        for one in followed.iter_mut() {
            one.look(client).await?;
        }
        if followed.iter().all(Followed::has_ended) {
            return Ok(());
        }
        let acts: Vec<Act> = followed.iter().filter_map(Followed::act).collect();
        let size = Size::of_stderr();
        let drawn = lines(&acts, Timestamp::now(), size.columns, &paint);
        live::write(io::stderr(), &region.frame(&drawn, size));
        tokio::time::sleep(PAUSE).await;
    }
}
