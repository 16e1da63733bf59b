//! Networks and domains that settings name.

use crate::model::Invalid;
use std::fmt;
use std::str::FromStr;

/// The domain under which services get their hosts: lower case, no dot at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseDomain(String);

impl BaseDomain {
    /// The domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BaseDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BaseDomain {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let domain = text.to_ascii_lowercase();
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        // 253 is a host name's limit; a service's label and the region's stand before the domain.
        if domain.len() <= 253 - 64 - 64 && domain.split('.').all(label) {
            return Ok(Self(domain));
        }
        Err(Invalid::new("a base domain is a host name like `apps.example.com`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_domain_is_a_host_name() {
        assert_eq!("Apps.Example.com".parse::<BaseDomain>().unwrap().as_str(), "apps.example.com");
        for bad in ["", ".", "a..b", "-a", "a b", "a/b", "x:80", "exämple.com"] {
            assert!(bad.parse::<BaseDomain>().is_err(), "{bad}");
        }
    }
}
