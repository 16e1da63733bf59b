//! The one door: every call of every listener goes through [`Door::call`]. Who calls is known by then; here it is decided
//! whether they may, and what may is done.

use super::control::Refusal;
use super::dispatch::{self, Call, Context, unknown};
use super::errors::{ApiError, Fault};
use super::identities;
use super::server::ANSWER_TIME;
use super::subjects::{Operation, Subject, text};
use crate::access::policy::{Context as Keys, Decision};
use crate::access::{Access, AccessError, Caller, RequestFacts};
use serde_json::Value;
use std::sync::Arc;

/// The service that roles are passed to (row A3).
const PASSED_TO: &str = "apprunner.amazonaws.com";

/// What every call goes through.
pub struct Door {
    /// What operations work on.
    pub context: Context,
    /// Who may do what.
    pub access: Arc<Access>,
}

/// Proof that a call was let in: made here only, and dispatching needs one.
pub struct Pass(());

impl Door {
    /// Lets a call in if its caller may, and answers it.
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
        self.admit(caller, facts, operation, &input)?;
        let call = Call { target, input, principal: caller.name(), _pass: Pass(()) };
        let door = self.clone();
        // A task of its own: an act that has begun is not cut off half-way when the caller goes or the time is over.
        let answer = tokio::spawn(async move {
            match operation.service {
                "iam" => identities::answer(&door, &call, operation.name()).await,
                _ => dispatch::dispatch(&door.context, call).await,
            }
        });
        match tokio::time::timeout(ANSWER_TIME, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => Err(Refusal::Internal(panic.to_string()).into()),
            Err(_) => Err(Fault::AnswerTimeout.into()),
        }
    }

    /// Whether a caller may.
    fn admit(&self, caller: &Caller, facts: &RequestFacts, operation: &Operation, input: &Value) -> Result<(), Fault> {
        let subject = Named::of(&self.context, &self.access, operation, input);
        let keys = self.keys(&subject, operation, input);
        self.check(caller, facts, &operation.action(), &subject.arn, &keys)?;
        for role in passed_roles(operation, input) {
            let mut keys = Keys::default();
            keys.set("iam:PassedToService", PASSED_TO);
            self.check(caller, facts, "iam:PassRole", role, &keys)?;
        }
        Ok(())
    }

    fn check(&self, caller: &Caller, facts: &RequestFacts, action: &str, arn: &str, keys: &Keys) -> Result<(), Fault> {
        match self.access.may(caller, action, arn, keys, facts, &[]) {
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
        if operation.service == "apprunner" {
            for (key, path) in PARAMETERS {
                if let Some(arn) =
                    path.iter().try_fold(input, |value, member| value.get(member)).and_then(Value::as_str)
                {
                    keys.set(key, whole(&self.context, arn));
                }
            }
        }
        for (key, value) in &subject.tags {
            keys.set(&format!("aws:ResourceTag/{key}"), value);
            keys.set(&format!("{}:ResourceTag/{key}", operation.service), value);
        }
        request_tags(&mut keys, input);
        keys
    }
}

/// The condition keys of App Runner, and where in a request each stands.
const PARAMETERS: [(&str, &[&str]); 8] = [
    ("apprunner:ServiceArn", &["ServiceArn"]),
    ("apprunner:ConnectionArn", &["ConnectionArn"]),
    ("apprunner:ConnectionArn", &["SourceConfiguration", "AuthenticationConfiguration", "ConnectionArn"]),
    ("apprunner:AutoScalingConfigurationArn", &["AutoScalingConfigurationArn"]),
    ("apprunner:ObservabilityConfigurationArn", &["ObservabilityConfiguration", "ObservabilityConfigurationArn"]),
    ("apprunner:VpcConnectorArn", &["NetworkConfiguration", "EgressConfiguration", "VpcConnectorArn"]),
    ("apprunner:VpcId", &["IngressVpcConfiguration", "VpcId"]),
    ("apprunner:VpcEndpointId", &["IngressVpcConfiguration", "VpcEndpointId"]),
];

fn request_tags(keys: &mut Keys, input: &Value) {
    let given = input.get("Tags").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let tags = given.iter().filter_map(|tag| Some((text(tag, "Key")?, text(tag, "Value").unwrap_or_default())));
    let mut names: Vec<String> = Vec::new();
    for (key, value) in tags {
        keys.set(&format!("aws:RequestTag/{key}"), value);
        names.push(key.to_owned());
    }
    let removed = input.get("TagKeys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    names.extend(removed.iter().filter_map(Value::as_str).map(str::to_owned));
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
            Subject::Of(member) => {
                let given = shown(member);
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
    resource(context, arn).map_or_else(|| with_id(arn.to_owned()), |found| found.arn)
}

/// An ARN of something that is not there, in the form that patterns are written for: a policy on `…:connection/prod/*` means
/// `…:connection/prod` too.
fn with_id(arn: String) -> String {
    let parts = arn.rsplit(':').next().map_or(0, |resource| resource.split('/').count());
    if parts == 2 && arn.contains(":apprunner:") { arn + "/*" } else { arn }
}

/// A resource that there is, by its ARN with or without its id, its name or its id.
fn resource(context: &Context, text: &str) -> Option<Named> {
    let snapshot = context.control.snapshot();
    let prefix = super::arn::prefix(&snapshot);
    let reference = text.strip_prefix(&prefix).map_or(Some(text), |rest| rest.strip_prefix("service/"))?;
    let (name, id) = reference.split_once('/').map_or((reference, None), |(name, id)| (name, Some(id)));
    let view = snapshot.observed.services.iter().find(|view| {
        let record = &view.record;
        let named = record.name.as_str() == name || (id.is_none() && record.id.as_str() == name);
        named && id.is_none_or(|id| record.id.as_str() == id)
    })?;
    let tags = view.record.applied.iter().flat_map(|spec| spec.tags.clone()).collect();
    Some(Named { arn: super::arn::service_arn(&snapshot, &view.record.name, &view.record.id), tags })
}
