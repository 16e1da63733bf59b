//! Declarations written as a manifest: what `towpath export` prints. Reading the text gives the same declarations, which a
//! property test holds. What is as if nothing was said is not said; the same declarations always give the same text. Pure.

pub(super) mod text;

use super::ConnectionSpec;
use super::duration::show_duration;
use crate::model::{
    AppSettings, BuildSource, CodeSource, ConnectionName, Cpu, DeploySettings, Digest, DockerfileBuild, Drift, EnvName,
    HealthCheck, HealthProtocol, InstanceSize, KeyText, Means, Memory, Poll, RegistryCredentials, RepositoryPath,
    RepositoryUrl, RequiredChecks, Restraint, Scaling, SecretRef, ServiceSpec, Track, Verify, WireSettings,
};
use std::collections::BTreeMap;
use text::Yaml;

/// What stands at the head of the text.
const HEAD: &str = "# What runs, written by `towpath export`. Applied where it was written, it changes nothing.\n";
const DEFAULT_PORT: u16 = 8080;

/// The encrypted texts of secrets, by name, and by the digest of the value.
pub type SealedTexts = BTreeMap<String, BTreeMap<Digest, String>>;

/// What is known of connections, by name.
pub type Connections = BTreeMap<ConnectionName, ConnectionSpec>;

/// One service to write.
#[derive(Clone, Copy, Debug)]
pub struct Exported<'a> {
    /// What is in force.
    pub spec: &'a ServiceSpec,
    /// What a manifest cannot say, for a comment.
    pub remark: Option<&'a str>,
}

/// A manifest, and what it could not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The text.
    pub text: String,
    /// What is lost, in sentences.
    pub lost: Vec<String>,
}

/// Writes services as a manifest, in the order of their names.
pub fn export(services: &[Exported], sealed: &SealedTexts, connections: &Connections) -> Written {
    let mut ordered: Vec<&Exported> = services.iter().collect();
    ordered.sort_by_key(|exported| &exported.spec.name);
    let mut lost = Vec::new();
    let secrets = secrets(&ordered, sealed, &mut lost);
    let mut yaml = Yaml::new();
    if !secrets.is_empty() {
        let texts = secrets.into_iter().map(|(name, text)| (name, Yaml::block(text)));
        yaml.put("secrets", Yaml::map(texts));
    }
    yaml.put_some("keys", keys(&ordered, &mut lost));
    yaml.put_some("connections", self::connections(&ordered, connections, &mut lost));
    let mut all = Yaml::new();
    for exported in &ordered {
        all.remark(exported.remark);
        all.put(exported.spec.name.as_str(), service(exported.spec, &mut lost));
    }
    yaml.put("services", all);
    Written { text: format!("{HEAD}{yaml}"), lost }
}

/// The keys that services trust, each name once.
fn keys(services: &[&Exported], lost: &mut Vec<String>) -> Yaml {
    let mut groups: BTreeMap<&str, &[KeyText]> = BTreeMap::new();
    for spec in services.iter().map(|exported| exported.spec) {
        for group in spec.source.verify.iter().flat_map(|verify| &verify.signed_by) {
            let known = groups.entry(&group.name).or_insert(&group.keys);
            if *known != group.keys {
                lost.push(format!(
                    "`{}`: it trusts other keys by the name `{}` than other services",
                    spec.name, group.name
                ));
            }
        }
    }
    Yaml::map(groups.into_iter().map(|(name, keys)| (name, Yaml::list(keys.iter().map(key)))))
}

fn key(key: &KeyText) -> Yaml {
    match key {
        KeyText::Text(text) if text.trim_end().lines().count() == 1 => Yaml::text(text.trim_end()),
        KeyText::Text(text) => Yaml::block(text),
        KeyText::File(path) => Yaml::map([("file", Yaml::text(path.display()))]),
    }
}

