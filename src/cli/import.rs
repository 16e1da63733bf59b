//! `towpath import`: services of AWS App Runner, as AWS' own tools describe them, written as a manifest. Talks to nobody.

mod inputs;

use super::failure::Failure;
use super::offline;
use super::screen::{Screen, Tone, harmless};
use crate::desired::import::{Choices, FILL_IN, Imported, Note, Outcome};
use crate::model::{Catalogue, Severity};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// What to read: answers of `aws apprunner`, CloudFormation templates, manifests of AWS Copilot, directories of them
    /// [default: standard input]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The value of a template's parameter; repeatable
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parse_parameter)]
    pub parameters: Vec<(String, String)>,
    /// The environment of AWS Copilot whose overrides hold
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// Write to this file, which must not be there yet
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long, requires = "out")]
    pub force: bool,
}

fn parse_parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if name.is_empty() { Err("write NAME=VALUE".to_owned()) } else { Ok((name.to_owned(), value.to_owned())) }
}

/// Prints the manifest, or writes it to a file. What became of each member is told on standard error.
pub fn import(screen: &Screen, args: &ImportArgs, catalogue: &Catalogue) -> Result<ExitCode, Failure> {
    let inputs = inputs::read(&args.files)?;
    let parameters: BTreeMap<String, String> = args.parameters.iter().cloned().collect();
    let choices = Choices { parameters, environment: args.environment.clone() };
    let imported = offline::import(&inputs, &choices, catalogue);
    let failed = imported.problems.iter().any(|problem| problem.severity == Severity::Error);
    if screen.is_json() {
        let Imported { text, services, notes, problems } = &imported;
        screen.print_json(&json!({ "manifest": text, "services": services, "notes": notes, "problems": problems }))?;
    } else {
        tell(screen, &imported, failed);
    }
    let Some(text) = &imported.text else {
        return Err(match failed {
            true => Failure::Silent,
            false => Failure::new("there is no service of App Runner in what was read")
                .hint("`aws apprunner describe-service --service-arn ARN` describes one; see docs/migrating.md"),
        });
    };
    match &args.out {
        Some(file) => {
            super::export::save(file, args.force, text)?;
            screen.note(&summary(&imported, file));
        }
        None if !screen.is_json() => {
            screen.print(text)?;
            screen.note(&summary(&imported, Path::new("standard output")));
        }
        None => {}
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn summary(imported: &Imported, to: &Path) -> String {
    let count = imported.services.len();
    let noun = if count == 1 { "service" } else { "services" };
    let missing = imported.notes.iter().filter(|note| note.outcome == Outcome::Missing).count();
    let todo = match missing {
        0 => String::new(),
        1 => ", with 1 thing to do by hand".to_owned(),
        _ => format!(", with {missing} things to do by hand"),
    };
    let fill_in = match imported.text.as_ref().is_some_and(|text| text.lines().skip(1).any(|l| l.contains(FILL_IN))) {
        true => format!("; look for `{FILL_IN}`"),
        false => String::new(),
    };
    let check = match imported.text.is_some() && to.extension().is_some() {
        true => format!("; check it: `towpath validate {}`", to.display()),
        false => String::new(),
    };
    format!("{count} {noun} written to {}{todo}{fill_in}{check}", to.display())
}

/// What became of what was read, service by service.
fn tell(screen: &Screen, imported: &Imported, failed: bool) {
    if failed {
        for problem in imported.problems.iter().filter(|problem| problem.severity == Severity::Error) {
            screen.note(&offline::problem_text(problem, screen.error_color));
        }
    }
    let mut groups: Vec<(Option<&str>, Vec<&Note>)> = Vec::new();
    for note in &imported.notes {
        let service = note.service.as_deref();
        match groups.iter_mut().find(|(name, _)| *name == service) {
            Some((_, notes)) => notes.push(note),
            None => groups.push((service, vec![note])),
        }
    }
    groups.sort_by_key(|(name, _)| (name.is_none(), *name));
    for (service, notes) in groups {
        let text = group(screen, service, &notes);
        if !text.is_empty() {
            screen.note(&text);
        }
    }
}

fn group(screen: &Screen, service: Option<&str>, notes: &[&Note]) -> String {
    let mut notes = notes.to_vec();
    notes.sort_by_key(|note| note.outcome);
    let mut lines: Vec<String> = notes.iter().filter_map(|note| line(screen, note)).collect();
    let facts: Vec<String> = notes
        .iter()
        .filter(|note| note.outcome == Outcome::NotNeeded && service.is_some())
        .map(|note| harmless(note.short()))
        .collect();
    if !facts.is_empty() {
        lines.push(format!("  {}  {}", screen.error_tone(Tone::Quiet, "of AWS only"), facts.join(", ")));
    }
    if lines.is_empty() {
        return String::new();
    }
    let name = service.map_or_else(|| "beside the services".to_owned(), harmless);
    format!("{}\n{}\n", screen.strong(&name), lines.join("\n"))
}

fn line(screen: &Screen, note: &Note) -> Option<String> {
    let (word, tone) = match note.outcome {
        Outcome::Missing => ("to do", Tone::Bad),
        Outcome::LeftOut => ("left out", Tone::Notice),
        Outcome::Changed => ("changed", Tone::Plain),
        Outcome::Carried | Outcome::NotNeeded => return None,
    };
    let place = note.line.map(|line| format!(" ({}:{line})", note.file)).unwrap_or_default();
    let field = if note.field.is_empty() { note.file.as_str() } else { note.short() };
    let why = note.why.as_deref().unwrap_or_default();
    let mut text =
        format!("  {}  {}{}: {}", screen.error_tone(tone, word), harmless(field), harmless(&place), harmless(why));
    if let Some(todo) = &note.todo {
        text.push_str(&format!("\n      {}", harmless(todo)));
    }
    Some(text)
}
