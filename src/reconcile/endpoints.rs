//! Private endpoints of the API (row A10): their policies read, their listeners begun.

use super::up::{UpError, io};
use crate::access::Endpoint;
use crate::api::{Door, serve_endpoint};
use crate::desired::files::read_text;
use crate::model::Invalid;
use crate::settings::EndpointSetting;
use openssl::ssl::SslAcceptor;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The largest policy file that is read.
const POLICY_BYTES: u64 = 64 << 10;

/// Reads a private endpoint's policy.
fn endpoint(setting: &EndpointSetting) -> Result<Endpoint, UpError> {
    let refused = |why: String| {
        let file = setting.policy.as_deref().unwrap_or_else(|| Path::new("")).display();
        UpError::Setting(Invalid::new(format!("the policy `{file}` of the endpoint `{}`: {why}", setting.name)))
    };
    let text = setting.policy.as_ref().map(|file| read_text(file, POLICY_BYTES));
    let text = text.transpose().map_err(refused)?;
    Endpoint::new(&setting.name, text.as_deref()).map_err(|error| refused(error.to_string()))
}

/// Serves the private endpoints. The future ends when all have stopped.
///
/// # Errors
/// For a policy that is none, and an address that cannot be had.
pub async fn serve(
    endpoints: &[EndpointSetting],
    door: &Arc<Door>,
    tls: Option<&SslAcceptor>,
    stop: &CancellationToken,
) -> Result<impl Future<Output = ()> + use<>, UpError> {
    let mut tasks = Vec::new();
    for setting in endpoints {
        let (endpoint, address) = (endpoint(setting)?, setting.address);
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.map_err(io(format!("listen on {address} for the endpoint `{}`", setting.name)))?;
        tasks.push(tokio::spawn(serve_endpoint(listener, door.clone(), endpoint, tls.cloned(), stop.clone())));
    }
    Ok(async move {
        // They end by their own, or with the runtime.
        let _ = futures_util::future::join_all(tasks).await;
    })
}
