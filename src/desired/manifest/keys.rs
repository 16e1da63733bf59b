//! Which keys the manifest has where, which come in a later version, and what an unknown one most likely means.

use crate::desired::fields::Fields;
use crate::desired::findings::{Findings, Noted, quote};
use crate::desired::keys::{listed, nearest};
use crate::desired::yaml::Span;

/// One mapping: its name here, the keys that work, and those of later features.
pub(in crate::desired) type Level = (&'static str, &'static [&'static str], &'static [&'static str]);

const LEVELS: &[Level] = &[
    (
        "",
        &[
            "services",
            "connections",
            "autoscaling",
            "health",
            "env",
            "secrets",
            "keys",
            "windows",
            "users",
            "groups",
            "roles",
            "policies",
        ],
        &["rules", "alarms", "networks", "quotas", "observability", "domains", "include", "registries", "endpoints"],
    ),
    (
        "service",
        &[
            "source",
            "build",
            "port",
            "instance",
            "env",
            "secrets",
            "health",
            "autoscaling",
            "deploy",
            "tags",
            "previews",
            "dependsOn",
            "suspend",
            "drift",
        ],
        &[
            "domains",
            "paused",
            "network",
            "networks",
            "observability",
            "encryption",
            "volumes",
            "routes",
            "timeout",
            "alarms",
            "replicas",
            "private",
        ],
    ),
    (
        "source",
        &[
            "repository",
            "branch",
            "tag",
            "commit",
            "directory",
            "connection",
            "key",
            "image",
            "credentials",
            "autoDeploy",
            "verify",
            "report",
            "requireChecks",
            "poll",
        ],
        &["accessRole", "submodules"],
    ),
    (
        "build",
        &[
            "runtime",
            "runtimeVersion",
            "command",
            "preBuild",
            "postBuild",
            "start",
            "env",
            "preRun",
            "dockerfile",
            "target",
            "context",
            "args",
        ],
        &["image", "secrets", "cache"],
    ),
    ("key", &["file"], &[]),
    ("credentials", &["username", "password"], &[]),
    ("suspend", &["until", "reason"], &[]),
    ("window", &["allow", "deny", "for", "zone", "services"], &["reason"]),
    ("verify", &["signedBy", "fastForwardOnly"], &["commits"]),
    ("connection", &["provider", "url", "token", "basic", "sshKey", "app"], &["oauth", "scopes"]),
    ("basic", &["username", "password"], &[]),
    ("app", &["id", "privateKey", "installation"], &["webhookSecret", "clientId"]),
    ("instance", &["cpu", "memory", "storage"], &["role", "gpu"]),
    (
        "health",
        &["protocol", "path", "interval", "timeout", "healthyThreshold", "unhealthyThreshold"],
        &["port", "headers", "status"],
    ),
    ("autoscaling", &["maxConcurrency", "minSize", "maxSize"], &["idle", "idleAfter", "schedule", "targetCpu"]),
    (
        "deploy",
        &["drain", "startDeadline", "buildDeadline", "release", "releaseDeadline"],
        &["strategy", "steps", "bake", "windows", "approval", "rollback", "analysis"],
    ),
    ("previews", &["ttl", "max", "forks", "secrets", "env"], &["of"]),
    ("secret", &["file", "env", "secret"], &["age", "sops", "vault", "arn", "key"]),
    ("sealed", &["file"], &["age", "sops", "vault", "arn", "key"]),
    ("user", &["policies", "groups", "inline", "boundary"], &[]),
    ("group", &["policies", "inline"], &[]),
    ("role", &["trust", "policies", "inline", "boundary", "maxSession"], &[]),
];

/// Every mapping of the manifest, the whole file first.
pub(in crate::desired) fn levels() -> &'static [Level] {
    LEVELS
}

/// Words that people write for a key.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("env", &["environment", "variables", "vars", "environmentVariables"]),
    ("repository", &["repo", "url", "git", "repositoryUrl"]),
    ("branch", &["ref"]),
    ("commit", &["revision", "sha"]),
    ("directory", &["path", "sourceDirectory", "rootDirectory", "subdirectory"]),
    ("autoDeploy", &["autoDeployments", "automatic", "autoDeploymentsEnabled"]),
    ("health", &["healthCheck", "healthcheck", "healthCheckConfiguration"]),
    ("autoscaling", &["scaling", "autoScalingConfiguration", "scale"]),
    ("instance", &["resources", "size", "instanceConfiguration"]),
    ("storage", &["disk", "ephemeralStorage"]),
    ("command", &["buildCommand", "build", "commands"]),
    ("start", &["startCommand", "run", "entrypoint"]),
    ("port", &["ports"]),
    ("args", &["buildArgs", "arguments", "buildArguments"]),
    ("target", &["stage"]),
    ("minSize", &["min", "minInstances"]),
    ("maxSize", &["max", "maxInstances"]),
    ("maxConcurrency", &["concurrency"]),
    ("services", &["apps", "applications"]),
    ("tags", &["labels"]),
    ("dependsOn", &["depends_on", "dependencies", "after", "needs"]),
    ("zone", &["timezone", "timeZone", "tz"]),
    ("for", &["duration", "lasts"]),
    ("until", &["to", "end"]),
    ("windows", &["deployWindows", "freezes"]),
    ("keys", &["trust", "trustedKeys", "signers", "allowedSigners"]),
    ("verify", &["verification", "signature", "signatures"]),
    ("connection", &["connectionArn", "credentials"]),
    ("provider", &["providerType", "type", "kind"]),
    ("username", &["user", "login"]),
    ("privateKey", &["key", "pem"]),
    ("sshKey", &["deployKey", "ssh"]),
];

/// The mapping, with every key reported that it does not have at this level.
pub(super) fn check<'n>(mut fields: Fields<'n>, level: &str, findings: &mut Findings) -> Fields<'n> {
    let Some((_, known, later)) = LEVELS.iter().find(|(name, ..)| *name == level) else { return fields };
    for entry in fields.entries {
        let key = entry.key.as_str();
        if known.contains(&key) {
            continue;
        }
        let path = quote(&fields.path(key));
        if later.contains(&key) {
            not_yet(&path, entry.key_span, findings);
            continue;
        }
        let meant = meant(key, known);
        let hint = meant.map_or_else(|| elsewhere(level, key, known), |meant| format!("did you mean `{meant}`?"));
        findings.error("unknown-key", entry.key_span, format!("{path} is not a key of the manifest")).hint(hint);
        fields.meant.extend(meant);
    }
    fields
}

/// Reports something that a later version has.
pub(super) fn not_yet<'f>(what: &str, span: Span, findings: &'f mut Findings) -> Noted<'f> {
    findings
        .error("not-yet", span, format!("{what} is not in this version yet"))
        .hint("remove it; a manifest never declares what does not happen")
}

fn meant(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let synonym = SYNONYMS.iter().find(|(k, words)| known.contains(k) && words.contains(&key)).map(|(k, _)| *k);
    synonym.or_else(|| nearest(key, known.iter().copied()))
}

/// What to do about a key that is none here: where it belongs, else what there is.
fn elsewhere(level: &str, key: &str, known: &[&str]) -> String {
    let elsewhere = LEVELS.iter().find(|(name, keys, _)| {
        *name != level
            && !matches!(*name, "secret" | "sealed" | "key" | "connection" | "basic" | "app")
            && keys.contains(&key)
    });
    match elsewhere {
        Some(("", ..)) => format!("`{key}` belongs at the top level"),
        Some(("service", ..)) => format!("`{key}` belongs to a service, beside `source`"),
        Some((name, ..)) => format!("`{key}` belongs under `{name}`"),
        None => format!("the keys here are {}", listed(known.iter().copied())),
    }
}