/// The connections that services name.
fn connections(services: &[&Exported<'_>], known: &Connections, lost: &mut Vec<String>) -> Yaml {
    let mut written: BTreeMap<&str, Yaml> = BTreeMap::new();
    for spec in services.iter().map(|exported| exported.spec) {
        let Some(name) = &spec.source.connection else { continue };
        match known.get(name) {
            Some(found) => drop(written.insert(name.as_str(), connection(found))),
            None => lost.push(format!("`{}`: the connection `{name}` is not known any more", spec.name)),
        }
    }
    Yaml::map(written)
}

fn connection(spec: &ConnectionSpec) -> Yaml {
    let ConnectionSpec { provider, host, means } = spec;
    let mut yaml = Yaml::new();
    yaml.put("provider", Yaml::text(provider));
    if provider.host().as_ref() != Some(host) {
        yaml.put("url", Yaml::text(host));
    }
    match means {
        Some(Means::Token(token)) => yaml.put("token", reference(token)),
        Some(Means::SshKey(key)) => yaml.put("sshKey", reference(key)),
        Some(Means::Basic { username, password }) => {
            yaml.put("basic", Yaml::map([("username", Yaml::text(username)), ("password", reference(password))]));
        }
        Some(Means::App { id, key, installation }) => {
            let mut app = Yaml::map([("id", Yaml::plain(id)), ("privateKey", reference(key))]);
            if let Some(installation) = installation {
                app.put("installation", Yaml::plain(installation));
            }
            yaml.put("app", app);
        }
        None => {}
    }
    yaml
}

/// The encrypted secrets that services use, each name once.
fn secrets<'s>(
    services: &[&Exported<'s>],
    sealed: &'s SealedTexts,
    lost: &mut Vec<String>,
) -> BTreeMap<&'s str, &'s str> {
    let mut texts: BTreeMap<&str, (&Digest, &str)> = BTreeMap::new();
    for spec in services.iter().map(|exported| exported.spec) {
        for (variable, reference) in &spec.secrets {
            let SecretRef::Sealed { name, value } = reference else { continue };
            let place = format!("`{}`: the variable `{variable}`", spec.name);
            match (sealed.get(name).and_then(|values| values.get(value)), texts.get(name.as_str())) {
                (None, _) => lost.push(format!("{place} uses the secret `{name}`, whose encrypted text is not kept")),
                (Some(_), Some((other, _))) if *other != value => {
                    lost.push(format!("{place} uses another value of the secret `{name}` than other services"));
                }
                (Some(text), _) => drop(texts.insert(name, (value, text))),
            }
        }
    }
    texts.into_iter().map(|(name, (_, text))| (name, text)).collect()
}

fn service(spec: &ServiceSpec, lost: &mut Vec<String>) -> Yaml {
    let ServiceSpec {
        name,
        source,
        build,
        instance,
        env,
        secrets,
        health,
        scaling,
        deploy,
        tags,
        restraint,
        wire,
        preview: _,
    } = spec;
    let mut yaml = Yaml::new();
    yaml.put("source", self::source(source));
    let mut variables: BTreeMap<&EnvName, &String> = BTreeMap::new();
    match build {
        BuildSource::Repository => yaml.put("build", Yaml::text("apprunner.yaml")),
        BuildSource::Inline(settings) => {
            match spec.has_image_source() {
                true => yaml.put_some("build", Yaml::map(start_of_image(settings))),
                false => yaml.put("build", self::build(settings)),
            }
            if settings.port != DEFAULT_PORT {
                yaml.put("port", Yaml::plain(settings.port));
            }
            variables.extend(&settings.env);
            lost.extend(beyond(settings).map(|what| format!("`{name}`: {what}")));
        }
    }
    variables.extend(env);
    yaml.put_some("instance", self::instance(instance));
    yaml.put_some("env", texts(variables));
    yaml.put_some("secrets", Yaml::map(secrets.iter().map(|(name, secret)| (name.as_str(), reference(secret)))));
    yaml.put_some("health", self::health(health));
    yaml.put_some("autoscaling", self::scaling(scaling));
    yaml.put_some("deploy", self::deploy(deploy));
    yaml.put_some("tags", texts(tags));
    self::restraint(&mut yaml, restraint);
    lost.extend(wire.iter().flat_map(|wire| only_on_wire(wire)).map(|what| format!("`{name}`: {what}")));
    yaml
}

/// What a manifest has no word for; only the API declares it.
fn beyond(settings: &AppSettings) -> impl Iterator<Item = &'static str> {
    let second = settings.port_env.is_some().then_some("a second variable that carries its port is left out");
    let secrets = (!settings.secrets.is_empty()).then_some("secrets by `value-from` are left out");
    [second, secrets].into_iter().flatten()
}

/// What only the API says of a service, where it says it.
fn only_on_wire(wire: &WireSettings) -> impl Iterator<Item = &'static str> {
    let private = wire.private.then_some("it is private, which a manifest cannot say: declared, it would be public");
    // A connection is carried by its name.
    let WireSettings { connection, auto_scaling, .. } = wire.clone();
    let plain = WireSettings { private: wire.private, connection, ..WireSettings::bound_to(auto_scaling) };
    let others = (*wire != plain).then_some("roles, encryption, network and tracing are left out");
    [private, others].into_iter().flatten()
}

