//! Says to GitHub what becomes of deployments: looks at the operations of services whose source has a connection, and at
//! what was said of them, and says what is missing. A deployment never waits for it and never fails by it.

use super::link::{Link, advice, perhaps_done, statuses_of};
use super::outbox::{Act, Next, Outbox, Way};
use super::report::{Report, Stage, commit_of, deploys, describe};
use crate::model::{
    Class, EventSeverity, Operation, Revision, RevisionNumber, Secret, ServiceId, ServiceRecord, ServiceSpec, Timestamp,
};
use crate::reconcile::chain;
use crate::reconcile::core::Core;
use crate::source::github::GitHubError;
use crate::store::{Entry, EntryWrite};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// Where the store keeps what was said, by service.
const KIND: &str = "github-reports";
/// How many services are reported on at a time.
const PARALLEL: usize = 4;
/// How long nothing may wake the loop.
const RESYNC: Duration = Duration::from_secs(30);
/// Events that come so close together are looked at together.
const TOGETHER: Duration = Duration::from_millis(100);
/// How many things are said of one service before others have a turn.
const MOST_AT_ONCE: usize = 20;
/// How many deployments or statuses are looked through for one of ours.
const PAGE: usize = 100;

/// Where reports are made out.
pub struct Desk {
    core: Arc<Core>,
    outboxes: Mutex<BTreeMap<ServiceId, Outbox>>,
    /// Until when a connection rests, where GitHub said so.
    resting: Mutex<BTreeMap<String, Timestamp>>,
    busy: Mutex<BTreeSet<ServiceId>>,
}

/// Reports until the control plane stops.
pub async fn run(core: Arc<Core>) {
    let mut events = core.events.subscribe();
    let desk = Arc::new(Desk::load(core).await);
    let mut reports = JoinSet::new();
    loop {
        let rest = desk.clone().begin(&mut reports).await;
        tokio::select! {
            () = desk.core.stopping.cancelled() => return,
            _ = events.recv() => {
                tokio::time::sleep(TOGETHER).await;
                while events.try_recv().is_ok() {}
            }
            () = tokio::time::sleep(rest) => {}
            Some(_) = reports.join_next() => {}
        }
    }
}

/// What is known of a service at one moment, as far as it is reported.
struct Look {
    record: Arc<ServiceRecord>,
    operations: Vec<Operation>,
    revisions: Vec<Arc<Revision>>,
    link: Link,
}

impl Desk {
    async fn load(core: Arc<Core>) -> Self {
        let entries = core.store.entries(&[KIND]).await.unwrap_or_else(|error| {
            tracing::warn!(error = %chain(&error), "what GitHub was told is not known; some may be told again");
            Vec::new()
        });
        let known =
            entries.into_iter().filter_map(|e| Some((e.name.parse().ok()?, serde_json::from_value(e.value).ok()?)));
        let outboxes = Mutex::new(known.collect());
        Self { core, outboxes, resting: Mutex::default(), busy: Mutex::default() }
    }

    fn outboxes(&self) -> MutexGuard<'_, BTreeMap<ServiceId, Outbox>> {
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> MutexGuard<'_, BTreeSet<ServiceId>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resting(&self) -> MutexGuard<'_, BTreeMap<String, Timestamp>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to say what is due; how long there is nothing more to do.
    async fn begin(self: Arc<Self>, reports: &mut JoinSet<()>) -> Duration {
        self.forget_gone().await;
        let services = self.candidates();
        let (now, mut rest) = (self.core.now(), RESYNC);
        for service in services {
            if reports.len() >= PARALLEL {
                break;
            }
            if self.busy().contains(&service) {
                continue;
            }
            match self.next(&service).await {
                Some((_, Next::Say { .. })) => {
                    self.busy().insert(service.clone());
                    reports.spawn(self.clone().serve(service));
                }
                Some((_, Next::Rest(until))) => rest = rest.min(until.since(now).max(Duration::from_millis(50))),
                Some((_, Next::Done)) | None => {}
            }
        }
        rest
    }

    /// Services that something may be to be said of: found in one pass, since every event leads here.
    fn candidates(&self) -> BTreeSet<ServiceId> {
        let outboxes = self.outboxes();
        let state = self.core.state();
        let through = |service: &ServiceId| outboxes.get(service).map_or(0, |outbox| outbox.through);
        let reported = |o: &&Operation| deploys(o) && o.target.spec.as_ref().is_some_and(is_reported);
        let ours = state.world.operations.values().filter(reported).filter(|o| o.number > through(&o.service));
        ours.map(|o| o.service.clone()).collect()
    }

