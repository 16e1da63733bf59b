//! From a target to the function that answers it. Only [`super::door`] can make a [`Call`]: it is the one choke point.

use super::control::{ControlPlane, Principal, Refusal};
use super::door::Pass;
use super::errors::{ApiError, Fault};
use super::logs::{self, LogReader};
use super::{apprunner, collection, commands, events, export, handshake, operations, plans, revisions, status};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// What operations work on.
#[derive(Clone)]
pub struct Context {
    /// The control plane.
    pub control: Arc<dyn ControlPlane>,
    /// The log files.
    pub logs: Arc<dyn LogReader>,
}

/// One call, authenticated and parsed as far as every call is alike.
pub struct Call {
    /// `AppRunner.<Operation>` or `Towpath.<Operation>`.
    pub target: String,
    /// The body: a JSON object.
    pub input: Value,
    /// Who calls: an ARN, or `local:<user>`.
    pub principal: String,
    /// That the door let it in.
    pub(super) _pass: Pass,
}

impl Call {
    /// The input as an operation's own type.
    ///
    /// # Errors
    /// `SerializationException` where a member is unknown, missing or of another type.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        T::deserialize(&self.input).map_err(|error| Fault::Serialization(error.to_string()).into())
    }

    /// Who asks, with the reason they gave.
    pub(super) fn by(&self, reason: Option<String>) -> Principal {
        let reason = reason.map(|r| r.chars().filter(|c| !c.is_control()).take(500).collect());
        Principal { name: self.principal.clone(), reason }
    }
}

/// Answers a call.
///
/// # Errors
/// Everything in the table of [`super::errors`].
pub(super) async fn dispatch(context: &Context, call: Call) -> Result<Value, ApiError> {
    match call.target.as_str() {
        "Towpath.GetStatus" => status::get(context, call.read()?).await,
        "Towpath.Plan" => plans::plan(context, call.read()?).await,
        "Towpath.Apply" => plans::apply(context, &call).await,
        "Towpath.Export" => export::export(context, call.read()?).await,
        "Towpath.Rollback" => revisions::rollback(context, &call).await,
        "Towpath.ProposeRevert" => revisions::propose_revert(context, &call).await,
        "Towpath.ListRevisions" => revisions::list(context, call.read()?).await,
        "Towpath.ListOperations" => operations::list_detailed(context, call.read()?).await,
        "Towpath.DescribeOperation" => operations::describe(context, call.read()?).await,
        "Towpath.CancelOperation" => operations::cancel(context, &call).await,
        "Towpath.ListEvents" => events::list(context, call.read()?).await,
        "Towpath.GetLogEvents" => logs::get_events(context, call.read()?).await,
        "Towpath.ListLogStreams" => logs::list_streams(context, call.read()?).await,
        "Towpath.RunCommand" => commands::run(context, &call).await,
        "Towpath.GetCommandOutput" => commands::get_output(context, call.read()?).await,
        "Towpath.SendCommandInput" => commands::write(context, call.read()?).await,
        "Towpath.ResizeCommand" => commands::resize(context, call.read()?).await,
        "Towpath.StopCommand" => commands::stop(context, &call).await,
        "Towpath.DescribeConnections" => handshake::describe(context, &call.read()?),
        "Towpath.CreateConnection" => handshake::create(context, &call).await,
        "Towpath.CompleteHandshake" => handshake::complete(context, &call).await,
        "Towpath.CreateDeployKey" => handshake::make_key(context, &call).await,
        "Towpath.BeginHandshake" => handshake::begin(context, &call).await,
        "Towpath.Collect" => collection::collect(context, &call).await,
        "Towpath.ShutDown" => shut_down(context, &call).await,
        other => match other.strip_prefix("AppRunner.") {
            Some(operation) => apprunner::answer(context, &call, operation).await,
            None => Err(unknown(other).into()),
        },
    }
}

pub(super) fn unknown(target: &str) -> Fault {
    let shown: String = target.chars().take(100).flat_map(char::escape_debug).collect();
    Fault::UnknownOperation(format!("there is no operation `{shown}` here"))
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ShutDown {
    reason: Option<String>,
}

async fn shut_down(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: ShutDown = call.read()?;
    context.control.shut_down(call.by(input.reason)).await?;
    Ok(Value::Object(serde_json::Map::new()))
}

/// An operation's answer as JSON.
///
/// # Errors
/// `Internal` for a value that JSON cannot carry, which none of ours is.
pub fn output<T: serde::Serialize>(value: &T) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|e| Refusal::Internal(format!("failed to write the answer: {e}")).into())
}
