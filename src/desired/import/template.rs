//! CloudFormation templates, written by hand or synthesised by AWS' CDK.

use super::documents::Document;
use super::draft::{Draft, fitting};
use super::field::{Field, Members};
use super::functions::Template;
use super::known::Known;
use super::note::Outcome;
use super::place::About;
use super::scaling::Settings;
use super::service;
use super::{Choices, functions};
use crate::desired::yaml::{Entry, Node, Value};
use crate::model::Catalogue;
use std::collections::BTreeMap;

const SERVICE: &str = "AWS::AppRunner::Service";
const SCALING: &str = "AWS::AppRunner::AutoScalingConfiguration";

/// App Runner's other resources, and those that are attached to its services: why they have no counterpart, what to do.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "AWS::AppRunner::ObservabilityConfiguration",
        "traces are not collected for AWS X-Ray",
        "send them to a collector of yours",
    ),
    (
        "AWS::AppRunner::VpcConnector",
        "there are no VPC connectors: an instance reaches what its machine reaches",
        "run towpath where this network is reached",
    ),
    (
        "AWS::AppRunner::VpcIngressConnection",
        "there are no VPC ingress connections",
        "let the server listen in the network that its clients are in",
    ),
    (
        "AWS::WAFv2::WebACLAssociation",
        "there is no web application firewall",
        "put a proxy with one before towpath if it was for a service of App Runner",
    ),
];

/// Works out the functions of a template's resources; gathers scaling configurations and what has no counterpart.
pub(super) fn learn(document: &mut Document, choices: &Choices, known: &mut Known) {
    let file = document.input.file.clone();
    let template = Template::new(&document.root, &file, &choices.parameters);
    let entries = document.root.get("Resources").and_then(Node::entries).unwrap_or_default();
    let mut resources = Vec::new();
    let mut foreign: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries {
        let field = Field { path: format!("Resources.{}", entry.key), node: &entry.value };
        let kind = entry.value.get("Type").and_then(Node::text).unwrap_or_default();
        let other = OTHERS.iter().find(|(name, ..)| *name == kind);
        if kind != SERVICE && kind != SCALING && other.is_none() {
            *foreign.entry(kind.to_owned()).or_default() += 1;
            continue;
        }
        if !is_there(&template, &field, known, &file) {
            continue;
        }
        match other {
            Some((_, why, todo)) => known.note(&file, &field, Outcome::LeftOut, why, todo),
            None => resources.push(Entry { value: template.resolve(&entry.value), ..entry.clone() }),
        }
    }
    for entry in resources.iter().filter(|entry| entry.value.get("Type").and_then(Node::text) == Some(SCALING)) {
        scaling(&file, entry, &template.reference(&entry.key), known);
    }
    told_of_others(&file, &document.root, &foreign, known);
    check_parameters(&file, &document.root, choices, known);
    document.root = Node { span: document.root.span, value: Value::Mapping(resources) };
}

/// A resource may be there under a condition only.
fn is_there(template: &Template, field: &Field, known: &mut Known, file: &str) -> bool {
    let Some(condition) = field.node.get("Condition").and_then(Node::text) else { return true };
    match template.holds(condition) {
        Some(true) => true,
        Some(false) => {
            let why = format!("its condition `{condition}` does not hold");
            known.note(file, field, Outcome::LeftOut, &why, "`--parameter NAME=VALUE` decides conditions");
            false
        }
        None => {
            let why = format!("whether its condition `{condition}` holds is not known: it is taken to");
            known.note(file, field, Outcome::Changed, &why, "`--parameter NAME=VALUE` decides conditions");
            true
        }
    }
}

