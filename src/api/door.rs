//! The one door: every call of every listener goes through [`Door::call`]. Who calls is known by then; here it is decided
//! whether they may, and what may is done.

use super::control::Refusal;
use super::dispatch::{self, Call, Context, unknown};
use super::errors::{ApiError, Fault};
use super::facts::looked;
use super::identities;
use super::once::{self, Answers};
use super::server::ANSWER_TIME;
use super::strangers::Strangers;
use super::subjects::{Operation, Subject, text};
use super::{audit, cloud_logs};
use crate::access::audit::{Audit, Outcome, Recorded, Stranger, is_read_only, record, record_of_stranger};
use crate::access::policy::{Context as Keys, Decision};
use crate::access::{Access, AccessError, Caller, Identity, RequestFacts};
use crate::model::ids::uuid4;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

/// The service that roles are passed to (row A3).
const PASSED_TO: &str = "apprunner.amazonaws.com";

/// What every call goes through.
pub struct Door {
    /// What operations work on.
    pub context: Context,
    /// Who may do what.
    pub access: Arc<Access>,
    /// Who did what.
    pub audit: Arc<Audit>,
    answers: Answers,
    strangers: Strangers,
}

/// Proof that a call was let in: made here only, and dispatching needs one.
pub struct Pass(());

impl Door {
    /// The door to a control plane.
    pub fn new(context: Context, access: Arc<Access>, audit: Arc<Audit>) -> Self {
        Self { context, access, audit, answers: Answers::default(), strangers: Strangers::default() }
    }

    /// Lets a call in if its caller may, answers it, and records both before the answer goes out.
    ///
    /// # Errors
    /// `Denied` in the words of row A5, and everything that operations end with.
    pub async fn call(
        self: &Arc<Self>,
        caller: &Caller,
        facts: &RequestFacts,
        target: String,
        input: Value,
    ) -> Result<Value, ApiError> {
        let operation = Operation::find(&target).ok_or_else(|| unknown(&target))?;
        let (door, caller, facts) = (self.clone(), caller.clone(), facts.clone());
        // A task of its own: who hangs up gets neither around the record nor an act cut off half-way.
        let whole = tokio::spawn(async move { door.whole(&caller, &facts, operation, input).await });
        whole.await.unwrap_or_else(|panic| Err(Refusal::Internal(panic.to_string()).into()))
    }

    /// A call from its admission to its record.
    async fn whole(
        self: &Arc<Self>,
        caller: &Caller,
        facts: &RequestFacts,
        operation: &'static Operation,
        input: Value,
    ) -> Result<Value, ApiError> {
        let subject = Named::of(&self.context, &self.access, operation, &input);
        let answered = match self.admit(caller, facts, operation, &subject, &input) {
            Ok(()) => self.answer(caller, facts, operation, input.clone()).await,
            Err(denied) => Err(denied.into()),
        };
        let action = (operation.service, operation.name());
        self.record(caller, facts, action, &subject.arn, (&input, answered.as_ref())).await?;
        answered
    }

    async fn answer(
        self: &Arc<Self>,
        caller: &Caller,
        facts: &RequestFacts,
        operation: &'static Operation,
        input: Value,
    ) -> Result<Value, ApiError> {
        // Only what changes something: looking twice does no harm, and the second look is the truer one.
        let named =
            facts.invocation.as_ref().filter(|_| operation.service == "apprunner" && !is_read_only(operation.name()));
        let key = named.and_then(|name| once::key(&caller.id(), name, operation.target, &input));
        let turn = key.map(|key| self.answers.turn(key, Instant::now()));
        let call = Call { target: operation.target.to_owned(), input, principal: caller.name(), _pass: Pass(()) };
        let door = self.clone();
        let dispatched = async move {
            match (operation.service, operation.name()) {
                ("iam", name) => identities::answer(&door, &call, name).await,
                ("logs", name) => cloud_logs::answer(&door.context, &call, name).await,
                (_, name @ ("LookupAudit" | "VerifyAudit" | "LookupEvents")) => audit::answer(&door, &call, name).await,
                _ => dispatch::dispatch(&door.context, call).await,
            }
        };
        // A task of its own again: an act that has begun is not cut off when the time for its answer is over.
        let answer = tokio::spawn(async move {
            match turn {
                Some(turn) => once::once(turn, dispatched).await,
                None => dispatched.await,
            }
        });
        match tokio::time::timeout(ANSWER_TIME, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => Err(Refusal::Internal(panic.to_string()).into()),
            Err(_) => Err(Fault::AnswerTimeout.into()),
        }
    }

    /// Records a request whose signature does not hold, unless too many of them come.
    pub(super) async fn record_stranger(
        &self,
        facts: &RequestFacts,
        key_id: Option<&str>,
        target: Option<&str>,
        error: &ApiError,
    ) {
        let Some(unrecorded) = self.strangers.admit(Instant::now()) else { return };
        let event_id = uuid4(fastrand::u128(..).to_le_bytes());
        let message = error.public_message(&facts.request_id);
        let wanted = target.and_then(Operation::find).map(|operation| (operation.service, operation.name()));
        let error = (error.row().1, message.as_str());
        let stranger = Stranger { facts, key_id, wanted, event_id: &event_id, error, unrecorded };
        if let Err(error) = self.audit.write(&record_of_stranger(&stranger, self.access.place())).await {
            tracing::error!(%error, "a request without a valid signature was not recorded");
        }
    }

