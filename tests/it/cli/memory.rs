//! A control plane and log files in memory.

use super::fixture::{NOW, snapshot};
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;
use towpath::api::collection::{Collection, Extent, Kind, Removal};
use towpath::api::commands::{CommandBegun, CommandEnd, CommandOutput, CommandRequest, Outcome};
use towpath::api::control::{Act, ControlPlane, LogStream, PlanAnswer, Principal, Refusal, Snapshot};
use towpath::api::logs::{LogLine, LogPage, LogReader, LogStart, LogStreamSummary};
use towpath::desired::ManifestFiles;
use towpath::model::*;
use towpath::plan::Plan;

pub struct Memory {
    world: Mutex<World>,
    /// What was asked, for assertions: act, who, why.
    pub asked: Mutex<Vec<(String, Principal)>>,
    stop: Mutex<Option<CancellationToken>>,
    /// Whether operations stand still.
    pub held: std::sync::atomic::AtomicBool,
}

struct World {
    snapshot: Snapshot,
    operations: Vec<Operation>,
    seed: u8,
}

impl Memory {
    pub fn new() -> Self {
        let world = World { snapshot: snapshot(), operations: Vec::new(), seed: 0 };
        Self { world: Mutex::new(world), asked: Mutex::default(), stop: Mutex::default(), held: false.into() }
    }

    pub fn stopped_by(&self, stop: CancellationToken) {
        *self.stop.lock().unwrap() = Some(stop);
    }

    pub fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.world.lock().unwrap().snapshot);
    }

    fn note(&self, what: impl Into<String>, by: Principal) {
        self.asked.lock().unwrap().push((what.into(), by));
    }
}

const STEPS: [Step; 4] = [Step::Fetch, Step::Build, Step::Start, Step::Check];

/// Takes the operation one step on. Those of `broken` fail at their build.
fn advance(operation: &mut Operation, broken: bool) {
    let next = match operation.step {
        None => Some(Step::Fetch),
        Some(step) => STEPS.into_iter().skip_while(|s| *s != step).nth(1),
    };
    if broken && next == Some(Step::Build) {
        operation.failure = Some(Failure {
            reason: Reason::BuildFailed,
            class: Class::Stalled,
            message: "Failed to execute 'build' command.".into(),
            step: next,
        });
        operation.status = OperationStatus::Failed;
    } else {
        operation.status = if next.is_some() { OperationStatus::InProgress } else { OperationStatus::Succeeded };
    }
    operation.started_at = Some(NOW);
    operation.step = next.filter(|_| !operation.status.is_final());
    operation.ended_at = operation.status.is_final().then_some(NOW);
}

