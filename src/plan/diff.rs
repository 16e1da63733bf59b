//! Which fields of two declarations differ, with paths and values as people write them in the manifest.
//!
//! Every struct is taken apart without `..`: a field added to the model and forgotten here does not compile.

use super::FieldChange;
use super::words::quoted;
use crate::model::{
    AppSettings, BuildSource, CodeSource, DeploySettings, DockerfileBuild, HealthCheck, HealthProtocol, InstanceSize,
    Poll, ResourceId, Restraint, Scaling, SecretRef, ServiceSpec, Track, Verify, WireSettings,
};
use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::path::PathBuf;
use std::time::Duration;

/// The fields that differ from one declaration to the next; empty exactly when they are equal (names apart, which
/// make another service). Values of secrets are never known here: references are shown.
pub fn diff(from: &ServiceSpec, to: &ServiceSpec) -> Vec<FieldChange> {
    let mut out = Differences(Vec::new());
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
    } = from;
    out.text("name", name, &to.name);
    out.source(source, &to.source);
    out.build(build, &to.build);
    out.instance(instance, &to.instance);
    out.map("env", env, &to.env, |v| quoted(v));
    out.map("secrets", secrets, &to.secrets, SecretRef::to_string);
    out.health(health, &to.health);
    out.scaling(scaling, &to.scaling);
    out.deploy(deploy, &to.deploy);
    out.map("tags", tags, &to.tags, |v| quoted(v));
    out.restraint(restraint, &to.restraint);
    out.wire(wire.as_deref(), to.wire.as_deref());
    out.0
}

/// Whether going from one declaration to the next needs new instances (row D4): anything but health check, scaling,
/// deadlines, tags, restraint and automatic deployment differs.
pub fn replaces(from: &ServiceSpec, to: &ServiceSpec) -> bool {
    let ServiceSpec {
        name,
        source,
        build,
        instance,
        env,
        secrets,
        health: _,
        scaling: _,
        deploy: _,
        tags: _,
        restraint: _,
        wire: _,
        preview: _,
    } = from;
    !same_source(source, &to.source)
        || (name, build, instance, env, secrets) != (&to.name, &to.build, &to.instance, &to.env, &to.secrets)
}

/// Whether going from one declaration to the next needs a build: other code, or other build settings.
pub fn rebuilds(from: &ServiceSpec, to: &ServiceSpec) -> bool {
    if !same_source(&from.source, &to.source) {
        return true;
    }
    match (&from.build, &to.build) {
        (BuildSource::Repository, BuildSource::Repository) => false,
        (BuildSource::Inline(a), BuildSource::Inline(b)) => {
            let inputs = |s: &AppSettings| {
                let lines = [&s.pre_build, &s.build, &s.post_build, &s.pre_run].map(Clone::clone);
                (s.runtime.clone(), s.runtime_version.clone(), lines, s.build_env.clone(), s.dockerfile.clone())
            };
            inputs(a) != inputs(b)
        }
        _ => true,
    }
}

/// Whether two sources are the same code: repository and track (row D4); automatic deployment is no part of it.
pub(super) fn same_source(a: &CodeSource, b: &CodeSource) -> bool {
    (&a.repository, &a.track) == (&b.repository, &b.track)
}

struct Differences(Vec<FieldChange>);

impl Differences {
    fn push(&mut self, field: impl Into<String>, from: Option<String>, to: Option<String>) {
        if from != to {
            self.0.push(FieldChange { field: field.into(), from, to });
        }
    }

    fn text<T: Display>(&mut self, field: &str, from: &T, to: &T) {
        self.push(field, Some(from.to_string()), Some(to.to_string()));
    }

    fn option<T: Display>(&mut self, field: &str, from: Option<&T>, to: Option<&T>) {
        self.push(field, from.map(T::to_string), to.map(T::to_string));
    }

    fn seconds(&mut self, field: &str, from: u32, to: u32) {
        self.push(field, Some(format!("{from}s")), Some(format!("{to}s")));
    }

    fn span(&mut self, field: &str, from: Duration, to: Duration) {
        self.push(field, Some(span(from)), Some(span(to)));
    }

    fn lines(&mut self, field: &str, from: &[String], to: &[String]) {
        self.push(field, written(from), written(to));
    }

    fn map<K: Ord + Display, V>(
        &mut self,
        field: &str,
        from: &BTreeMap<K, V>,
        to: &BTreeMap<K, V>,
        show: impl Fn(&V) -> String,
    ) {
        let mut keys: Vec<&K> = from.keys().chain(to.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            self.push(format!("{field}.{key}"), from.get(key).map(&show), to.get(key).map(&show));
        }
    }

