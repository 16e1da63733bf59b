//! How many of each the API may make (row R2). What the manifest declares is not limited.

use super::error::Invalid;
use std::str::FromStr;

/// The most of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Services, failed ones too.
    pub services: u32,
    /// Connections.
    pub connections: u32,
    /// Names of autoscaling configurations.
    pub autoscaling: u32,
    /// Revisions of one name, of autoscaling and observability configurations.
    pub revisions: u32,
    /// Names of observability configurations.
    pub observability: u32,
    /// VPC connectors.
    pub vpc_connectors: u32,
    /// VPC ingress connections.
    pub vpc_ingress: u32,
    /// Custom domains of one service.
    pub domains: u32,
    /// Tags of one resource.
    pub tags: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            services: 10,
            connections: 10,
            autoscaling: 10,
            revisions: 10,
            observability: 10,
            vpc_connectors: 10,
            vpc_ingress: 10,
            domains: 5,
            tags: 50,
        }
    }
}

/// One quota that is set: `services=20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    name: &'static str,
    most: u32,
}

/// The names of the quotas, as settings and messages have them.
const NAMES: [&str; 9] = [
    "services",
    "connections",
    "autoscaling",
    "revisions",
    "observability",
    "vpc-connectors",
    "vpc-ingress",
    "domains",
    "tags",
];

impl FromStr for Quota {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new(format!("write it like `services=20`; there are: {}", NAMES.join(", ")));
        let (name, most) = text.split_once('=').ok_or_else(bad)?;
        let name = NAMES.into_iter().find(|n| *n == name).ok_or_else(bad)?;
        match most.parse() {
            Ok(most @ 0..=1_000_000) => Ok(Self { name, most }),
            _ => Err(Invalid::new("a quota is a number from 0 to 1000000")),
        }
    }
}

impl Quotas {
    /// The defaults with what was set.
    pub fn with(set: &[Quota]) -> Self {
        let mut quotas = Self::default();
        for Quota { name, most } in set {
            let place = match *name {
                "services" => &mut quotas.services,
                "connections" => &mut quotas.connections,
                "autoscaling" => &mut quotas.autoscaling,
                "revisions" => &mut quotas.revisions,
                "observability" => &mut quotas.observability,
                "vpc-connectors" => &mut quotas.vpc_connectors,
                "vpc-ingress" => &mut quotas.vpc_ingress,
                "domains" => &mut quotas.domains,
                _ => &mut quotas.tags,
            };
            *place = *most;
        }
        quotas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quota_can_be_set_by_its_name_and_no_other() {
        let set: Vec<Quota> = NAMES.iter().map(|name| format!("{name}=3").parse().unwrap()).collect();
        let Quotas { services, connections, autoscaling, revisions, observability, vpc_connectors, .. } =
            Quotas::with(&set);
        assert_eq!([services, connections, autoscaling, revisions, observability, vpc_connectors], [3; 6]);
        let Quotas { vpc_ingress, domains, tags, .. } = Quotas::with(&set);
        assert_eq!([vpc_ingress, domains, tags], [3; 3]);
        for bad in ["services", "services=", "services=-1", "service=1", "=1", "services=1000001"] {
            assert!(bad.parse::<Quota>().is_err(), "{bad}");
        }
    }
}
