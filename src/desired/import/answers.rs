//! Answers of App Runner's API, as `aws apprunner` prints them: `describe-…`, `list-…`, and what `create-…` returns.

use super::documents::Document;
use super::draft::{Draft, fitting};
use super::field::{Field, Members};
use super::known::Known;
use super::note::{Note, Outcome};
use super::place::About;
use super::scaling::Settings;
use super::service;
use super::variables;
use crate::desired::yaml::Node;
use crate::model::Catalogue;

/// Members that answers of App Runner have, and no others.
const MEMBERS: &[&str] = &[
    "Service",
    "ServiceSummaryList",
    "AutoScalingConfiguration",
    "AutoScalingConfigurationSummaryList",
    "Connection",
    "ConnectionSummaryList",
    "CustomDomains",
    "CustomDomain",
    "VpcConnector",
    "VpcConnectors",
    "ObservabilityConfiguration",
    "ObservabilityConfigurationSummaryList",
    "VpcIngressConnection",
    "VpcIngressConnectionSummaryList",
    "OperationSummaryList",
    "ServiceArnList",
    "Tags",
];

/// Whether a document is one: an answer, a service without its frame, or the input of `create-service`.
pub(super) fn is_one(root: &Node) -> bool {
    MEMBERS.iter().any(|member| root.get(member).is_some()) || is_service(root)
}

fn is_service(root: &Node) -> bool {
    root.get("ServiceName").is_some() && root.get("SourceConfiguration").is_some()
}

/// Gathers what services of all documents refer to.
pub(super) fn learn(document: &Document, known: &mut Known) {
    if is_service(&document.root) {
        return;
    }
    let file = document.input.file.as_str();
    let Some(mut members) = Field::root(&document.root).members() else { return };
    if let Some(field) = members.take("AutoScalingConfiguration") {
        scaling(file, &field, known);
    }
    if members.take("Service").is_none() {
        lists(file, &mut members, known);
    }
    if let Some(field) = members.take("Tags") {
        tags(file, &field, members.take("ResourceArn"), known);
    }
    facts(file, members, known);
}

fn scaling(file: &str, field: &Field, known: &mut Known) {
    let Some(mut members) = field.members() else {
        return known.note(file, field, Outcome::LeftOut, "is no mapping", "");
    };
    let arn = members.take("AutoScalingConfigurationArn");
    let name = members.take("AutoScalingConfigurationName");
    let text = |field: &Option<Field>| field.as_ref().and_then(Field::text).unwrap_or_default().to_owned();
    let settings = Settings::read(&text(&name), &text(&arn), &mut members);
    let about = About { file: file.to_owned(), service: None };
    known.scaling_notes.push((settings.reference.clone(), about.note(field, Outcome::Carried)));
    known.scalings.push(settings);
    let facts = [
        "AutoScalingConfigurationRevision",
        "Latest",
        "Status",
        "CreatedAt",
        "DeletedAt",
        "HasAssociatedService",
        "IsDefault",
    ];
    for field in arn.iter().chain(&members.take_all(&facts)) {
        known.note(file, field, Outcome::NotNeeded, "", "");
    }
    known.rest(file, members);
}

/// What belongs to the account rather than to a service.
fn lists(file: &str, members: &mut Members, known: &mut Known) {
    let nothing = Outcome::LeftOut;
    for field in members.take_all(&["Connection", "ConnectionSummaryList"]) {
        let todo = "see what is said of each service that uses one";
        known.note(file, &field, nothing, "connections are AWS' own access to repositories", todo);
    }
    for field in members.take_all(&["VpcConnector", "VpcConnectors"]) {
        let why = "there are no VPC connectors: an instance reaches what its machine reaches";
        known.note(file, &field, nothing, why, "run towpath where these networks are reached");
    }
    for field in members.take_all(&["VpcIngressConnection", "VpcIngressConnectionSummaryList"]) {
        let why = "there are no VPC ingress connections";
        known.note(file, &field, nothing, why, "let the server listen in the network that its clients are in");
    }
    for field in members.take_all(&["ObservabilityConfiguration", "ObservabilityConfigurationSummaryList"]) {
        let why = "traces are not collected for AWS X-Ray";
        known.note(file, &field, nothing, why, "send them to a collector of yours");
    }
    if let Some(field) = members.take("ServiceSummaryList") {
        for item in field.items().unwrap_or_default() {
            listed(file, &item, known);
        }
    }
    domains(file, members, known);
}

/// A service in a list: its settings are not there.
fn listed(file: &str, item: &Field, known: &mut Known) {
    let text = |key| item.node.get(key).and_then(Node::text).unwrap_or_default();
    let (name, arn) = (text("ServiceName"), text("ServiceArn"));
    let about = About { file: file.to_owned(), service: Some(name.to_owned()).filter(|name| !name.is_empty()) };
    let why = "it is listed, but not described: it is not in the manifest";
    let todo = format!("add the output of `aws apprunner describe-service --service-arn {arn}` to what is imported");
    known.listed.push((arn.to_owned(), about.told(item, Outcome::Missing, why, todo)));
}