    /// Removes what was said of services that are not there any more, or have nobody to be told any more.
    async fn forget_gone(&self) {
        let known: Vec<ServiceId> = self.outboxes().keys().cloned().collect();
        let gone = known.into_iter().filter(|id| !self.core.state().world.services.contains_key(id));
        for service in gone.collect::<Vec<_>>() {
            self.outboxes().remove(&service);
            self.write(EntryWrite::Delete { kind: KIND.into(), name: service.to_string() }).await;
        }
    }

    async fn serve(self: Arc<Self>, service: ServiceId) {
        let _busy = Busy { desk: &self, service: &service };
        for _ in 0..MOST_AT_ONCE {
            let Some((look, Next::Say { number, act, look_first })) = self.next(&service).await else { break };
            let Some(operation) = look.operations.iter().find(|o| o.number == number) else { break };
            self.say(&look, operation, act, look_first).await;
        }
    }

    /// What comes next of a service; `None` where nobody is to be told.
    async fn next(&self, service: &ServiceId) -> Option<(Look, Next)> {
        let look = self.look(service)?;
        let operations: Vec<&Operation> = look.operations.iter().collect();
        let now = self.core.now();
        let (before, outbox) = {
            let mut all = self.outboxes();
            let before = all.get(service).cloned();
            let outbox = all.entry(service.clone()).or_insert_with(|| Outbox::begin(&operations, now));
            outbox.pass_over(&operations);
            (before, outbox.clone())
        };
        if before.as_ref() != Some(&outbox) {
            self.keep(service, &outbox).await;
        }
        let next = outbox.next(&operations, |o| look.commit(o).is_some(), now);
        let resting = self.resting().get(&look.link.connection).copied().filter(|until| *until > now);
        let next = match (next, resting) {
            (Next::Say { .. }, Some(until)) => Next::Rest(until),
            (next, _) => next,
        };
        Some((look, next))
    }

    fn look(&self, service: &ServiceId) -> Option<Look> {
        let state = self.core.state();
        let record = state.world.services.get(service)?;
        let from = |o: &&Operation| &o.service == service;
        let mut operations: Vec<Operation> = state.world.operations.values().filter(from).cloned().collect();
        operations.sort_by_key(|o| o.number);
        let newest = operations.iter().rev().find_map(|o| o.target.spec.as_ref());
        let spec = newest.or(record.applied.as_ref()).filter(|spec| is_reported(spec))?.clone();
        let kept = (service.clone(), RevisionNumber(0))..=(service.clone(), RevisionNumber(u32::MAX));
        let revisions = state.world.revisions.range(kept).map(|(_, revision)| revision.clone()).collect();
        let record = record.clone();
        drop(state);
        let link = super::link_of(&self.core, &spec)?;
        Some(Look { record, operations, revisions, link })
    }

    async fn say(&self, look: &Look, operation: &Operation, act: Act, look_first: bool) {
        let Some(report) = self.report(look, operation, act).await else { return };
        let service = &look.record.id;
        self.change(service, operation.number, |told| told.asked = Some(act)).await;
        let found = match look_first {
            true => self.find(look, &report, operation, act).await,
            false => Ok(None),
        };
        let said = match found {
            Ok(None) => self.post(look, &report, operation, act).await,
            found => found.map(Option::unwrap_or_default),
        };
        match said {
            Ok(answer) => self.change(service, operation.number, |told| told.done(act, answer["id"].as_u64())).await,
            Err(trouble) => self.failed(look, operation, act, trouble).await,
        }
    }

    async fn report(&self, look: &Look, operation: &Operation, act: Act) -> Option<Report> {
        let stage = match act {
            Act::Deploy => Stage::of(operation)?,
            Act::Status(stage) | Act::Deployed(stage) => stage,
        };
        let commit = look.commit(operation)?.clone();
        let secrets = self.secrets(look, operation).await;
        let description = describe(operation, stage, &commit, &secrets);
        let (service, url) = (look.record.name.clone(), self.core.url(&look.record.name));
        Some(Report { stage, commit, description, url, service })
    }

    async fn secrets(&self, look: &Look, operation: &Operation) -> Vec<Secret> {
        match operation.target.spec.as_ref().or(look.record.applied.as_ref()) {
            Some(spec) => crate::reconcile::secrets::values(spec, &self.core).await,
            None => Vec::new(),
        }
    }

