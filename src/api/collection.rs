//! `Towpath.Collect`: what goes from the disk, how large it is, and why.

use super::dispatch::{Call, Context, output};
use super::errors::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A kind of things that are kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A revision of a service, and with it its build.
    Revision,
    /// What a build left: a directory or an image.
    Build,
    /// The mirror of a repository.
    Mirror,
    /// What builds keep to be faster.
    Cache,
    /// The log of an operation or an instance.
    Log,
}

/// One thing that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// How much room it takes, where that is known.
    pub bytes: Option<u64>,
    /// Why it goes.
    pub why: String,
}

/// A collection, done or only looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// What goes, or went.
    pub removals: Vec<Removal>,
    /// What was left for now or could not be removed, in words.
    pub left: Vec<String>,
    /// How full the disk of the data directory is, in percent.
    pub disk_percent: Option<u32>,
}

/// Whether a collection removes, or only shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Shows what would go.
    Show,
    /// Removes it.
    Remove,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Input {
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn collect(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: Input = call.read()?;
    let extent = if input.dry_run { Extent::Show } else { Extent::Remove };
    output(&context.control.collect(extent, call.by(None)).await?)
}
