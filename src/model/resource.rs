//! What the API makes beside services: connections, autoscaling and observability configurations, VPC connectors, VPC
//! ingress connections, custom domains.

use super::connection::{Handshake, HostUrl, Provider};
use super::ids::{ResourceId, ServiceId};
use super::names::HostLabel;
use super::service::Scaling;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Its id.
    pub id: ResourceId,
    /// Its name; of a domain the domain's.
    pub name: String,
    /// Its revision; 1 where there are none.
    pub revision: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was deleted: it can be described for a while after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Its tags (row R3).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What it is.
    pub kind: ResourceKind,
}

/// What a resource is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum ResourceKind {
    /// Access to a provider (row C1).
    Connection {
        /// Who keeps the repositories.
        provider: Provider,
        /// The server; the provider's own if none is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<HostUrl>,
        /// Whether the manifest declares it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        declared: bool,
        /// What its handshake has come to, once it was begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        handshake: Option<Handshake>,
    },
    /// How many instances run (row I6).
    AutoScaling {
        /// The numbers.
        scaling: Scaling,
        /// Whether new services get it where they name none (row L5).
        default: bool,
    },
    /// Tracing (row L6).
    Observability {
        /// `AWSXRAY`, if traces are asked for.
        vendor: Option<String>,
    },
    /// Outgoing traffic by a network (row L7).
    VpcConnector {
        /// Its subnets.
        subnets: Vec<String>,
        /// Its security groups.
        security_groups: Vec<String>,
    },
    /// A way into a private service (row L7).
    VpcIngress {
        /// The service.
        service: ServiceId,
        /// The network.
        vpc: Option<String>,
        /// The endpoint in it.
        endpoint: Option<String>,
        /// The label of its domain.
        label: HostLabel,
    },
    /// A domain of the user's own (rows N1, N2).
    Domain {
        /// The service.
        service: ServiceId,
        /// Whether `www.` goes with it.
        www: bool,
        /// What has to stand in DNS before a certificate can be had.
        records: Vec<ValidationRecord>,
    },
}

/// A CNAME that proves that a domain is the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidationRecord {
    /// The name that has to be there.
    pub name: String,
    /// What it has to say.
    pub value: String,
}

/// The kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceType {
    /// See [`ResourceKind::Connection`].
    Connection,
    /// See [`ResourceKind::AutoScaling`].
    AutoScaling,
    /// See [`ResourceKind::Observability`].
    Observability,
    /// See [`ResourceKind::VpcConnector`].
    VpcConnector,
    /// See [`ResourceKind::VpcIngress`].
    VpcIngress,
    /// See [`ResourceKind::Domain`].
    Domain,
}

impl ResourceType {
    /// The word in ARNs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::AutoScaling => "autoscalingconfiguration",
            Self::Observability => "observabilityconfiguration",
            Self::VpcConnector => "vpcconnector",
            Self::VpcIngress => "vpcingressconnection",
            Self::Domain => "domain",
        }
    }

    /// The word for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::AutoScaling => "autoscaling configuration",
            Self::Observability => "observability configuration",
            Self::VpcConnector => "VPC connector",
            Self::VpcIngress => "VPC ingress connection",
            Self::Domain => "custom domain",
        }
    }

    /// Whether its ARNs carry a revision.
    pub fn has_revisions(self) -> bool {
        matches!(self, Self::AutoScaling | Self::Observability | Self::VpcConnector)
    }
}

impl Resource {
    /// A resource as it is made.
    pub fn made(id: ResourceId, name: String, kind: ResourceKind, now: Timestamp) -> Self {
        Self { id, name, revision: 1, created_at: now, deleted_at: None, tags: BTreeMap::new(), kind }
    }

    /// The autoscaling configuration that every installation begins with (row I6).
    pub fn default_scaling(now: Timestamp) -> Self {
        let id = ResourceId::from_random(DEFAULT_SCALING);
        let kind = ResourceKind::AutoScaling { scaling: Scaling::default(), default: true };
        Self::made(id, "DefaultConfiguration".into(), kind, now)
    }

    /// Whether it is the one that every installation begins with.
    pub fn is_first(&self) -> bool {
        self.id == ResourceId::from_random(DEFAULT_SCALING)
    }

    /// Its kind.
    pub fn of_type(&self) -> ResourceType {
        match self.kind {
            ResourceKind::Connection { .. } => ResourceType::Connection,
            ResourceKind::AutoScaling { .. } => ResourceType::AutoScaling,
            ResourceKind::Observability { .. } => ResourceType::Observability,
            ResourceKind::VpcConnector { .. } => ResourceType::VpcConnector,
            ResourceKind::VpcIngress { .. } => ResourceType::VpcIngress,
            ResourceKind::Domain { .. } => ResourceType::Domain,
        }
    }

    /// Whether it is there: not deleted.
    pub fn is_active(&self) -> bool {
        self.deleted_at.is_none()
    }

    /// Whether services get it where they name none.
    pub fn is_default(&self) -> bool {
        matches!(self.kind, ResourceKind::AutoScaling { default: true, .. })
    }

    /// The service that it belongs to, if it belongs to one.
    pub fn service(&self) -> Option<&ServiceId> {
        match &self.kind {
            ResourceKind::VpcIngress { service, .. } | ResourceKind::Domain { service, .. } => Some(service),
            _ => None,
        }
    }
}

/// `00000000000000000000000000000001` (row I6).
const DEFAULT_SCALING: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
