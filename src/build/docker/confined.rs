//! What a Dockerfile may not ask of Podman's builder. The network of a build is guarded, but from Buildah 1.29 on an instruction
//! may choose another for its command, this machine's own: `RUN --network=host`. Options are expanded before they are read, and
//! images bring instructions for those that are built on them. So no option of a `RUN` is let through but plain mounts.

use super::dockerfile::Needed;
use super::own::Own;
use super::{Backend, CALL, DockerBuilder, describe};
use crate::build::BuildError;
use std::collections::BTreeMap;

impl DockerBuilder {
    /// Refuses what could leave the guarded network. The images have to be there.
    pub(super) async fn confine(
        &self,
        own: &Own,
        path: &str,
        args: &BTreeMap<String, String>,
        images: &[Needed],
    ) -> Result<(), BuildError> {
        if self.backend != Backend::Buildah {
            return Ok(());
        }
        let refused = |line, what: &str| {
            BuildError::Dockerfile(format!(
                "{path}:{line} {what}, which towpath does not let Podman's builder do: the command could run on this machine's own \
                 network."
            ))
        };
        if let Some(line) = own.file.unconfined(&own.text) {
            return Err(refused(line, "gives `RUN` another option than `--mount=…` without quotes"));
        }
        if let Some(line) = own.file.unknown_base(args) {
            return Err(refused(line, "is built on an image whose name towpath cannot tell"));
        }
        for Needed { image, line } in images {
            if self.triggers(image).await?.iter().any(|instruction| is_unconfined(instruction)) {
                return Err(refused(*line, &format!("uses `{image}`, whose `ONBUILD RUN` has an option")));
            }
        }
        Ok(())
    }

    /// The instructions that an image brings along.
    async fn triggers(&self, image: &str) -> Result<Vec<String>, BuildError> {
        match tokio::time::timeout(CALL, self.docker.inspect_image(image)).await {
            Ok(Ok(found)) => Ok(found.config.and_then(|config| config.on_build).unwrap_or_default()),
            Ok(Err(error)) => Err(describe("look at the base image", error)),
            Err(_) => Err(BuildError::Unreachable("no answer in time".into())),
        }
    }
}

/// Whether an instruction, continuation lines joined, has an option that could choose the network of its command.
pub(super) fn is_unconfined(instruction: &str) -> bool {
    let mut rest = instruction.trim_start();
    while let Some(after) = strip_keyword(rest, "ONBUILD") {
        rest = after;
    }
    let Some(rest) = strip_keyword(rest, "RUN") else { return false };
    let mut options = rest.split_whitespace().take_while(|word| word.starts_with("--"));
    options.any(|option| !option.starts_with("--mount=") || option.contains(['"', '\'', '\\', '`']))
}

/// What follows a keyword, with or without space: a continuation may have eaten it.
fn strip_keyword<'t>(text: &'t str, keyword: &str) -> Option<&'t str> {
    let head = text.get(..keyword.len()).filter(|head| head.eq_ignore_ascii_case(keyword));
    head.map(|_| text[keyword.len()..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::super::dockerfile::Dockerfile;
    use super::is_unconfined;

    #[test]
    fn only_plain_mounts_are_let_through() {
        for fine in [
            "RUN make",
            "run yarn install --network-timeout 100000",
            "RUN --mount=type=cache,target=/root/.cache pip install --no-cache-dir x",
            "RUN [\"sh\", \"-c\", \"true\"]",
            "COPY --from=build /a /b",
            "ONBUILD RUN make",
            "ONBUILD COPY --chown=1 . .",
        ] {
            assert!(!is_unconfined(fine), "{fine}");
        }
        for bad in [
            "RUN --network=host curl 169.254.169.254",
            "run --network=$HOW true",
            "RUN --net$REST true",
            "RUN --mount=type=cache,target=/c --network=host true",
            "RUN --mount=\"type=cache,target=/a b\" --network=host true",
            "RUN --security=insecure true",
            "ONBUILD RUN --network=host true",
            "onbuild onbuild run --network=host true",
            "RUN--network=host true",
        ] {
            assert!(is_unconfined(bad), "{bad}");
        }
    }

    #[test]
    fn every_way_to_read_a_dockerfile_is_looked_at() {
        let line = |text: &str| Dockerfile::read("Dockerfile", text).unconfined(text);
        assert_eq!(line("FROM x\nRUN \\\n # why\n  --network=host true\n"), Some(2));
        assert_eq!(line("# escape=`\nFROM x\nRUN `\n--network=host true\n"), Some(3));
        // Who does not know here-documents reads an instruction there.
        assert_eq!(line("FROM x\nRUN cat <<EOF\nRUN --network=host true\nEOF\n"), Some(3));
        assert_eq!(line("FROM x\n# RUN --network=host true\nRUN make --network=host\n"), None);
    }

    #[test]
    fn a_base_image_has_a_name() {
        let base = |text: &str| Dockerfile::read("Dockerfile", text).unknown_base(&[].into());
        assert_eq!(base("ARG A=x\nFROM $A AS a\nFROM a\nFROM scratch\n"), None);
        assert_eq!(base("FROM x\nFROM ${B%y}\n"), Some(2));
    }
}
