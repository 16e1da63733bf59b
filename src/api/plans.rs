//! `Towpath.Plan` and `Towpath.Apply`: what is planned is what is done (law 6).

use super::dispatch::{Call, Context, output};
use super::errors::ApiError;
use super::views::PlanView;
use crate::desired::ManifestFiles;
use crate::plan::Plan;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct PlanInput {
    manifest: Option<ManifestFiles>,
    /// The directory that the manifest was read in, where that is on another machine.
    directory: Option<PathBuf>,
    /// Whether the answer carries what was observed: a plan is shown to people beside it.
    #[serde(default)]
    with_observed: bool,
}

pub(super) async fn plan(context: &Context, input: PlanInput) -> Result<Value, ApiError> {
    let manifest = match (input.manifest, input.directory, context.control.manifest_directory()) {
        (Some(files), Some(there), Some(here)) => Some(files.moved(&there, &here)),
        (manifest, ..) => manifest,
    };
    let answer = context.control.plan(manifest).await?;
    let observed = input.with_observed.then(|| context.control.snapshot().observed.clone());
    let (plan, report, problems, access) = (answer.plan, answer.report, answer.problems, answer.access);
    output(&PlanView { plan, report, problems, access, observed })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Apply {
    plan: Option<Plan>,
    #[serde(default)]
    allow_mass_delete: bool,
    reason: Option<String>,
}

pub(super) async fn apply(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: Apply = call.read()?;
    let operations = context.control.apply(input.plan, input.allow_mass_delete, call.by(input.reason)).await?;
    Ok(json!({ "OperationIds": operations }))
}