    fn source(&mut self, from: &CodeSource, to: &CodeSource) {
        let CodeSource { repository, track, key, connection, credentials, auto_deploy, verify, poll: poll_from, host } =
            from;
        let Track { reference, directory } = track;
        let next = &to.track;
        self.text("source.repository", repository, &to.repository);
        self.option("source.branch", reference.branch(), next.reference.branch());
        self.option("source.tag", reference.tag(), next.reference.tag());
        self.option("source.commit", reference.commit(), next.reference.commit());
        self.option("source.directory", directory.as_ref(), next.directory.as_ref());
        let file = |key: &Option<PathBuf>| key.as_ref().map(|key| format!("file {}", key.display()));
        self.push("source.key", file(key), file(&to.key));
        self.option("source.credentials", credentials.as_ref(), to.credentials.as_ref());
        self.option("source.connection", connection.as_ref(), to.connection.as_ref());
        self.text("source.autoDeploy", auto_deploy, &to.auto_deploy);
        self.text("source.report", &host.report, &to.host.report);
        self.text("source.requireChecks", &host.require_checks, &to.host.require_checks);
        self.verify(verify.as_deref(), to.verify.as_deref());
        let poll = |poll: Option<&Poll>| {
            poll.map(|poll| match poll {
                Poll::Every(interval) => span(*interval),
                Poll::At(cron) => quoted(&cron.to_string()),
            })
        };
        self.push("source.poll", poll(poll_from.as_deref()), poll(to.poll.as_deref()));
    }

