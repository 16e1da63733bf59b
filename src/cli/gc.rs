//! `towpath gc`: what goes from the disk, how large it is, and why.

use super::client::Client;
use super::failure::Failure;
use super::screen::{Cell, Screen, Tone, cell, harmless, table};
use crate::api::collection::{Collection, Kind, Removal};
use serde_json::json;

/// Collects, or shows what a collection would remove.
pub async fn gc(screen: &Screen, client: &Client, dry_run: bool) -> Result<(), Failure> {
    let collection: Collection = client.call("Towpath.Collect", &json!({ "DryRun": dry_run })).await?;
    if screen.is_json() {
        return screen.print_json(&collection);
    }
    for left in &collection.left {
        screen.note(&harmless(left));
    }
    if collection.removals.is_empty() {
        return screen.print(&format!("Nothing to remove.{}\n", disk(&collection)));
    }
    let rows: Vec<Vec<Cell>> = collection.removals.iter().map(row).collect();
    let total: u64 = collection.removals.iter().filter_map(|r| r.bytes).sum();
    let verb = if dry_run { "Would remove" } else { "Removed" };
    let number = match rows.len() {
        1 => "1 thing".to_owned(),
        n => format!("{n} things"),
    };
    screen.print(&table(screen, &["WHAT", "NAME", "SIZE", "WHY"], &rows))?;
    screen.print(&format!("\n{verb} {number}, {}.{}\n", size(total), disk(&collection)))
}

fn disk(collection: &Collection) -> String {
    collection.disk_percent.map(|percent| format!(" The disk is {percent}% full.")).unwrap_or_default()
}

fn row(removal: &Removal) -> Vec<Cell> {
    let kind = match removal.kind {
        Kind::Revision => "revision",
        Kind::Build => "build",
        Kind::Mirror => "mirror",
        Kind::Cache => "cache",
        Kind::Log => "log",
    };
    let bytes = removal.bytes.map(size).unwrap_or_default();
    vec![cell(kind), cell(harmless(&removal.name)), cell(bytes), (Tone::Quiet, removal.why.clone())]
}

/// A size as people say it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    let (mut tenths, mut unit) = (bytes.saturating_mul(10) / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_the_largest_unit_that_fits() {
        assert_eq!(
            [size(0), size(1536), size(5 << 20), size((3 << 30) / 2), size(2 << 40)],
            ["0.0 KB", "1.5 KB", "5.0 MB", "1.5 GB", "2.0 TB"]
        );
    }
}
