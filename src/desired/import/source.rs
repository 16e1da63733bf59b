//! `SourceConfiguration`: a repository of code or an image.

use super::FILL_IN;
use super::draft::{Draft, shortened};
use super::field::Field;
use super::variables;
use crate::desired::export::text::Yaml;
use crate::model::{BranchName, Catalogue, ImageName, RepositoryUrl, SourceDirectory, StartCommand};

/// Reads where a service comes from, and how it is built.
pub(super) fn read(field: &Field, catalogue: &Catalogue, draft: &mut Draft) {
    let Some(mut members) = draft.members(field) else {
        draft.source_to_fill_in();
        draft.build = Yaml::text("apprunner.yaml");
        return;
    };
    let code = members.take("CodeRepository");
    let image = members.take("ImageRepository");
    let auto = members.take("AutoDeploymentsEnabled");
    let authentication = members.take("AuthenticationConfiguration");
    let is_public_image = match (&code, &image) {
        (None, Some(image)) => self::image(image, draft),
        (Some(code), _) => {
            repository(code, catalogue, draft);
            false
        }
        (None, None) => {
            draft.source_to_fill_in();
            draft.build = Yaml::text("apprunner.yaml");
            draft.missing(field, "it has neither a repository nor an image", "write `source`");
            false
        }
    };
    if let (Some(_), Some(image)) = (&code, &image) {
        draft.left_out(image, "a service has one source, and `CodeRepository` is taken", "");
    }
    if let Some(authentication) = authentication {
        self::authentication(&authentication, draft);
    }
    auto_deploy(auto.as_ref(), is_public_image, draft);
    draft.rest(members);
}

/// App Runner deploys by itself unless it is told otherwise, but never images of ECR Public.
fn auto_deploy(field: Option<&Field>, is_public_image: bool, draft: &mut Draft) {
    let by_itself = match field {
        Some(field) => match field.text() {
            Some("true") => {
                draft.carried(field);
                true
            }
            Some("false") => {
                draft.carried(field);
                false
            }
            _ => {
                draft.text(field);
                true
            }
        },
        None => !is_public_image,
    };
    if !by_itself {
        draft.source.put("autoDeploy", Yaml::plain(false));
    }
}

fn authentication(field: &Field, draft: &mut Draft) {
    let Some(mut members) = draft.members(field) else { return };
    if let Some(connection) = members.take("ConnectionArn") {
        draft.missing(
            &connection,
            "the connection is AWS' own access to the repository",
            "nothing, if everybody may read the repository; else make a connection of towpath's own, \
             `connections: { NAME: { provider: GITHUB } }`, complete it with `towpath connections handshake NAME`, and name it \
             in `source.connection`",
        );
    }
    if let Some(role) = members.take("AccessRoleArn") {
        draft.missing(
            &role,
            "the role is AWS' own access to the registry",
            "nothing, if everybody may pull the image; else push it to one that this server may pull from (`source.credentials`)",
        );
    }
    draft.rest(members);
}

fn repository(field: &Field, catalogue: &Catalogue, draft: &mut Draft) {
    draft.build = Yaml::text("apprunner.yaml");
    let Some(mut members) = draft.members(field) else {
        draft.source_to_fill_in();
        return;
    };
    match members.take("RepositoryUrl").and_then(|field| Some((draft.needed(&field)?, field))) {
        Some((text, field)) => url(&text, &field, draft),
        None => draft.source_to_fill_in(),
    }
    if let Some(version) = members.take("SourceCodeVersion") {
        self::version(&version, draft);
    }
    if let Some(directory) = members.take("SourceDirectory") {
        self::directory(&directory, draft);
    }
    match members.take("CodeConfiguration") {
        Some(configuration) => self::configuration(&configuration, catalogue, draft),
        None => draft.remarks.push("nothing said how it is built: `apprunner.yaml` in the repository is taken".into()),
    }
    draft.rest(members);
}

fn url(text: &str, field: &Field, draft: &mut Draft) {
    match text.parse::<RepositoryUrl>() {
        Ok(RepositoryUrl::Image(_)) | Err(_) => {
            draft.source_to_fill_in();
            let why = format!("`{}` is not a repository that towpath reads", shortened(text));
            draft.missing(field, why, "write its URL");
        }
        Ok(_) => {
            draft.carried(field);
            draft.source = Yaml::map([("repository", Yaml::text(text))]);
        }
    }
}

fn version(field: &Field, draft: &mut Draft) {
    let Some(mut members) = draft.members(field) else { return };
    if let Some(kind) = members.take("Type") {
        draft.value(&kind, "a kind of version that App Runner has", |text| (text == "BRANCH").then_some(()));
    }
    if let Some(value) = members.take("Value")
        && let Some(branch) = draft.value(&value, "the name of a branch", |text| text.parse::<BranchName>().ok())
    {
        draft.source.put("branch", Yaml::text(branch));
    }
    draft.rest(members);
}

/// `/backend` is `backend` here; `/` is the root.
fn directory(field: &Field, draft: &mut Draft) {
    let Some(text) = draft.text(field) else { return };
    let inside = text.trim_matches('/');
    if inside.is_empty() {
        draft.carried(field);
        return;
    }
    if let Some(directory) =
        draft.value(field, "a directory of a repository", |_| inside.parse::<SourceDirectory>().ok())
    {
        draft.source.put("directory", Yaml::text(directory));
    }
}

