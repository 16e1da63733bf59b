//! A service in App Runner's own words, as its API answers and as CloudFormation declares it.

use super::draft::Draft;
use super::field::{Field, Members};
use super::known::Known;
use super::scaling;
use super::source;
use super::variables;
use crate::desired::export::text::Yaml;
use crate::model::{Catalogue, Cpu, HealthCheck, HealthProtocol, Memory};

/// What AWS says of a service that is of no use elsewhere.
const FACTS: &[&str] = &["ServiceId", "ServiceArn", "CreatedAt", "UpdatedAt", "DeletedAt"];

/// Reads the members of a service.
pub(super) fn read(members: &mut Members, known: &Known, catalogue: &Catalogue, draft: &mut Draft) {
    members.take("ServiceName").iter().for_each(|field| draft.carried(field));
    members.take_all(FACTS).iter().for_each(|field| draft.not_needed(field));
    if let Some(field) = members.take("SourceConfiguration") {
        source::read(&field, catalogue, draft);
    } else {
        draft.source_to_fill_in();
        draft.build = Yaml::text("apprunner.yaml");
        draft.missing(
            &Field { path: "SourceConfiguration".into(), node: &EMPTY },
            "it has no source",
            "write `source`",
        );
    }
    if let Some(field) = members.take("InstanceConfiguration") {
        instance(&field, draft);
    }
    if let Some(field) = members.take("HealthCheckConfiguration") {
        health(&field, draft);
    }
    if let Some(field) = members.take("AutoScalingConfigurationArn") {
        scaling_by_arn(&field, known, draft);
    }
    if let Some(field) = members.take("AutoScalingConfigurationSummary") {
        scaling_by_summary(&field, known, draft);
    }
    if let Some(field) = members.take("Tags") {
        variables::tags(&field, draft);
    }
    surroundings(members, draft);
    life(members, draft);
}

static EMPTY: crate::desired::yaml::Node = crate::desired::yaml::Node {
    span: super::documents::NOWHERE,
    value: crate::desired::yaml::Value::Sequence(Vec::new()),
};

/// What is around a service at AWS: keys, networks, traces.
fn surroundings(members: &mut Members, draft: &mut Draft) {
    if let Some(field) = members.take("EncryptionConfiguration") {
        draft.left_out(
            &field,
            "the key encrypts App Runner's own copy of images and sources",
            "encrypt the disk of the data directory",
        );
    }
    if let Some(field) = members.take("NetworkConfiguration") {
        network(&field, draft);
    }
    if let Some(field) = members.take("ObservabilityConfiguration") {
        observability(&field, draft);
    }
}

fn network(field: &Field, draft: &mut Draft) {
    let Some(mut members) = draft.members(field) else { return };
    if let Some(egress) = members.take("EgressConfiguration")
        && let Some(mut members) = draft.members(&egress)
    {
        let connector = members.take("VpcConnectorArn");
        if let Some(kind) = members.take("EgressType") {
            match kind.text() {
                Some("DEFAULT") => draft.carried(&kind),
                _ if connector.is_some() => draft.not_needed(&kind),
                _ => draft.left_out(&kind, VPC.0, VPC.1),
            }
        }
        connector.iter().for_each(|field| draft.left_out(field, VPC.0, VPC.1));
        draft.rest(members);
    }
    if let Some(ingress) = members.take("IngressConfiguration")
        && let Some(mut members) = draft.members(&ingress)
    {
        if let Some(public) = members.take("IsPubliclyAccessible") {
            match public.text() {
                Some("true") => draft.carried(&public),
                _ => private(&public, draft),
            }
        }
        draft.rest(members);
    }
    if let Some(kind) = members.take("IpAddressType") {
        match kind.text() {
            Some("IPV4") => draft.carried(&kind),
            _ => draft.left_out(
                &kind,
                "an address belongs to the server, not to a service",
                "`towpath up --http [::]:80`",
            ),
        }
    }
    draft.rest(members);
}

