//! `SourceConfiguration`: where the code comes from and how it is built (rows S1, S6). Pure.

use super::arns;
use super::connections::{self, PENDING};
use super::input::Members;
use super::service_shape::CATALOGUE;
use crate::api::control::Refusal;
use crate::api::facts::Facts;
use crate::model::{
    AppSettings, BuildSource, CodeSource, EnvName, HostRules, ImageName, Invalid, Reference, RepositoryUrl,
    ResourceType, RuntimeName, ServiceSpec, SourceDirectory, Track, ValueFrom, WireSettings,
};
use std::collections::BTreeMap;

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::InvalidRequest(message.into())
}

/// Why a member is not what it has to be.
fn wrong(path: &'static str) -> impl Fn(Invalid) -> Refusal {
    move |error| match error.hint {
        Some(hint) => invalid(format!("`{path}`: {}; {hint}", error.message)),
        None => invalid(format!("`{path}`: {}", error.message)),
    }
}

/// The source and the build of a service; roles and connection go to `wire`.
pub(super) fn source(
    facts: &Facts<'_>,
    input: Members<'_>,
    old: Option<&ServiceSpec>,
    wire: &mut WireSettings,
) -> Result<(CodeSource, BuildSource), Refusal> {
    let given = input.structure_or_empty("SourceConfiguration");
    let (mut source, build) = match (given.structure("CodeRepository"), given.structure("ImageRepository"), old) {
        (Some(_), Some(_), _) => {
            return Err(invalid("`SourceConfiguration` takes one of `CodeRepository` and `ImageRepository`, not both"));
        }
        (Some(_), None, Some(old)) if is_image(old) => return Err(invalid(OTHER_KIND)),
        (None, Some(_), Some(old)) if !is_image(old) => return Err(invalid(OTHER_KIND)),
        (None, Some(given), old) => image(facts, given, old, wire)?,
        (Some(code), None, old) => repository(code, old)?,
        (None, None, Some(old)) => (old.source.clone(), old.build.clone()),
        (None, None, None) => {
            return Err(invalid("`SourceConfiguration` needs a `CodeRepository` or an `ImageRepository`"));
        }
    };
    source.auto_deploy = given.boolean("AutoDeploymentsEnabled").unwrap_or(source.auto_deploy);
    if let Some(authentication) = given.structure("AuthenticationConfiguration") {
        authenticate(facts, authentication, wire)?;
    }
    check_registry(&source, wire)?;
    check_connection(facts, &source, wire)?;
    Ok((source, build))
}

/// What holds of AWS' two registries (row S2): of the public one nothing is deployed by itself, the private one wants a role.
fn check_registry(source: &CodeSource, wire: &WireSettings) -> Result<(), Refusal> {
    let RepositoryUrl::Image(image) = &source.repository else { return Ok(()) };
    if wire.image_type.as_deref() == Some("ECR_PUBLIC") && source.auto_deploy {
        return Err(invalid(
            "`SourceConfiguration.AutoDeploymentsEnabled` must be false for an image of ECR_PUBLIC: deploy it with \
             StartDeployment",
        ));
    }
    let private = image.registry().ends_with(".amazonaws.com") && image.registry().contains(".dkr.ecr.");
    if private && wire.access_role.is_none() {
        return Err(invalid(
            "`SourceConfiguration.AuthenticationConfiguration.AccessRoleArn` is required for an image of a private ECR \
             repository",
        ));
    }
    Ok(())
}

/// A service cannot turn from one into the other (the API reference of `UpdateService`).
const OTHER_KIND: &str = "the source of a service stays what it is: code, or an image";

fn is_image(spec: &ServiceSpec) -> bool {
    matches!(spec.source.repository, RepositoryUrl::Image(_))
}

