//! The present state as planning and the wire see it, taken from memory.

use super::core::{Config, Core, State};
use crate::api::control::{Following, ManifestState, Snapshot};
use crate::model::{InstanceRecord, ServiceRecord};
use crate::observed::{EngineView, Health, InstanceView, Observed, ServiceView};
use crate::plan::{Plan, Report};
use std::sync::Arc;

/// The snapshot before anything is known.
pub fn empty(config: &Config, engine: &str) -> Snapshot {
    let observed = Observed {
        services: Vec::new(),
        heads: Vec::new(),
        engine: EngineView::Unreachable { message: format!("the {engine} engine was not asked yet") },
        strays: Vec::new(),
        host_memory: config.host_memory,
        vetted: Vec::new(),
    };
    Snapshot {
        observed,
        desired: None,
        manifest: ManifestState::None,
        following: Following { source: config.manifest_shown.clone(), ..Following::default() },
        plan: Plan { manifest: None, at: crate::model::Timestamp::now(), changes: Vec::new() },
        report: Report::default(),
        http_port: config.http_port,
        base_domain: config.base_domain.clone(),
        region: config.region.clone(),
        account: config.account.clone(),
    }
}

/// What runs, as of memory now.
pub fn observed(core: &Core) -> Observed {
    let mut heads = core.poller.heads();
    let state = core.state();
    heads.extend(super::feedback::gate::views(&state.gates, &heads));
    let services = state.world.services.values().filter(|r| r.deleted_at.is_none());
    Observed {
        services: services.map(|r| view(&state, r)).collect(),
        heads,
        engine: state.engine.clone(),
        strays: state.instances.values().filter(|i| !state.world.instances.contains_key(&i.id)).cloned().collect(),
        host_memory: core.config.host_memory,
        vetted: state.vetting.known(),
    }
}

/// One service, deleted ones too (row D6).
pub fn describe(core: &Core, service: &crate::model::ServiceId) -> Option<ServiceView> {
    let state = core.state();
    state.world.services.get(service).map(|record| view(&state, record))
}

fn view(state: &State, record: &ServiceRecord) -> ServiceView {
    let current = record.current.and_then(|n| state.world.revisions.get(&(record.id.clone(), n))).cloned();
    let size = record.applied.as_ref().map_or(1, |s| s.scaling.min_size.max(1));
    ServiceView {
        record: record.clone(),
        current,
        operation: state.world.open_operation(&record.id).cloned(),
        instances: instances(state, record),
        target_size: if record.paused.is_some() || record.current.is_none() { 0 } else { size },
        heals: state.heals.get(&record.id).cloned().unwrap_or_default(),
    }
}

fn instances(state: &State, record: &ServiceRecord) -> Vec<InstanceView> {
    state.world.instances.values().filter(|i| i.service == record.id).map(|i| instance(state, i)).collect()
}

fn instance(state: &State, record: &InstanceRecord) -> InstanceView {
    InstanceView {
        record: record.clone(),
        observed: state.instances.get(&record.id).cloned(),
        health: state.health.get(&record.id).map_or(Health::Unknown, |h| h.verdict.clone()),
    }
}

/// Puts a new snapshot where the wire reads it.
pub fn store(core: &Core, observed: Observed, plan: Plan, report: Report) {
    let source = super::vetting::source_of_manifest(core);
    let head = source
        .and_then(|(url, track, _)| observed.heads.iter().find(|h| h.repository == url && h.track == track).cloned());
    let mut state = core.state();
    let old = state.snapshot.clone();
    state.snapshot = Arc::new(Snapshot {
        observed,
        desired: state.desired.clone(),
        manifest: state.manifest.clone(),
        following: Following {
            source: old.following.source.clone(),
            seen_at: state.manifest_followed.seen_at,
            converged_at: state.manifest_converged,
            problem: state.manifest_followed.problem.clone(),
            rewritten: head.and_then(|head| head.rewritten),
        },
        plan,
        report,
        http_port: old.http_port,
        base_domain: old.base_domain.clone(),
        region: old.region.clone(),
        account: old.account.clone(),
    });
}
