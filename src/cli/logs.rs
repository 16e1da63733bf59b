//! `towpath logs`: instances' output, the log of an operation, the log of a service's life.

use super::args::LogsArgs;
use super::client::{CallError, Client};
use super::failure::Failure;
use super::screen::{Screen, Tone, harmless};
use crate::api::views::{Epoch, LogAnswer, LogEventView, LogStreamView, OperationView};
use crate::model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// Streams that one view combines, the ones written last: a service has at most 25 instances, twice in a deployment.
const STREAMS: usize = 50;
/// Lines shown of instances when nothing else is asked for.
const TAIL: usize = 100;
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);
/// New instances are looked for at every so many looks at the known ones.
const LOOKS_PER_LISTING: u32 = 4;
/// Digits of an instance id that tell instances apart for people.
const SHORT_ID: usize = 8;

/// One line with the stream it is of.
struct Line {
    stream: String,
    event: LogEventView,
}

/// Where reading of each stream goes on.
type Cursors = BTreeMap<String, Cursor>;

#[derive(Clone)]
struct Cursor {
    token: String,
    complete: bool,
}

/// Shows logs.
pub async fn logs(screen: &Screen, client: &Client, args: &LogsArgs) -> Result<(), Failure> {
    let streams = select(client, args).await?;
    let mut cursors = Cursors::new();
    let mut lines = Vec::new();
    for stream in &streams {
        lines.extend(first_lines(client, args, stream, &mut cursors).await?);
    }
    lines.sort_by(|a, b| a.event.at.0.total_cmp(&b.event.at.0));
    if let Some(tail) = tail(args) {
        lines.drain(..lines.len().saturating_sub(tail));
    }
    print(screen, &lines, of_instances(args))?;
    if lines.is_empty() && !args.follow && !screen.is_json() {
        screen.note(&nothing(args));
    }
    if args.follow { follow(screen, client, args, cursors).await } else { Ok(()) }
}

/// What is said where there are no lines: an application that never came up printed nothing, but its deployment did.
fn nothing(args: &LogsArgs) -> String {
    let service = &args.service;
    if of_instances(args) {
        return format!(
            "No instance of `{service}` has printed anything; what its builds and deployments say: `towpath logs {service} \
             --deployment latest`."
        );
    }
    format!("No lines in the log of `{service}`.")
}

fn of_instances(args: &LogsArgs) -> bool {
    args.deployment.is_none() && !args.events
}

fn tail(args: &LogsArgs) -> Option<usize> {
    args.tail.or((of_instances(args) && args.since.is_none()).then_some(TAIL))
}

