//! `towpath export`: the running state as a manifest.

use super::args::ExportArgs;
use super::client::Client;
use super::failure::Failure;
use super::screen::Screen;
use crate::api::export::{ExportAnswer, ExportedService};
use crate::desired::export::{Exported, Written, export as write_manifest};
use crate::model::Owner;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Prints the manifest, or writes it to a file. What it cannot say is told on standard error.
pub async fn export(screen: &Screen, client: &Client, args: &ExportArgs) -> Result<(), Failure> {
    let answer: ExportAnswer = client.call("Towpath.Export", &json!({})).await?;
    let chosen = choose(&answer.services, &args.services)?;
    let remarks: Vec<Option<String>> = chosen.iter().map(|service| remark(service)).collect();
    let services: Vec<Exported> = chosen
        .iter()
        .zip(&remarks)
        .filter_map(|(service, remark)| Some(Exported { spec: service.spec.as_ref()?, remark: remark.as_deref() }))
        .collect();
    let Written { text, mut lost } = write_manifest(&services, &answer.sealed, &answer.connections);
    let unknown = chosen.iter().filter(|service| service.spec.is_none());
    lost.extend(
        unknown.map(|service| format!("`{}`: never came to serve and is not declared: left out", service.name)),
    );
    lost.iter().for_each(|what| screen.note(&format!("{} {what}", screen.strong("note:"))));
    match &args.out {
        Some(file) => {
            save(file, args.force, &text)?;
            let (count, name) = (services.len(), file.display());
            let noun = if count == 1 { "service" } else { "services" };
            screen.note(&format!("{count} {noun} written to {name}; check it: `towpath plan -f {name}`"));
            Ok(())
        }
        None if screen.is_json() => screen.print_json(&json!({ "manifest": text, "lost": lost })),
        None => screen.print(&text),
    }
}

/// All services, or those that are named.
fn choose<'a>(all: &'a [ExportedService], names: &[String]) -> Result<Vec<&'a ExportedService>, Failure> {
    let known = |name: &&String| all.iter().any(|service| service.name == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let there: Vec<&str> = all.iter().map(|service| service.name.as_str()).collect();
        let there =
            if there.is_empty() { "none is there yet".into() } else { format!("there are: {}", there.join(", ")) };
        return Err(Failure::new(format!("there is no service `{}`; {there}", unknown.escape_debug())));
    }
    Ok(all.iter().filter(|service| names.is_empty() || names.contains(&service.name)).collect())
}

/// What a manifest has no word for.
fn remark(service: &ExportedService) -> Option<String> {
    let made = (service.owner == Owner::Managed)
        .then(|| format!("made over the API: `towpath delete {}` before a manifest may declare it", service.name));
    let paused = service.paused.then(|| format!("paused: `towpath resume {}` brings it back", service.name));
    let never = (!service.served).then(|| "never came to serve: this is what is declared".to_owned());
    let all: Vec<String> = made.into_iter().chain(paused).chain(never).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Writes a manifest to a file, which must not be there unless it may be replaced.
pub(super) fn save(file: &Path, force: bool, text: &str) -> Result<(), Failure> {
    let name = file.display();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(format!("`{name}` is there already")).hint("replace it with `--force`, or write elsewhere")
        }
        _ => Failure::caused(format!("failed to write `{name}`"), &error),
    };
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut opened = options.open(file).map_err(failed)?;
    opened.write_all(text.as_bytes()).map_err(failed)
}
