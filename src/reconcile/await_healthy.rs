//! Starting instances, waiting until they are healthy, retiring them: shared by operations and healing.

use super::advice::{self, Listening};
use super::core::Core;
use super::deploy::{GRACE, instance_spec};
use super::health::{self, Record, Way};
use crate::model::{
    Class, Failure, InstanceId, InstanceRecord, InstanceRole, InstanceState, LineSink, LineSource, ObservedInstance,
    Reason, Revision, ServiceRecord, ServiceSpec, Step,
};
use crate::observed::Health;
use crate::store::Write;
use crate::telemetry::Stream;
use futures_util::future::join_all;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How often a starting instance is asked whether it is healthy yet.
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// After how many ends by itself an application is given up.
const EXITS_MAX: u32 = 3;
/// When a person is told that the application listens elsewhere, long before the deadline.
const SAY_PORT_AFTER: Duration = Duration::from_secs(10);

/// How long a connection is given to be taken before it is called waiting, in milliseconds: most are within the first of these.
const TAKEN_WITHIN: [u64; 5] = [2, 4, 8, 16, 32];
/// What a check finds of a server that has bound its port and is not ready.
const NOT_TAKEN: &str = "it listens, but takes no connections yet";

/// How waiting for new instances ended, with the ids as they are now: one that ended was replaced by another.
pub enum Outcome {
    /// All are healthy.
    Healthy(Vec<InstanceId>),
    /// At least one is not and will not be.
    Failed {
        /// Why.
        failure: Failure,
        /// The instances.
        ids: Vec<InstanceId>,
    },
}

fn failure(reason: Reason, class: Class, message: String) -> Failure {
    Failure { reason, class, message, step: Some(Step::Check) }
}

/// Starts one recorded instance, or finds it started, and records its address.
pub async fn start(core: &Core, service: &ServiceRecord, revision: &Revision, id: &InstanceId) -> Result<(), Failure> {
    let spec = instance_spec(core, service, revision, id).await?;
    let address =
        core.engine.start(&spec).await.map_err(|e| failure(Reason::StartFailed, e.class(), super::chain(&e)))?;
    core.state().is_alive(started(core, service, revision, id, address));
    core.transact_patiently(|world| {
        let known = world.instances.get(id).cloned();
        let writes = known.map(|i| vec![Write::PutInstance(InstanceRecord { address: Some(address), ..i })]);
        (writes.unwrap_or_default(), ())
    })
    .await
    .ok_or_else(|| failure(Reason::Internal, Class::Retry, "the control plane stops".into()))
}

/// An instance as the engine will list it from now on.
fn started(
    core: &Core,
    service: &ServiceRecord,
    revision: &Revision,
    id: &InstanceId,
    address: SocketAddr,
) -> ObservedInstance {
    ObservedInstance {
        id: id.clone(),
        service: service.id.clone(),
        revision: revision.number,
        config: revision.config_digest(),
        state: InstanceState::Running,
        address: Some(address),
        started_at: core.now(),
        drift: Vec::new(),
    }
}

/// Waits until all of these instances are healthy. An instance that ends is replaced, until [`EXITS_MAX`] have ended.
pub async fn all(
    core: &Core,
    service: &ServiceRecord,
    revision: &Revision,
    spec: &ServiceSpec,
    ids: &[InstanceId],
    log: &dyn LineSink,
) -> Outcome {
    let exits = AtomicU32::new(0);
    let waits = ids.iter().map(|id| Wait { core, service, revision, spec, log, exits: &exits }.one(id.clone()));
    let ended = join_all(waits).await;
    let ids: Vec<InstanceId> = ended.iter().map(|(id, _)| id.clone()).collect();
    match ended.into_iter().find_map(|(_, result)| result.err()) {
        // One that was healthy first may have ended while the others were waited for.
        None => match ended_meanwhile(core, &ids).await {
            None => Outcome::Healthy(ids),
            Some(message) => {
                let message = format!("the application {message} shortly after it had become healthy");
                Outcome::Failed { failure: failure(Reason::InstanceExited, Class::Stalled, message), ids }
            }
        },
        Some(failure) => Outcome::Failed { failure, ids },
    }
}

async fn ended_meanwhile(core: &Core, ids: &[InstanceId]) -> Option<String> {
    let observed = core.engine.observe().await.ok()?;
    observed.into_iter().filter(|o| ids.contains(&o.id)).find_map(|o| match o.state {
        InstanceState::Exited { message, .. } => Some(message),
        _ => None,
    })
}

struct Wait<'a> {
    core: &'a Core,
    service: &'a ServiceRecord,
    revision: &'a Revision,
    spec: &'a ServiceSpec,
    log: &'a dyn LineSink,
    exits: &'a AtomicU32,
}