/// `ImageRepository`: any registry's image, with what its instances need (row S2). What is left out in an update stays.
fn image(
    facts: &Facts<'_>,
    given: Members<'_>,
    old: Option<&ServiceSpec>,
    wire: &mut WireSettings,
) -> Result<(CodeSource, BuildSource), Refusal> {
    const IDENTIFIER: &str = "SourceConfiguration.ImageRepository.ImageIdentifier";
    if !facts.installed.runs_images {
        return Err(invalid(
            "`SourceConfiguration.ImageRepository`: the process engine runs no images; this installation would have to run \
             with the Docker engine",
        ));
    }
    let text = given.text("ImageIdentifier").unwrap_or_default();
    let (name, reference) = ImageName::parse_reference(text).map_err(wrong(IDENTIFIER))?;
    wire.image_type = given.text("ImageRepositoryType").map(str::to_owned);
    let build = match (given.structure("ImageConfiguration"), old) {
        (None, Some(old)) => old.build.clone(),
        (configuration, _) => of_image(configuration)?,
    };
    // On AWS images of its public registry are deployed when somebody says so.
    let by_itself = given.text("ImageRepositoryType") != Some("ECR_PUBLIC");
    let auto_deploy = by_itself && old.is_none_or(|old| old.source.auto_deploy);
    // Only those of the same registry are kept: nobody is to have a password sent elsewhere by an update.
    let kept = old.filter(
        |old| matches!(&old.source.repository, RepositoryUrl::Image(before) if before.registry() == name.registry()),
    );
    let credentials = kept.and_then(|old| old.source.credentials.clone());
    let (repository, track) = (RepositoryUrl::Image(name), reference.into());
    let poll = kept.and_then(|old| old.source.poll.clone());
    let (verify, host) = (None, HostRules::default());
    let source =
        CodeSource { repository, track, key: None, connection: None, credentials, auto_deploy, verify, poll, host };
    Ok((source, build))
}

fn of_image(configuration: Option<Members<'_>>) -> Result<BuildSource, Refusal> {
    let Some(values) = configuration else {
        return Ok(BuildSource::Inline(Box::new(AppSettings::of_image(String::new(), port(None)?))));
    };
    let start = values.text("StartCommand").unwrap_or_default().to_owned();
    let settings = AppSettings {
        env: environment(values)?,
        secrets: secrets(values)?,
        ..AppSettings::of_image(start, port(values.text("Port"))?)
    };
    settings.start_command().map_err(wrong("ImageConfiguration.StartCommand"))?;
    Ok(BuildSource::Inline(Box::new(settings)))
}

fn authenticate(facts: &Facts<'_>, given: Members<'_>, wire: &mut WireSettings) -> Result<(), Refusal> {
    if let Some(role) = given.text("AccessRoleArn") {
        wire.access_role = Some(role.to_owned());
    }
    let Some(arn) = given.text("ConnectionArn") else { return Ok(()) };
    let connection = arns::active(facts, ResourceType::Connection, arn)?;
    if connections::status(facts, connection) != connections::AVAILABLE {
        return Err(invalid(format!(
            "the connection `{0}` is {PENDING}: complete its handshake before a service uses it (`towpath connections \
             handshake {0}`); repositories that need none take no `AuthenticationConfiguration`",
            connection.name
        )));
    }
    wire.connection = Some(connection.id.clone());
    Ok(())
}

/// Whether the service may read its repository: by a connection that leads there, and by none only what no other service
/// reads by one. (A mirror is shared by all who follow a repository: else whoever may make services could read what they
/// were given no connection to.)
fn check_connection(facts: &Facts<'_>, source: &CodeSource, wire: &WireSettings) -> Result<(), Refusal> {
    let (RepositoryUrl::Http(_) | RepositoryUrl::Ssh(_)) = &source.repository else { return Ok(()) };
    if let Some(connection) = wire.connection.as_ref().and_then(|id| facts.resources.get(id)) {
        let host = connections::host(facts, connection);
        if host.as_ref().is_some_and(|host| host.has(&source.repository)) {
            return Ok(());
        }
        let of = host.map_or_else(|| "no server yet".to_owned(), |host| host.to_string());
        return Err(invalid(format!(
            "the connection `{}` does not lead to this repository: it belongs to {of}, and its credentials are shown to that \
             server only",
            connection.name
        )));
    }
    match facts.reader_by_connection(&source.repository) {
        Some(name) => Err(invalid(format!(
            "this repository is read by a connection by service `{name}`: name a connection that leads to it in \
             `AuthenticationConfiguration`"
        ))),
        None => Ok(()),
    }
}

fn repository(code: Members<'_>, old: Option<&ServiceSpec>) -> Result<(CodeSource, BuildSource), Refusal> {
    const URL: &str = "SourceConfiguration.CodeRepository.RepositoryUrl";
    let repository: RepositoryUrl = code.text("RepositoryUrl").unwrap_or_default().parse().map_err(wrong(URL))?;
    if !matches!(repository, RepositoryUrl::Http(_) | RepositoryUrl::Ssh(_)) {
        // Whoever calls need not be someone who may read this machine's files.
        return Err(invalid(format!(
            "`{URL}`: repositories on the server's own disk can be declared in its manifest only"
        )));
    }
    let version = code.structure_or_empty("SourceCodeVersion").text("Value").unwrap_or_default();
    let branch = version.parse().map_err(wrong("SourceConfiguration.CodeRepository.SourceCodeVersion.Value"))?;
    let track = Track { reference: Reference::Branch(branch), directory: directory(code)? };
    let build = match (code.structure("CodeConfiguration"), old) {
        (Some(configuration), _) => build(configuration)?,
        (None, Some(old)) => old.build.clone(),
        (None, None) => return Err(invalid("`SourceConfiguration.CodeRepository.CodeConfiguration` is required")),
    };
    let auto_deploy = old.is_none_or(|old| old.source.auto_deploy);
    let key = old.and_then(|old| old.source.key.clone());
    let poll = old.and_then(|old| old.source.poll.clone());
    let host = old.map(|old| old.source.host.clone()).unwrap_or_default();
    let source = CodeSource {
        repository,
        track,
        key,
        connection: None,
        credentials: None,
        auto_deploy,
        verify: None,
        poll,
        host,
    };
    Ok((source, build))
}

