//! Which engine answers at a socket of Docker's API: Podman speaks it too, and means some things by it otherwise.

use std::fmt;

/// The engine behind the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// Docker, or what behaves as Docker does.
    #[default]
    Docker,
    /// Podman.
    Podman {
        /// Its version: `4.3.1`.
        version: String,
    },
}

impl Flavour {
    /// Told by the parts that `/version` lists, each with its name and version.
    pub fn of<'p>(mut parts: impl Iterator<Item = (&'p str, &'p str)>) -> Self {
        let podman = parts.find(|(name, _)| name.to_ascii_lowercase().contains("podman"));
        podman.map_or(Self::Docker, |(_, version)| Self::Podman { version: version.to_owned() })
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Docker => f.write_str("Docker"),
            Self::Podman { version } => write!(f, "Podman {version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podman_is_told_by_its_part_and_everything_else_is_docker() {
        let podman = [("Podman Engine", "4.3.1"), ("Conmon", "conmon version 2.1.6")];
        assert_eq!(Flavour::of(podman.into_iter()).to_string(), "Podman 4.3.1");
        assert_eq!(Flavour::of([("Engine", "20.10.24"), ("containerd", "1.6")].into_iter()), Flavour::Docker);
        assert_eq!(Flavour::of(std::iter::empty()), Flavour::Docker);
    }
}