    /// Records a call with what came of it. One that cannot be recorded is not answered, but to the administrator of the
    /// machine, who has to be able to make room on its disk.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub(super) async fn record(
        &self,
        caller: &Caller,
        facts: &RequestFacts,
        (service, name): (&str, &str),
        resource: &str,
        (input, answered): (&Value, Result<&Value, &ApiError>),
    ) -> Result<(), ApiError> {
        let event_id = uuid4(fastrand::u128(..).to_le_bytes());
        let message = answered.err().map(|error| error.public_message(&facts.request_id)).unwrap_or_default();
        let outcome = match answered {
            Ok(answer) => Outcome::Answer(answer),
            Err(error) => Outcome::Error { code: error.row().1, message: &message },
        };
        let call = Recorded { caller, facts, service, name, event_id: &event_id, input, resource, outcome };
        match self.audit.write(&record(&call, self.access.place())).await {
            Err(error) if matches!(caller.identity, Identity::Local { .. }) => {
                tracing::error!(%error, name, "a call of the control socket was not recorded");
                Ok(())
            }
            written => Ok(written?),
        }
    }

    /// Whether a caller may.
    fn admit(
        &self,
        caller: &Caller,
        facts: &RequestFacts,
        operation: &Operation,
        subject: &Named,
        input: &Value,
    ) -> Result<(), Fault> {
        let keys = self.keys(subject, operation, input);
        self.check(caller, facts, &operation.action(), &subject.arn, &keys)?;
        for role in passed_roles(operation, input) {
            let mut keys = Keys::default();
            keys.set("iam:PassedToService", PASSED_TO);
            self.check(caller, facts, "iam:PassRole", &in_our_partition(role), &keys)?;
        }
        Ok(())
    }

    fn check(&self, caller: &Caller, facts: &RequestFacts, action: &str, arn: &str, keys: &Keys) -> Result<(), Fault> {
        match self.access.may(caller, action, arn, keys, facts) {
            Decision::Allowed => Ok(()),
            decision => {
                tracing::info!(caller = caller.name(), action, resource = arn, ?decision, "a call was refused");
                Err(Fault::Denied(AccessError::denied(caller, action, arn).to_string()))
            }
        }
    }

    /// The condition keys of a call (row A4): from its parameters, and from the tags of what it is done to.
    fn keys(&self, subject: &Named, operation: &Operation, input: &Value) -> Keys {
        let mut keys = Keys::default();
        for (key, path) in parameters(operation) {
            if let Some(value) = path.iter().try_fold(input, |value, member| value.get(member)).and_then(Value::as_str)
            {
                keys.set(key, whole(&self.context, value));
            }
        }
        for (key, value) in &subject.tags {
            keys.set(&format!("aws:ResourceTag/{key}"), value);
            keys.set(&format!("{}:ResourceTag/{key}", operation.service), value);
        }
        request_tags(&mut keys, operation, input);
        keys
    }
}

