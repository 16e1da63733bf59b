//! What the API says of a service beyond what it is made of: roles, network, and which shared resources it is bound to.

use super::ids::ResourceId;
use serde::{Deserialize, Serialize};

/// The settings that only App Runner's wire has. Part of the spec, so that an update that fails puts them back too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireSettings {
    /// The autoscaling configuration that the service is bound to (row I6).
    pub auto_scaling: ResourceId,
    /// The connection that its repository is read by (row C1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ResourceId>,
    /// The role of its source (stored).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_role: Option<String>,
    /// Which of AWS' two kinds of registries its image was said to be from (stored).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_type: Option<String>,
    /// The role of its instances (stored).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_role: Option<String>,
    /// The key that was named for encryption (stored).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// Tracing (stored; row L6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observing: Option<Observing>,
    /// The connector of its outgoing traffic (stored; row L7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_connector: Option<ResourceId>,
    /// Whether it is not reachable from outside (row L7).
    #[serde(default)]
    pub private: bool,
    /// Whether both kinds of addresses were asked for (stored; row L8).
    #[serde(default)]
    pub dual_stack: bool,
}

impl WireSettings {
    /// Of a service that is bound to an autoscaling configuration and says nothing else.
    pub fn bound_to(auto_scaling: ResourceId) -> Self {
        Self {
            auto_scaling,
            connection: None,
            access_role: None,
            image_type: None,
            instance_role: None,
            kms_key: None,
            observing: None,
            vpc_connector: None,
            private: false,
            dual_stack: false,
        }
    }

    /// Whether it names a resource.
    pub fn names(&self, id: &ResourceId) -> bool {
        let observed = self.observing.as_ref().and_then(|o| o.configuration.as_ref());
        let named = [self.connection.as_ref(), self.vpc_connector.as_ref(), observed];
        &self.auto_scaling == id || named.into_iter().flatten().any(|named| named == id)
    }
}

/// Whether a service is traced, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observing {
    /// Whether it is.
    pub enabled: bool,
    /// The configuration, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ResourceId>,
}