#[async_trait]
impl ControlPlane for Memory {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.world.lock().unwrap().snapshot.clone())
    }

    async fn find_service(&self, text: &str) -> Result<(ServiceId, ServiceName), Refusal> {
        let world = self.world.lock().unwrap();
        let services = &world.snapshot.observed.services;
        let found = services.iter().find(|s| s.record.id.as_str() == text || s.record.name.as_str() == text);
        found
            .map(|s| (s.record.id.clone(), s.record.name.clone()))
            .ok_or_else(|| Refusal::NotFound(format!("there is no service `{text}`: there are `broken`, `shop`")))
    }

    async fn act(&self, service: &ServiceId, act: Act, by: Principal) -> Result<OperationId, Refusal> {
        let mut world = self.world.lock().unwrap();
        let running = world.operations.iter().any(|o| &o.service == service && !o.status.is_final());
        if running {
            return Err(Refusal::InvalidState("an operation runs; wait for it, or cancel it".into()));
        }
        let kind = match &act {
            Act::Deploy(_) | Act::Rollback(None | Some(RevisionNumber(2))) => OperationKind::StartDeployment,
            Act::Rollback(Some(number)) => {
                return Err(Refusal::NotFound(format!("revision {number} is not kept: there are 2, 3")));
            }
            Act::Pause => OperationKind::PauseService,
            Act::Resume => return Err(Refusal::InvalidState("the service is not paused".into())),
            Act::Delete => OperationKind::DeleteService,
        };
        world.seed += 1;
        let id = OperationId::from_random([world.seed; 16]);
        let cause = Cause::Manual { principal: by.name.clone(), reason: by.reason.clone() };
        let accepted = Operation::accepted(id.clone(), service.clone(), kind, cause, OperationTarget::nothing(), NOW);
        let (revision, previous) = (Some(RevisionNumber(4)), Some(RevisionNumber(3)));
        let operation = Operation { revision, previous, ..accepted };
        world.operations.insert(0, operation);
        drop(world);
        self.note(format!("{act:?}"), by);
        Ok(id)
    }

    async fn cancel(&self, operation: &OperationId, by: Principal) -> Result<(), Refusal> {
        let found = self.operation(operation).await?;
        if found.status.is_final() {
            return Err(Refusal::InvalidState("the operation has ended".into()));
        }
        self.note("cancel", by);
        Ok(())
    }

    async fn operations(&self, service: &ServiceId) -> Result<Vec<Operation>, Refusal> {
        let world = self.world.lock().unwrap();
        Ok(world.operations.iter().filter(|o| &o.service == service).cloned().collect())
    }

    async fn operation(&self, id: &OperationId) -> Result<Operation, Refusal> {
        let mut world = self.world.lock().unwrap();
        let broken = ServiceId::from_random([2; 16]);
        let found = world.operations.iter_mut().find(|o| &o.id == id);
        let found = found.ok_or_else(|| Refusal::NotFound(format!("there is no operation `{id}`")))?;
        let before = found.clone();
        if !found.status.is_final() && !self.held.load(std::sync::atomic::Ordering::SeqCst) {
            advance(found, before.service == broken);
        }
        Ok(before)
    }

    async fn revisions(&self, service: &ServiceId) -> Result<Vec<Revision>, Refusal> {
        let view = self.describe(service).await?;
        Ok(view.current.into_iter().collect())
    }

    async fn events(
        &self,
        service: Option<&ServiceId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Event)>, Refusal> {
        let event = |n: u64| Event {
            at: Timestamp(NOW.0 + n as i64),
            service: service.cloned(),
            name: Some("shop".parse().unwrap()),
            operation: None,
            kind: "DeploymentStarted".into(),
            severity: EventSeverity::Info,
            message: format!("event {n}"),
            detail: None,
        };
        Ok((after + 1..=2500).take(limit).map(|n| (n, event(n))).collect())
    }

    async fn plan(&self, manifest: Option<ManifestFiles>) -> Result<PlanAnswer, Refusal> {
        let snapshot = self.snapshot();
        let text = manifest.map(|m| m.files[0].text.clone()).unwrap_or_default();
        if text == "panic" {
            panic!("a defect");
        }
        if text == "secret" {
            return Err(Refusal::Internal("the store at /var/lib says hunter2".into()));
        }
        let problem = Problem {
            class: "type".into(),
            severity: Severity::Error,
            place: Place { file: "towpath.yaml".into(), line: 1, column: 1 },
            length: 1,
            message: "`services` must be a mapping".into(),
            hint: None,
            source_line: None,
        };
        let problems = if text == "bad" { vec![problem] } else { vec![] };
        let mut plan = snapshot.plan.clone();
        if text == "services: {}" {
            plan.changes.push(towpath::plan::Change {
                service: Some("shop".parse().unwrap()),
                place: None,
                action: towpath::plan::Action::Delete {
                    id: ServiceId::from_random([1; 16]),
                    operation: OperationId::from_random([9; 16]),
                },
                fields: vec![],
                effect: "deletes the service".into(),
                basis: Digest::of(&2),
            });
        }
        Ok(PlanAnswer { plan, report: snapshot.report.clone(), problems, access: Vec::new() })
    }

    async fn apply(&self, plan: Option<Plan>, mass: bool, by: Principal) -> Result<Vec<OperationId>, Refusal> {
        let Some(plan) = plan else {
            self.note(format!("apply mass={mass}"), by);
            return Ok(vec![]);
        };
        if plan.changes.iter().any(|c| c.basis != Digest::of(&2)) {
            return Err(Refusal::Stale("`shop` has moved since the plan was made: revision 3 → 4".into()));
        }
        let shop = ServiceId::from_random([1; 16]);
        Ok(vec![self.act(&shop, Act::Delete, by).await?])
    }

    async fn collect(&self, extent: Extent, by: Principal) -> Result<Collection, Refusal> {
        self.note(format!("collect {extent:?}"), by);
        let removal = Removal { kind: Kind::Build, name: "abc".into(), bytes: Some(5 << 20), why: "old".into() };
        Ok(Collection { removals: vec![removal], left: vec![], disk_percent: Some(40) })
    }

    /// `say` prints its words and exits with 7; `hang` goes on until it is stopped.
    async fn run_command(
        &self,
        _service: &ServiceId,
        request: CommandRequest,
        by: Principal,
    ) -> Result<CommandBegun, Refusal> {
        self.note(format!("run {:?} for {:?}", request.words, request.limit), by);
        let seed = if request.words[0] == "hang" { 2 } else { 1 };
        Ok(CommandBegun { command_id: InstanceId::from_random([seed; 16]), revision: RevisionNumber(3) })
    }

    async fn command_output(&self, id: &InstanceId, after: u64) -> Result<CommandOutput, Refusal> {
        let stopped = self.asked.lock().unwrap().iter().any(|(what, _)| what == "stop");
        let end = |outcome, exit_code, message: &str| Some(CommandEnd { outcome, exit_code, message: message.into() });
        let lines = vec![format!("line {after}")];
        match (id == &InstanceId::from_random([1; 16]), after) {
            (true, 0) => Ok(CommandOutput { lines, next: 1, end: None }),
            (true, _) => Ok(CommandOutput { lines, next: 2, end: end(Outcome::Exited, Some(7), "exited with code 7") }),
            (false, _) if stopped => Ok(CommandOutput {
                lines: vec![],
                next: after,
                end: end(Outcome::Stopped, None, "stopped by local:me"),
            }),
            (false, _) => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                Ok(CommandOutput { lines: vec![], next: after, end: None })
            }
        }
    }

    async fn stop_command(&self, _id: &InstanceId, by: Principal) -> Result<(), Refusal> {
        self.note("stop", by);
        Ok(())
    }

    async fn shut_down(&self, by: Principal) -> Result<(), Refusal> {
        self.note("down", by);
        self.stop.lock().unwrap().as_ref().unwrap().cancel();
        Ok(())
    }
}

