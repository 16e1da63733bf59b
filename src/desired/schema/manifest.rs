//! What the keys of the manifest hold and mean.

use super::Shape::{AnyOf, Choice, Duration, Flag, Level, Like, List, Map, Number, Policy, Runtime, Text};
use super::{Key, Shape, document, key, mapping, reached};
use crate::desired::manifest::levels;
use crate::model::Catalogue;
use serde_json::{Map as Fields, Value, json};

const SERVICE_NAME: &str = "^[A-Za-z0-9][A-Za-z0-9_-]{3,39}$";
/// What is shared has a name by App Runner's rule.
const SHARED_NAME: &str = "^[A-Za-z0-9][A-Za-z0-9_-]{3,31}$";
const VARIABLE: &str = r"^(?!AWSAPPRUNNER)[^=\s]+$";
const SECRET_VARIABLE: &str = r"^(?!AWSAPPRUNNER|PORT$)[^=\s]+$";
/// An age file in text form.
const SEALED: &str = r"^\s*-----BEGIN AGE ENCRYPTED FILE-----[\s\S]*-----END AGE ENCRYPTED FILE-----\s*$";
/// A registry, a path in it, a tag, a digest.
const IMAGE: &str =
    r"^(localhost|[^/\s@]*[.:][^/\s@]*)/[a-z0-9._/-]+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$";
const TAG: &str = r"^(?![aA][wW][sS]:)[\s\S]{1,128}$";
const CPU: &str = r"^\s*[0-9]+(\.[0-9]{0,3})?\s*vCPU\s*$";
const MEMORY: &str = r"^\s*[0-9]+(\.[0-9]{0,3})?\s*(MB|GB)\s*$";

/// A name as IAM has it.
const IDENTITY_NAME: &str = r"^[A-Za-z0-9_+=,.@-]{1,64}$";
const NAMES: Shape = AnyOf(&[Text, List(&Text)]);

const COMMANDS: Shape = AnyOf(&[Text, List(&Text)]);
const VARIABLES: Shape = Map(VARIABLE, &Text);
const PUBLIC_KEY: Shape = AnyOf(&[Text, Level("key")]);
const LAYER: Shape = AnyOf(&[VARIABLES, Like(SHARED_NAME)]);
const LAYERS: Shape = AnyOf(&[VARIABLES, Like(SHARED_NAME), List(&LAYER)]);