    fn restraint(&mut self, from: &Restraint, to: &Restraint) {
        let Restraint { suspend, depends_on, drift } = from;
        let until = |r: &Option<crate::model::Suspend>| r.as_ref().map(|suspend| suspend.until.to_string());
        let reason = |r: &Option<crate::model::Suspend>| r.as_ref().map(|suspend| quoted(&suspend.reason));
        self.push("suspend.until", until(suspend), until(&to.suspend));
        self.push("suspend.reason", reason(suspend), reason(&to.suspend));
        let names = |on: &[crate::model::ServiceName]| -> Option<String> {
            let names: Vec<&str> = on.iter().map(|name| name.as_str()).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        self.push("dependsOn", names(depends_on), names(&to.depends_on));
        self.push("drift", Some(drift.as_str().into()), Some(to.drift.as_str().into()));
    }

    fn verify(&mut self, from: Option<&Verify>, to: Option<&Verify>) {
        let names = |verify: Option<&Verify>| verify.map(Verify::names).filter(|names| !names.is_empty());
        let (old, new) = (names(from), names(to));
        let keys = |verify: Option<&Verify>| verify.map(|v| v.signed_by.clone()).unwrap_or_default();
        if old == new && keys(from) != keys(to) {
            // The same names, with other keys: shown as what it is.
            self.push("source.verify.signedBy", old, new.map(|names| format!("{names} (other keys)")));
        } else {
            self.push("source.verify.signedBy", old, new);
        }
        let strict = |verify: Option<&Verify>| verify.is_some_and(|v| v.fast_forward_only);
        self.text("source.verify.fastForwardOnly", &strict(from), &strict(to));
    }

    fn build(&mut self, from: &BuildSource, to: &BuildSource) {
        match (from, to) {
            (BuildSource::Inline(a), BuildSource::Inline(b)) => self.settings(a, b),
            _ => self.push("build", Some(build_source(from)), Some(build_source(to))),
        }
    }

    fn settings(&mut self, from: &AppSettings, to: &AppSettings) {
        let AppSettings {
            runtime,
            runtime_version,
            pre_build,
            build,
            post_build,
            build_env,
            pre_run,
            start,
            port,
            port_env,
            env,
            secrets,
            dockerfile,
        } = from;
        self.dockerfile(dockerfile.as_deref(), to.dockerfile.as_deref());
        self.text("build.runtime", runtime, &to.runtime);
        self.option("build.runtimeVersion", runtime_version.as_ref(), to.runtime_version.as_ref());
        self.lines("build.preBuild", pre_build, &to.pre_build);
        self.lines("build.command", build, &to.build);
        self.lines("build.postBuild", post_build, &to.post_build);
        self.map("build.buildEnv", build_env, &to.build_env, |v| quoted(v));
        self.lines("build.preRun", pre_run, &to.pre_run);
        self.push("build.start", Some(quoted(start)), Some(quoted(&to.start)));
        self.text("build.port", port, &to.port);
        self.option("build.portEnv", port_env.as_ref(), to.port_env.as_ref());
        self.map("build.env", env, &to.env, |v| quoted(v));
        self.map("build.secrets", secrets, &to.secrets, |v| quoted(v));
    }

    fn dockerfile(&mut self, from: Option<&DockerfileBuild>, to: Option<&DockerfileBuild>) {
        let context = |d: Option<&DockerfileBuild>| d.and_then(|d| d.context.as_ref()).map(ToString::to_string);
        self.option("build.dockerfile", from.map(|d| &d.path), to.map(|d| &d.path));
        self.push("build.context", context(from), context(to));
        let target = |d: Option<&DockerfileBuild>| d.and_then(|d| d.target.clone());
        self.push("build.target", target(from), target(to));
        let args = |d: Option<&DockerfileBuild>| d.map(|d| d.args.clone()).unwrap_or_default();
        self.map("build.args", &args(from), &args(to), |v| quoted(v));
    }

    fn instance(&mut self, from: &InstanceSize, to: &InstanceSize) {
        let InstanceSize { cpu, memory, storage } = from;
        self.text("instance.cpu", cpu, &to.cpu);
        self.exact("instance.memory", memory, &to.memory);
        self.option("instance.storage", storage.as_ref(), to.storage.as_ref());
    }

    /// Two values that print alike (1 GB and 1 GB and a byte) are still two values.
    fn exact<T: Display + Debug + PartialEq>(&mut self, field: &str, from: &T, to: &T) {
        if from.to_string() == to.to_string() {
            self.push(field, Some(format!("{from:?}")), Some(format!("{to:?}")));
        } else {
            self.text(field, from, to);
        }
    }

    fn health(&mut self, from: &HealthCheck, to: &HealthCheck) {
        let HealthCheck { protocol, path, interval_seconds, timeout_seconds, healthy_threshold, unhealthy_threshold } =
            from;
        self.push("health.protocol", Some(protocol_name(*protocol)), Some(protocol_name(to.protocol)));
        self.push("health.path", Some(quoted(path)), Some(quoted(&to.path)));
        self.seconds("health.interval", *interval_seconds, to.interval_seconds);
        self.seconds("health.timeout", *timeout_seconds, to.timeout_seconds);
        self.text("health.healthyThreshold", healthy_threshold, &to.healthy_threshold);
        self.text("health.unhealthyThreshold", unhealthy_threshold, &to.unhealthy_threshold);
    }

    fn scaling(&mut self, from: &Scaling, to: &Scaling) {
        let Scaling { max_concurrency, min_size, max_size } = from;
        self.text("autoscaling.maxConcurrency", max_concurrency, &to.max_concurrency);
        self.text("autoscaling.minSize", min_size, &to.min_size);
        self.text("autoscaling.maxSize", max_size, &to.max_size);
    }

    /// What only the API says; one entry per setting.
    fn wire(&mut self, from: Option<&WireSettings>, to: Option<&WireSettings>) {
        let id = |pick: fn(&WireSettings) -> Option<&ResourceId>| {
            let show = |wire: Option<&WireSettings>| wire.and_then(pick).map(ToString::to_string);
            (show(from), show(to))
        };
        let text = |pick: fn(&WireSettings) -> Option<String>| (from.and_then(pick), to.and_then(pick));
        let yes = |yes: bool| yes.then(|| "true".to_owned());
        let pairs = [
            ("autoscaling.configuration", id(|w| Some(&w.auto_scaling))),
            ("source.connection", id(|w| w.connection.as_ref())),
            ("network.vpcConnector", id(|w| w.vpc_connector.as_ref())),
            ("source.accessRole", text(|w| w.access_role.clone())),
            ("instance.role", text(|w| w.instance_role.clone())),
            ("encryption.key", text(|w| w.kms_key.clone())),
            ("observability", text(|w| w.observing.as_ref().map(|o| format!("{o:?}")))),
            ("network.private", (from.and_then(|w| yes(w.private)), to.and_then(|w| yes(w.private)))),
            ("network.dualStack", (from.and_then(|w| yes(w.dual_stack)), to.and_then(|w| yes(w.dual_stack)))),
        ];
        for (field, (from, to)) in pairs {
            self.push(field, from, to);
        }
    }

    fn deploy(&mut self, from: &DeploySettings, to: &DeploySettings) {
        let DeploySettings { drain, start_deadline, build_deadline, release, release_deadline } = from;
        self.span("deploy.drain", *drain, to.drain);
        self.span("deploy.startDeadline", *start_deadline, to.start_deadline);
        self.span("deploy.buildDeadline", *build_deadline, to.build_deadline);
        self.lines("deploy.release", release, &to.release);
        self.span("deploy.releaseDeadline", *release_deadline, to.release_deadline);
    }
}

/// No lines, one line, or a list of them.
fn written(lines: &[String]) -> Option<String> {
    match lines {
        [] => None,
        [line] => Some(quoted(line)),
        _ => Some(format!("[{}]", lines.iter().map(|line| quoted(line)).collect::<Vec<_>>().join(", "))),
    }
}

fn build_source(build: &BuildSource) -> String {
    match build {
        BuildSource::Repository => "apprunner.yaml".into(),
        BuildSource::Inline(settings) => match &settings.dockerfile {
            Some(dockerfile) => format!("{{ dockerfile: {}, … }}", dockerfile.path),
            None => format!("{{ runtime: {}, … }}", settings.runtime),
        },
    }
}

fn protocol_name(protocol: HealthProtocol) -> String {
    match protocol {
        HealthProtocol::Tcp => "TCP".into(),
        HealthProtocol::Http => "HTTP".into(),
    }
}

/// A span in the largest unit that loses nothing; nanoseconds below milliseconds.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match (time.subsec_nanos(), seconds) {
        (0, 0) => "0s".into(),
        (0, s) if s % 3600 == 0 => format!("{}h", s / 3600),
        (0, s) if s % 60 == 0 => format!("{}m", s / 60),
        (0, s) => format!("{s}s"),
        (n, _) if n % 1_000_000 == 0 => format!("{}ms", time.as_millis()),
        _ => format!("{}ns", time.as_nanos()),
    }
}
