//! What nobody called for, in the audit trail (row O6): operations that the manifest, a commit or an image caused.

use super::core::Core;
use super::deploy::details;
use crate::access::audit::{Own, record_of_own};
use crate::model::{OperationId, OperationKind};

/// Records an operation that was begun. Calls, an apply too, are recorded where they are answered.
pub async fn begun(core: &Core, id: &OperationId) {
    let (Some(audit), Some(access)) = (core.audit.get(), core.access.get()) else { return };
    let found = {
        let state = core.state();
        let operation = state.world.operations.get(id);
        operation.and_then(|o| Some((o.clone(), state.world.services.get(&o.service)?.name.clone())))
    };
    let Some((operation, name)) = found else { return };
    let place = access.place();
    let resource = format!("arn:aws:apprunner:{}:{}:service/{name}/{}", place.region, place.account, operation.service);
    let (event_id, operation_id) = (crate::model::ids::uuid4(core.random()), id.to_string());
    let own = Own {
        now: operation.created_at,
        service: "apprunner",
        name: called(operation.kind),
        resource: &resource,
        cause: &details::why(&operation, None, None),
        operation: Some(&operation_id),
        event_id: &event_id,
    };
    if let Err(error) = audit.write(&record_of_own(&own, place)).await {
        tracing::error!(error = %super::chain(&error), %name, "what was begun was not recorded");
    }
}

/// The call that would have had the same effect.
fn called(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::CreateService => "CreateService",
        OperationKind::StartDeployment => "StartDeployment",
        OperationKind::UpdateService => "UpdateService",
        OperationKind::PauseService => "PauseService",
        OperationKind::ResumeService => "ResumeService",
        OperationKind::DeleteService => "DeleteService",
    }
}
