//! `Towpath.GetStatus`: every service in one answer, with what waits and why.

use super::arn::{find, service_arn};
use super::control::{ControlPlane, Refusal, Snapshot};
use super::dispatch::{Context, output};
use super::errors::ApiError;
use super::facts::Installed;
use super::urls::{alias_url, default_url};
use super::views::{
    InstanceCounts, ManifestView, OperationView, RewrittenView, SourceView, StatusAnswer, StatusView, WaitingView,
};
use crate::desired::DeclaredService;
use crate::model::{InstanceRole, InstanceState, ServiceName, ServiceSpec, Track};
use crate::observed::{EngineView, InstanceView, ServiceView};
use crate::plan::Note;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct GetStatus {
    service: Option<String>,
}

pub(super) async fn get(context: &Context, input: GetStatus) -> Result<Value, ApiError> {
    let control = &*context.control;
    let snapshot = control.snapshot();
    let services = match &input.service {
        Some(text) => vec![one(control, &snapshot, text).await?],
        None => all(control, &snapshot).await?,
    };
    let engine_error = match &snapshot.observed.engine {
        EngineView::Answered { .. } => None,
        EngineView::Unreachable { message } => Some(message.clone()),
    };
    let general = snapshot.report.notes.iter().filter(|n| n.service.is_none());
    let waiting = general.map(waiting).collect();
    let (manifest, following) = (snapshot.manifest.clone(), snapshot.following.clone());
    output(&StatusAnswer { services, manifest, following, waiting, engine_error })
}

async fn all(control: &dyn ControlPlane, snapshot: &Snapshot) -> Result<Vec<StatusView>, Refusal> {
    let mut views = Vec::new();
    for view in &snapshot.observed.services {
        views.push(existing(control, snapshot, view).await?);
    }
    views.extend(not_created(snapshot).map(|declared| to_be_created(snapshot, declared)));
    views.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(views)
}

async fn one(control: &dyn ControlPlane, snapshot: &Snapshot, text: &str) -> Result<StatusView, Refusal> {
    if let Some(declared) = not_created(snapshot).find(|d| d.spec.name.as_str() == text) {
        return Ok(to_be_created(snapshot, declared));
    }
    let (id, _) = find(control, text).await?;
    let view = control.describe(&id).await?;
    existing(control, snapshot, &view).await
}

fn not_created(snapshot: &Snapshot) -> impl Iterator<Item = &DeclaredService> {
    let declared = snapshot.desired.iter().flat_map(|d| &d.services);
    declared.filter(|d| !snapshot.observed.services.iter().any(|s| s.record.name == d.spec.name))
}

async fn existing(control: &dyn ControlPlane, snapshot: &Snapshot, view: &ServiceView) -> Result<StatusView, Refusal> {
    let record = &view.record;
    let arn = service_arn(&Installed::of(snapshot), &record.name, &record.id);
    let newest = control.operations(&record.id).await?.into_iter().next();
    let declared = snapshot.desired.iter().flat_map(|d| &d.services).find(|d| d.spec.name == record.name);
    let spec = record.applied.as_ref().or(declared.map(|d| &d.spec));
    Ok(StatusView {
        name: record.name.to_string(),
        status: record.status(view.operation.as_ref()).as_str().to_owned(),
        url: Some(alias_url(snapshot, &record.name)),
        revision: record.current.map(|r| r.0),
        version: view.current.as_ref().map(|r| r.commit.id.to_string()),
        signed_by: view.current.as_ref().and_then(|r| r.commit.signed_by.clone()),
        instances: InstanceCounts {
            desired: view.target_size,
            running: count(view, |state| matches!(state, InstanceState::Running)),
            frozen: count(view, |state| matches!(state, InstanceState::Frozen)),
        },
        source: spec.map(|spec| source(snapshot, spec)),
        last_operation: newest.map(|o| OperationView::detailed(&o, arn.clone(), record.name.as_str())),
        waiting: waiting_of(snapshot, &record.name),
        manifest: declared.and_then(|_| manifest(snapshot)),
        arn: Some(arn),
        default_url: Some(default_url(snapshot, &record.label)),
    })
}

/// The commit that a service's declaration is from.
fn manifest(snapshot: &Snapshot) -> Option<ManifestView> {
    let commit = snapshot.desired.as_ref()?.manifest.commit.as_ref()?;
    let following = &snapshot.following;
    Some(ManifestView {
        source: following.source.clone(),
        commit: commit.id.to_string(),
        author: commit.author.clone(),
        summary: commit.summary.clone(),
        seen_at: following.seen_at.map(Into::into),
        converged_at: following.converged_at.map(Into::into),
    })
}

/// Instances of the serving set in a state: what is starting for a deployment or going away does not count.
fn count(view: &ServiceView, state: impl Fn(&InstanceState) -> bool) -> u32 {
    let fits = |i: &&InstanceView| {
        i.record.role == InstanceRole::Serving && i.observed.as_ref().is_some_and(|o| state(&o.state))
    };
    u32::try_from(view.instances.iter().filter(fits).count()).unwrap_or(u32::MAX)
}

fn to_be_created(snapshot: &Snapshot, declared: &DeclaredService) -> StatusView {
    let spec = &declared.spec;
    StatusView {
        name: spec.name.to_string(),
        status: "NOT_CREATED".into(),
        url: None,
        revision: None,
        version: None,
        signed_by: None,
        instances: InstanceCounts { desired: spec.scaling.min_size, ..InstanceCounts::default() },
        source: Some(source(snapshot, spec)),
        last_operation: None,
        waiting: waiting_of(snapshot, &spec.name),
        manifest: manifest(snapshot),
        arn: None,
        default_url: None,
    }
}

fn source(snapshot: &Snapshot, spec: &ServiceSpec) -> SourceView {
    let mut heads = snapshot.observed.heads.iter();
    let head = heads.find(|h| h.repository == spec.source.repository && h.track == spec.source.track);
    let rewritten = head.and_then(|head| head.rewritten.as_ref());
    let Track { reference, directory } = &spec.source.track;
    SourceView {
        repository: spec.source.repository.to_string(),
        branch: reference.branch().map(ToString::to_string),
        tag: reference.tag().map(ToString::to_string),
        commit: reference.commit().map(ToString::to_string),
        directory: directory.as_ref().map(ToString::to_string),
        auto_deploy: spec.source.auto_deploy,
        rewritten: rewritten.map(|r| RewrittenView { from: r.from.to_string(), to: r.to.to_string(), at: r.at.into() }),
    }
}

fn waiting_of(snapshot: &Snapshot, name: &ServiceName) -> Vec<WaitingView> {
    snapshot.report.notes.iter().filter(|n| n.service.as_ref() == Some(name)).map(waiting).collect()
}

fn waiting(note: &Note) -> WaitingView {
    WaitingView { kind: note.kind, message: note.message.clone(), until: note.until.map(Into::into) }
}