const VPC: (&str, &str) = (
    "there are no VPC connectors: an instance reaches what its machine reaches",
    "run towpath where that network is, or give the machine a route to it",
);

/// A service that only a VPC reaches.
pub(super) fn private(field: &Field, draft: &mut Draft) {
    draft.missing(
        field,
        "it is private, and would be reached by everybody who reaches this server",
        "let the server listen where only those can reach it who may (`towpath up --http ADDRESS`)",
    );
}

fn observability(field: &Field, draft: &mut Draft) {
    let Some(mut members) = draft.members(field) else { return };
    let enabled = members.take("ObservabilityEnabled");
    let off = enabled.as_ref().is_some_and(|field| field.text() == Some("false"));
    for field in enabled.into_iter().chain(members.take("ObservabilityConfigurationArn")) {
        match off {
            true => draft.carried(&field),
            false => tracing(&field, draft),
        }
    }
    draft.rest(members);
}

/// Traces of AWS X-Ray.
pub(super) fn tracing(field: &Field, draft: &mut Draft) {
    draft.left_out(
        field,
        "traces are not collected for AWS X-Ray",
        "send them to a collector of yours, by the variable `OTEL_EXPORTER_OTLP_ENDPOINT`",
    );
}

/// What AWS says of its life and its address.
fn life(members: &mut Members, draft: &mut Draft) {
    if let Some(url) = members.take("ServiceUrl") {
        let host = url.text().unwrap_or_default().to_owned();
        let label = draft.name.to_ascii_lowercase().replace('_', "-");
        let todo = format!("tell those who use `{host}`");
        draft.changed(
            &url,
            format!("its address is `{label}.` and the base domain (`towpath up --base-domain`)"),
            todo,
        );
    }
    let Some(status) = members.take("Status") else { return };
    match status.text() {
        Some("PAUSED") => {
            let todo = format!("`towpath pause {}` once it serves", draft.name);
            draft.remarks.push(format!("is paused at AWS: {todo}"));
            draft.changed(&status, "it is paused, and would start", todo);
        }
        Some("CREATE_FAILED") => draft.changed(&status, "it never came to serve on App Runner", ""),
        _ => draft.not_needed(&status),
    }
}

fn instance(field: &Field, draft: &mut Draft) {
    let Some(mut members) = draft.members(field) else { return };
    if let Some(field) = members.take("Cpu") {
        cpu(&field, draft);
    }
    if let Some(field) = members.take("Memory") {
        memory(&field, draft);
    }
    if let Some(field) = members.take("InstanceRoleArn") {
        draft.left_out(
            &field,
            "there are no instance roles outside AWS",
            "if the application calls AWS, give it an access key by `secrets` (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`)",
        );
    }
    draft.rest(members);
}

/// `1024` units of CPU, or `1 vCPU`.
pub(super) fn cpu(field: &Field, draft: &mut Draft) {
    let read = |text: &str| match text.parse::<u32>() {
        Ok(units) if units >= 64 => {
            let thousandths = u64::from(units) * 1000 / 1024;
            format!("{}.{:03} vCPU", thousandths / 1000, thousandths % 1000).parse::<Cpu>().ok()
        }
        Ok(whole) => format!("{whole} vCPU").parse().ok(),
        Err(_) => text.parse().ok(),
    };
    if let Some(cpu) = draft.value(field, "a size of CPU", read)
        && cpu != Cpu::DEFAULT
    {
        draft.instance.put("cpu", Yaml::plain(cpu));
    }
}

/// `2048` megabytes, or `2 GB`.
pub(super) fn memory(field: &Field, draft: &mut Draft) {
    let read = |text: &str| match text.parse::<u32>() {
        Ok(megabytes) if megabytes >= 16 => format!("{megabytes} MB").parse::<Memory>().ok(),
        Ok(whole) => format!("{whole} GB").parse().ok(),
        Err(_) => text.parse().ok(),
    };
    if let Some(memory) = draft.value(field, "a size of memory", read)
        && memory != Memory::DEFAULT
    {
        draft.instance.put("memory", Yaml::plain(memory));
    }
}