const KEYS: &[Key] = &[
    key("", "services", Map(SERVICE_NAME, &Level("service")), "The services by name: 4 to 40 letters, digits, `-`, `_`."),
    key("", "connections", Map(SHARED_NAME, &Level("connection")), "Access to private repositories by name; services take one by `source.connection`."),
    key("", "autoscaling", Map(SHARED_NAME, &Level("autoscaling")), "Shared scaling settings by name: 4 to 32 characters; `DefaultConfiguration` is there already."),
    key("", "health", Map(SHARED_NAME, &Level("health")), "Shared health checks by name."),
    key("", "env", Map(SHARED_NAME, &VARIABLES), "Shared sets of variables by name; a service takes one by `env: NAME`."),
    key("", "secrets", Map(SHARED_NAME, &AnyOf(&[Like(SEALED), Level("sealed")])), "Encrypted values by name: the text that `towpath secrets encrypt` prints, or the file that holds it."),
    key("", "keys", Map(SHARED_NAME, &AnyOf(&[PUBLIC_KEY, List(&PUBLIC_KEY)])), "Public keys that commits are signed with, by name: the text of an OpenPGP key (`gpg --armor --export`) or of an ssh key (a line of a `.pub` or `allowed_signers` file), or the file that holds it."),
    key("", "windows", List(&Level("window")), "When services may change, and when not."),
    key("window", "allow", Text, "When it begins: five fields of crontab, or six with seconds first. Services change in it, and in others that allow it, only."),
    key("window", "deny", Text, "The same for a window in which services do not change; it wins over all that allow.").example("0 18 * * FRI"),
    key("window", "for", Duration("1s", "366d"), "How long it lasts.").required().example("60h"),
    key("window", "zone", Text, "By whose clocks: an IANA time zone.").required().example("Europe/Berlin"),
    key("window", "services", List(&Like(SERVICE_NAME)), "The services that it is about; all if nothing is said."),
    key("", "users", Map(IDENTITY_NAME, &Level("user")), "Users by name; their access keys are made with `towpath keys create`."),
    key("", "groups", Map(IDENTITY_NAME, &Level("group")), "Groups of users by name."),
    key("", "roles", Map(IDENTITY_NAME, &Level("role")), "Roles by name: rights that others take on for a while."),
    key("", "policies", Map(IDENTITY_NAME, &Policy), "Policies by name, in IAM's language."),
    key("user", "policies", NAMES, "Policies that it has, by name: managed ones or own."),
    key("user", "groups", NAMES, "Groups that it is in."),
    key("user", "inline", Map(IDENTITY_NAME, &Policy), "Policies of its own, by the names that they have there."),
    key("user", "boundary", Text, "The policy that all its rights have to be in as well."),
    key("group", "policies", NAMES, "Policies of all its members."),
    key("group", "inline", Map(IDENTITY_NAME, &Policy), "Policies of its own, by the names that they have there."),
    key("role", "trust", Policy, "The trust policy: who may assume it.").required(),
    key("role", "policies", NAMES, "Policies that it has, by name: managed ones or own."),
    key("role", "inline", Map(IDENTITY_NAME, &Policy), "Policies of its own, by the names that they have there."),
    key("role", "boundary", Text, "The policy that all its rights have to be in as well."),
    key("role", "maxSession", Duration("1h", "12h"), "The longest session.").default("1h"),
    key("service", "source", Level("source"), "Where the code or the image comes from.").required(),
    key("service", "build", AnyOf(&[Choice(&["apprunner.yaml", "Dockerfile"]), Level("build")]), "How it is built and started: `apprunner.yaml` or `Dockerfile` (read from the repository), or the settings in place.").required().example("apprunner.yaml"),
    key("service", "port", Number(1, 65535), "The application's port; unused with `build: apprunner.yaml`.").default("8080"),
    key("service", "instance", Level("instance"), "The size of each instance."),
    key("service", "env", LAYERS, "Variables of the application: in place, the name of a shared set, or a list of both in which what stands later wins. `PORT` is reserved."),
    key("service", "secrets", Map(SECRET_VARIABLE, &Level("secret")), "Variables whose values are read when an instance starts."),
    key("service", "health", AnyOf(&[Like(SHARED_NAME), Level("health")]), "The health check: a shared one by name, or the settings in place."),
    key("service", "autoscaling", AnyOf(&[Like(SHARED_NAME), Level("autoscaling")]), "The scaling: a shared one by name, or the settings in place.").default("DefaultConfiguration"),
    key("service", "deploy", Level("deploy"), "How a new version takes over."),
    key("service", "tags", Map(TAG, &Text), "Names and values of your own."),
    key("service", "dependsOn", List(&Like(SERVICE_NAME)), "Services that have to be healthy, as they are declared, before this one is created or deployed."),
    key("service", "suspend", Level("suspend"), "No deployments until a time; healing goes on."),
    key("suspend", "until", Text, "When it ends, by itself: `2027-01-04T06:00:00Z`, or a day.").required().example("2027-01-04T06:00:00Z"),
    key("suspend", "reason", Text, "Why, for whoever wonders.").required().example("stocktaking"),
    key("service", "drift", Choice(&["heal", "report"]), "What is done about instances that were changed by hand: they are replaced, or it is only said.").default("heal"),
    key("service", "previews", Level("previews"), "A service of its own for each pull request of the repository; the source needs a connection."),
    key("previews", "ttl", Duration("1m", "90d"), "How long a preview stays after the last commit of its pull request.").default("72h"),
    key("previews", "max", Number(1, 50), "How many there are at a time; of more those with the newest commits.").default("5"),
    key("previews", "forks", Flag, "Whether pull requests of forks are previewed too: anybody's code. They get no secrets.").default("false"),
    key("previews", "secrets", List(&Like(SECRET_VARIABLE)), "Secrets of the service that previews get, by the names of their variables; none if nothing is said."),
    key("previews", "env", LAYERS, "Variables of previews, over those of the service."),
    key("source", "repository", Text, "The git repository: a URL, an absolute path, or a path relative to the manifest that starts with `./` or `../`.").required().example("https://github.com/acme/hello"),
    key("source", "branch", Text, "The branch to follow; the repository's default branch if nothing is said.").example("release"),
    key("source", "tag", Text, "The tag to run, in place of a branch; it is followed where it moves.").example("v1.2.0"),
    key("source", "commit", Like("^[0-9a-f]{7,64}$"), "The commit to run, in place of a branch: its id, or the first 7 digits or more of it.").example("5f0c4c3c1f3f0f3a3f6f3fd4dfb6c8a7f0f3b1d2"),
    key("source", "directory", Text, "The directory of the repository that holds the application; only changes inside deploy.").example("services/web"),
    key("source", "connection", Like(SHARED_NAME), "The connection that a private repository is read by."),
    key("source", "key", Level("key"), "The private key for a repository over ssh."),
    key("key", "file", Text, "A file that holds the key, relative to the manifest; only its owner may read it.").required(),
    key("connection", "provider", Choice(&["GITHUB", "BITBUCKET", "GIT"]), "Who keeps the repositories; `GIT` is every other server.").required(),
    key("connection", "url", Like(r"^https?://[^/\s?#@]+/?$"), "The server; required for `GIT`, and for a GitHub of one's own. Its repositories only are read by the connection.").example("https://github.example.com"),
    key("connection", "token", Level("secret"), "A token: of GitHub a fine-grained one that may read contents."),
    key("connection", "basic", Level("basic"), "A user name and a password."),
    key("connection", "sshKey", Level("secret"), "A private key for repositories over ssh: a deploy key."),
    key("connection", "app", Level("app"), "A GitHub App that is installed for the repositories."),
    key("basic", "username", Text, "The user name.").required(),
    key("basic", "password", Level("secret"), "The password, or a token in its place.").required(),
    key("app", "id", Number(1, 4_294_967_294), "The App's id.").required(),
    key("app", "privateKey", Level("secret"), "The App's private key, as GitHub gives it out.").required(),
    key("app", "installation", Number(1, 4_294_967_294), "The id of the installation; found out where the App is installed once."),
    key("source", "image", Like(IMAGE), "An image of a registry in place of a repository: `registry.example.com/acme/orders:1.2`, or with a digest. Needs the Docker engine."),
    key("source", "credentials", Level("credentials"), "Who pulls the image, where not everybody may."),
    key("credentials", "username", Text, "The user of the registry.").required(),
    key("credentials", "password", Level("secret"), "Where the password, or a token in its place, is read from.").required(),
    key("source", "autoDeploy", Flag, "Whether new commits, or a tag that moved, are deployed by themselves.").default("true"),
    key("source", "report", Flag, "Whether what becomes of deployments is said at GitHub, where the source has a connection to it.").default("true"),
    key("source", "requireChecks", AnyOf(&[Flag, List(&Text)]), "Whether a new commit waits until its checks at GitHub have passed: `true` for all of them, or a list of names. Needs a connection.").default("false"),
    key("source", "verify", Level("verify"), "What has to hold of a commit before it is deployed."),
    key("source", "poll", Text, "How often it is asked for new versions: a duration from `1s` to `7d`, or a line of crontab, such as `*/10 6-20 * * *`, by universal time or by a zone that is said in front of it: `CRON_TZ=Asia/Seoul */10 6-20 * * *`; as `towpath up --poll` says if nothing is said.").example("5m"),
    key("verify", "signedBy", AnyOf(&[Like(SHARED_NAME), List(&Like(SHARED_NAME))]), "Names under `keys`: the commit that is deployed has to be signed by one of their keys."),
    key("verify", "fastForwardOnly", Flag, "Whether only commits that descend from the one that runs are deployed.").default("false"),
    key("build", "runtime", Runtime, "The managed runtime.").required().example("python311"),
    key("build", "runtimeVersion", Like(r"^[0-9]{1,6}(\.[0-9]{1,6}){0,2}$"), "A version lock; the newest of the runtime if nothing is said.").example("3.11"),
    key("build", "command", COMMANDS, "The build command, or a list of them.").example("pip install -r requirements.txt"),
    key("build", "preBuild", COMMANDS, "Commands before the build."),
    key("build", "postBuild", COMMANDS, "Commands after the build."),
    key("build", "start", Text, "How the application is started. It must listen on `$PORT`.").required().example("python app.py"),
    key("build", "env", LAYERS, "Variables of the build."),
    key("build", "preRun", COMMANDS, "Commands that end the build.").example("python migrate.py"),
    key("build", "dockerfile", Text, "A Dockerfile of the repository, in place of a runtime; needs the Docker engine."),
    key("build", "target", Text, "The stage of the Dockerfile to build; the last one if nothing is said."),
    key("build", "context", Text, "The directory that the Dockerfile copies from; that of the source if nothing is said."),
    key("build", "args", Map(VARIABLE, &Text), "Build arguments of the Dockerfile; they stay in the image's history."),
    key("instance", "cpu", Like(CPU), "From `0.01 vCPU` to `256 vCPU`.").default("1 vCPU").example("0.5 vCPU"),
    key("instance", "memory", Like(MEMORY), "From `16 MB` to `4096 GB`; 1 GB is 1024 MB.").default("2 GB").example("512 MB"),
    key("instance", "storage", Like(MEMORY), "How much its files may take; the installation's setting if nothing is said.").example("1 GB"),
    key("health", "protocol", Choice(&["TCP", "HTTP", "tcp", "http"]), "`TCP`: a connection is enough. `HTTP`: an answer of 200 to 399 is.").default("TCP").example("HTTP"),
    key("health", "path", Like(r"^/[!-\u0022$-~]*$"), "What an HTTP check asks for.").default("/").example("/healthz"),
    key("health", "interval", Duration("1s", "20s"), "How often it is checked; whole seconds.").default("5s"),
    key("health", "timeout", Duration("1s", "20s"), "How long an answer may take; whole seconds.").default("2s"),
    key("health", "healthyThreshold", Number(1, 20), "So many successes in a row make an instance healthy.").default("1"),
    key("health", "unhealthyThreshold", Number(1, 20), "So many failures in a row make it unhealthy.").default("5"),
    key("autoscaling", "maxConcurrency", Number(1, 200), "Requests at once per instance.").default("100"),
    key("autoscaling", "minSize", Number(1, 25), "The fewest instances.").default("1"),
    key("autoscaling", "maxSize", Number(1, 25), "The most instances.").default("25"),
    key("deploy", "drain", Duration("0s", "1h"), "How long running requests may go on at a switch.").default("30s"),
    key("deploy", "startDeadline", Duration("1s", "1h"), "How long an instance may take to become healthy.").default("2m"),
    key("deploy", "buildDeadline", Duration("1s", "24h"), "How long a build may take.").default("30m"),
    key("deploy", "release", COMMANDS, "A command, or a list of them, that runs once per deployment, after the build and before new instances start.").example("./migrate up"),
    key("deploy", "releaseDeadline", Duration("1s", "24h"), "How long the release commands may take together.").default("10m"),
    key("secret", "file", Text, "A file that holds the value, relative to the manifest.").example("secrets/db"),
    key("secret", "env", Text, "A variable of towpath's own environment that holds the value.").example("SHOP_DB"),
    key("secret", "secret", Text, "A secret of the top level, by its name."),
    key("sealed", "file", Text, "A file that holds the encrypted value, relative to the manifest.").example("db.age"),
];

