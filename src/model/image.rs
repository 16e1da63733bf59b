//! Images in registries, as people name them: `registry.example.com/acme/orders:1.2`.

use super::error::Invalid;
use super::names::name;
use super::secret::{Secret, SecretRef};
use super::track::{CommitPrefix, Reference};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// The registry of Docker's own names, and where it really answers.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

name!(
    /// A repository of images with its registry: `registry.example.com/acme/orders`, never without the registry, never
    /// with a tag or a digest.
    ImageName,
    check
);

/// Who pulls an image, as it is declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryCredentials {
    /// The user.
    pub username: String,
    /// Where the password, or the token in its place, is read from.
    pub password: SecretRef,
}

/// For plans: who, and where the password is from.
impl fmt::Display for RegistryCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", self.username, self.password)
    }
}

/// Who pulls an image, with the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryLogin {
    /// The user.
    pub username: String,
    /// The password, or the token in its place.
    pub password: Secret,
}

fn check(text: &str) -> Result<(), Invalid> {
    let bad = |why: &str| {
        Err(Invalid::new(format!("`{}` is not the name of an image: {why}", text.escape_debug()))
            .hint("write it like `registry.example.com/acme/orders:1.2`"))
    };
    if text.is_empty() || text.len() > 255 {
        return bad("it has 1 to 255 characters");
    }
    let Some((host, path)) = text.split_once('/') else { return bad("it has to name its registry") };
    if !is_registry(host) {
        return bad("it has to begin with its registry (Docker Hub's is `docker.io`)");
    }
    if !path.split('/').all(is_component) {
        return bad("its path is made of lower case letters, digits, and `.`, `_`, `-` between them");
    }
    if host == DOCKER_HUB.0 && !path.contains('/') {
        return Err(Invalid::new(format!("`{text}` lacks the first part of a name of Docker Hub"))
            .hint(format!("official images are under `library`: `docker.io/library/{path}`")));
    }
    Ok(())
}

/// What tells a registry from the first part of a path: a dot, a port, or `localhost`.
fn is_registry(host: &str) -> bool {
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let port_fits = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0));
    let looks = name == "localhost" || name.contains('.') || port.is_some();
    let parts = name.split('.').all(|p| {
        !p.is_empty()
            && !p.starts_with('-')
            && !p.ends_with('-')
            && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    port_fits && looks && parts
}

/// A part of the path, as the distribution specification has it.
fn is_component(part: &str) -> bool {
    let fits = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    fits && ends(part.as_bytes().first())
        && ends(part.as_bytes().last())
        && !part.contains("..")
        && !part.contains("___")
}

impl ImageName {
    /// Reads an image as people write it: with a tag or a digest; `latest` if neither is said.
    ///
    /// # Errors
    /// For what names no image, or no registry.
    pub fn parse_reference(text: &str) -> Result<(Self, Reference), Invalid> {
        if let Some((name, digest)) = text.split_once('@') {
            // A tag beside a digest says nothing.
            let name = split_tag(name).0;
            return Ok((name.parse()?, Reference::Commit(digest_of(digest)?)));
        }
        let (name, tag) = split_tag(text);
        let name = name.parse()?;
        let tag = tag.unwrap_or("latest");
        if !is_tag(tag) {
            return Err(Invalid::new(format!("`{}` is not the tag of an image", tag.escape_debug()))
                .hint("a tag is made of letters, digits, `.`, `_` and `-`"));
        }
        Ok((name, Reference::Tag(tag.parse()?)))
    }

    /// As people write it, with its tag or digest.
    pub fn identifier(&self, reference: &Reference) -> String {
        match reference {
            Reference::Tag(tag) => format!("{self}:{tag}"),
            Reference::Commit(digest) => format!("{self}@sha256:{digest}"),
            Reference::Default | Reference::Branch(_) => self.to_string(),
        }
    }

    /// Where its registry answers: host with port.
    pub fn registry(&self) -> &str {
        let host = self.as_str().split('/').next().unwrap_or_default();
        if host == DOCKER_HUB.0 { DOCKER_HUB.1 } else { host }
    }

    /// Its path in the registry.
    pub fn path(&self) -> &str {
        self.as_str().split_once('/').map_or("", |(_, path)| path)
    }

    /// Whether its registry is on this machine: Docker speaks plain HTTP to those, and so do we.
    pub fn is_local(&self) -> bool {
        is_local(self.registry())
    }
}

/// Whether a host, with or without a port, is this machine.
pub fn is_local(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        // Else it is the port of the registry.
        Some((name, tag)) if !tag.contains('/') && name.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

fn is_tag(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn digest_of(text: &str) -> Result<CommitPrefix, Invalid> {
    let digest = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
    digest.and_then(|hex| hex.parse().ok()).ok_or_else(|| {
        Invalid::new(format!("`{}` is not the digest of an image", text.escape_debug()))
            .hint("write `sha256:` and its 64 digits in lower case")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_read_as_people_write_it() {
        let digest = "a".repeat(64);
        for (text, name, reference) in [
            ("registry.example.com/acme/orders:1.2", "registry.example.com/acme/orders", "tag 1.2".to_owned()),
            ("127.0.0.1:5000/orders", "127.0.0.1:5000/orders", "tag latest".to_owned()),
            ("localhost:5000/a/b_c.d-e:X_1", "localhost:5000/a/b_c.d-e", "tag X_1".to_owned()),
            ("docker.io/library/nginx", "docker.io/library/nginx", "tag latest".to_owned()),
            (&format!("ghcr.io/a/b:1@sha256:{digest}"), "ghcr.io/a/b", format!("commit {digest}")),
        ] {
            let (found, version) = ImageName::parse_reference(text).unwrap();
            assert_eq!((found.as_str(), version.to_string()), (name, reference), "{text}");
            assert_eq!(ImageName::parse_reference(&found.identifier(&version)).unwrap(), (found, version));
        }
        let (hub, _) = ImageName::parse_reference("docker.io/library/nginx:1").unwrap();
        assert_eq!((hub.registry(), hub.path()), ("registry-1.docker.io", "library/nginx"));
    }

    #[test]
    fn what_is_no_image_or_names_no_registry_is_refused() {
        for bad in [
            "",
            "nginx",
            "nginx:1",
            "acme/orders",
            "docker.io/nginx",
            "registry.example.com",
            "registry.example.com/",
            "registry.example.com/Acme",
            "registry.example.com/a//b",
            "registry.example.com/../b",
            "r.example/a:-x",
            "r.example/a: x",
            "r.example:0/a",
            "r.example/a@sha256:12",
            "r.example/a@md5:aa",
            "https://r.example/a",
            "r.example/a\nFROM x",
            "-r.example/a",
            "r.example/a:x y",
        ] {
            assert!(ImageName::parse_reference(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_this_machines_registries_are_spoken_to_without_tls() {
        let local = |text: &str| text.parse::<ImageName>().unwrap().is_local();
        assert!(local("127.0.0.1:5000/a") && local("localhost/a") && local("localhost:5000/a"));
        assert!(!local("10.0.0.1:5000/a") && !local("localhost.example.com/a"));
    }
}
