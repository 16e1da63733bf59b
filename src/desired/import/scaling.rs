//! Scaling configurations: settings that services share by name.

use super::draft::Draft;
use super::field::{Field, Members};
use crate::desired::export::text::Yaml;
use crate::model::Scaling;
use std::ops::RangeInclusive;

/// The name of App Runner's own configuration, whose settings are the manifest's defaults, too.
const DEFAULT: &str = "DefaultConfiguration";
/// What its ARN contains until somebody revises it.
const FIRST_DEFAULT: &str = ":autoscalingconfiguration/DefaultConfiguration/1/";
/// The most instances that a manifest takes.
const MOST: u32 = 25;

/// What a service says of its scaling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scaled {
    /// Nothing.
    Default,
    /// Settings that have a name.
    Named(Settings),
}

impl Scaled {
    /// The key `autoscaling`: by name where the settings are shared under it, else in place.
    pub(super) fn yaml(&self, is_shared: impl Fn(&str) -> bool) -> Yaml {
        match self {
            Self::Default => Yaml::new(),
            Self::Named(settings) if is_shared(&settings.name) => Yaml::text(&settings.name),
            Self::Named(settings) => settings.yaml(),
        }
    }
}

/// A scaling configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Its name.
    pub(super) name: String,
    /// How services refer to it: its ARN, or its place in a template.
    pub(super) reference: String,
    scaling: Scaling,
    /// What was set to what a manifest takes.
    adjusted: Vec<String>,
}

impl Settings {
    /// Reads the three numbers.
    pub(super) fn read(name: &str, reference: &str, members: &mut Members) -> Self {
        let default = Scaling::default();
        let mut adjusted = Vec::new();
        let mut number = |key: &str, range: RangeInclusive<u32>, default: u32| {
            let Some(field) = members.take(key) else { return default };
            let Some(wanted) = field.text().and_then(|text| text.parse::<u32>().ok()) else {
                adjusted.push(format!("`{key}` is no number that is known here: {default} is taken"));
                return default;
            };
            let taken = wanted.clamp(*range.start(), *range.end());
            if taken != wanted {
                adjusted.push(format!("`{key}` is {taken} in place of {wanted}"));
            }
            taken
        };
        let max_concurrency = number("MaxConcurrency", 1..=200, default.max_concurrency);
        let max_size = number("MaxSize", 1..=MOST, default.max_size);
        let min_size = number("MinSize", 1..=max_size, default.min_size);
        let scaling = Scaling { max_concurrency, min_size, max_size };
        Self { name: name.to_owned(), reference: reference.to_owned(), scaling, adjusted }
    }

    /// The settings as the manifest has them, none left out: a shared set is never empty.
    pub(super) fn yaml(&self) -> Yaml {
        let Scaling { max_concurrency, min_size, max_size } = self.scaling;
        Yaml::map([
            ("maxConcurrency", Yaml::plain(max_concurrency)),
            ("minSize", Yaml::plain(min_size)),
            ("maxSize", Yaml::plain(max_size)),
        ])
    }

    /// Whether a manifest can share it under its name.
    pub(super) fn can_be_shared(&self) -> bool {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        self.name != DEFAULT
            && (4..=32).contains(&self.name.len())
            && self.name.chars().all(fits)
            && self.name.starts_with(|c: char| c.is_ascii_alphanumeric())
    }

    fn is_default(&self) -> bool {
        self.name == DEFAULT && self.scaling == Scaling::default()
    }

    /// Whether this text refers to it. An ARN may leave out its id, or its revision and its id.
    fn is(&self, reference: &str) -> bool {
        self.reference == reference
            || (reference.starts_with("arn:") && self.reference.starts_with(&format!("{reference}/")))
    }
}

/// A service's `AutoScalingConfigurationArn`, or the summary that has it.
pub(super) fn refer(field: &Field, reference: &str, all: &[Settings], draft: &mut Draft) {
    let name = reference.rsplit('/').nth(2).unwrap_or(reference).to_owned();
    // The newest of a name is the last that was read.
    match all.iter().rev().find(|settings| settings.is(reference)) {
        Some(settings) if settings.is_default() => draft.carried(field),
        Some(settings) => {
            draft.scaling = Scaled::Named(settings.clone());
            match settings.adjusted.as_slice() {
                [] => draft.carried(field),
                adjusted => draft.changed(field, adjusted.join("; "), ""),
            }
        }
        None if reference.contains(FIRST_DEFAULT) => draft.carried(field),
        None if name == DEFAULT && reference.contains(":autoscalingconfiguration/") => {
            draft.changed(field, "App Runner's default scaling is taken: 1 to 25 instances, 100 requests each", "");
        }
        None => {
            let todo = format!(
                "add the output of `aws apprunner describe-auto-scaling-configuration \
                 --auto-scaling-configuration-arn {reference}` to what is imported"
            );
            draft.left_out(field, "its numbers are not in what was read: the defaults hold", todo);
        }
    }
}
