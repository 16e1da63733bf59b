//! ARNs of services (rows R1, R6): made, and read from requests.

use super::control::{ControlPlane, Refusal};
use super::facts::{Installed, looked};
use crate::model::{OperationId, ServiceId, ServiceName};

/// The longest text that a reference to a service can be (`AppRunnerResourceArn`).
const REFERENCE_BYTES: usize = 1011;

/// The full ARN of a service.
pub fn service_arn(installed: &Installed, name: &ServiceName, id: &ServiceId) -> String {
    format!("arn:aws:apprunner:{}:{}:service/{name}/{id}", installed.region, installed.account)
}

/// A service as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reference<'a> {
    name: &'a str,
    id: Option<&'a str>,
}

/// Finds the service that an ARN names, with or without its trailing id.
pub async fn find_by_arn(control: &dyn ControlPlane, arn: &str) -> Result<(ServiceId, ServiceName), Refusal> {
    let installed = looked(control, |facts| facts.installed.clone());
    let installed = installed.ok_or_else(|| Refusal::Internal("the control plane showed nothing".into()))?;
    let reference = parse(&installed, arn)?;
    let found = control.find_service(reference.id.unwrap_or(reference.name)).await?;
    // An id finds deleted services too; the name beside it must be that service's.
    if found.1.as_str() != reference.name || reference.id.is_some_and(|id| id != found.0.as_str()) {
        return Err(Refusal::NotFound(format!("no service has the ARN `{}`", arn.escape_debug())));
    }
    Ok(found)
}

/// Finds the service that an ARN, a name or an id names.
pub async fn find(control: &dyn ControlPlane, text: &str) -> Result<(ServiceId, ServiceName), Refusal> {
    if text.starts_with("arn:") {
        return find_by_arn(control, text).await;
    }
    if text.is_empty() || text.len() > REFERENCE_BYTES {
        return Err(Refusal::InvalidRequest("a service is named by its name, its id or its ARN".into()));
    }
    control.find_service(text).await
}

fn parse<'a>(installed: &Installed, arn: &'a str) -> Result<Reference<'a>, Refusal> {
    let invalid = || Refusal::InvalidRequest(format!("`{}` is not the ARN of a service", shortened(arn)));
    if arn.len() > REFERENCE_BYTES {
        return Err(invalid());
    }
    let mut parts = arn.splitn(6, ':');
    let (Some("arn"), Some(partition), Some("apprunner"), Some(region), Some(account), Some(resource)) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(invalid());
    };
    let mut path = resource.split('/');
    let (Some("service"), Some(name), id, None) = (path.next(), path.next(), path.next(), path.next()) else {
        return Err(invalid());
    };
    if !partition.starts_with("aws") || name.parse::<ServiceName>().is_err() {
        return Err(invalid());
    }
    if id.is_some_and(|id| id.parse::<ServiceId>().is_err()) {
        return Err(invalid());
    }
    if region != installed.region || account != installed.account {
        return Err(Refusal::NotFound(format!(
            "`{}` is not of this installation, which is region `{}`, account `{}`",
            shortened(arn),
            installed.region,
            installed.account
        )));
    }
    Ok(Reference { name, id })
}

fn shortened(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

/// Reads an operation id with or without its dashes (row D3: stream names carry it without).
pub fn parse_operation(text: &str) -> Result<OperationId, Refusal> {
    let dashed = match text {
        plain if plain.len() == 32 && plain.is_ascii() => {
            format!("{}-{}-{}-{}-{}", &plain[..8], &plain[8..12], &plain[12..16], &plain[16..20], &plain[20..])
        }
        other => other.to_owned(),
    };
    dashed.parse().map_err(|_| {
        Refusal::InvalidRequest(format!(
            "`{}` is not an operation id: `towpath operations SERVICE` lists them",
            shortened(text)
        ))
    })
}
