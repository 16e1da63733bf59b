//! The release step: commands of the service (migrations) that run once per operation, in what was built, before any
//! new instance starts (row S9).
//!
//! *At most once*: that it is about to run is written before it runs. Where only that is known, because towpath ended
//! in between, the operation fails and a person looks: nobody else can say how far the command came.

use super::start::{instance_spec, revision_of};
use super::{failure, interrupted, spec_of, stalled};
use crate::engine::EngineError;
use crate::engine::once::Ended;
use crate::model::{
    Class, Failure, InstanceId, InstanceSpec, LineSink, LineSource, Purpose, Reason, ReleaseProgress, Revision,
    StartCommand, Step,
};
use crate::reconcile::chain;
use crate::reconcile::operation::Run;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Lines that may wait for the log.
const WAITING: usize = 256;

pub(super) async fn release(run: &mut Run) -> Result<(), Failure> {
    match run.operation.release {
        Some(ReleaseProgress::Done) => return Ok(()),
        Some(ReleaseProgress::Begun) => return Err(unknown(run)),
        None => {}
    }
    let deploy = spec_of(run, Step::Release)?.deploy;
    let revision = revision_of(run, Step::Release)?;
    note(run, ReleaseProgress::Begun).await?;
    let end = Instant::now() + deploy.release_deadline;
    for line in &deploy.release {
        run.say(&format!("Running the release command: {line}"));
        let left = end.saturating_duration_since(Instant::now());
        let ended = run_line(run, &revision, line, left).await;
        judge(run, line, deploy.release_deadline, ended)?;
    }
    note(run, ReleaseProgress::Done).await?;
    run.say("The release command ended successfully.");
    Ok(())
}

async fn note(run: &mut Run, progress: ReleaseProgress) -> Result<(), Failure> {
    run.operation.release = Some(progress);
    run.save(Vec::new()).await.ok_or_else(|| interrupted(Step::Release))
}

/// After a crash. Held as failed: a newer commit, or a person's `deploy`, tries again.
fn unknown(run: &Run) -> Failure {
    let name = &run.service.name;
    let message = format!(
        "towpath ended while the release command ran: whether it did its work is unknown, and it is not run again by \
         itself. Check what it was to change (a database, say), then `towpath deploy {name}`"
    );
    stalled(Step::Release, Reason::ReleaseFailed, message)
}

async fn run_line(
    run: &Run,
    revision: &Revision,
    line: &str,
    limit: Duration,
) -> Result<Result<Ended, EngineError>, Failure> {
    let (command, _) = StartCommand::parse(line)
        .map_err(|e| stalled(Step::Release, Reason::ConfigurationInvalid, format!("the release command: {e}")))?;
    let spec = command_spec(run, revision, command).await?;
    let (sender, mut lines) = mpsc::channel(WAITING);
    let running = run.core.one_offs.run(spec, limit, run.token.clone(), sender);
    let printing = async {
        while let Some(line) = lines.recv().await {
            run.log.line(LineSource::Release, &line);
        }
    };
    Ok(tokio::join!(running, printing).0)
}

async fn command_spec(run: &Run, revision: &Revision, command: StartCommand) -> Result<InstanceSpec, Failure> {
    let id = InstanceId::from_random(run.core.random());
    let spec = instance_spec(&run.core, &run.service, revision, &id).await;
    let spec = spec.map_err(|f| Failure { step: Some(Step::Release), ..f })?;
    let log = run.core.one_offs.log_path(&id);
    Ok(InstanceSpec { purpose: Purpose::Once, command, sole: false, log, ..spec })
}

/// What the end of one command means for the operation.
fn judge(
    run: &Run,
    line: &str,
    limit: Duration,
    ended: Result<Result<Ended, EngineError>, Failure>,
) -> Result<(), Failure> {
    match ended? {
        Ok(Ended::Exited { code: Some(0), .. }) => Ok(()),
        Ok(Ended::Exited { message, .. }) => {
            let message = format!("the release command `{line}` failed: it {message}");
            Err(stalled(Step::Release, Reason::ReleaseFailed, message))
        }
        Ok(Ended::Overdue) => {
            let message = format!(
                "the release command `{line}` was stopped: it ran longer than {} s (`deploy.releaseDeadline`)",
                limit.as_secs()
            );
            Err(stalled(Step::Release, Reason::DeadlineExceeded, message))
        }
        Ok(Ended::Stopped) => Err(run.stopped(Step::Release)),
        Err(error) => {
            // It may have begun: not tried again by itself, whatever the engine's error would allow.
            let message = format!("the release command `{line}` could not be run to its end: {}", chain(&error));
            Err(failure(Step::Release, Reason::ReleaseFailed, Class::Stalled, message))
        }
    }
}
