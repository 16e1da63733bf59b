//! Acts on one service: deploy, pause, resume, delete, rollback; and cancelling an operation.

use super::args::{ActArgs, CancelArgs, DeleteArgs, DeployArgs, RollbackArgs};
use super::client::Client;
use super::failure::Failure;
use super::screen::Screen;
use super::wait::{describe, follow, print_begun};
use crate::api::views::{StatusAnswer, StatusView};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{self, BufRead, IsTerminal, Write};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    operation_id: String,
}

/// Does something to a service by App Runner's own operation.
pub async fn act(screen: &Screen, client: &Client, target: &str, args: &ActArgs) -> Result<(), Failure> {
    let service = find(client, &args.service).await?;
    begin(screen, client, target, with_reason(json!({ "ServiceArn": service.arn }), args.reason.as_ref()), args.wait)
        .await
}

/// Deploys the newest version of a service's source.
pub async fn deploy(screen: &Screen, client: &Client, args: &DeployArgs) -> Result<(), Failure> {
    let service = find(client, &args.act.service).await?;
    let mut input = with_reason(json!({ "ServiceArn": service.arn }), args.act.reason.as_ref());
    if args.override_window {
        input["OverrideWindow"] = true.into();
    }
    begin(screen, client, "AppRunner.StartDeployment", input, args.act.wait).await
}

/// Deletes a service, after asking a person who sits there.
pub async fn delete(screen: &Screen, client: &Client, args: &DeleteArgs) -> Result<(), Failure> {
    let service = find(client, &args.act.service).await?;
    if !args.yes && io::stdin().is_terminal() && !confirmed(&service)? {
        return Err(Failure::new(format!("`{}` was not deleted", service.name)));
    }
    let input = with_reason(json!({ "ServiceArn": service.arn }), args.act.reason.as_ref());
    begin(screen, client, "AppRunner.DeleteService", input, args.act.wait).await
}

fn confirmed(service: &StatusView) -> Result<bool, Failure> {
    let failed = |e: io::Error| Failure::caused("failed to ask", &e);
    let instances = service.instances.running + service.instances.frozen;
    let word = if instances == 1 { "instance" } else { "instances" };
    let question = format!(
        "Delete service `{}` with its {instances} {word}, builds and configuration?\nType its name to go on: ",
        service.name
    );
    io::stderr().write_all(question.as_bytes()).map_err(failed)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(line.trim() == service.name)
}

/// Runs a kept revision again.
pub async fn rollback(screen: &Screen, client: &Client, args: &RollbackArgs) -> Result<(), Failure> {
    let mut input = with_reason(json!({ "Service": args.service }), args.reason.as_ref());
    if let Some(revision) = args.revision {
        input["Revision"] = revision.into();
    }
    if !args.revert_pr {
        return begin(screen, client, "Towpath.Rollback", input, args.wait).await;
    }
    let Begun { operation_id } = client.call("Towpath.Rollback", &input).await?;
    // What serves comes first: only then is anybody else asked.
    if args.wait {
        follow(screen, client, std::slice::from_ref(&operation_id)).await?;
    }
    let asked = json!({ "Service": args.service, "OperationId": operation_id });
    let proposed: Result<Proposed, _> = client.call("Towpath.ProposeRevert", &asked).await;
    let operation = describe(client, &operation_id).await?;
    let Proposed { url } = proposed?;
    if screen.is_json() {
        return screen.print_json(&json!({ "operation": operation, "pull_request": url }));
    }
    if !args.wait {
        print_begun(screen, &operation)?;
    }
    screen.print(&format!("Pull request {url} reverts what was rolled back from.\n"))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Proposed {
    url: String,
}

/// Stops a running operation.
pub async fn cancel(screen: &Screen, client: &Client, args: &CancelArgs) -> Result<(), Failure> {
    let input = with_reason(json!({ "OperationId": args.operation }), args.reason.as_ref());
    let _: Value = client.call("Towpath.CancelOperation", &input).await?;
    let operation = describe(client, &args.operation).await?;
    if screen.is_json() {
        return screen.print_json(&[operation]);
    }
    screen.print(&format!("Operation {} is asked to stop; the old version goes on.\n", args.operation))
}

async fn begin(screen: &Screen, client: &Client, target: &str, input: Value, wait: bool) -> Result<(), Failure> {
    let Begun { operation_id } = client.call(target, &input).await?;
    if wait {
        return follow(screen, client, &[operation_id]).await;
    }
    let operation = describe(client, &operation_id).await?;
    if screen.is_json() {
        return screen.print_json(&[operation]);
    }
    print_begun(screen, &operation)
}

fn with_reason(mut input: Value, reason: Option<&String>) -> Value {
    if let Some(reason) = reason {
        input["Reason"] = reason.as_str().into();
    }
    input
}

/// The service of a name. App Runner's operations take an ARN, which holds what only the server knows.
async fn find(client: &Client, service: &str) -> Result<StatusView, Failure> {
    let answer: StatusAnswer = client.call("Towpath.GetStatus", &json!({ "Service": service })).await?;
    match answer.services.into_iter().next() {
        Some(found) if found.arn.is_some() => Ok(found),
        _ => Err(Failure::new(format!("service `{service}` is declared, but does not exist yet"))
            .hint("`towpath status` says what it waits for")),
    }
}