fn scaling(file: &str, entry: &Entry, reference: &str, known: &mut Known) {
    let field = Field { path: format!("Resources.{}", entry.key), node: &entry.value };
    let Some(mut members) = field.members() else { return };
    about_resource(file, &mut members, known);
    let about = About { file: file.to_owned(), service: None };
    known.scaling_notes.push((reference.to_owned(), about.note(&field, Outcome::Carried)));
    let mut properties = members.take("Properties").and_then(|field| field.members());
    let settings = match &mut properties {
        Some(properties) => {
            let name = properties.take("AutoScalingConfigurationName");
            let name = name.as_ref().and_then(Field::text).unwrap_or(&entry.key).to_owned();
            if let Some(tags) = properties.take("Tags") {
                known.note(file, &tags, Outcome::LeftOut, "settings have no tags", "");
            }
            Settings::read(&name, reference, properties)
        }
        None => {
            let nothing = Node { value: Value::Mapping(Vec::new()), span: entry.value.span };
            let Some(mut none) = (Field { path: String::new(), node: &nothing }).members() else { return };
            Settings::read(&entry.key, reference, &mut none)
        }
    };
    known.scalings.push(settings);
    properties.into_iter().chain([members]).for_each(|rest| known.rest(file, rest));
}

/// What a resource of any type has beside its properties.
fn about_resource(file: &str, members: &mut Members, known: &mut Known) {
    let names = ["Type", "Condition", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "UpdatePolicy", "Metadata"];
    for field in members.take_all(&names) {
        known.note(file, &field, Outcome::NotNeeded, "", "");
    }
}

/// Resources of other services stay where they are.
fn told_of_others(file: &str, root: &Node, foreign: &BTreeMap<String, usize>, known: &mut Known) {
    let of_cdk = |kind: &str| matches!(kind, "AWS::CDK::Metadata");
    let named: Vec<String> = foreign
        .iter()
        .filter(|(kind, _)| !of_cdk(kind))
        .map(|(kind, count)| if *count == 1 { kind.clone() } else { format!("{kind} ({count})") })
        .collect();
    if named.is_empty() {
        return;
    }
    let field = Field { path: "Resources".to_owned(), node: root };
    let why = format!("these stay with AWS: {}", named.join(", "));
    known.note(file, &field, Outcome::LeftOut, &why, "see what of them the services use");
}

/// A parameter that the template does not have is most likely a slip.
fn check_parameters(file: &str, root: &Node, choices: &Choices, known: &mut Known) {
    for name in choices.parameters.keys().filter(|name| !name.starts_with("AWS::")) {
        if root.get("Parameters").and_then(|all| all.get(name)).is_none() {
            let field = Field { path: format!("Parameters.{name}"), node: root };
            let why = "the template has no parameter of this name: the value is not used";
            known.note(file, &field, Outcome::LeftOut, why, "");
        }
    }
}

/// The services of a template whose functions were worked out.
pub(super) fn drafts(document: &Document, known: &mut Known, catalogue: &Catalogue) -> Vec<Draft> {
    let entries = document.root.entries().unwrap_or_default();
    let services = entries.iter().filter(|entry| entry.value.get("Type").and_then(Node::text) == Some(SERVICE));
    services.filter_map(|entry| draft(document, entry, known, catalogue)).collect()
}

fn draft(document: &Document, entry: &Entry, known: &mut Known, catalogue: &Catalogue) -> Option<Draft> {
    let file = document.input.file.as_str();
    let resource = Field { path: String::new(), node: &entry.value };
    let mut members = resource.members()?;
    let properties = members.take("Properties");
    let named = properties.as_ref().and_then(|field| field.node.get("ServiceName"));
    let name = named.filter(|node| functions::unresolved(node).is_none()).and_then(Node::text);
    let wanted = name.unwrap_or(&entry.key);
    let mut draft = Draft::new(wanted, file);
    if fitting(wanted) != wanted {
        draft.rename(wanted, &fitting(wanted), "no service here can have its name");
    }
    if name.is_none() {
        draft
            .remarks
            .push(format!("named after its logical id `{}`: CloudFormation makes a name of its own", entry.key));
    }
    about_resource(file, &mut members, known);
    draft.rest(members);
    // Paths are those of the properties: they are App Runner's own.
    let properties = Field { path: String::new(), node: properties.map_or(&EMPTY, |field| field.node) };
    let mut members = properties.members()?;
    service::read(&mut members, known, catalogue, &mut draft);
    draft.rest(members);
    Some(draft)
}

static EMPTY: Node = Node { span: super::documents::NOWHERE, value: Value::Mapping(Vec::new()) };
