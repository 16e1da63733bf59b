//! `towpath status`.

use super::client::Client;
use super::failure::Failure;
use super::offline;
use super::operations::{noun, status_words, tone};
use super::screen::{Cell, Screen, Tone, ago, cell, harmless, table};
use crate::api::control::ManifestState;
use crate::api::views::{StatusAnswer, StatusView, WaitingView};
use crate::model::Timestamp;
use crate::plan::NoteKind;
use serde_json::json;

/// Shows all services, or one.
pub async fn status(screen: &Screen, client: &Client, service: Option<&str>) -> Result<(), Failure> {
    let input = service.map_or_else(|| json!({}), |name| json!({ "Service": name }));
    let mut answer: StatusAnswer = client.call("Towpath.GetStatus", &input).await?;
    if screen.is_json() {
        general_into_services(&mut answer);
        return screen.print_json(&answer.services);
    }
    let now = Timestamp::now();
    let mut text = if answer.services.is_empty() {
        "No services.\n".to_owned()
    } else {
        let rows: Vec<Vec<Cell>> = answer.services.iter().map(|s| row(s, now)).collect();
        table(screen, &["NAME", "STATUS", "REVISION", "INSTANCES", "LAST OPERATION", "URL"], &rows)
    };
    if service.is_some() {
        answer.services.iter().for_each(|s| text.push_str(&details(screen, s, now)));
    }
    text.push_str(&waiting(screen, &answer));
    text.push_str(&manifest(screen, &answer.manifest));
    text.push_str(&following(screen, &answer, now));
    if let Some(error) = &answer.engine_error {
        let line = format!("\nThe engine does not answer, instances are shown as last seen: {}\n", harmless(error));
        text.push_str(&screen.tone(Tone::Bad, &line));
    }
    screen.print(&text)
}

/// JSON is a list of services: what holds everything up is said in each.
fn general_into_services(answer: &mut StatusAnswer) {
    let mut general = std::mem::take(&mut answer.waiting);
    if let ManifestState::Invalid { problems, .. } = &answer.manifest {
        let message = format!("the manifest is invalid: {}", first_problem(problems));
        general.push(WaitingView { kind: NoteKind::NeedsPerson, message, until: None });
    }
    if let Some(problem) = &answer.following.problem {
        let message = format!("the manifest {} cannot be followed: {problem}", answer.following.source);
        general.push(WaitingView { kind: NoteKind::Unknown, message, until: None });
    }
    if let Some(error) = &answer.engine_error {
        let message = format!("the engine does not answer: {error}");
        general.push(WaitingView { kind: NoteKind::Unknown, message, until: None });
    }
    for service in &mut answer.services {
        service.waiting.extend(general.iter().cloned());
    }
}

fn first_problem(problems: &[crate::model::Problem]) -> String {
    match problems {
        [] => "it cannot be read".into(),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            format!("{}: {}{more}", first.place, first.message)
        }
    }
}

fn row(service: &StatusView, now: Timestamp) -> Vec<Cell> {
    let counts = service.instances;
    let short = counts.running < counts.desired;
    let frozen = if counts.frozen > 0 { format!(", {} frozen", counts.frozen) } else { String::new() };
    vec![
        cell(service.name.clone()),
        (status_tone(&service.status), service.status.clone()),
        cell(revision(service)),
        (if short { Tone::Notice } else { Tone::Plain }, format!("{}/{}{frozen}", counts.running, counts.desired)),
        last_operation(service, now),
        cell(service.url.clone().unwrap_or_default()),
    ]
}

fn revision(service: &StatusView) -> String {
    let version = service.version.as_deref().map(|v| format!(" ({})", &v[..v.len().min(7)])).unwrap_or_default();
    service.revision.map_or_else(|| "-".into(), |number| format!("{number}{version}"))
}

fn last_operation(service: &StatusView, now: Timestamp) -> Cell {
    let Some(operation) = &service.last_operation else { return cell("-") };
    let text = format!("{} {}, {}", noun(operation), status_words(operation), ago(now, operation.updated_at.into()));
    (tone(operation.status), text)
}

