//! A plan, or a comparison of two manifests, as JSON: a documented form with a version (`docs/reference/plan.md`,
//! `plan.schema.json` beside it). A later minor version may have further members; a change of what is there is a new major.

use super::compare::{Comparison, Difference};
use super::mask::masked;
use super::page::{Counts, Page};
use super::{Action, Change, Note, Plan, Report};
use crate::desired::ManifestVersion;
use crate::model::{Problem, Timestamp};
use crate::observed::{EngineView, Observed};
use serde::Serialize;
use serde_json::Value;

/// The version of the form.
pub const FORMAT_VERSION: &str = "1.0";

/// The JSON schema of the form.
pub const SCHEMA: &str = include_str!("../../docs/reference/plan.schema.json");

/// A plan with what waits. `towpath apply` reads it too, and leaves aside what is not the plan's own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanDocument<'a> {
    format_version: &'static str,
    kind: &'static str,
    manifest: Option<&'a ManifestVersion>,
    at: Timestamp,
    engine: EngineDocument<'a>,
    summary: Counts,
    changes: Vec<ChangeDocument<'a>>,
    notes: &'a [Note],
    problems: &'a [Problem],
}

#[derive(Serialize)]
struct EngineDocument<'a> {
    name: Option<&'a str>,
    error: Option<&'a str>,
}

/// As the plan has it, without what looks like a secret among the fields.
#[derive(Serialize)]
struct ChangeDocument<'a> {
    service: Option<&'a str>,
    place: Option<&'a crate::model::Place>,
    action: &'a Action,
    fields: Vec<super::FieldChange>,
    effect: &'a str,
    basis: &'a crate::model::Digest,
}

impl<'a> ChangeDocument<'a> {
    fn of(change: &'a Change) -> Self {
        let Change { service, place, action, fields, effect, basis } = change;
        let service = service.as_ref().map(|name| name.as_str());
        Self { service, place: place.as_ref(), action, fields: fields.iter().map(masked).collect(), effect, basis }
    }
}

/// Two states of a manifest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ComparisonDocument<'a> {
    format_version: &'static str,
    kind: &'static str,
    file: &'a str,
    from: &'a str,
    to: &'a str,
    summary: Counts,
    changes: Vec<Difference>,
    notes: &'a [Note],
    problems: &'a [Problem],
}

/// The plan as JSON.
///
/// # Errors
/// When something in it cannot be written as JSON, which is a bug.
pub fn plan_document(
    plan: &Plan,
    report: &Report,
    observed: &Observed,
    problems: &[Problem],
) -> serde_json::Result<Value> {
    let engine = match &observed.engine {
        EngineView::Answered { name } => EngineDocument { name: Some(name), error: None },
        EngineView::Unreachable { message } => EngineDocument { name: None, error: Some(message) },
    };
    serde_json::to_value(PlanDocument {
        format_version: FORMAT_VERSION,
        kind: "plan",
        manifest: plan.manifest.as_ref(),
        at: plan.at,
        engine,
        summary: Page::of_plan(plan, report, observed).counts(),
        changes: plan.changes.iter().map(ChangeDocument::of).collect(),
        notes: &report.notes,
        problems,
    })
}

/// The comparison as JSON.
///
/// # Errors
/// As [`plan_document`].
pub fn comparison_document(comparison: &Comparison, problems: &[Problem]) -> serde_json::Result<Value> {
    let hidden = |c: &Difference| Difference { fields: c.fields.iter().map(masked).collect(), ..c.clone() };
    serde_json::to_value(ComparisonDocument {
        format_version: FORMAT_VERSION,
        kind: "comparison",
        file: &comparison.file,
        from: &comparison.from,
        to: &comparison.to,
        summary: Page::of_comparison(comparison).counts(),
        changes: comparison.changes.iter().map(hidden).collect(),
        notes: &comparison.notes,
        problems,
    })
}