fn texts<'a, K: ToString + 'a>(map: impl IntoIterator<Item = (K, &'a String)>) -> Yaml {
    Yaml::map(map.into_iter().map(|(name, value)| (name.to_string(), Yaml::text(value))))
}

fn source(source: &CodeSource) -> Yaml {
    let CodeSource { repository, track: Track { reference, .. }, .. } = source;
    let mut yaml = Yaml::new();
    if let RepositoryUrl::Image(image) = repository {
        yaml.put("image", Yaml::text(image.identifier(reference)));
        if let Some(credentials) = &source.credentials {
            let RegistryCredentials { username, password } = &**credentials;
            let pair = [("username", Yaml::text(username)), ("password", self::reference(password))];
            yaml.put("credentials", Yaml::map(pair));
        }
    } else {
        place(&mut yaml, source);
    }
    if !source.auto_deploy {
        yaml.put("autoDeploy", Yaml::plain(false));
    }
    match source.poll.as_deref() {
        Some(Poll::Every(interval)) => yaml.put("poll", Yaml::plain(show_duration(*interval))),
        Some(Poll::At(cron)) => yaml.put("poll", Yaml::text(cron)),
        None => {}
    }
    yaml
}

/// A repository and what of it is followed.
fn place(yaml: &mut Yaml, source: &CodeSource) {
    let CodeSource { repository, track, key, connection, credentials: _, auto_deploy: _, verify, poll: _, host } =
        source;
    let Track { reference, directory } = track;
    yaml.put("repository", Yaml::text(repository));
    let of = [
        ("branch", reference.branch().map(ToString::to_string)),
        ("tag", reference.tag().map(ToString::to_string)),
        ("commit", reference.commit().map(ToString::to_string)),
        ("directory", directory.as_ref().map(ToString::to_string)),
    ];
    for (key, value) in of {
        value.into_iter().for_each(|value| yaml.put(key, Yaml::text(value)));
    }
    if let Some(key) = key {
        yaml.put("key", Yaml::map([("file", Yaml::text(key.display()))]));
    }
    if let Some(connection) = connection {
        yaml.put("connection", Yaml::text(connection));
    }
    if !host.report {
        yaml.put("report", Yaml::plain(false));
    }
    match &host.require_checks {
        RequiredChecks::None => {}
        RequiredChecks::All => yaml.put("requireChecks", Yaml::plain(true)),
        RequiredChecks::Named(names) => yaml.put_some("requireChecks", Yaml::list(names.iter().map(Yaml::text))),
    }
    if let Some(verify) = verify {
        yaml.put("verify", self::verify(verify));
    }
}

fn restraint(yaml: &mut Yaml, restraint: &Restraint) {
    let Restraint { suspend, depends_on, drift } = restraint;
    yaml.put_some("dependsOn", Yaml::list(depends_on.iter().map(Yaml::text)));
    if let Some(suspend) = suspend {
        let entries = [("until", Yaml::text(suspend.until)), ("reason", Yaml::text(&suspend.reason))];
        yaml.put("suspend", Yaml::map(entries));
    }
    if *drift != Drift::default() {
        yaml.put("drift", Yaml::plain(drift.as_str()));
    }
}

fn verify(verify: &Verify) -> Yaml {
    let Verify { signed_by, fast_forward_only } = verify;
    let mut yaml = Yaml::new();
    yaml.put_some("signedBy", Yaml::list(signed_by.iter().map(|group| Yaml::text(&group.name))));
    if *fast_forward_only {
        yaml.put("fastForwardOnly", Yaml::plain(true));
    }
    yaml
}

/// All that an image has of a build.
fn start_of_image(settings: &AppSettings) -> Option<(&'static str, Yaml)> {
    (!settings.start.is_empty()).then(|| ("start", Yaml::text(&settings.start)))
}

fn build(settings: &AppSettings) -> Yaml {
    let AppSettings {
        runtime,
        runtime_version,
        pre_build,
        build,
        post_build,
        build_env,
        pre_run,
        start,
        port: _,
        port_env: _,
        env: _,
        secrets: _,
        dockerfile,
    } = settings;
    if let Some(dockerfile) = dockerfile {
        return self::dockerfile(dockerfile, start);
    }
    let mut yaml = Yaml::new();
    yaml.put("runtime", Yaml::text(runtime));
    if let Some(version) = runtime_version {
        yaml.put("runtimeVersion", Yaml::text(version));
    }
    let phases = [("preBuild", pre_build), ("command", build), ("postBuild", post_build), ("preRun", pre_run)];
    for (key, lines) in phases {
        yaml.put_some(key, Yaml::list(lines.iter().map(Yaml::text)));
    }
    yaml.put_some("env", texts(build_env));
    yaml.put("start", Yaml::text(start));
    yaml
}

fn dockerfile(dockerfile: &DockerfileBuild, start: &str) -> Yaml {
    let DockerfileBuild { path, context, target, args } = dockerfile;
    let plain = context.is_none() && target.is_none() && args.is_empty() && start.is_empty();
    if plain && *path == RepositoryPath::dockerfile() {
        return Yaml::text(path);
    }
    let mut yaml = Yaml::new();
    yaml.put("dockerfile", Yaml::text(path));
    context.iter().for_each(|context| yaml.put("context", Yaml::text(context)));
    target.iter().for_each(|target| yaml.put("target", Yaml::text(target)));
    yaml.put_some("args", texts(args));
    if !start.is_empty() {
        yaml.put("start", Yaml::text(start));
    }
    yaml
}

fn instance(size: &InstanceSize) -> Yaml {
    let InstanceSize { cpu, memory, storage } = size;
    let mut yaml = Yaml::new();
    if *cpu != Cpu::DEFAULT {
        yaml.put("cpu", Yaml::plain(cpu));
    }
    if *memory != Memory::DEFAULT {
        yaml.put("memory", Yaml::plain(exact(*memory)));
    }
    storage.iter().for_each(|storage| yaml.put("storage", Yaml::plain(exact(*storage))));
    yaml
}

/// A size that is read as the same number of bytes: as it is shown to people where that is exact, else in thousandths.
fn exact(memory: Memory) -> String {
    let shown = memory.to_string();
    if shown.parse() == Ok(memory) {
        return shown;
    }
    let in_thousandths = |unit: u64, name: &str| {
        let thousandths = (memory.0.checked_mul(1000)?).div_ceil(unit);
        Some(format!("{}.{:03} {name}", thousandths / 1000, thousandths % 1000))
    };
    let written = [in_thousandths(1 << 20, "MB"), in_thousandths(1 << 30, "GB")];
    written.into_iter().flatten().find(|text| text.parse() == Ok(memory)).unwrap_or(shown)
}

fn reference(secret: &SecretRef) -> Yaml {
    Yaml::map([match secret {
        SecretRef::File(path) => ("file", Yaml::text(path.display())),
        SecretRef::Env(name) => ("env", Yaml::text(name)),
        SecretRef::Sealed { name, value: _ } => ("secret", Yaml::text(name)),
    }])
}

/// A number under a key, unless it is the default.
fn number(yaml: &mut Yaml, key: &'static str, value: u32, default: u32) {
    if value != default {
        yaml.put(key, Yaml::plain(value));
    }
}

fn health(check: &HealthCheck) -> Yaml {
    let HealthCheck { protocol, path, interval_seconds, timeout_seconds, healthy_threshold, unhealthy_threshold } =
        check;
    let default = HealthCheck::default();
    let mut yaml = Yaml::new();
    if *protocol == HealthProtocol::Http {
        yaml.put("protocol", Yaml::plain("HTTP"));
    }
    if *path != default.path {
        yaml.put("path", Yaml::text(path));
    }
    for (key, seconds, default) in [
        ("interval", interval_seconds, default.interval_seconds),
        ("timeout", timeout_seconds, default.timeout_seconds),
    ] {
        if *seconds != default {
            yaml.put(key, Yaml::plain(format!("{seconds}s")));
        }
    }
    number(&mut yaml, "healthyThreshold", *healthy_threshold, default.healthy_threshold);
    number(&mut yaml, "unhealthyThreshold", *unhealthy_threshold, default.unhealthy_threshold);
    yaml
}

fn scaling(scaling: &Scaling) -> Yaml {
    let Scaling { max_concurrency, min_size, max_size } = *scaling;
    let default = Scaling::default();
    let mut yaml = Yaml::new();
    number(&mut yaml, "maxConcurrency", max_concurrency, default.max_concurrency);
    number(&mut yaml, "minSize", min_size, default.min_size);
    number(&mut yaml, "maxSize", max_size, default.max_size);
    yaml
}

fn deploy(settings: &DeploySettings) -> Yaml {
    let DeploySettings { drain, start_deadline, build_deadline, release, release_deadline } = settings;
    let default = DeploySettings::default();
    let mut yaml = Yaml::new();
    yaml.put_some("release", Yaml::list(release.iter().map(Yaml::text)));
    for (key, value, default) in [
        ("drain", drain, default.drain),
        ("startDeadline", start_deadline, default.start_deadline),
        ("buildDeadline", build_deadline, default.build_deadline),
        ("releaseDeadline", release_deadline, default.release_deadline),
    ] {
        if *value != default {
            yaml.put(key, Yaml::plain(show_duration(*value)));
        }
    }
    yaml
}

#[cfg(test)]
mod tests;
