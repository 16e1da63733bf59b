//! The certificate authorities of the installation, where commands of a build find them.
//!
//! They lie in an image of their own, which commands mount: BuildKit knows no other way to show a file to a command that is
//! neither part of the context (a `COPY . .` would take it along) nor sent over its own client's session. So nothing of
//! them is left in the images that are built. The classic builder mounts nothing: there they are copied in, and removed
//! by the last instruction of the recipe.

use super::{Backend, DockerBuilder, INSTALLATION, describe};
use crate::build::{BuildError, provision};
use crate::model::Digest;
use bollard::errors::Error;
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{Either, Full};
use std::collections::HashMap;
use std::io;
use std::time::Duration;

/// The file in its image.
const FILE: &str = "certificates.pem";
/// Where commands see it.
pub(super) const SEEN: &str = "/run/towpath/certificates.pem";
/// The directory that the classic builder makes for it.
pub(super) const SEEN_IN: &str = "/run/towpath";
const REPOSITORY: &str = "towpath/certificates";
/// The same with the registry that Podman says where there is none: it looks elsewhere otherwise.
const REPOSITORY_ON_PODMAN: &str = "localhost/towpath/certificates";
/// How long the engine may take to keep a quarter of a megabyte.
const IMPORT: Duration = Duration::from_secs(60);

/// The option of a `RUN` that shows the file of this image.
pub(super) fn mount(image: &str) -> String {
    format!("--mount=type=bind,from={image},source=/{FILE},target={SEEN} ")
}

/// The instruction that copies the file of this image.
pub(super) fn copy(image: &str) -> String {
    format!("COPY --from={image} /{FILE} {SEEN}")
}

/// The variables by which tools find the file.
pub(super) fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    provision::trust(SEEN)
}

impl DockerBuilder {
    fn repository(&self) -> &'static str {
        if self.backend == Backend::Buildah { REPOSITORY_ON_PODMAN } else { REPOSITORY }
    }

    /// The image that holds the installation's authorities, made if it is not there; `None` where it adds none.
    pub(super) async fn authorities(&self) -> Result<Option<String>, BuildError> {
        let Some(file) = &self.provision.authorities else { return Ok(None) };
        let failed = |source| BuildError::Io { act: format!("read {}", file.display()), source };
        let pem = tokio::fs::read(file).await.map_err(failed)?;
        let digest = Digest::of(&pem);
        let tag = format!("{}-{}", digest.short(), &self.installation.as_str()[..6]);
        let name = format!("{}:{tag}", self.repository());
        if self.image_id(&name).await?.is_none() {
            let archive = archive(&pem).map_err(failed)?;
            let imported = tokio::time::timeout(IMPORT, self.import(&tag, archive)).await;
            imported
                .map_err(|_| BuildError::Unreachable("it did not take the certificates in time".into()))?
                .map_err(|error| describe("give the certificates to Docker", error))?;
        }
        Ok(Some(name))
    }

    async fn import(&self, tag: &str, archive: Vec<u8>) -> Result<(), Error> {
        let label = format!("LABEL {INSTALLATION}={}", self.installation);
        // Podman does not read `tag`, and takes one that stands in the name.
        let name = match self.backend {
            Backend::Buildah => format!("{}:{tag}", self.repository()),
            _ => self.repository().to_owned(),
        };
        let options =
            CreateImageOptionsBuilder::default().from_src("-").repo(&name).tag(tag).changes(vec![label]).build();
        let body = Either::Left(Full::new(Bytes::from(archive)));
        let mut steps = Box::pin(self.docker.create_image(Some(options), Some(body), None));
        while let Some(step) = steps.next().await {
            step?;
        }
        Ok(())
    }

    /// Removes images of authorities that are not in force any more.
    pub(super) async fn remove_old_authorities(&self) -> Result<(), BuildError> {
        let current = self.authorities().await?;
        let filters = HashMap::from([
            ("label", vec![format!("{INSTALLATION}={}", self.installation)]),
            ("reference", vec![self.repository().to_owned()]),
        ]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let found = super::call("list images", self.docker.list_images(Some(options))).await?;
        let names = found.into_iter().flat_map(|image| image.repo_tags).filter(|name| Some(name) != current.as_ref());
        for name in names {
            let force = RemoveImageOptionsBuilder::default().force(self.forces()).build();
            super::call("remove an image", self.docker.remove_image(&name, Some(force), None)).await?;
        }
        Ok(())
    }
}

/// A file system with nothing but the file.
fn archive(pem: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(pem.len() as u64);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, FILE, pem)?;
    tar.into_inner()
}