fn configuration(field: &Field, catalogue: &Catalogue, draft: &mut Draft) {
    let Some(mut members) = draft.members(field) else { return };
    let source = members.take("ConfigurationSource");
    let values = members.take("CodeConfigurationValues");
    let from_repository = match source.as_ref().and_then(Field::text) {
        Some("REPOSITORY") => true,
        Some("API") => false,
        _ => values.is_none(),
    };
    if let Some(source) = &source {
        draft.carried(source);
    }
    match values {
        Some(values) if from_repository => {
            draft.left_out(&values, "App Runner does not use it: `apprunner.yaml` in the repository says it", "");
        }
        Some(values) => self::values(&values, catalogue, draft),
        None if from_repository => {}
        None => {
            draft.remarks.push("nothing said how it is built: `apprunner.yaml` in the repository is taken".into());
        }
    }
    draft.rest(members);
}

fn values(field: &Field, catalogue: &Catalogue, draft: &mut Draft) {
    let Some(mut members) = draft.members(field) else { return };
    let mut build = Yaml::new();
    let runtime = members.take("Runtime").and_then(|field| runtime(&field, catalogue, draft));
    match runtime {
        Some(runtime) => build.put("runtime", Yaml::text(runtime)),
        None => {
            build.remarks([format!("{FILL_IN}: no runtime was found").as_str()]);
            build.put("runtime", Yaml::text("python311"));
        }
    }
    if let Some(command) = members.take("BuildCommand")
        && let Some(command) = draft.value(&command, "a command of one line", one_line)
    {
        build.put("command", Yaml::text(command));
    }
    let start = members.take("StartCommand").and_then(|field| draft.value(&field, "a command that can be run", start));
    match start {
        Some(start) => build.put("start", Yaml::text(start)),
        None => {
            let nothing = Field { path: format!("{}.StartCommand", field.path), node: field.node };
            draft.missing(&nothing, "nothing says how it is started", "write `build.start`");
            build.put("start", Yaml::text(format!("echo {FILL_IN}")));
        }
    }
    draft.build = build;
    run(&mut members, draft);
    draft.rest(members);
}

/// A command that the application can be started by.
pub(super) fn start(text: &str) -> Option<String> {
    one_line(text).filter(|text| StartCommand::parse(text).is_ok())
}

fn one_line(text: &str) -> Option<String> {
    let fits = !text.trim().is_empty() && !text.chars().any(char::is_control);
    fits.then(|| text.trim().to_owned())
}

fn runtime(field: &Field, catalogue: &Catalogue, draft: &mut Draft) -> Option<String> {
    let wire = draft.needed(field)?;
    if let Some(runtime) = catalogue.find_wire(&wire) {
        draft.carried(field);
        return Some(runtime.name.to_string());
    }
    let nearest = catalogue.nearest(&wire).map(ToString::to_string);
    let todo = match &nearest {
        Some(name) => format!("`{name}` is written in its place: see whether it fits"),
        None => "write one that there is: docs/apprunner-yaml.md lists them".to_owned(),
    };
    draft.missing(field, format!("the runtime `{}` is not known", shortened(&wire)), todo);
    nearest
}

/// What both kinds of sources say of the running application.
fn run(members: &mut super::field::Members, draft: &mut Draft) {
    if let Some(field) = members.take("Port") {
        port(&field, draft);
    }
    let secrets = members.take("RuntimeEnvironmentSecrets").map(|field| variables::secrets(&field, draft));
    if let Some(field) = members.take("RuntimeEnvironmentVariables") {
        variables::environment(&field, &secrets.unwrap_or_default(), draft);
    }
}

/// The port that the application listens on.
pub(super) fn port(field: &Field, draft: &mut Draft) {
    let read = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    draft.port = draft.value(field, "a port", read).filter(|port| *port != 8080);
}

/// Whether it is an image of ECR Public.
fn image(field: &Field, draft: &mut Draft) -> bool {
    let Some(mut members) = draft.members(field) else {
        draft.source_to_fill_in();
        draft.build = Yaml::text("apprunner.yaml");
        return false;
    };
    let identifier = members.take("ImageIdentifier").and_then(|field| Some((draft.needed(&field)?, field)));
    let kind = members.take("ImageRepositoryType");
    let is_public = kind.as_ref().and_then(Field::text) == Some("ECR_PUBLIC");
    kind.iter().for_each(|kind| draft.carried(kind));
    match identifier {
        Some((text, field)) => self::identifier(&text, &field, draft),
        None => image_to_fill_in(draft),
    }
    if let Some(configuration) = members.take("ImageConfiguration")
        && let Some(mut members) = draft.members(&configuration)
    {
        if let Some(start) = members.take("StartCommand")
            && let Some(start) = draft.value(&start, "a command that can be run", self::start)
        {
            draft.build.put("start", Yaml::text(start));
        }
        run(&mut members, draft);
        draft.rest(members);
    }
    draft.rest(members);
    is_public
}

/// An image by its name.
pub(super) fn identifier(text: &str, field: &Field, draft: &mut Draft) {
    if ImageName::parse_reference(text).is_err() {
        image_to_fill_in(draft);
        let why = format!("`{}` is not an image that towpath pulls", shortened(text));
        draft.missing(field, why, "write it with its registry: `registry.example.com/acme/orders:1.2`");
        return;
    }
    draft.source = Yaml::map([("image", Yaml::text(text))]);
    match text.contains(".dkr.ecr.") {
        true => draft.missing(
            field,
            "a private repository of Amazon ECR gives its images to AWS accounts only",
            "push the image to a registry that this server may pull from, and write its name (and `source.credentials`)",
        ),
        false => draft.carried(field),
    }
}

fn image_to_fill_in(draft: &mut Draft) {
    draft.source = Yaml::map([("image", Yaml::text(format!("registry.example.com/{}:{FILL_IN}", "fill-in")))]);
}