#[async_trait]
impl LogReader for Memory {
    async fn page(&self, _: &ServiceId, stream: &LogStream, start: LogStart, limit: usize) -> Result<LogPage, Refusal> {
        let prefix = match stream {
            LogStream::Events => "life".to_owned(),
            LogStream::Operation(_) => "[Build] \x1b[31mstep\x1b[0m".to_owned(),
            LogStream::Instance(id) => format!("instance {}", &id.as_str()[..2]),
        };
        let lines: Vec<LogLine> =
            (0..2500).map(|n| LogLine { at: Timestamp(NOW.0 + n), message: format!("{prefix} {n}") }).collect();
        let from = match start {
            LogStart::Head => 0,
            LogStart::After(token) => {
                token.parse().map_err(|_| Refusal::InvalidRequest("the cursor is not of this stream".into()))?
            }
            LogStart::Since(time) => lines.iter().position(|l| l.at >= time).unwrap_or(lines.len()),
            LogStart::Tail(n) => lines.len().saturating_sub(n),
        };
        let end = (from + limit).min(lines.len());
        let more = end < lines.len();
        Ok(LogPage { lines: lines[from..end].to_vec(), next: end.to_string(), more, complete: !more })
    }

    async fn streams(&self, _: &ServiceId) -> Result<Vec<LogStreamSummary>, Refusal> {
        let stream = |seed: u8| {
            let id = InstanceId::from_random([seed; 16]);
            LogStreamSummary {
                name: format!("instance/{id}"),
                stream: LogStream::Instance(id),
                first_at: Some(NOW),
                last_at: Some(Timestamp(NOW.0 + 2499)),
            }
        };
        Ok(vec![stream(1), stream(101)])
    }
}
