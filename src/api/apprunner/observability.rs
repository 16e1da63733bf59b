//! Observability configurations: shared, with revisions (row L6). Stored and answered; traces are not collected yet.

use super::input::Input;
use super::revisions::{self, Wire, base, is_latest, put, status, times};
use crate::api::control::Refusal;
use crate::api::facts::{Change, Facts};
use crate::model::{Resource, ResourceKind, ResourceType};
use serde_json::{Value, json};

const WORD: &str = "ObservabilityConfiguration";
const NAME: &str = "ObservabilityConfigurationName";
const TYPE: ResourceType = ResourceType::Observability;

const WIRE: Wire = Wire { of_type: TYPE, word: WORD, arn: "ObservabilityConfigurationArn", shape };

type Decided = Result<(Vec<Change>, Value), Refusal>;

pub(super) fn create(facts: &Facts<'_>, input: &Input, random: [u8; 16]) -> Decided {
    let name = input.required(NAME);
    if name == "DefaultConfiguration" {
        return Err(Refusal::InvalidRequest("the name `DefaultConfiguration` is reserved: choose another".into()));
    }
    revisions::name_within_quota(facts, TYPE, name, (facts.quotas.observability, "observability"))?;
    let vendor = input.members().structure_or_empty("TraceConfiguration").text("Vendor").map(str::to_owned);
    let made = revisions::made(facts, name, ResourceKind::Observability { vendor }, random, input)?;
    let mut shape = shape(facts, &made);
    shape["Latest"] = true.into();
    Ok((vec![put(&made)], json!({ WORD: shape })))
}

pub(super) fn delete(facts: &Facts<'_>, input: &Input, _random: [u8; 16]) -> Decided {
    WIRE.delete(facts, input)
}

pub(super) fn describe(facts: &Facts<'_>, input: &Input) -> Result<Value, Refusal> {
    WIRE.describe(facts, input)
}

pub(super) fn list(facts: &Facts<'_>, input: &Input, secret: &[u8; 32]) -> Result<Value, Refusal> {
    let page = revisions::paged(secret, input, revisions::narrowed(facts, TYPE, input, NAME))?;
    Ok(page.answer("ObservabilityConfigurationSummaryList", |r| {
        let mut summary = base(facts, r, WORD);
        summary["ObservabilityConfigurationRevision"] = r.revision.into();
        summary
    }))
}

fn shape(facts: &Facts<'_>, resource: &Resource) -> Value {
    let mut shape = base(facts, resource, WORD);
    shape["ObservabilityConfigurationRevision"] = resource.revision.into();
    shape["Latest"] = is_latest(facts, resource).into();
    shape["Status"] = status(resource).into();
    if let ResourceKind::Observability { vendor: Some(vendor) } = &resource.kind {
        shape["TraceConfiguration"] = json!({ "Vendor": vendor });
    }
    times(&mut shape, resource);
    shape
}