/// `/` is the root; what lies below it may be written with or without it in front.
fn directory(code: Members<'_>) -> Result<Option<SourceDirectory>, Refusal> {
    let written = code.text("SourceDirectory").map(|text| text.trim_matches('/')).filter(|text| !text.is_empty());
    let parsed = written.map(str::parse).transpose();
    parsed.map_err(wrong("SourceConfiguration.CodeRepository.SourceDirectory"))
}

fn build(configuration: Members<'_>) -> Result<BuildSource, Refusal> {
    if configuration.text("ConfigurationSource") == Some("REPOSITORY") {
        return Ok(BuildSource::Repository);
    }
    let values = configuration.structure("CodeConfigurationValues");
    let values = values.ok_or_else(|| {
        invalid("`CodeConfiguration.CodeConfigurationValues` is required where `ConfigurationSource` is API")
    })?;
    settings(values).map(|settings| BuildSource::Inline(Box::new(settings)))
}

fn settings(values: Members<'_>) -> Result<AppSettings, Refusal> {
    let settings = AppSettings {
        runtime: runtime(values.text("Runtime").unwrap_or_default())?,
        runtime_version: None,
        pre_build: Vec::new(),
        build: values.text("BuildCommand").map(str::to_owned).into_iter().collect(),
        post_build: Vec::new(),
        build_env: BTreeMap::new(),
        pre_run: Vec::new(),
        start: values.text("StartCommand").unwrap_or_default().to_owned(),
        port: port(values.text("Port"))?,
        port_env: None,
        env: environment(values)?,
        secrets: secrets(values)?,
        dockerfile: None,
    };
    if settings.start.trim().is_empty() {
        return Err(invalid(
            "`CodeConfigurationValues.StartCommand` is required: a managed runtime starts nothing by itself",
        ));
    }
    settings.start_command().map_err(wrong("CodeConfigurationValues.StartCommand"))?;
    Ok(settings)
}

/// Where the values of secrets come from; they are read when an instance starts (row L2).
fn secrets(values: Members<'_>) -> Result<BTreeMap<EnvName, String>, Refusal> {
    const PATH: &str = "RuntimeEnvironmentSecrets";
    let plain = values.entries("RuntimeEnvironmentVariables").unwrap_or_default();
    let entries = values.entries(PATH).unwrap_or_default().into_iter();
    let parsed = entries.map(|(name, from)| {
        if plain.iter().any(|(other, _)| *other == name) {
            return Err(invalid("a name stands in `RuntimeEnvironmentVariables` and in `RuntimeEnvironmentSecrets`"));
        }
        from.parse::<ValueFrom>().map_err(wrong("RuntimeEnvironmentSecrets: a value"))?;
        Ok((name.parse().map_err(wrong(PATH))?, from.to_owned()))
    });
    parsed.collect()
}

fn runtime(wire: &str) -> Result<RuntimeName, Refusal> {
    let found = CATALOGUE.find_wire(wire).map(|runtime| runtime.name.clone());
    found.ok_or_else(|| invalid("`CodeConfigurationValues.Runtime` is not one of this installation"))
}

fn port(text: Option<&str>) -> Result<u16, Refusal> {
    match text.map_or(Ok(8080), str::parse) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(invalid("`Port` is a number from 1 to 65535")),
    }
}

fn environment(values: Members<'_>) -> Result<BTreeMap<EnvName, String>, Refusal> {
    let entries = values.entries("RuntimeEnvironmentVariables").unwrap_or_default();
    let parsed = entries.into_iter().map(|(name, value)| {
        if value.contains('\0') {
            return Err(invalid("the value of a variable in `RuntimeEnvironmentVariables` holds a zero character"));
        }
        Ok((name.parse().map_err(wrong("RuntimeEnvironmentVariables"))?, value.to_owned()))
    });
    parsed.collect()
}