fn status_tone(status: &str) -> Tone {
    match status {
        "RUNNING" => Tone::Good,
        "CREATE_FAILED" | "DELETE_FAILED" => Tone::Bad,
        "PAUSED" | "DELETED" => Tone::Quiet,
        _ => Tone::Notice,
    }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// What a table has no room for.
fn details(screen: &Screen, service: &StatusView, now: Timestamp) -> String {
    let mut text = String::from("\n");
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("{} {value}\n", screen.tone(Tone::Quiet, &format!("{name:<16}"))));
    };
    if let Some(source) = &service.source {
        let version = match (&source.branch, &source.tag, &source.commit) {
            (Some(branch), ..) => branch.clone(),
            (_, Some(tag), _) => format!("tag {tag}"),
            (.., Some(commit)) => format!("commit {commit}"),
            _ => "the default branch".to_owned(),
        };
        let place = source.directory.as_ref().map(|directory| format!(", in {directory}")).unwrap_or_default();
        let how = if source.auto_deploy { "" } else { ", deployed by hand" };
        line("source", &format!("{} at {version}{place}{how}", source.repository));
        if let Some(rewritten) = &source.rewritten {
            let (from, to) = (short(&rewritten.from), short(&rewritten.to));
            line(
                "history",
                &format!("rewritten: {to} does not descend from {from}, {}", ago(now, rewritten.at.into())),
            );
        }
    }
    if let Some(version) = &service.version {
        line("version", version);
    }
    if let Some(by) = &service.signed_by {
        line("signed by", &harmless(by));
    }
    if let Some(url) = &service.default_url {
        line("default domain", url);
    }
    if let Some(arn) = &service.arn {
        line("arn", arn);
    }
    if let Some(operation) = &service.last_operation {
        line("last operation", &operation.id);
        if let Some(message) = operation.extra.as_ref().and_then(|e| e.message.as_deref()) {
            let told: Vec<String> = message.lines().map(harmless).collect();
            line("failed because", &told.join("\n                 "));
        }
    }
    text
}

fn waiting(screen: &Screen, answer: &StatusAnswer) -> String {
    let of_services = answer.services.iter().flat_map(|s| s.waiting.iter().map(move |w| (s.name.as_str(), w)));
    let all: Vec<(&str, &WaitingView)> = of_services.chain(answer.waiting.iter().map(|w| ("", w))).collect();
    if all.is_empty() {
        return String::new();
    }
    let width = all.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = all.into_iter().map(|(name, waiting)| {
        let tone = if waiting.kind == NoteKind::Waits { Tone::Notice } else { Tone::Bad };
        format!("  {} {name:<width$}  {}\n", screen.tone(tone, "·"), harmless(&waiting.message))
    });
    std::iter::once("\nNot done:\n".to_owned()).chain(lines).collect()
}

/// Where a manifest that is pulled from git stands.
fn following(screen: &Screen, answer: &StatusAnswer, now: Timestamp) -> String {
    let following = &answer.following;
    let version = match &answer.manifest {
        ManifestState::InForce { version, .. } | ManifestState::Invalid { kept: Some(version), .. } => Some(version),
        _ => None,
    };
    let mut text = String::new();
    if let Some(commit) = version.and_then(|version| version.commit.as_ref()) {
        let signed = commit.signed_by.as_ref().map(|by| format!(", signed by {}", harmless(by))).unwrap_or_default();
        let seen = following.seen_at.map_or("not since the start".to_owned(), |at| ago(now, at));
        let converged = following.converged_at.map_or("not yet".to_owned(), |at| ago(now, at));
        text = format!(
            "\nManifest {}\n  in force   {} {}, by {}{signed}\n  seen       {seen}\n  converged  {converged}\n",
            harmless(&following.source),
            commit.id.short(),
            harmless(&commit.summary),
            harmless(&commit.author),
        );
    }
    if let Some(rewritten) = &following.rewritten {
        let (from, to, at) = (rewritten.from.short(), rewritten.to.short(), ago(now, rewritten.at));
        text.push_str(&format!("  history    rewritten: {to} does not descend from {from}, {at}\n"));
    }
    if let Some(problem) = &following.problem {
        let line = format!("\nThe manifest cannot be followed: {}\n", harmless(problem));
        text.push_str(&screen.tone(Tone::Bad, &line));
    }
    text
}

fn manifest(screen: &Screen, state: &ManifestState) -> String {
    match state {
        ManifestState::None => "\nNo manifest was read yet.\n".into(),
        ManifestState::InForce { warnings, .. } => {
            warnings.iter().map(|w| format!("\n{}", offline::problem_text(w, screen.color))).collect()
        }
        ManifestState::Invalid { problems, kept } => {
            let kept = kept.as_ref().map_or("nothing is in force".to_owned(), |version| {
                format!("what was in force before stays: {version}")
            });
            let head = screen.tone(Tone::Bad, &format!("The manifest is invalid; {kept}."));
            let problems = problems.iter().map(|p| format!("\n{}", offline::problem_text(p, screen.color)));
            std::iter::once(format!("\n{head}\n")).chain(problems).collect()
        }
    }
}
