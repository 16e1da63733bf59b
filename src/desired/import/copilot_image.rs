//! `image` of AWS Copilot's manifests: a Dockerfile in the workspace, or an image that is there.

use super::Whereabouts;
use super::draft::Draft;
use super::field::{Field, Members};
use super::{source, variables};
use crate::desired::export::text::Yaml;
use crate::model::RepositoryPath;

/// Reads where the service comes from.
pub(super) fn read(field: Option<Field>, place: Option<&Whereabouts>, draft: &mut Draft) {
    let members = field.as_ref().and_then(|field| draft.members(field));
    let Some(mut members) = members else {
        draft.source_to_fill_in();
        draft.build = Yaml::text("Dockerfile");
        draft.remarks.push("has no `image`: write `source` and `build`".to_owned());
        return;
    };
    match (members.take("location"), members.take("build")) {
        (Some(location), build) => {
            if let Some(text) = draft.needed(&location) {
                source::identifier(&text, &location, draft);
            }
            build.iter().for_each(|field| draft.left_out(field, "`image.location` is taken", ""));
        }
        (None, Some(build)) => {
            workspace(place, draft);
            self::build(&build, place, draft);
        }
        (None, None) => {
            workspace(place, draft);
            draft.build = Yaml::text("Dockerfile");
        }
    }
    if let Some(field) = members.take("port") {
        source::port(&field, draft);
    }
    rest(members, draft);
}

fn rest(mut members: Members, draft: &mut Draft) {
    if let Some(field) = members.take("credentials") {
        draft.missing(&field, "the credentials are kept by AWS", "see that this server may pull the image");
    }
    if let Some(field) = members.take("labels") {
        draft.left_out(&field, "containers have no labels of a service's own", "`tags` of the service may do");
    }
    if let Some(field) = members.take("depends_on") {
        draft.left_out(&field, "there are no sidecars to wait for", "");
    }
    draft.rest(members);
}

/// The repository that the workspace is in.
fn workspace(place: Option<&Whereabouts>, draft: &mut Draft) {
    match place {
        Some(place) => {
            draft.source = Yaml::map([("repository", Yaml::text(&place.url))]);
            draft
                .remarks
                .push(format!("Copilot built what lay in the workspace; here commits of {} are built", place.url));
        }
        None => {
            draft.source_to_fill_in();
            draft.remarks.push("Copilot built what lay in the workspace: write its repository".to_owned());
        }
    }
}

/// A path, or `dockerfile`, `context`, `target`, `args`. All paths are relative to the workspace.
fn build(field: &Field, place: Option<&Whereabouts>, draft: &mut Draft) {
    let within = |path: &str| within(place.and_then(|place| place.directory.as_deref()), path);
    let Some(mut members) = field.members() else {
        let file = draft.value(field, "a path in the repository", |text| within(text)).unwrap_or("Dockerfile".into());
        draft.build = written(&file, directory_of(&file), Yaml::new());
        return;
    };
    let mut path = |key: &str, draft: &mut Draft| {
        let field = members.take(key)?;
        draft.value(&field, "a path in the repository", |text| within(text))
    };
    let file = path("dockerfile", draft);
    let context = path("context", draft);
    let file = match (file, &context) {
        (Some(file), _) => file,
        (None, Some(context)) if !context.is_empty() => format!("{context}/Dockerfile"),
        (None, _) => within("Dockerfile").unwrap_or("Dockerfile".into()),
    };
    let context = context.or_else(|| directory_of(&file)).filter(|context| !context.is_empty());
    let mut more = Yaml::new();
    if let Some(target) = members.take("target")
        && let Some(text) = draft.text(&target)
    {
        draft.carried(&target);
        more.put("target", Yaml::text(text));
    }
    if let Some(args) = members.take("args") {
        let pairs = variables::pairs(&args, draft);
        let texts: Vec<(String, Yaml)> = pairs
            .into_iter()
            .filter_map(|(name, value)| {
                let text = draft.text(&value)?;
                draft.carried(&value);
                Some((name, Yaml::text(text)))
            })
            .collect();
        more.put_some("args", Yaml::map(texts));
    }
    if let Some(cache) = members.take("cache_from") {
        draft.left_out(&cache, "the engine keeps its own cache of builds", "");
    }
    draft.build = written(&file, context, more);
    draft.rest(members);
}

/// A path of the workspace as one of the repository; `None` if it leads out of it or is none.
fn within(directory: Option<&str>, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory.into_iter().flat_map(|d| d.split('/')).filter(|p| !p.is_empty()).collect();
    if path.starts_with('/') {
        return None;
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    let whole = parts.join("/");
    (whole.is_empty() || whole.parse::<RepositoryPath>().is_ok()).then_some(whole)
}

fn directory_of(file: &str) -> Option<String> {
    file.rsplit_once('/').map(|(directory, _)| directory.to_owned())
}

fn written(file: &str, context: Option<String>, more: Yaml) -> Yaml {
    if file == "Dockerfile" && context.is_none() && more.is_empty() {
        return Yaml::text(file);
    }
    let mut yaml = Yaml::new();
    yaml.put("dockerfile", Yaml::text(file));
    if let Some(context) = context {
        yaml.put("context", Yaml::text(context));
    }
    yaml.extend(more);
    yaml
}

/// The same build with a start command.
pub(super) fn with_start(build: &Yaml, start: &str) -> Yaml {
    let mut yaml = match build {
        file @ Yaml::Scalar(_) => Yaml::map([("dockerfile", file.clone())]),
        other => other.clone(),
    };
    yaml.put("start", Yaml::text(start));
    yaml
}