/// Keys of which one may stand at most.
const AT_MOST_ONE: &[(&str, &[&str])] =
    &[("source", &["branch", "tag", "commit"]), ("connection", &["token", "basic", "sshKey", "app"])];
/// Levels that have exactly one of their keys.
const EXACTLY_ONE: &[&str] = &["secret", "sealed"];

/// The schema of the manifest.
///
/// `services` is not demanded: the files of a manifest directory share this schema, and not each of them has some.
pub fn schema(catalogue: &Catalogue) -> Value {
    let reached = reached(KEYS);
    let mut levels = levels().iter().filter(|(level, ..)| reached.contains(level)).map(|(level, names, _)| {
        let mut schema = mapping(level, names, KEYS, true, catalogue);
        rules(level, &mut schema);
        ((*level).to_owned(), schema)
    });
    let mut top = levels.next().map(|(_, top)| top).unwrap_or_default();
    top.insert("minProperties".into(), 1.into());
    let others = levels.map(|(level, schema)| (level, Value::Object(schema))).collect();
    document("towpath.yaml", "What runs, as towpath reads it.", top, others)
}

fn rules(level: &str, schema: &mut Fields<String, Value>) {
    // A Dockerfile takes the place of what is required of a runtime, and an image has a start command at most.
    if level == "build"
        && let Some(required) = schema.remove("required")
    {
        let start = json!({ "required": ["start"], "maxProperties": 1 });
        schema.insert("anyOf".into(), json!([{ "required": required }, { "required": ["dockerfile"] }, start]));
    }
    // An image takes the place of a repository, and needs no build.
    if level == "source"
        && let Some(required) = schema.remove("required")
    {
        schema.insert("anyOf".into(), json!([{ "required": required }, { "required": ["image"] }]));
    }
    if level == "service" {
        schema.insert("required".into(), json!(["source"]));
        let of_image = json!({ "properties": { "source": { "required": ["image"] } } });
        schema.insert("anyOf".into(), json!([{ "required": ["build"] }, of_image]));
    }
    if EXACTLY_ONE.contains(&level) {
        schema.insert("minProperties".into(), 1.into());
        schema.insert("maxProperties".into(), 1.into());
    }
    for (_, keys) in AT_MOST_ONE.iter().filter(|(of, _)| *of == level) {
        let pairs = keys.iter().enumerate().flat_map(|(at, one)| keys[at + 1..].iter().map(move |two| [one, two]));
        let pairs: Vec<Value> = pairs.map(|pair| json!({ "required": pair })).collect();
        schema.insert("not".into(), json!({ "anyOf": pairs }));
    }
}

/// Keys of which one may stand at most, by level.
pub(super) fn at_most_one() -> &'static [(&'static str, &'static [&'static str])] {
    AT_MOST_ONE
}

/// Whether a level has exactly one of its keys.
pub(super) fn has_exactly_one(level: &str) -> bool {
    EXACTLY_ONE.contains(&level)
}

pub(super) fn keys() -> &'static [Key] {
    KEYS
}