impl Wait<'_> {
    fn say(&self, text: &str) {
        self.log.line(LineSource::AppRunner, text);
    }

    async fn one(self, mut id: InstanceId) -> (InstanceId, Result<(), Failure>) {
        let until = Instant::now() + self.spec.deploy.start_deadline;
        let mut last_end = None;
        loop {
            match self.probing(&id, until).await {
                Ok(()) => return (id, Ok(())),
                Err(Ended::Deadline(message)) => {
                    // What made it end says more than that its replacement was not healthy in the time that was left.
                    let failure = match last_end {
                        Some(end) => failure(Reason::InstanceExited, Class::Stalled, format!("{end}\n{message}")),
                        None => failure(Reason::HealthCheckFailed, Class::Stalled, message),
                    };
                    return (id, Err(failure));
                }
                Err(Ended::Exited(message)) => {
                    let lines = last_lines(self.core, self.service, &id).await;
                    let told = self.advice(&id, &message, &lines) + &advice::quote(&lines);
                    let count = self.exits.fetch_add(1, Ordering::Relaxed) + 1;
                    if count >= EXITS_MAX {
                        let message = format!("the application {message}, {count} times in a row.{told}");
                        return (id, Err(failure(Reason::InstanceExited, Class::Stalled, message)));
                    }
                    self.say(&format!("The application {message}; it is started again.{told}"));
                    last_end = Some(format!("the application {message}.{told}"));
                    tokio::time::sleep(Duration::from_millis(500 * u64::from(count))).await;
                    match self.replace(&id).await {
                        Ok(next) => id = next,
                        Err(failure) => return (id, Err(failure)),
                    }
                }
            }
        }
    }

    /// Probes one instance until it is healthy, ended, or late.
    async fn probing(&self, id: &InstanceId, until: Instant) -> Result<(), Ended> {
        let begun = Instant::now();
        let timeout = Duration::from_secs(u64::from(self.spec.health.timeout_seconds));
        let mut record = Record::default();
        let way = Way::to(&*self.core.engine);
        let (mut port_said, mut waiting) = (false, false);
        let mut changes = self.core.engine.changes();
        let (mut looked, mut look) = (Instant::now(), false);
        loop {
            let address = self.core.state().world.instances.get(id).and_then(|i| i.address);
            let Some(address) = address else {
                return Err(Ended::Exited("has no address: it was removed by hand".into()));
            };
            // A connection that waits to be taken is waited for: more of them would say no more, and fill the queue. Taken or
            // gone, the next check says which.
            let result = match waiting && self.leaves_waiting(id, address.port()).await {
                true => Err(NOT_TAKEN.to_owned()),
                false => self.check(id, address, way, timeout).await,
            };
            waiting = result.as_ref().is_err_and(|why| why == NOT_TAKEN);
            let last = result.clone().err().unwrap_or_default();
            record = record.with(result, &self.spec.health);
            if record.verdict == Health::Healthy {
                // A port that answers may be a stranger's when the application itself has ended already.
                return self.exited(id).await.map_or(Ok(()), |m| Err(Ended::Exited(m)));
            }
            let late = Instant::now() >= until;
            if look || late || looked.elapsed() > Duration::from_secs(1) {
                (looked, look) = (Instant::now(), false);
                if let Some(message) = self.exited(id).await {
                    return Err(Ended::Exited(message));
                }
            }
            if late {
                return Err(Ended::Deadline(self.late(id, address.port(), &last).await));
            }
            if !port_said && begun.elapsed() > SAY_PORT_AFTER {
                port_said = true;
                self.say_port(id, address.port(), &last).await;
            }
            tokio::select! {
                () = tokio::time::sleep(PROBE_EVERY) => {}
                changed = changes.changed(), if !look => match changed {
                    Ok(()) => look = true,
                    // The engine says nothing any more: asked every second.
                    Err(_) => tokio::time::sleep(PROBE_EVERY).await,
                },
            }
        }
    }

    /// One check. That a port is bound proves little: servers that bind first and load their workers then are there when these do, and
    /// not at all if they fail.
    async fn check(&self, id: &InstanceId, address: SocketAddr, way: Way, timeout: Duration) -> Result<(), String> {
        health::probe(address, &self.spec.health, way, timeout).await?;
        match health::is_of_the_port_only(&self.spec.health, way) && self.leaves_waiting(id, address.port()).await {
            true => Err(NOT_TAKEN.into()),
            false => Ok(()),
        }
    }

    /// Whether the application leaves connections waiting that the kernel took for it. Where that cannot be seen, it does not.
    async fn leaves_waiting(&self, id: &InstanceId, port: u16) -> bool {
        for pause in TAKEN_WITHIN {
            match self.core.engine.unaccepted(id, port).await {
                Ok(Some(waiting)) if waiting > 0 => tokio::time::sleep(Duration::from_millis(pause)).await,
                _ => return false,
            }
        }
        true
    }

    fn advice(&self, id: &InstanceId, message: &str, lines: &[String]) -> String {
        let address = self.core.state().world.instances.get(id).and_then(|i| i.address);
        let configured = self.revision.settings.port;
        let wanted = address.map_or(configured, |a| a.port());
        advice::on_exit(self.core.engine.name(), message, lines, configured, wanted)
    }

    /// The message of an instance that has ended or is gone.
    async fn exited(&self, id: &InstanceId) -> Option<String> {
        let observed = self.core.engine.observe().await.ok()?;
        match observed.into_iter().find(|o| &o.id == id) {
            None => Some("was removed by hand".into()),
            Some(o) => match o.state {
                InstanceState::Exited { message, .. } => Some(message),
                _ => None,
            },
        }
    }

    async fn late(&self, id: &InstanceId, port: u16, last: &str) -> String {
        let seconds = self.spec.deploy.start_deadline.as_secs();
        let elsewhere = self.elsewhere(id, port, last).await;
        let configured = self.revision.settings.port;
        let quoted = advice::quote(&last_lines(self.core, self.service, id).await);
        format!(
            "Health check on port '{configured}' failed: not healthy within {seconds} s ({last}).{} Check the port setting and \
             that the application listens on it.{quoted}",
            elsewhere.map(|e| format!(" {e}")).unwrap_or_default()
        )
    }

    async fn say_port(&self, id: &InstanceId, port: u16, last: &str) {
        self.say(&format!("Not healthy yet: {last}."));
        if let Some(elsewhere) = self.elsewhere(id, port, last).await {
            self.say(&elsewhere);
        }
    }

    /// Where the application listens instead of where it should.
    async fn elsewhere(&self, id: &InstanceId, wanted: u16, probe: &str) -> Option<String> {
        let ports = self.core.engine.listening_ports(id).await.ok()?;
        let configured = self.revision.settings.port;
        advice::on_listening(&Listening { engine: self.core.engine.name(), wanted, configured, ports: &ports, probe })
    }

    /// Removes an instance that ended and starts another in its place, recorded before it is started.
    async fn replace(&self, old: &InstanceId) -> Result<InstanceId, Failure> {
        if !self.core.state().world.instances.contains_key(old) {
            return Err(failure(Reason::Internal, Class::Retry, format!("instance {old} was removed meanwhile")));
        }
        let id = InstanceId::from_random(self.core.random());
        let next = id.clone();
        self.core
            .transact_patiently(|world| (replacement(world, old, &next), ()))
            .await
            .ok_or_else(|| failure(Reason::Internal, Class::Retry, "the control plane stops".into()))?;
        retire(self.core, old).await?;
        start(self.core, self.service, self.revision, &id).await?;
        Ok(id)
    }
}