fn domains(file: &str, members: &mut Members, known: &mut Known) {
    let all = members.take_all(&["CustomDomains", "CustomDomain"]);
    if all.is_empty() {
        return;
    }
    let arn = members.take("ServiceArn");
    let service = arn.as_ref().and_then(Field::text).and_then(name_in_arn).map(str::to_owned);
    let about = About { file: file.to_owned(), service };
    for field in &all {
        let items = field.items().unwrap_or_else(|| vec![field.clone()]);
        for item in items {
            let name = item.node.get("DomainName").and_then(Node::text).unwrap_or_default().to_owned();
            known.notes.push(own_domain(&about, &item, &name));
        }
        if field.items().is_some_and(|items| items.is_empty()) {
            known.notes.push(about.note(field, Outcome::NotNeeded));
        }
    }
    let facts = members.take_all(&["DNSTarget", "VpcDNSTargets"]);
    known.notes.extend(arn.iter().chain(&facts).map(|field| about.note(field, Outcome::NotNeeded)));
}

/// A domain of one's own.
pub(super) fn own_domain(about: &About, field: &Field, name: &str) -> Note {
    let todo = format!(
        "put a proxy before it that has a certificate for `{name}` and passes requests on with the service's host, \
         then let the DNS name lead there"
    );
    about.told(field, Outcome::LeftOut, "own domains are not in this version", todo)
}

/// `arn:aws:apprunner:REGION:ACCOUNT:service/NAME/ID`.
fn name_in_arn(arn: &str) -> Option<&str> {
    arn.split_once(":service/")?.1.split('/').next()
}

/// The answer of `list-tags-for-resource` does not say whose tags they are: `ResourceArn` beside them does.
fn tags(file: &str, field: &Field, arn: Option<Field>, known: &mut Known) {
    let Some(arn) = arn else {
        let todo = "put the resource's ARN beside them: `jq '{ResourceArn: \"arn:…\"} + .'`";
        return known.note(file, field, Outcome::LeftOut, "nothing says whose tags they are", todo);
    };
    known.note(file, &arn, Outcome::NotNeeded, "", "");
    known.note(file, field, Outcome::Carried, "", "");
    let pairs = field.items().unwrap_or_default().into_iter().filter_map(|item| {
        let text = |key| item.node.get(key).and_then(Node::text).unwrap_or_default().to_owned();
        Some((text("Key"), text("Value"))).filter(|(key, _)| !key.is_empty())
    });
    known.tags.entry(arn.text().unwrap_or_default().to_owned()).or_default().extend(pairs);
}

fn facts(file: &str, mut members: Members, known: &mut Known) {
    if let Some(field) = members.take("NextToken") {
        let todo = "ask for the rest with `--next-token`, and add it to what is imported";
        known.note(file, &field, Outcome::Missing, "the list goes on: this is one page of it", todo);
    }
    let names =
        ["OperationId", "OperationSummaryList", "ServiceArnList", "AutoScalingConfigurationSummaryList", "ServiceArn"];
    for field in members.take_all(&names) {
        known.note(file, &field, Outcome::NotNeeded, "", "");
    }
    known.rest(file, members);
}

/// The service in a document, if one is described.
pub(super) fn draft(document: &Document, known: &mut Known, catalogue: &Catalogue) -> Option<Draft> {
    let root = Field::root(&document.root);
    let service = match is_service(&document.root) {
        true => root,
        false => Field { path: String::new(), node: document.root.get("Service")? },
    };
    let file = document.input.file.as_str();
    let Some(mut members) = service.members() else {
        known.note(file, &service, Outcome::LeftOut, "`Service` is no mapping", "");
        return None;
    };
    let text = |key| service.node.get(key).and_then(Node::text).unwrap_or_default();
    let (name, arn, status) = (text("ServiceName"), text("ServiceArn").to_owned(), text("Status"));
    if matches!(status, "DELETED" | "DELETE_FAILED") {
        let about = About { file: file.to_owned(), service: Some(name.to_owned()) };
        known.notes.push(about.told(&service, Outcome::LeftOut, format!("its status is {status}"), ""));
        return None;
    }
    if !arn.is_empty() && known.described.contains(&arn) {
        let about = About { file: file.to_owned(), service: Some(name.to_owned()) };
        known.notes.push(about.told(&service, Outcome::LeftOut, "it is described twice: the first one is taken", ""));
        return None;
    }
    let mut draft = Draft::new(name, file);
    if fitting(name) != name {
        draft.rename(name, &fitting(name), "no service here can have its name");
    }
    service::read(&mut members, known, catalogue, &mut draft);
    for (key, value) in known.tags.get(&arn).cloned().unwrap_or_default() {
        variables::tag(&key, &value, &mut draft);
    }
    draft.rest(members);
    known.described.push(arn);
    Some(draft)
}