fn health(field: &Field, draft: &mut Draft) {
    let Some(mut members) = draft.members(field) else { return };
    let default = HealthCheck::default();
    let mut is_http = false;
    if let Some(field) = members.take("Protocol") {
        let read = |text: &str| match text {
            "HTTP" => Some(HealthProtocol::Http),
            "TCP" => Some(HealthProtocol::Tcp),
            _ => None,
        };
        is_http = draft.value(&field, "a protocol", read) == Some(HealthProtocol::Http);
        if is_http {
            draft.health.put("protocol", Yaml::plain("HTTP"));
        }
    }
    if let Some(field) = members.take("Path") {
        path(&field, is_http, draft);
    }
    for (key, name, default) in
        [("Interval", "interval", default.interval_seconds), ("Timeout", "timeout", default.timeout_seconds)]
    {
        if let Some(field) = members.take(key) {
            seconds(&field, name, default, draft);
        }
    }
    for (key, name, default) in [
        ("HealthyThreshold", "healthyThreshold", default.healthy_threshold),
        ("UnhealthyThreshold", "unhealthyThreshold", default.unhealthy_threshold),
    ] {
        if let Some(field) = members.take(key) {
            threshold(&field, name, default, draft);
        }
    }
    draft.rest(members);
}

/// The path that an HTTP check asks for.
pub(super) fn path(field: &Field, is_http: bool, draft: &mut Draft) {
    let fits = |text: &str| {
        text.starts_with('/') && text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
    };
    if !is_http {
        match field.text() {
            Some("/") => draft.carried(field),
            _ => draft.left_out(field, "a TCP check asks for no path", "with `protocol: HTTP` it would"),
        }
    } else if let Some(text) = draft.value(field, "a path to ask for", |text| Some(text.to_owned()).filter(|t| fits(t)))
        && text != "/"
    {
        draft.health.put("path", Yaml::text(text));
    }
}

/// `5`, or `5s` as Copilot writes it.
pub(super) fn seconds(field: &Field, name: &str, default: u32, draft: &mut Draft) {
    let read = |text: &str| {
        let digits = text.strip_suffix('s').unwrap_or(text);
        digits.parse::<u32>().ok().filter(|seconds| (1..=20).contains(seconds))
    };
    if let Some(seconds) = draft.value(field, "a number of seconds from 1 to 20", read)
        && seconds != default
    {
        draft.health.put(name, Yaml::plain(format!("{seconds}s")));
    }
}

/// How many checks in a row decide.
pub(super) fn threshold(field: &Field, name: &str, default: u32, draft: &mut Draft) {
    let read = |text: &str| text.parse::<u32>().ok().filter(|number| (1..=20).contains(number));
    if let Some(number) = draft.value(field, "a number from 1 to 20", read)
        && number != default
    {
        draft.health.put(name, Yaml::plain(number));
    }
}

fn scaling_by_arn(field: &Field, known: &Known, draft: &mut Draft) {
    if let Some(reference) = draft.text(field).map(str::to_owned) {
        scaling::refer(field, &reference, &known.scalings, draft);
    }
}

fn scaling_by_summary(field: &Field, known: &Known, draft: &mut Draft) {
    let Some(mut members) = draft.members(field) else { return };
    if let Some(arn) = members.take("AutoScalingConfigurationArn") {
        scaling_by_arn(&arn, known, draft);
    }
    let facts = [
        "AutoScalingConfigurationName",
        "AutoScalingConfigurationRevision",
        "Status",
        "CreatedAt",
        "HasAssociatedService",
        "IsDefault",
    ];
    members.take_all(&facts).iter().for_each(|field| draft.not_needed(field));
    draft.rest(members);
}