enum Ended {
    Exited(String),
    Deadline(String),
}

/// The replacement's record, and the operation's list of instances with it in the old one's place.
fn replacement(world: &crate::store::World, old: &InstanceId, next: &InstanceId) -> Vec<Write> {
    let Some(record) = world.instances.get(old).cloned() else { return Vec::new() };
    let mut writes = Vec::new();
    if let Some(mut operation) = record.operation.as_ref().and_then(|o| world.operations.get(o)).cloned() {
        for id in operation.instances.iter_mut().filter(|i| *i == old) {
            *id = next.clone();
        }
        writes.push(Write::PutOperation(Box::new(operation)));
    }
    writes.push(Write::PutInstance(InstanceRecord { id: next.clone(), address: None, ..record.clone() }));
    writes.push(Write::PutInstance(InstanceRecord { role: InstanceRole::Retiring, ..record }));
    writes
}

/// The last lines that an instance printed.
async fn last_lines(core: &Core, service: &ServiceRecord, id: &InstanceId) -> Vec<String> {
    let stream = Stream::Instance(id.clone());
    let lines = core.logs.tail(&service.id, &stream, advice::LINES_READ).await.unwrap_or_default();
    lines.into_iter().map(|line| line.text).collect()
}

/// Stops an instance, removes it and its record. The caller knows that it is not routed.
pub async fn retire(core: &Core, id: &InstanceId) -> Result<(), Failure> {
    let engine_failure = |e: crate::engine::EngineError| failure(Reason::Internal, e.class(), super::chain(&e));
    core.engine.stop(id, GRACE).await.map_err(engine_failure)?;
    core.engine.remove(id).await.map_err(engine_failure)?;
    core.transact_patiently(|_| (vec![Write::DeleteInstance(id.clone())], ())).await;
    core.state().forget(id);
    Ok(())
}