/// A condition key, and where in a request its value stands.
type Parameter = (&'static str, &'static [&'static str]);

/// What of a service's configuration policies can ask for.
const CONFIGURED: &[Parameter] = &[
    ("apprunner:ConnectionArn", &["SourceConfiguration", "AuthenticationConfiguration", "ConnectionArn"]),
    ("apprunner:AutoScalingConfigurationArn", &["AutoScalingConfigurationArn"]),
    ("apprunner:ObservabilityConfigurationArn", &["ObservabilityConfiguration", "ObservabilityConfigurationArn"]),
    ("apprunner:VpcConnectorArn", &["NetworkConfiguration", "EgressConfiguration", "VpcConnectorArn"]),
];
/// What of a VPC ingress connection policies can ask for.
const INGRESS: &[Parameter] = &[
    ("apprunner:VpcId", &["IngressVpcConfiguration", "VpcId"]),
    ("apprunner:VpcEndpointId", &["IngressVpcConfiguration", "VpcEndpointId"]),
];
/// What an operation is done to, as a condition key.
const NAMED: &[Parameter] = &[
    ("apprunner:ServiceArn", &["ServiceArn"]),
    ("apprunner:ConnectionArn", &["ConnectionArn"]),
    ("apprunner:AutoScalingConfigurationArn", &["AutoScalingConfigurationArn"]),
    ("apprunner:ObservabilityConfigurationArn", &["ObservabilityConfigurationArn"]),
    ("apprunner:VpcConnectorArn", &["VpcConnectorArn"]),
];

/// The condition keys that an operation's own parameters give. Members that it does not have are ignored by it, so that they
/// must not decide about it either.
fn parameters(operation: &Operation) -> impl Iterator<Item = Parameter> {
    let member = match (operation.service, operation.subject, operation.name()) {
        ("apprunner", Subject::Of(member), _) => Some(member),
        (_, _, "CreateVpcIngressConnection") => Some("ServiceArn"),
        _ => None,
    };
    let named = NAMED.iter().filter(move |(_, path)| Some(path[0]) == member);
    let configured = match operation.name() {
        "CreateService" | "UpdateService" => CONFIGURED,
        "CreateVpcIngressConnection" | "UpdateVpcIngressConnection" => INGRESS,
        _ => &[],
    };
    named.chain(configured).copied()
}

fn request_tags(keys: &mut Keys, operation: &Operation, input: &Value) {
    let list = |member: &str| input.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    if operation.name().starts_with("Create") || operation.name() == "TagResource" {
        for (key, value) in
            list("Tags").iter().filter_map(|t| Some((text(t, "Key")?, text(t, "Value").unwrap_or_default())))
        {
            keys.set(&format!("aws:RequestTag/{key}"), value);
            names.push(key.to_owned());
        }
    }
    if operation.name() == "UntagResource" {
        names.extend(list("TagKeys").iter().filter_map(Value::as_str).map(str::to_owned));
    }
    if !names.is_empty() {
        keys.set_many("aws:TagKeys", names);
    }
}

/// The roles that a call names, which its caller has to be allowed to pass on (row A3).
fn passed_roles<'a>(operation: &Operation, input: &'a Value) -> Vec<&'a str> {
    if !matches!(operation.name(), "CreateService" | "UpdateService") {
        return Vec::new();
    }
    let paths: [&[&str]; 2] = [
        &["InstanceConfiguration", "InstanceRoleArn"],
        &["SourceConfiguration", "AuthenticationConfiguration", "AccessRoleArn"],
    ];
    let at = |path: &[&str]| path.iter().try_fold(input, |value, member| value.get(member))?.as_str();
    paths.into_iter().filter_map(at).collect()
}

/// What a call is done to: its ARN, whole where it is known, and its tags.
struct Named {
    arn: String,
    tags: Vec<(String, String)>,
}

impl Named {
    fn of(context: &Context, access: &Access, operation: &Operation, input: &Value) -> Self {
        let place = access.place();
        let alone = |arn: String| Self { arn, tags: Vec::new() };
        let shown = |member: &str| text(input, member).unwrap_or_default().chars().take(1011).collect::<String>();
        match operation.subject {
            Subject::All => alone("*".into()),
            Subject::Made(kind, member) => {
                let (region, account) = (&place.region, &place.account);
                alone(format!("arn:aws:apprunner:{region}:{account}:{kind}/{}/*", shown(member)))
            }
            Subject::Identity(kind, member) => {
                let kind = if kind == "*" { shown("Kind") } else { kind.to_owned() };
                alone(format!("arn:aws:iam::{}:{kind}/{}", place.account, shown(member)))
            }
            Subject::LogGroup => alone(cloud_logs::arn(place, input)),
            Subject::Connection(member) => {
                let (region, account, name) = (&place.region, &place.account, shown(member));
                let arn = format!("arn:aws:apprunner:{region}:{account}:connection/{name}");
                resource(context, &arn).unwrap_or_else(|| alone(with_id(arn)))
            }
            Subject::Of(member) => {
                let given = in_our_partition(&shown(member));
                match resource(context, &given) {
                    Some(found) => found,
                    None if given.is_empty() => alone("*".into()),
                    None if given.starts_with("arn:") => alone(with_id(given)),
                    None => alone(format!("arn:aws:apprunner:{}:{}:service/{given}/*", place.region, place.account)),
                }
            }
        }
    }
}

/// The whole ARN of what an ARN names (row R6: requests may leave out its id).
fn whole(context: &Context, arn: &str) -> String {
    let arn = in_our_partition(arn);
    resource(context, &arn).map_or_else(|| with_id(arn), |found| found.arn)
}

/// Operations take the ARNs of any partition (`aws-cn`) for ours; so must policies, or another spelling would lead past them.
fn in_our_partition(text: &str) -> String {
    match text.split_once(':').zip(text.split(':').nth(1)) {
        Some((("arn", rest), partition)) if partition.starts_with("aws") => {
            format!("arn:aws{}", &rest[partition.len()..])
        }
        _ => text.to_owned(),
    }
}

/// An ARN of something that is not there, in the form that patterns are written for: a policy on `…:connection/prod/*` means
/// `…:connection/prod` too.
fn with_id(arn: String) -> String {
    let parts = arn.rsplit(':').next().map_or(0, |resource| resource.split('/').count());
    if parts == 2 && arn.contains(":apprunner:") { arn + "/*" } else { arn }
}

/// A resource that there is, by its ARN with or without its trailing parts; a service by its name or id, too.
fn resource(context: &Context, text: &str) -> Option<Named> {
    let (arn, tags) = looked(&*context.control, |facts| facts.resolve(text)).flatten()?;
    Some(Named { arn, tags: tags.into_iter().collect() })
}