    /// What was asked for once without an answer, if it was done all the same.
    async fn find(
        &self,
        look: &Look,
        report: &Report,
        operation: &Operation,
        act: Act,
    ) -> Result<Option<Value>, GitHubError> {
        let (commit, link) = (&report.commit, &look.link);
        let path = match act {
            Act::Deploy => format!("/deployments?sha={commit}&task=deploy&per_page={PAGE}"),
            Act::Status(_) => format!("/commits/{commit}/statuses?per_page={PAGE}"),
            Act::Deployed(_) => {
                let id = look.deployment(self, operation).unwrap_or_default();
                format!("/deployments/{id}/statuses?per_page={PAGE}")
            }
        };
        let is_ours = |one: &Value| match act {
            Act::Deploy => one["payload"]["operation"] == operation.id.as_str(),
            Act::Status(stage) => {
                one["context"] == report.context().as_str()
                    && one["state"] == stage.status()
                    && one["description"] == report.description.as_str()
            }
            Act::Deployed(stage) => one["state"] == stage.deployment(),
        };
        let found = link.get(&path).await?;
        Ok(found.as_array().into_iter().flatten().find(|one| is_ours(one)).cloned())
    }

    async fn post(&self, look: &Look, report: &Report, operation: &Operation, act: Act) -> Result<Value, GitHubError> {
        match act {
            Act::Deploy => {
                let preview = operation.target.spec.as_ref().is_some_and(|spec| spec.preview.is_some());
                let body = report.deployment_body(operation.id.as_str(), preview);
                let made = look.link.post("/deployments", &body).await?;
                match made["id"].as_u64() {
                    Some(_) => Ok(made),
                    None => Err(GitHubError::Unexpected("a deployment without an id".into())),
                }
            }
            Act::Status(_) => look.link.post(&statuses_of(&report.commit), &report.status_body()).await,
            Act::Deployed(_) => {
                let id = look.deployment(self, operation).unwrap_or_default();
                look.link.post(&format!("/deployments/{id}/statuses"), &report.deployment_status_body()).await
            }
        }
    }

    async fn failed(&self, look: &Look, operation: &Operation, act: Act, error: GitHubError) {
        let (record, now) = (&look.record, self.core.now());
        tracing::debug!(service = %record.name, ?act, %error, "GitHub was not told");
        let mut last = false;
        let (again, not_before) = (error.class() == Class::Retry || perhaps_done(&error), error.not_before());
        if let Some(until) = not_before {
            self.resting().insert(look.link.connection.clone(), until);
        }
        self.change(&record.id, operation.number, |told| {
            last = match again {
                true => told.failed(perhaps_done(&error), not_before, now, fastrand::f64()),
                false => told.refused(act.way()),
            }
        })
        .await;
        if last {
            let message = given_up(look, operation, act.way(), &error);
            self.core.emit_for(record, "ReportFailed", EventSeverity::Warn, message).await;
        }
    }

    async fn change(&self, service: &ServiceId, number: u64, change: impl FnOnce(&mut super::outbox::Told)) {
        let outbox = {
            let mut all = self.outboxes();
            let outbox = all.entry(service.clone()).or_default();
            change(outbox.told(number));
            outbox.clone()
        };
        self.keep(service, &outbox).await;
    }

    async fn keep(&self, service: &ServiceId, outbox: &Outbox) {
        let Ok(value) = serde_json::to_value(outbox) else { return };
        self.write(EntryWrite::Put(Entry { kind: KIND.into(), name: service.to_string(), value })).await;
    }

    async fn write(&self, write: EntryWrite) {
        if let Err(error) = self.core.store.write_entries(&[write]).await {
            tracing::warn!(error = %chain(&error), "what GitHub was told could not be stored; some may be told again");
        }
    }
}

/// Whether what becomes of a service is said to anybody.
fn is_reported(spec: &ServiceSpec) -> bool {
    let over_api = || spec.wire.as_ref().is_some_and(|wire| wire.connection.is_some());
    spec.source.host.report && (spec.source.connection.is_some() || over_api())
}

/// A service that is being reported on, however that ends.
struct Busy<'a> {
    desk: &'a Desk,
    service: &'a ServiceId,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.desk.busy().remove(self.service);
    }
}

fn given_up(look: &Look, operation: &Operation, way: Way, error: &GitHubError) -> String {
    let what = match way {
        Way::Status => "the status of commit",
        Way::Deployment => "the deployment of commit",
    };
    let commit = look.commit(operation).map(|c| c.short()).unwrap_or_default();
    let Link { slug, connection, .. } = &look.link;
    let advice = advice(error);
    format!("{slug} could not be told {what} {commit} over connection `{connection}`: {}{advice}.", chain(error))
}

impl Look {
    fn commit<'a>(&'a self, operation: &'a Operation) -> Option<&'a crate::model::CommitId> {
        commit_of(operation, |number| self.revisions.iter().map(Arc::as_ref).find(|r| r.number == number))
    }

    fn deployment(&self, desk: &Desk, operation: &Operation) -> Option<u64> {
        desk.outboxes().get(&self.record.id)?.told.get(&operation.number)?.deployment
    }
}