/// The names of the streams that are asked for.
async fn select(client: &Client, args: &LogsArgs) -> Result<Vec<String>, Failure> {
    if args.events {
        return Ok(vec!["events".into()]);
    }
    match args.deployment.as_deref() {
        Some("latest") => Ok(vec![format!("deployment/{}", latest_operation(client, &args.service).await?)]),
        Some(id) => Ok(vec![format!("deployment/{id}")]),
        None => instance_streams(client, args).await,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Operations {
    operations: Vec<OperationView>,
}

async fn latest_operation(client: &Client, service: &str) -> Result<String, Failure> {
    let Operations { operations } = client.call("Towpath.ListOperations", &json!({ "Service": service })).await?;
    let newest = operations.into_iter().next();
    newest.map(|o| o.id).ok_or_else(|| Failure::new(format!("`{service}` has no operations yet")))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Streams {
    log_streams: Vec<LogStreamView>,
}

async fn instance_streams(client: &Client, args: &LogsArgs) -> Result<Vec<String>, Failure> {
    let Streams { log_streams } =
        client.call_patiently("Towpath.ListLogStreams", &json!({ "Service": args.service })).await?;
    let since = since(args);
    let fits = |stream: &&LogStreamView| {
        let Some(id) = stream.name.strip_prefix("instance/") else { return false };
        let fresh = since.is_none_or(|since| stream.last_at.is_none_or(|last| last >= since));
        fresh && args.instance.as_deref().is_none_or(|wanted| id.starts_with(wanted))
    };
    let names: Vec<String> = log_streams.iter().filter(fits).take(STREAMS).map(|s| s.name.clone()).collect();
    match &args.instance {
        Some(wanted) if names.is_empty() && since.is_none() => {
            Err(Failure::new(format!("`{}` has no instance `{wanted}` with a log", args.service))
                .hint("leave `--instance` out to see all instances with their ids"))
        }
        _ => Ok(names),
    }
}

fn since(args: &LogsArgs) -> Option<Epoch> {
    let start =
        |back: Duration| Timestamp(Timestamp::now().0.saturating_sub(i64::try_from(back.as_millis()).unwrap_or(0)));
    args.since.map(|back| start(back).into())
}

/// The lines of a stream that are there now; its cursor is kept.
async fn first_lines(
    client: &Client,
    args: &LogsArgs,
    stream: &str,
    cursors: &mut Cursors,
) -> Result<Vec<Line>, Failure> {
    let mut input = request(&args.service, stream);
    match (since(args), tail(args)) {
        (Some(since), _) => input["StartTime"] = since.0.into(),
        (None, Some(tail)) => input["Tail"] = tail.into(),
        (None, None) => {}
    }
    Ok(read_to_end(client, stream, input, cursors).await?)
}

fn request(service: &str, stream: &str) -> Value {
    json!({ "Service": service, "LogStreamName": stream })
}

/// Reads page after page until there is no more now.
async fn read_to_end(
    client: &Client,
    stream: &str,
    mut input: Value,
    cursors: &mut Cursors,
) -> Result<Vec<Line>, CallError> {
    let service = input["Service"].clone();
    let mut lines = Vec::new();
    loop {
        let answer: LogAnswer = client.call_patiently("Towpath.GetLogEvents", &input).await?;
        lines.extend(answer.events.into_iter().map(|event| Line { stream: stream.to_owned(), event }));
        input = json!({ "Service": service, "LogStreamName": stream, "NextToken": answer.next_token });
        if !answer.more {
            cursors.insert(stream.to_owned(), Cursor { token: answer.next_token, complete: answer.complete });
            return Ok(lines);
        }
    }
}

/// Prints lines as they are written, until the log is complete or the reader stops. Instances come and go.
async fn follow(screen: &Screen, client: &Client, args: &LogsArgs, mut cursors: Cursors) -> Result<(), Failure> {
    for look in 1u32.. {
        sleep(FOLLOW_PAUSE).await;
        if of_instances(args) && look % LOOKS_PER_LISTING == 0 {
            add_new_streams(client, args, &mut cursors).await?;
        }
        let mut lines = Vec::new();
        let open: Vec<(String, Cursor)> =
            cursors.iter().filter(|(_, c)| !c.complete).map(|(s, c)| (s.clone(), c.clone())).collect();
        for (stream, cursor) in &open {
            let mut input = request(&args.service, stream);
            if !cursor.token.is_empty() {
                input["NextToken"] = cursor.token.as_str().into();
            }
            lines.extend(read_to_end(client, stream, input, &mut cursors).await?);
        }
        lines.sort_by(|a, b| a.event.at.0.total_cmp(&b.event.at.0));
        print(screen, &lines, of_instances(args))?;
        if !of_instances(args) && cursors.values().all(|c| c.complete) {
            return Ok(());
        }
    }
    Ok(())
}

/// A stream that was not there before is read from its head: an empty cursor.
async fn add_new_streams(client: &Client, args: &LogsArgs, cursors: &mut Cursors) -> Result<(), Failure> {
    let Streams { log_streams } =
        client.call_patiently("Towpath.ListLogStreams", &json!({ "Service": args.service })).await?;
    let wanted = args.instance.as_deref().unwrap_or_default();
    for stream in log_streams {
        if stream.name.strip_prefix("instance/").is_some_and(|id| id.starts_with(wanted)) {
            cursors.entry(stream.name).or_insert(Cursor { token: String::new(), complete: false });
        }
    }
    Ok(())
}

/// As text with the time and, for instances, which; as JSON one object a line, so that following can be piped.
fn print(screen: &Screen, lines: &[Line], of_instances: bool) -> Result<(), Failure> {
    let text: String = lines.iter().map(|line| render(screen, line, of_instances)).collect();
    screen.print(&text)
}

fn render(screen: &Screen, line: &Line, of_instances: bool) -> String {
    let event = &line.event;
    if screen.is_json() {
        let object = json!({ "stream": line.stream, "at": event.at, "message": event.message });
        return format!("{object}\n");
    }
    let time = screen.tone(Tone::Quiet, &Timestamp::from(event.at).to_string());
    let id = line.stream.strip_prefix("instance/").filter(|_| of_instances);
    let id = id.map(|id| format!("{} ", id.get(..SHORT_ID).unwrap_or(id))).unwrap_or_default();
    format!("{time} {id}{}\n", harmless(&event.message))
}
